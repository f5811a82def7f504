"""A serving host inside somebody else's model server: an ASGI application, a replica each.

Where a framework starts the processes and listens for callers (Ray Serve does), a replica is agent
and worker in one: it follows the routing of its server, answers as `thrive serve` does, and ships
what it logged. Its log lies in a folder of the node. What a killed replica left there is shipped
by the next one that takes its place.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Generator
from pathlib import Path

from thrive.client.remote import remote_invoker
from thrive.client.serving_host import SILENT_S, HostFolder, RemoteControlPlane
from thrive.domain.errors import Conflict, InfrastructureError
from thrive.serving.agent import Agent, AgentOptions, only_agent
from thrive.serving.asgi import Receive, Scope, Send
from thrive.serving.limits import WorkerSettings
from thrive.serving.serve import serving_options
from thrive.serving.worker import Worker

MOST_REPLICAS = 256
"""Replicas of one folder: each node has its own folder."""
START_S = 60.0
"""How long the first routes and their models may take."""
LEAVE_S = 30.0


class Replica:
    """An ASGI application that answers as a serving host of a server does.

    Made anywhere and pickled, it starts with the `lifespan` of the process that runs it.

    Args:
        server: the address of the server it follows.
        token_file: a file on the node with a token of the role `serve`.
        callers: a file on the node with a token a line: who shows none of them is not answered.
        folder: a folder of the node where each replica takes a place of its own.
        models: only these; every model of the project if none is named.
    """

    def __init__(
        self,
        *,
        server: str,
        token_file: str,
        callers: str,
        folder: str,
        models: tuple[str, ...] = (),
    ) -> None:
        self._server = server
        self._token_file = token_file
        self._callers = callers
        self._folder = folder
        self._models = models
        self._running: _Running | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and stop with the process."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        await self._host().worker.app(scope, receive, send)

    def check(self) -> None:
        """Make sure that requests can be answered, though the server were gone.

        Raises:
            InfrastructureError: they cannot.
        """
        if not self._host().answers:
            raise InfrastructureError("This replica does not answer any more.", "see its log")

    def _host(self) -> "_Running":
        if self._running is None:
            raise InfrastructureError("This replica has not started.", "see its log")
        return self._running

    def _made(self, loop: asyncio.AbstractEventLoop) -> "_Running":
        """Return what answers here, from the files of this node; raises what is wrong with them."""
        options = serving_options("", 0, 1, Path(self._callers), models=self._models)
        token = Path(self._token_file).read_text().strip()
        return _Running(self._server, token, Path(self._folder), options, loop)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            running = await asyncio.to_thread(self._made, asyncio.get_running_loop())
            await running.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        self._running = running
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await running.stop()
        await send({"type": "lifespan.shutdown.complete"})


class _Running:
    """A started replica: its agent in a thread, its worker in this event loop.

    Args:
        server: the address of the server.
        token: shown there.
        folder: where replicas of this node have their places.
        options: what the worker takes.
        loop: where it answers.
    """

    def __init__(
        self,
        server: str,
        token: str,
        folder: Path,
        options: AgentOptions,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._server = server
        self._token = token
        self._folder = folder
        self._options = options
        self._loop = loop
        self._ready = asyncio.Event()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._crew: _Crew | None = None
        self._thread = threading.Thread(target=self._run, name="thrive-agent", daemon=True)

    @property
    def worker(self) -> Worker:
        """What answers."""
        assert self._crew is not None
        assert self._crew.worker is not None
        return self._crew.worker

    @property
    def answers(self) -> bool:
        """Whether requests are answered and the agent looks after it."""
        return self._thread.is_alive() and self.worker.app.ready

    async def start(self) -> None:
        """Start, and return once requests can be answered.

        Raises:
            ThriveError: they cannot: the server is gone and nothing of it is known here, or it
                refuses the token.
        """
        self._thread.start()
        try:
            await asyncio.wait_for(self._ready.wait(), START_S)
        except TimeoutError:
            self._stop.set()
            raise InfrastructureError(
                f"The first routes were not there within {START_S:g} s.", "see the replica's log"
            ) from None
        if self._error is not None:
            raise self._error

    async def stop(self) -> None:
        """Answer what has come, ship the log, and say goodbye to the server."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, LEAVE_S)

    def _run(self) -> None:
        try:
            server = remote_invoker(self._server, self._token).within(SILENT_S)
            with _free_place(self._folder) as (folder, number):
                plane = RemoteControlPlane(server, folder)
                agent = Agent(plane, folder.cache, folder.log, self._options)
                url = f"replica://{socket.gethostname()}/{number}"
                agent.run_beside(
                    self._stop, self._say_ready, url, lambda numbers: self._crew_of(folder, numbers)
                )
        except BaseException as error:  # noqa: BLE001 - whoever waits for the start is told
            self._error = error
        self._say_ready("")

    def _say_ready(self, _url: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits
            self._loop.call_soon_threadsafe(self._ready.set)

    def _crew_of(self, folder: HostFolder, numbers: list[int]) -> "_Crew":
        settings = WorkerSettings(
            worker=numbers[0],
            socket=-1,
            cache=str(folder.cache),
            log=str(folder.log),
            limits=self._options.limits,
        )
        self._crew = _Crew(self._loop, settings)
        return self._crew


class _Crew:
    """The one worker of a replica: it runs in the event loop that answers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: WorkerSettings) -> None:
        self.worker: Worker | None = None
        self._loop = loop
        self._settings = settings
        self._life: asyncio.Task[None] | None = None
        self._begun = False

    def pids(self) -> dict[int, int]:
        """Return this process, once the worker says so in its own words."""
        return {} if self.worker is None else {self._settings.worker: self.worker.state.pid}

    def keep(self) -> None:
        """Start the worker; if it ends, the replica does not answer and is replaced."""
        if not self._begun:
            self._begun = True
            self._loop.call_soon_threadsafe(self._start)

    def stop(self) -> None:
        """Have the worker answer what has come and close its log."""
        with contextlib.suppress(RuntimeError, TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(LEAVE_S)

    def _start(self) -> None:
        self._life = asyncio.create_task(self._run())

    async def _run(self) -> None:
        worker = Worker(self._settings)
        tasks: list[asyncio.Task[None]] = []
        try:
            await worker.load_first()
            self.worker = worker
            tasks = worker.tasks()
            await asyncio.gather(*tasks)
        finally:
            worker.app.draining = True
            for task in tasks:
                task.cancel()
            await worker.close()

    async def _end(self) -> None:
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])


@contextlib.contextmanager
def _free_place(folder: Path) -> "Generator[tuple[HostFolder, int]]":
    """Hold the first place that no other replica of this node has, with the log that lies there.

    Raises:
        Conflict: all are taken.
    """
    for number in range(MOST_REPLICAS):
        place = HostFolder(folder / f"replica-{number}")
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(only_agent(place.cache))
            except Conflict:
                continue
            yield place, number
            return
    raise Conflict(f"All {MOST_REPLICAS} places in {folder} are taken.", "name another folder")
