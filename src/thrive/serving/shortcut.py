"""The common request, answered in one turn: production alone answers it, and nothing is unusual.

Answer, record and counters are those of the long way, which is taken whenever this one says None:
it says precisely what is wrong with a request, and what a failing model leads to.
"""

import time
from collections.abc import Sequence

import msgspec

from thrive.serving import bodies
from thrive.serving.answering import Answerer, Unlogged
from thrive.serving.answers import Part
from thrive.serving.app import PREDICT, App
from thrive.serving.asgi import JSON
from thrive.serving.live import LiveModels
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


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A common request with its answer, which is neither logged nor written yet.

    `said` are the headers that name the version; `body` is what shadows of the model see.
    """

    unlogged: Unlogged
    said: bytes
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

    def take(self, url: bytes, sent: list[tuple[bytes, bytes]], body: bytes) -> Taken | None:
        """Return a POST request with its answer, None if it has to go the long way.

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
        unlogged = self._answerer.answer_at_once(live, asked, rows)
        return None if unlogged is None else Taken(unlogged, quick.said, body)

    def finish(self, taken: Sequence[Taken]) -> list[bytes]:
        """Log the answers, then return the whole HTTP response to each request.

        Args:
            taken: all that was taken in a turn of the event loop: work that is done for many at
                once finds its code and data in the processor's cache.
        """
        self._answerer.keep_rows([each.unlogged for each in taken])
        responses = [_response(each) for each in taken]
        self._app.note_answered(len(taken))
        return responses

    def copy_to_shadows(self, taken: Taken) -> None:
        """Queue a request for the shadows of its model; called after the answer is sent."""
        live, asked = taken.unlogged.live, taken.unlogged.asked
        shadows = self._answerer.shadows
        if not live.shadows or not shadows.has_room(live, asked.count, len(taken.body)):
            return
        rows = bodies.native_rows(msgspec.json.decode(taken.body))
        part = Part(places=[], rows=rows, answer=taken.unlogged.answer)
        shadows.copy(live, asked, [part], len(taken.body))


def _response(taken: Taken) -> bytes:
    answer, asked = taken.unlogged.answer, taken.unlogged.asked
    content = bodies.native_answer([Part(places=[], rows=[], answer=answer)])
    return b"".join(
        (
            _HEAD % len(content),
            taken.said,
            b"x-prediction-id: ",
            answer.record_id.encode(),
            b"\r\n",
            b"traceparent: %b\r\n" % own_span(asked) if asked.trace else b"",
            b"\r\n",
            content,
        )
    )
