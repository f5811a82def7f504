"""The server process: it binds, writes its token file, answers, and drains when told to stop."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec
import uvicorn

from thrive.client.local_server import (
    LocalServer,
    find_local_server,
    remove_local_server,
    write_local_server,
)
from thrive.domain.actor import Actor
from thrive.domain.clock import machine_now
from thrive.domain.errors import Conflict, InfrastructureError, Refused, UsageError
from thrive.operations import Operation
from thrive.server.app import App
from thrive.server.background import Background
from thrive.server.http import KEEP_ALIVE_S, BoundedHttp
from thrive.server.options import AppOptions, host_names, is_loopback
from thrive.server.traces import traces_from
from thrive.serving.door import turn_away
from thrive.settings import read_settings
from thrive.store import tokens
from thrive.store.home import Home

_logger = logging.getLogger("thrive.server")

DRAIN_S = 0.3
"""How long a draining server still takes requests, telling callers to close."""
LAST_CALL_S = 0.2
"""How long those that are on their way in have to arrive after that: nobody new is taken."""
LAST_REQUESTS_S = 10
BACKLOG = 512
TURN_S = 0.001
"""How long a thread may compute while another waits: a long turn holds up every answer."""


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is reached.

    Attributes:
        host: the address to bind.
        port: the port; 0 takes a free one.
        allow_hosts: names beside the loopback's and the bound address that requests may carry.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    allow_hosts: tuple[str, ...] = ()


def run_server(
    home: Home,
    actor: Actor,
    operations: Callable[[], Mapping[str, Operation]],
    options: ServerOptions,
    background: Background,
) -> str:
    """Serve a home until SIGTERM or SIGINT; return the URL it was reached at.

    Args:
        home: the project, its database and its blobs.
        actor: whom the token in `server.json` stands for.
        operations: returns what to offer, by name.
        options: how to be reached.
        background: what runs beside the requests.

    Raises:
        Refused: another machine could reach the address and no token was created.
        Conflict: a server runs in this folder already.
        InfrastructureError: the address cannot be bound.
        UsageError: traces are asked for, and their library is not installed.
    """
    _refuse_open_door(home, options.host)
    _refuse_second(home)
    traces = traces_from()
    listening = bind(options.host, options.port)
    url = _url(options.host, listening)
    app_options = AppOptions(
        local_token=secrets.token_urlsafe(32),
        local_actor=actor,
        hosts=host_names(options.host, options.allow_hosts),
        open_metrics=is_loopback(options.host),
        rate=read_settings().requests_per_second,
    )
    app = App(home, operations, app_options, background.counters, traces)
    write_local_server(
        home.folder, LocalServer(url=url, token=app_options.local_token, pid=os.getpid())
    )
    sys.setswitchinterval(TURN_S)
    try:
        _logger.info("listening at %s", url)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve_until_signalled(app, listening, background))
    finally:
        remove_local_server(home.folder, os.getpid())
        background.stop()
        app.close()
    _logger.info("stopped")
    return url


def _refuse_open_door(home: Home, host: str) -> None:
    if is_loopback(host):
        return
    with home.read() as tx:
        known = tokens.every(tx, home.project_id)
    if not any(token.good(machine_now()) for token in known):
        raise Refused(
            f"Other machines would reach {host!r}, and no token was created for anybody.",
            "thrive tokens create NAME --role platform",
        )


def _refuse_second(home: Home) -> None:
    known = find_local_server(home.folder)
    if known is not None:
        raise Conflict(
            f"A server of this folder runs at {known.url}, process {known.pid}.",
            f"use it, or stop it: kill {known.pid}",
        )


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        UsageError: the port is none.
        InfrastructureError: the address cannot be bound.
    """
    if not 0 <= port < 1 << 16:
        raise UsageError(f"{port} is no port.", "use 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise InfrastructureError(
            f"{host}:{port} cannot be listened on: {error.strerror}.", "choose another --port"
        ) from error
    return listening


def _url(host: str, listening: socket.socket) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
    port: int = listening.getsockname()[1]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Server(uvicorn.Server):
    """Uvicorn with our own end: a signal starts a drain, not a stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _serve_until_signalled(
    app: App, listening: socket.socket, background: Background
) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)

    def begin() -> None:
        threading.Thread(target=app.rooms.warm, name="warm", daemon=True).start()
        background.start()  # after the handlers: a child inherits an ignored SIGINT, no handled one

    await serve(app, listening, told, begin)


async def serve(
    app: App, listening: socket.socket, told: asyncio.Event, opened: Callable[[], object] = bool
) -> None:
    """Answer on a listening socket until `told` is set, then drain.

    Probes are answered at once; what else is asked waits until the application is open.

    Args:
        app: what answers.
        listening: a bound and listening socket.
        told: set when the server is to stop.
        opened: called when the application is open.
    """
    config = uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType] - Starlette's scope is uvicorn's
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=LAST_REQUESTS_S,
    )
    server = _Server(config)
    draining = asyncio.create_task(_drain_when_told(told, app, server, listening))
    opening = asyncio.create_task(_open(app, told, opened))
    try:
        await server.serve(sockets=[listening])
        await opening
    finally:
        draining.cancel()


async def _open(app: App, told: asyncio.Event, opened: Callable[[], object]) -> None:
    """Open an application; one that cannot be opened is not served."""
    try:
        await app.open()
        opened()
    except BaseException:
        told.set()
        raise


async def _drain_when_told(
    told: asyncio.Event, app: App, server: uvicorn.Server, listening: socket.socket
) -> None:
    await told.wait()
    app.drain()
    await asyncio.sleep(DRAIN_S)
    turn_away(listening)
    await asyncio.sleep(LAST_CALL_S)
    server.should_exit = True
