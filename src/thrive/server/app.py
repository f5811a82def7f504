"""The ASGI application of a home: the guard, the probes, and the rooms behind them."""

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from thrive.operations import Operation
from thrive.server.guard import Guard
from thrive.server.health import HEALTH, READY, Health, refuse_writing
from thrive.server.metrics import Metrics
from thrive.server.options import AppOptions
from thrive.server.problems import Problem
from thrive.server.threads import THREADS, run_in
from thrive.store.home import Home

if TYPE_CHECKING:
    from thrive.server.rooms import Rooms
    from thrive.server.traces import Traces


class App:
    """Everything of a server that is asked over HTTP.

    Args:
        home: the home the server was started with.
        operations: returns what to offer, by name; called once, when the rooms are opened.
        options: how it is reached.
        counters: returns further counters for `/metrics`.
        traces: makes a span of each request; None for none.
    """

    def __init__(
        self,
        home: Home,
        operations: Callable[[], Mapping[str, Operation]],
        options: AppOptions,
        counters: Callable[[], Mapping[str, float]] = dict,
        traces: "Traces | None" = None,
    ) -> None:
        self._traces = traces
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="operation")
        metrics = Metrics()
        self.health = Health(home, metrics, counters, functools.partial(run_in, self.pool))
        self.guard = Guard(self._answer, metrics, options.hosts, traces, options.rate)
        self._home = home
        self._operations = operations
        self._options = options
        self._opening = threading.Lock()
        self._rooms: Rooms | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self.guard(scope, receive, send)

    @property
    def rooms(self) -> "Rooms":
        """What answers behind the guard; opened by whoever asks first."""
        with self._opening:
            if self._rooms is not None:
                return self._rooms
            from thrive.server.rooms import Rooms  # most of what a server imports

            self._rooms = Rooms(
                self._home, self._operations(), self._options, self.health, self.pool
            )
            self.health.opened = True
            return self._rooms

    async def open(self) -> None:
        """Open the rooms in a thread, while probes are answered."""
        await asyncio.to_thread(lambda: self.rooms)

    def drain(self) -> None:
        """Tell callers to close their connections, end streams, and answer probes with no."""
        self.guard.draining = self.health.draining = True
        if self._rooms is not None:
            self._rooms.api.feed.stopping.set()

    def close(self) -> None:
        """Wait for the operations at work, and send the traces that wait."""
        if self._traces:
            self._traces.close()
        self.pool.shutdown(wait=True)
        if self._rooms is not None:
            self._rooms.writers.shutdown(wait=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in {HEALTH, READY}:
            answer = await self._probe(Request(scope, receive))
            await answer(scope, receive, send)
            return
        if self._rooms is None:
            await self.open()
        await self.rooms.answer(scope, receive, send)

    async def _probe(self, request: Request) -> Response:
        path = request.scope["thrive.route"] = request.scope["path"]
        try:
            refuse_writing(request)
        except Problem as problem:
            return problem.response()
        return self.health.alive() if path == HEALTH else await self.health.ready()
