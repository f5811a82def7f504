"""The remote door: the same names as a local workspace, spoken over HTTP to a server.

Doors: `connect` (also `thrive.connect`), `RemoteWorkspace`, and `running_server` for the command
line. This room holds no rule of its own: the server checks, refuses and answers; here its answers
become the same values and its errors the same classes as at home.
"""

from thrive.client.remote import (
    RemoteInvoker,
    RemoteWorkspace,
    connect,
    remote_invoker,
    running_server,
)

__all__ = ["RemoteInvoker", "RemoteWorkspace", "connect", "remote_invoker", "running_server"]
