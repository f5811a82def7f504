"""More requests at work than a worker takes: told when to come back, and answered then."""

import asyncio
import json

from tests.serving_home import MODEL

from thrive.serving.answering import Answerer
from thrive.serving.app import App
from thrive.serving.counters import WorkerState
from thrive.serving.limits import Limits
from thrive.serving.live import LiveModel, LiveModels
from thrive.serving.routes import Routes, ServedModel
from thrive.store.eventlog import SegmentWriter

BODY = json.dumps({"flight_id": "f1"}).encode()


class Request:
    """One POST to the model whose body comes when it is let go."""

    def __init__(self, app: App) -> None:
        self.status, self.headers = 0, {}
        self.body = asyncio.Event()
        self.task = asyncio.create_task(app(_scope(), self._receive, self._send))

    async def _receive(self) -> dict:
        await self.body.wait()
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def _send(self, message: dict) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])


def _scope() -> dict:
    return {
        "type": "http",
        "method": "POST",
        "path": f"/predict/{MODEL}",
        "query_string": b"",
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(BODY)),
        ],
    }


def test_a_request_too_many_is_told_to_come_back_and_is_answered_then(tmp_path):
    async def main() -> list[Request]:
        served = ServedModel(model=MODEL, revision=1, variants=[], fallback=0.2)
        live = LiveModels(tmp_path)
        live.models[MODEL] = LiveModel(
            served=served, production=None, candidates=[], shadows=[], mask=frozenset()
        )
        state = WorkerState(worker=0)
        with SegmentWriter(tmp_path / "log", 0) as writer:
            answerer = Answerer(writer, state)
            app = App(live, answerer, state, tmp_path, tmp_path / "log", Limits(in_flight=2))
            app.routes = Routes(project="p", models={MODEL: served})
            at_work = [Request(app), Request(app)]
            await asyncio.sleep(0)
            too_many = Request(app)
            await too_many.task
            for each in at_work:
                each.body.set()
            await asyncio.gather(*(each.task for each in at_work))
            again = Request(app)
            again.body.set()
            await again.task
        return [*at_work, too_many, again]

    first, second, too_many, again = asyncio.run(main())
    assert (too_many.status, too_many.headers[b"retry-after"]) == (429, b"1")
    assert [first.status, second.status, again.status] == [200, 200, 200]
