"""HTTP/1.1 as the server speaks it: uvicorn's, with bounds, and with less work for each answer."""

import asyncio
from functools import lru_cache
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from thrive.server.bodies import ARRIVED

KEEP_ALIVE_S = 65
HEAD_BYTES = 64 << 10
HEAD_SECONDS = 20.0
LATE_S = 1.0
"""A timer that is later than this tells of a process that was stopped, not of a silent caller."""
LAST_LOOK_S = 0.05
"""How long bytes that came before the time was over may take to be read."""


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 whose request line and headers must end, soon: the parser alone would wait for ever.

    Bodies have their own limits; this is about what comes before the application is asked. Nobody
    is hung up on for time in which this process was stopped (a paused container, a suspended
    machine), nor while what he sent in time waits to be read.
    """

    _head: int | None = None
    _since: float | None = None
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn's
        """Wait for a first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        self._head = 0
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End the count."""
        self._head = None
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Say that the whole request is here: nobody needs to watch how long it takes."""
        cast("dict[str, Any]", self.scope)[ARRIVED] = True
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Cycle  # uvicorn has no place to say of which class it is to be
        super()._start_asgi_task(cycle, app)

    def _await_head(self) -> None:
        self._since = self.loop.time()
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self._look)

    def _look(self, last: bool = False) -> None:
        """Hang up if a head is awaited for too long; one timer does for all of a connection."""
        late = _is_late(self.loop, self._patience)
        self._patience = None
        if self._since is None:
            return
        if late:
            self._since = self.loop.time()
        left = self._since + HEAD_SECONDS - self.loop.time()
        if left > 0:
            self._patience = self.loop.call_later(left, self._look)
        elif not last:
            self._patience = self.loop.call_later(LAST_LOOK_S, self._look, True)
        else:
            self.transport.close()

    def _stop_waiting(self) -> None:
        self._since = None

    def timeout_keep_alive_handler(self) -> None:
        """Hang up on an idle connection, after a last look for what came meanwhile."""
        late = _is_late(self.loop, self.timeout_keep_alive_task)
        wait, then = (
            (self.timeout_keep_alive, self.timeout_keep_alive_handler)
            if late
            else (LAST_LOOK_S, super().timeout_keep_alive_handler)
        )
        self.timeout_keep_alive_task = self.loop.call_later(wait, then)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and hang up on a head that does not end."""
        super().data_received(data)
        if self._head is None:
            return
        self._head += len(data)
        if self._head > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
            self.transport.write(b"connection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()


def _is_late(loop: asyncio.AbstractEventLoop, timer: asyncio.TimerHandle | None) -> bool:
    return timer is not None and loop.time() - timer.when() > LATE_S


class Cycle(RequestResponseCycle):
    """A request and its answer, whose usual heads are put together of lines that are known."""

    async def send(self, message: Any) -> None:
        """Send a part of the answer."""
        head = self._head_of(message) if message["type"] == "http.response.start" else None
        if head is None or self.flow.write_paused:
            await super().send(message)
        elif not self.disconnected:
            self.response_started = True
            self.waiting_for_100_continue = False
            self.transport.write(head)

    def _head_of(self, message: Any) -> bytes | None:
        """Return the head of a usual answer; None leaves the answer to uvicorn."""
        if self.response_started or not self.keep_alive or self.scope["method"] == "HEAD":
            return None
        lines = [STATUS_LINE[message["status"]]]
        length = None
        for pair in (*self.default_headers, *message["headers"]):
            lines.append(_line(pair))
            name = pair[0]
            if name == b"content-length":
                length = int(pair[1])
            elif name in _UNUSUAL:
                return None
        if length is None:
            return None
        self.expected_content_length = length
        self.chunked_encoding = False
        lines.append(b"\r\n")
        return b"".join(lines)


_UNUSUAL = {b"transfer-encoding", b"connection"}


@lru_cache(maxsize=1024)
def _line(pair: tuple[bytes, bytes]) -> bytes:
    """Return the line of a header: the same ones are sent again and again."""
    name, value = pair
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError("Invalid HTTP header.")
    return b"%b: %b\r\n" % (name, value)
