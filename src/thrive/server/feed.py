"""The change feed as server-sent events: what is new or different, as it happens."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from thrive.domain.project import Change
from thrive.server.problems import Problem
from thrive.server.projects import Homes
from thrive.server.threads import Run
from thrive.store import changes

LOOK_EVERY_S = 0.25
HEARTBEAT_S = 15.0
MOST_STREAMS = 256


class Feed:
    """Follows the change feed of each project once, however many listen.

    Args:
        homes: the projects.
        run: calls a function in a thread.
    """

    def __init__(self, homes: Homes, run: Run) -> None:
        self._homes = homes
        self._run = run
        self._heads: dict[str, tuple[float, asyncio.Task[int]]] = {}
        self._open = 0
        self.stopping = asyncio.Event()

    async def answer(self, request: Request, project_id: str, after: int) -> Response:
        """Return a response that sends changes after a seq until the caller or the server leaves.

        A reconnecting browser's `Last-Event-ID` takes the place of `after`.
        """
        last = request.headers.get("last-event-id", "")
        if last.isascii() and last.isdecimal() and len(last) < 19:
            after = int(last)
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        self._refuse_too_many()
        return StreamingResponse(self.events(project_id, after), media_type="text/event-stream")

    async def events(self, project_id: str, after: int) -> AsyncGenerator[bytes]:
        """Yield the text of events: changes after a seq, and a comment when all is quiet."""
        spoke = time.monotonic()
        with self.one_more():
            yield b": connected\n\n"
            while not self.stopping.is_set():
                if await self.head(project_id) > after:
                    found = await self._run(self._read, project_id, after)
                    yield b"".join(_event(change) for change in found)
                    after, spoke = found[-1].seq, time.monotonic()
                elif time.monotonic() - spoke > HEARTBEAT_S:
                    yield b": nothing new\n\n"
                    spoke = time.monotonic()
                else:
                    await self._pause()

    async def moved(self, project_id: str, after: int, wait_s: float) -> None:
        """Return when there is a change after a seq, the server stops, or the time is over."""
        until = time.monotonic() + wait_s
        while time.monotonic() < until and not self.stopping.is_set():
            if await self.head(project_id) > after:
                return
            await self._pause()

    @contextmanager
    def one_more(self) -> Generator[None]:
        """Count a caller that listens for long, and let go of it at the end.

        Raises:
            Problem: there are too many.
        """
        self._refuse_too_many()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def _refuse_too_many(self) -> None:
        if self._open >= MOST_STREAMS:
            raise Problem(503, "StoreBusy", "Too many streams are open.", "try again later")

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), LOOK_EVERY_S)
        except TimeoutError:
            return

    async def head(self, project_id: str) -> int:
        """Return the newest seq, read at most once in `LOOK_EVERY_S` for all listeners."""
        asked, task = self._heads.get(project_id, (0.0, None))
        if task is None or (task.done() and time.monotonic() - asked >= LOOK_EVERY_S):
            task = asyncio.ensure_future(self._run(self._read_head, project_id))
            self._heads[project_id] = (time.monotonic(), task)
        return await asyncio.shield(task)

    def _read_head(self, project_id: str) -> int:
        with self._homes.of(project_id).read() as tx:
            return changes.head(tx, project_id)

    def _read(self, project_id: str, after: int) -> list[Change]:
        with self._homes.of(project_id).read() as tx:
            return changes.after(tx, project_id, after)


def _event(change: Change) -> bytes:
    return b"id: %d\nevent: change\ndata: %s\n\n" % (change.seq, msgspec.json.encode(change))
