"""The change feed for open pages: what kind of thing is new, as server-sent events."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.domain.project import Change
from thrive.operations import Context
from thrive.store import changes

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Live = Callable[["Request"], Coroutine[Any, Any, "Response"]]
"""Answers a page that wants to be told of changes."""
LOOK_EVERY_S = 0.5
HEARTBEAT_S = 15.0
MOST = 64
"""Pages that are told at a time."""
BEHIND = 1000
"""Changes that a page which asks late is still told one by one."""


def begin_after(asked: str, head: int) -> int:
    """Return the seq after which a page is told of changes.

    Args:
        asked: what the page says it knows, as it stands in its address.
        head: the newest seq; where nothing readable was asked, that.
    """
    known = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 19 else head
    return min(max(known, head - BEHIND), head)


class Follower:
    """Tells the pages of one project of its changes; for the server of one person.

    Args:
        context: the project.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open = 0

    async def answer(self, request: "Request") -> "Response":
        """Return a response that goes on until the page is left."""
        from starlette.responses import Response, StreamingResponse

        if self._open >= MOST:
            return Response("Too many pages are open.", 503, media_type="text/plain")
        return StreamingResponse(self._events(request), media_type="text/event-stream")

    async def _events(self, request: "Request") -> AsyncGenerator[bytes]:
        from starlette.concurrency import run_in_threadpool

        self._open += 1
        try:
            head, spoke = await run_in_threadpool(self._head), time.monotonic()
            after = begin_after(request.query_params.get("after", ""), head)
            yield b": connected\n\n"
            while not await request.is_disconnected():
                found = await run_in_threadpool(self._after, after)
                if found:
                    yield b"".join(
                        b"event: change\ndata: %s\n\n" % msgspec.json.encode(each) for each in found
                    )
                    after, spoke = found[-1].seq, time.monotonic()
                elif time.monotonic() - spoke > HEARTBEAT_S:
                    yield b": nothing new\n\n"
                    spoke = time.monotonic()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._open -= 1

    def _head(self) -> int:
        with self._context.read() as tx:
            return changes.head(tx, self._context.project_id)

    def _after(self, seq: int) -> list[Change]:
        with self._context.read() as tx:
            if changes.head(tx, self._context.project_id) == seq:
                return []
            return changes.after(tx, self._context.project_id, seq)
