"""One HTTP worker process: answers from local files, and never opens the database.

Its agent gives it a listening socket and holds its standard input: when that closes, the agent is
gone and the worker drains.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import msgspec

from thrive.domain.errors import ThriveError
from thrive.serving import door, prestart
from thrive.serving.answering import Answerer
from thrive.serving.app import App
from thrive.serving.connection import Connection
from thrive.serving.counters import WorkerState, write_state
from thrive.serving.limits import WorkerSettings, allow_connections
from thrive.serving.live import LiveModels
from thrive.serving.routes import FILE_NAME, Routes, read_routes
from thrive.serving.shortcut import Shortcut
from thrive.serving.turn import Turn
from thrive.settings import read_settings
from thrive.store.eventlog.writer import SegmentWriter

_logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.1
"""How often the routing file is looked at."""
FIRST_LOOK_EVERY_S = 0.005
"""How often it is looked for until it is there: callers wait."""
RETRY_EVERY_S = 2.0
"""How long a model that could not be loaded is left alone before it is tried again."""
STATE_EVERY_S = 1.0
DRAIN_S = 0.3
"""How long a draining worker still takes connections, telling callers to close theirs."""
LAST_CALL_S = 0.2
"""How long those that are on their way in have to arrive after that: nobody new is taken."""
FIRST_REQUEST_S = 1.0
"""How long a connection that was taken last may take to send its request."""
TURN_S = 0.01
LAST_REQUESTS_S = 10.0


_NEEDED = (
    "uvicorn",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
    "thrive.packaging.loader",
)
"""What `serve` asks for later than its settings."""


class Worker:
    """Everything one worker process runs beside its HTTP server."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.cache = Path(settings.cache)
        self.state = WorkerState(worker=settings.worker)
        self.live = LiveModels(self.cache)
        self.writer = SegmentWriter(
            Path(settings.log), settings.worker, max_age=read_settings().seal_age
        )
        self.answerer = Answerer(self.writer, self.state)
        self.app = App(
            self.live,
            self.answerer,
            self.state,
            self.cache,
            Path(settings.log),
            settings.limits,
        )
        self._shortcut = Shortcut(self.app, self.live, self.answerer)
        self._turn = Turn(self._shortcut)
        self.drain = asyncio.Event()
        self._seen: tuple[int, int] | None = None
        self._retry_at = 0.0
        self._loads: set[asyncio.Task[None]] = set()

    def connection(
        self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None
    ) -> Connection:
        """Return what answers a connection; uvicorn asks for it."""
        return Connection(self._shortcut, self._turn, config, server_state, app_state, _loop)

    async def load_first(self) -> None:
        """Load the first routes: until then callers wait in the socket's queue."""
        while self.app.routes is None:
            routes = self._new_routes()
            if routes is None:
                await asyncio.sleep(FIRST_LOOK_EVERY_S)
            else:
                await self._use(routes)
                self.app.routes = routes

    async def follow_routing(self) -> None:
        """Load what the routing file names whenever it was replaced, for ever.

        What loads is not waited for: a rollback that comes meanwhile is in force at once.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            routes = self._new_routes()
            if routes is not None:
                self.app.routes = routes
                load = asyncio.create_task(self._use(routes))
                self._loads.add(load)
                load.add_done_callback(self._loads.discard)

    def _new_routes(self) -> Routes | None:
        """Return the routes in the file if they are to be loaded now: new, or to be tried again."""
        try:
            found = (self.cache / FILE_NAME).stat()
            seen = (found.st_mtime_ns, found.st_ino)
            if seen == self._seen and not self._try_again():
                return None
            self._seen = seen
            return read_routes(self.cache)
        except FileNotFoundError:
            return None
        except (ThriveError, OSError, msgspec.MsgspecError):
            _logger.exception("the routing file cannot be read; the last one stays")
            return None

    async def _use(self, routes: Routes) -> None:
        await self.live.apply(routes)
        if gc.isenabled():
            gc.collect()  # what was answered with before
        gc.freeze()  # what is loaded stays: collections while answering need not look at it
        gc.enable()
        self.publish()

    def _try_again(self) -> bool:
        """Tell whether it is time to load again what could not be: a view may be online by now."""
        if not self.live.errors or time.monotonic() < self._retry_at:
            return False
        self._retry_at = time.monotonic() + RETRY_EVERY_S
        return True

    def publish(self) -> None:
        """Write the state file: revisions in use and counters."""
        self.state.revisions = {
            name: live.served.revision for name, live in self.live.models.items()
        }
        self.state.dropped = max(self.state.dropped, self.writer.dropped)
        with contextlib.suppress(OSError):
            write_state(self.cache, self.state)

    async def publish_often(self) -> None:
        """Write the state file every second, for ever."""
        while True:
            await asyncio.sleep(STATE_EVERY_S)
            self.publish()

    def tasks(self) -> list[asyncio.Task[None]]:
        """Start what goes on beside the answers until it is cancelled."""
        return [
            asyncio.create_task(each)
            for each in (
                self.follow_routing(),
                self.publish_often(),
                self.answerer.shadows.run(),
            )
        ]

    async def close(self) -> None:
        """Finish the shadows, end the candidates, close the log."""
        for load in self._loads:
            load.cancel()
        await self.answerer.shadows.finish(2.0)
        await self.live.close()
        await asyncio.to_thread(self.writer.close)
        self.publish()


async def serve(settings: WorkerSettings) -> None:
    """Serve until told to stop, then answer what has come and leave."""
    import uvicorn

    worker = Worker(settings)
    config = uvicorn.Config(
        worker.app,
        http=cast("Any", worker.connection),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=int(LAST_REQUESTS_S),
    )
    server = _server(config)
    _hear(worker)
    if not await _loads_first(worker):
        return
    listening = socket.socket(fileno=settings.socket)
    tasks = [*worker.tasks(), asyncio.create_task(_drain_when_told(worker, server, listening))]
    beside = await _grpc_server(worker, settings)
    try:
        await server.serve(sockets=[listening])
    finally:
        if beside is not None:
            await beside.stop(LAST_REQUESTS_S)
        await worker.close()
        for task in tasks:
            task.cancel()


async def _grpc_server(worker: Worker, settings: WorkerSettings) -> Any:
    if not settings.grpc:
        return None
    from thrive.serving import grpc_service  # an extra

    return await grpc_service.start(worker.app, settings.grpc, settings.limits)


def _server(config: Any) -> Any:
    """Return uvicorn's server with our own end: a signal starts a drain, not a stop."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    return Server(config)


