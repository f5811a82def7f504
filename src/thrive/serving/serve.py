"""`thrive serve`: the model server of a project, until it is stopped."""

import contextlib
import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterable
from importlib.util import find_spec
from pathlib import Path

import msgspec

from thrive.domain.actor import STOPPERS
from thrive.domain.errors import UsageError
from thrive.operations import Context, Kind, operation
from thrive.serving.agent import Agent, AgentOptions
from thrive.serving.callers import known_hosts, read_callers
from thrive.serving.control_plane import ControlPlane
from thrive.serving.early_plane import EarlyControlPlane
from thrive.serving.limits import Limits
from thrive.store.place import FOLDER, made
from thrive.store.quick_imports import quick_imports

_logger = logging.getLogger(__name__)

MAX_WORKERS = 64
EVERY_MODEL: list[str] = []


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What a server did until it was stopped."""

    url: str
    answered: int
    failed: int
    dropped: int


@operation("serve", kind=Kind.CLIENT, role=STOPPERS, next_hint="thrive status")
def serve(
    ctx: Context,
    models: list[str] = EVERY_MODEL,
    *,
    host: str = "127.0.0.1",
    port: int = 8100,
    workers: int = 1,
    callers: Path | None = None,
    allow_host: list[str] | None = None,
    grpc_port: int = 0,
) -> Served:
    """Answer predictions over HTTP until stopped.

    Follows the routing table within a second, keeps answering when the store is away, and logs
    every answer. Ctrl-C or SIGTERM finishes what has come, then stops.

    Args:
        models: only these; every model of the project if none is named.
        host: the address to listen on; one that other machines reach needs `callers`.
        port: the port; 0 takes a free one.
        workers: how many processes answer; one a core is enough.
        callers: a file with a token a line: who shows none of them is not answered.
        allow_host: a name that requests may carry, beside those of this machine; repeat for more.
        grpc_port: a port for the Open Inference Protocol over gRPC (the extra `grpc`); 0 for none.

    Examples:
        thrive serve
        thrive serve flight-delay --port 8100 --workers 2
    """
    options = serving_options(host, port, workers, callers, allow_host or (), models, grpc_port)
    with _plane(ctx) as (plane, folder):
        agent = Agent(plane, made(folder / "cache"), made(folder / "log"), options)
        return serve_until_stopped(agent)


@contextlib.contextmanager
def _plane(ctx: Context) -> Generator[tuple[ControlPlane, Path]]:
    """Give the control plane of a home, and the folder of that home."""
    folder = ctx.local_folder() / FOLDER
    early = EarlyControlPlane.of(folder, functools.partial(_whole_plane, ctx))
    if early is None:
        yield _whole_plane(ctx), ctx.home.folder
        return
    with contextlib.closing(early):
        yield early, folder


def _whole_plane(ctx: Context) -> ControlPlane:
    with quick_imports():
        from thrive.serving.home_plane import LocalControlPlane  # SQLAlchemy: start-up
    return LocalControlPlane(ctx.home)


def serving_options(
    host: str,
    port: int,
    workers: int,
    callers: Path | None = None,
    allow_host: Iterable[str] = (),
    models: Iterable[str] = (),
    grpc_port: int = 0,
) -> AgentOptions:
    """Return the options of an agent.

    Raises:
        UsageError: there are no such ports, too many workers, no tokens in the file, or gRPC is
            asked for and not installed.
    """
    if grpc_port and not all(map(_is_installed, ("grpc", "google.protobuf"))):
        raise UsageError("gRPC is not installed.", 'pip install "thrive[grpc]"')
    if not 1 <= workers <= MAX_WORKERS or not all(
        0 <= each < 1 << 16 for each in (port, grpc_port)
    ):
        raise UsageError(
            f"{workers} workers on port {port} cannot be.", f"use 1 to {MAX_WORKERS} workers"
        )
    tokens = read_callers(callers) if callers else {}
    consumers = {digest: each for digest, each in tokens.items() if each is not None}
    hosts = known_hosts(host, allow_host, tokens=bool(tokens))
    limits = Limits(callers=list(tokens), consumers=consumers, hosts=hosts)
    if limits.unregistered:
        _logger.warning(
            "%d of %d tokens in %s name no consumer with a purpose: who holds one may ask every "
            "model (write TOKEN NAME PURPOSE)",
            limits.unregistered,
            len(tokens),
            callers,
        )
    return AgentOptions(
        host=host,
        port=port,
        workers=workers,
        limits=limits,
        models=frozenset(models),
        grpc_port=grpc_port,
    )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def serve_until_stopped(agent: Agent) -> Served:
    """Run an agent until SIGTERM or SIGINT, and return what it did; raises as `Agent.run` does."""
    stop = threading.Event()
    with _stopped_by_signals(stop):
        last = agent.run(stop, _say)
    return Served(url=last.url, answered=last.answered, failed=last.failed, dropped=last.dropped)


def _say(url: str) -> None:
    """Tell where it answers, from when on it does; the result comes only after it was stopped."""
    sys.stderr.write(f"serving at {url} (Ctrl-C stops)\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Generator[None]:
    """Let SIGTERM and SIGINT set `stop`; only the main thread may hear signals.

    A handler runs in the midst of what the main thread does, be it holding the lock of `stop`
    itself: so the handler only writes to a pipe, and a thread that reads it sets `stop`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, tell = os.pipe()
    threading.Thread(target=_heed, args=(told, stop), daemon=True).start()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda _number, _frame: os.write(tell, b"."))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(tell)


def _heed(told: int, stop: threading.Event) -> None:
    while os.read(told, 64):
        stop.set()
    os.close(told)
