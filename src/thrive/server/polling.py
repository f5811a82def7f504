"""Any read can wait for its answer to change: `Prefer: wait=10` with `If-None-Match` (RFC 7240).

The answer carries an `ETag`. Asked with it, the server answers at once when the answer is another
one by now; else when it becomes another one, or with 304 after the time that was asked for.
"""

import time
from collections.abc import Awaitable, Callable

from blake3 import blake3
from starlette.requests import Request
from starlette.responses import Response

from thrive.client.wire import MOST_WAIT_S
from thrive.server.feed import Feed

LOOK_AGAIN_S = 1.0
"""A replayed clock moves without a change in the feed: what waits is looked at this often."""


class LongPoll:
    """Holds reads until their answer changes.

    Args:
        feed: tells when something changed.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def answer(
        self, request: Request, project_id: str, ask: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Return the answer to a read, later if it is known to the caller.

        Args:
            request: what was asked.
            project_id: whose changes matter.
            ask: makes the answer.
        """
        until = time.monotonic() + _seconds(request.headers.get("prefer", ""))
        known = request.headers.get("if-none-match", "")
        with self._feed.one_more():
            while True:
                head = await self._feed.head(project_id)
                response = await ask()
                tag = f'"{blake3(response.body).hexdigest(16)}"'
                response.headers["ETag"] = tag
                if tag != known:
                    return response
                left = until - time.monotonic()
                if left <= 0 or self._feed.stopping.is_set():
                    return Response(status_code=304, headers={"ETag": tag})
                await self._feed.moved(project_id, head, min(left, LOOK_AGAIN_S))


def _seconds(preference: str) -> float:
    """Return the seconds of `wait=10` among the preferences of a header, 0 for none."""
    for part in preference.split(","):
        name, _, value = part.strip().partition("=")
        if name == "wait" and value.isascii() and value.isdecimal() and len(value) < 6:
            return min(float(value), MOST_WAIT_S)
    return 0.0
