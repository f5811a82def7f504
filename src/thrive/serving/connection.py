"""A connection to a worker: the common request is answered as it is read, without a task.

uvicorn makes a scope, an event and a task of each request, which costs more than the answer of a
small model. A request that came as a whole and asks for nothing unusual needs none of them:
`shortcut` takes it, and `turn` answers it with whatever else is read in the same turn. Whatever
they do not take, uvicorn and the application do, after what was taken before is answered.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from thrive.serving.shortcut import Shortcut
from thrive.serving.turn import Turn

LARGEST_BODY = 64 << 10
"""Bytes of a body that is answered at once: the event loop is held no longer than it takes."""
HEAD_BYTES = 64 << 10
"""Bytes that a request line and headers may take; the parser alone would keep any number."""
LATE_S = 1.0
"""A timer that is later than this tells of a process that was stopped, not of a silent caller."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class Connection(HttpToolsProtocol):
    """One connection; made by uvicorn for each.

    Args:
        shortcut: takes common requests.
        turn: answers them.
        config: as uvicorn gives it, with its own state, the application's state and the loop.
    """

    def __init__(
        self,
        shortcut: Shortcut,
        turn: Turn,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._shortcut = shortcut
        self._turn = turn
        self._body: bytes | None = None
        self.heard = False
        """Whether a request came, or a part of one."""
        self._idle_until = 0.0
        self._piece = 0
        self._head: int | None = None
        """Bytes of a head in pieces after that in which it began, None while none is read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn's
        """Wait for a first request no longer than for the next one."""
        super().connection_made(transport)
        self._arm(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        """Read what came; of a request that is not whole yet, uvicorn takes the rest."""
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        self.heard = True
        self._piece = len(data)
        super().data_received(data)
        if self._head is not None:
            self._head += len(data)
            if self._head > HEAD_BYTES and not self.transport.is_closing():
                self._turn.end()
                self.transport.write(_TOO_LARGE)
                self.transport.close()
        if self._body is not None:
            self._hand_over()
        if self._at_work():
            if timer is not None:
                timer.cancel()
        elif timer is not None:
            self.timeout_keep_alive_task = timer
        else:
            self._arm(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, unless something came since the timer was set.

        Nobody is hung up on for time in which this process was stopped: what was sent meanwhile
        waits to be read.
        """
        timer, now = self.timeout_keep_alive_task, self.loop.time()
        if timer is not None and now - timer.when() > LATE_S:
            self._idle_until = now + self.timeout_keep_alive
        left = self._idle_until - now
        if left > 0:
            self._arm(left)
        else:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head = -self._piece

    def on_headers_complete(self) -> None:
        """Hold a request that may be answered at once; start any other."""
        self._head = None
        if not self._at_work() and self.url in self._shortcut and not self.flow.write_paused:
            self._body = b""
        else:
            self._start()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if self._body is None:
            super().on_body(body)
            return
        self._body += body
        if len(self._body) > LARGEST_BODY:
            self._hand_over()

    def on_message_complete(self) -> None:
        """Answer a held request."""
        body = self._body
        if body is None:
            super().on_message_complete()
            return
        parser = cast("Any", self.parser)
        if parser.get_method() == b"POST" and parser.should_keep_alive():
            taken = self._shortcut.take(self.url, self.headers, body)
            if taken is not None:
                self._body = None
                self._idle_until = self.loop.time() + self.timeout_keep_alive
                self._turn.add(self, taken, self.loop)
                return
        self._hand_over()
        super().on_message_complete()

    def send(self, response: bytes) -> None:
        """Send the response to a request that was taken."""
        if not self.transport.is_closing():
            self.transport.write(response)
            self.server_state.total_requests += 1

    def hang_up(self) -> None:
        """Close the connection of a request that was taken and cannot be answered."""
        self.transport.close()

    def shutdown(self) -> None:
        """Begin to leave, as uvicorn asks for, once what was taken is answered."""
        self._turn.end()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; what came before it is answered first."""
        self._turn.end()
        super().send_400_response(msg)

    def _at_work(self) -> bool:
        """Tell whether uvicorn answers a request of this connection."""
        cycle = cast("Any", self.cycle)  # None before the first
        return cycle is not None and not cycle.response_complete

    def _hand_over(self) -> None:
        """Give a held request to uvicorn, with what came of its body."""
        body, self._body = self._body, None
        self._start()
        if body:
            super().on_body(body)

    def _start(self) -> None:
        self._turn.end()
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()

    def _arm(self, seconds: float) -> None:
        """Set the timer of an idle connection: one that is moved by each request costs more."""
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )
