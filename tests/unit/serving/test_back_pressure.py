"""More requests at work than a worker takes: told when to come back, and answered then."""

import asyncio
import json
from collections.abc import Awaitable, Callable

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

    def __init__(self, app: App, size: int = len(BODY)) -> None:
        self.status, self.headers = 0, {}
        self.body = asyncio.Event()
        self.task = asyncio.create_task(app(_scope(size), self._receive, self._send))

    async def _receive(self) -> dict:
        await self.body.wait()
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def _send(self, message: dict) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])


def _scope(size: int) -> dict:
    return {
        "type": "http",
        "method": "POST",
        "path": f"/predict/{MODEL}",
        "query_string": b"",
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % size),
        ],
    }


def serving(tmp_path, limits: Limits, ask: Callable[[App], Awaitable[list[Request]]]):
    async def main() -> list[Request]:
        served = ServedModel(model=MODEL, revision=1, variants=[], fallback=0.2)
        live = LiveModels(tmp_path)
        live.models[MODEL] = LiveModel(
            served=served, production=None, candidates=[], shadows=[], mask=frozenset()
        )
        state = WorkerState(worker=0)
        with SegmentWriter(tmp_path / "log", 0) as writer:
            answerer = Answerer(writer, state)
            app = App(live, answerer, state, tmp_path, tmp_path / "log", limits)
            app.routes = Routes(project="p", models={MODEL: served})
            return await ask(app)

    return asyncio.run(main())


def test_a_request_too_many_is_told_to_come_back_and_is_answered_then(tmp_path):
    async def ask(app: App) -> list[Request]:
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

    first, second, too_many, again = serving(tmp_path, Limits(in_flight=2), ask)
    assert (too_many.status, too_many.headers[b"retry-after"]) == (429, b"1")
    assert [first.status, second.status, again.status] == [200, 200, 200]


def test_large_bodies_together_take_no_more_memory_than_there_is_for_them(tmp_path):
    async def ask(app: App) -> list[Request]:
        large = Request(app, 900)
        await asyncio.sleep(0)
        too_large, small = Request(app, 200), Request(app)
        await too_large.task
        for each in (large, small):
            each.body.set()
        await asyncio.gather(large.task, small.task)
        again = Request(app, 200)
        again.body.set()
        await again.task
        return [large, too_large, small, again]

    limits = Limits(body_bytes=1000, bytes_in_flight=1000)
    large, too_large, small, again = serving(tmp_path, limits, ask)
    assert (too_large.status, too_large.headers[b"retry-after"]) == (429, b"1")
    assert [large.status, small.status, again.status] == [200, 200, 200]
