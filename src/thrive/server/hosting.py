"""The projects of a database under a server: their operations, their ticks, their workers."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from thrive.flows.catalogue import load_all
from thrive.operations import Context
from thrive.server.background import Background, Child, Errands, Ticker
from thrive.server.logs import start_logging
from thrive.server.process import ServerOptions, run_server
from thrive.server.projects import Homes
from thrive.settings import read_settings
from thrive.store import jobs


def host_projects(ctx: Context, options: ServerOptions, *, with_worker: bool) -> str:
    """Serve every project of a context's database until stopped; return the URL.

    Each server on a database ticks and works all of its projects; leases decide who does.

    Args:
        ctx: the context of whoever starts the server.
        options: how to be reached.
        with_worker: whether worker processes execute jobs here.
    """
    start_logging(read_settings().log_level)
    homes = Homes(ctx.home)
    ticker = Ticker(functools.partial(_ticks, ctx, homes))
    workers = _workers(ctx, homes) if with_worker else ()
    return run_server(ctx.home, ctx.actor, load_all, options, Background(ticker, workers))


def _ticks(ctx: Context, homes: Homes) -> Iterator[tuple[str, Callable[[], object]]]:
    from thrive.flows.controller import tick_in_real_time  # after what is asked for first

    for home in homes.every():
        own = home is homes.main
        scoped = ctx if own else Context(home, ctx.actor, operation="tick")
        yield home.project_id, functools.partial(tick_in_real_time, scoped)


def _workers(ctx: Context, homes: Homes) -> tuple[Child, Errands]:
    """Return a standing worker of the server's own project, and one for another while it has jobs.

    A process never executes jobs of two projects, so what one's code leaves behind in memory
    never meets the other's.
    """
    folder = ctx.local_folder()
    standing = Child(_worker_command(folder))

    def others() -> list[str]:
        with ctx.read() as tx:
            due = jobs.due_projects(tx)
        return [homes.of(each).project.name for each in due if each != ctx.project_id]

    def command(project: str) -> list[str]:
        return [*_worker_command(folder), "--project", project, "--once"]

    return standing, Errands(others, command, at_once=max(2, os.cpu_count() or 2))


def _worker_command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "thrive", "worker", "--home", str(folder)]
