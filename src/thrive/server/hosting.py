"""A home under a server: its operations, its tick, its worker."""

import sys

from thrive.flows.catalogue import load_all
from thrive.flows.controller import tick_in_real_time
from thrive.operations import Context
from thrive.server.background import Background, Child, Ticker
from thrive.server.logs import start_logging
from thrive.server.process import ServerOptions, run_server
from thrive.settings import read_settings


def host_project(ctx: Context, options: ServerOptions, *, with_worker: bool) -> str:
    """Serve the home of a context until stopped; return the URL.

    Args:
        ctx: the context of whoever starts the server.
        options: how to be reached.
        with_worker: whether a worker process executes jobs here.
    """
    start_logging(read_settings().log_level)
    command = [sys.executable, "-m", "thrive", "worker", "--home", str(ctx.local_folder())]
    ticker = Ticker(lambda: tick_in_real_time(ctx))
    background = Background(ticker, Child(command) if with_worker else None)
    return run_server(ctx.home, ctx.actor, load_all(), options, background)
