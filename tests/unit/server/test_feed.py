import asyncio
import json

import pytest
from tests.rest import ask, make_app, new_token

from thrive.store import projects


@pytest.fixture
def app(home):
    made = make_app(home)
    yield made
    made.close()


async def heard(app, project_id, after, until, meanwhile=lambda: None):
    """Return the changes of the feed until one satisfies `until`."""
    found = []
    events = app.rooms.api.feed.events(project_id, after)
    assert await anext(events) == b": connected\n\n"
    await asyncio.to_thread(meanwhile)
    async for text in events:
        found += [
            json.loads(line[6:]) for line in text.decode().split("\n") if line[:6] == "data: "
        ]
        if found and until(found[-1]):
            await events.aclose()
    return found


def test_the_feed_tells_the_past_then_what_happens(app, context):
    found = asyncio.run(
        heard(
            app,
            context.project_id,
            0,
            lambda change: change["kind"] == "token",
            lambda: new_token(context, "ana", "auditor"),
        )
    )
    assert [change["kind"] for change in found] == ["project", "token"]
    assert [change["seq"] for change in found] == [1, 2]


def test_the_feed_of_a_project_holds_no_other_project(app, context):
    with context.home.write() as tx:
        projects.create(tx, "other")
    found = asyncio.run(
        heard(
            app,
            context.project_id,
            0,
            lambda change: change["kind"] == "token",
            lambda: new_token(context, "ana", "auditor"),
        )
    )
    assert {change["project_id"] for change in found} == {context.project_id}


def test_a_quiet_feed_beats(app, context, monkeypatch):
    monkeypatch.setattr("thrive.server.feed.HEARTBEAT_S", 0.05)

    async def first_words():
        events = app.rooms.api.feed.events(context.project_id, 10**9)
        return [await anext(events), await anext(events)]

    assert asyncio.run(first_words()) == [b": connected\n\n", b": nothing new\n\n"]


def test_a_draining_server_ends_its_streams(app, context):
    app.drain()
    reply = ask(app, "GET", "/api/changes/stream", query="after=0")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")


def test_too_many_streams_are_told_to_come_back(app, monkeypatch):
    monkeypatch.setattr("thrive.server.feed.MOST_STREAMS", 0)
    assert ask(app, "GET", "/api/changes/stream").status == 503


def test_a_head_request_opens_no_stream(app):
    assert ask(app, "HEAD", "/api/changes/stream").body == b""
