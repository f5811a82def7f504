"""A home under a server: its operations, its tick, its worker."""

from thrive.flows.catalogue import load_all
from thrive.operations import Context
from thrive.server.background import Background
from thrive.server.logs import start_logging
from thrive.server.process import ServerOptions, run_server
from thrive.settings import read_settings


def host(ctx: Context, *, host: str, port: int, allow_hosts: tuple[str, ...]) -> str:
    """Serve the home of a context until stopped; return the URL.

    Args:
        ctx: the context of whoever starts the server.
        host: the address to bind.
        port: the port; 0 takes a free one.
        allow_hosts: further names requests may carry.
    """
    start_logging(read_settings().log_level)
    options = ServerOptions(host=host, port=port, allow_hosts=allow_hosts)
    return run_server(ctx.home, ctx.actor, load_all(), options, Background())
