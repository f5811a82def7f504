"""The common request, answered in one turn: production alone answers it, and nothing is unusual.

Answer, record and counters are those of the long way, which is taken whenever this one says None:
it says precisely what is wrong with a request, and what a failing model leads to.
"""

import time

import msgspec

from thrive.serving import bodies
from thrive.serving.answering import Answerer
from thrive.serving.answers import Part
from thrive.serving.app import PREDICT, App
from thrive.serving.asgi import JSON
from thrive.serving.asked import Asked
from thrive.serving.live import LiveModel, LiveModels
from thrive.serving.tracing import own_span

_PREFIX = PREDICT.encode()
_UNUSUAL = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"transfer-encoding",
        b"upgrade",
        b"x-variant",
    }
)
"""Headers of requests that take the long way."""
_MOST_ROWS = 64
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"


class Shortened(msgspec.Struct, frozen=True, gc=False):
    """A whole HTTP response, and what shadows of the model need to see of its request."""

    response: bytes
    live: LiveModel
    asked: Asked
    part: Part
    body: bytes


class Shortcut:
    """Answers common requests of one worker.

    Args:
        app: whose requests they are.
        live: the models.
        answerer: how they answer.
    """

    def __init__(self, app: App, live: LiveModels, answerer: Answerer) -> None:
        self._app = app
        self._live = live
        self._answerer = answerer

    def __contains__(self, url: bytes) -> bool:
        """Tell whether requests of a URL may be answered at once."""
        live = self._live.models.get(url[len(_PREFIX) :].decode("latin-1"))
        quick = None if live is None else live.quick
        return quick is not None and quick.at_once and url.startswith(_PREFIX)

    def answer(self, url: bytes, sent: list[tuple[bytes, bytes]], body: bytes) -> Shortened | None:
        """Return the response to a POST request, None if it has to go the long way.

        Args:
            url: one that is in this.
            sent: the headers, in lower-case.
            body: all of it.
        """
        began = time.perf_counter_ns()
        headers = dict(sent)
        if headers.get(b"content-type", JSON) != JSON or not _UNUSUAL.isdisjoint(headers):
            return None
        if not self._app.takes_at_once(headers):
            return None
        live = self._live.models[url[len(_PREFIX) :].decode("latin-1")]
        quick = live.quick
        rows = None if quick is None else quick.read(body, bodies.NATIVE.quick)
        if quick is None or rows is None or rows.rows > _MOST_ROWS:
            return None
        asked = self._app.asked(headers, rows.rows, began)
        answer = self._answerer.answer_at_once(live, asked, rows)
        if answer is None:
            return None
        part = Part(places=[], rows=[], answer=answer)
        content = bodies.native_answer([part])
        response = b"".join(
            (
                _HEAD % len(content),
                quick.said,
                b"x-prediction-id: ",
                answer.record_id.encode(),
                b"\r\n",
                b"traceparent: %b\r\n" % own_span(asked) if asked.trace else b"",
                b"\r\n",
                content,
            )
        )
        self._app.note_answered()
        return Shortened(response, live, asked, part, body)

    def copy_to_shadows(self, answered: Shortened) -> None:
        """Queue a request for the shadows of its model; called after the answer is sent."""
        live = answered.live
        shadows = self._answerer.shadows
        if not live.shadows or not shadows.has_room(live, answered.asked.count, len(answered.body)):
            return
        rows = bodies.native_rows(msgspec.json.decode(answered.body))
        part = msgspec.structs.replace(answered.part, rows=rows)
        shadows.copy(live, answered.asked, [part], len(answered.body))