def _hear(worker: Worker) -> None:
    """Have signals and the end of the agent begin the drain."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.drain.set)
    loop.add_reader(0, _read_agent, worker)


async def _loads_first(worker: Worker) -> bool:
    """Load the first routes; tell whether they came before the worker was told to leave."""
    load = asyncio.create_task(worker.load_first())
    told = asyncio.create_task(worker.drain.wait())
    await asyncio.wait({load, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if load.done():
        load.result()
        return True
    load.cancel()
    await worker.close()
    return False


async def _drain_when_told(worker: Worker, server: Any, listening: socket.socket) -> None:
    await worker.drain.wait()
    worker.app.draining = True
    await asyncio.sleep(DRAIN_S)
    door.turn_away(listening)
    await asyncio.sleep(LAST_CALL_S)
    await _hear_everybody(server)
    server.should_exit = True


async def _hear_everybody(server: Any) -> None:
    """Wait until each connection has sent something; who never did is left after a while."""
    connections: set[Connection] = server.server_state.connections
    for _ in range(round(FIRST_REQUEST_S / TURN_S)):
        if all(each.heard for each in connections):
            return
        await asyncio.sleep(TURN_S)


def _read_agent(worker: Worker) -> None:
    if not os.read(sys.stdin.fileno(), 64):
        asyncio.get_running_loop().remove_reader(0)
        worker.drain.set()


def main() -> None:
    """Run a worker from the settings in the first argument."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    allow_connections()
    settings = _settings()
    if settings is None:
        return
    runner = asyncio.Runner(loop_factory=_loop_factory())
    with runner:
        runner.run(serve(settings))


def _settings() -> WorkerSettings | None:
    """Return the settings in the arguments, or those that come once the agent knows them."""
    if sys.argv[1] != prestart.WAIT:
        return msgspec.json.decode(sys.argv[1], type=WorkerSettings)
    for name in _NEEDED:
        import_module(name)  # while there is time
    _loop_factory()
    return prestart.settings_from(socket.socket(fileno=int(sys.argv[2])))


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
