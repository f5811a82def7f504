"""What the server offers: itself."""

from importlib import import_module

import msgspec

from thrive.domain.actor import KEEPERS
from thrive.operations import Context, Kind, operation


class ServerStopped(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server was reached until it was stopped."""

    url: str


@operation("server", kind=Kind.CLIENT, role=KEEPERS, next_hint="thrive status")
def server(
    ctx: Context,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_host: list[str] | None = None,
    worker: bool = True,
) -> ServerStopped:
    """Offer the project to a team over HTTP until stopped: REST, pages, probes, jobs.

    Programs on this machine find it through `.thrive/server.json`, which its owner alone can
    read. Log lines are JSON on standard error. Ctrl-C or SIGTERM finishes what has come, then
    stops.

    Args:
        host: the address to listen on; one that other machines reach asks for a created token.
        port: the port; 0 takes a free one.
        allow_host: a name the server is reached by, beside its address; repeat for more.
        worker: execute jobs here, in a process of its own.

    Raises:
        Refused: other machines would reach the address and no token was created.
        Conflict: a server of this folder runs already.

    Examples:
        thrive server
        thrive server --host 0.0.0.0 --allow-host thrive.example.org
    """
    # Starlette is for servers alone: importing it here would slow every command down
    process, hosting = (import_module(f"thrive.server.{part}") for part in ("process", "hosting"))
    options = process.ServerOptions(host=host, port=port, allow_hosts=tuple(allow_host or ()))
    return ServerStopped(url=hosting.host_project(ctx, options, with_worker=worker))
