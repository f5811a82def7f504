"""The remote door: the same names as a local workspace, spoken over HTTP to a server.

Doors: `remote.connect` (also `thrive.connect`), `remote.RemoteWorkspace`, and
`remote.running_server` for the command line; `wire` is what both ends agree on.
This room holds no rule of its own: the server checks, refuses and answers; here its answers
become the same values and its errors the same classes as at home.
"""
