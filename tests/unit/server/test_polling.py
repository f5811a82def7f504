"""A read that waits for its answer to change, through a real server and the client's transport."""

import threading
import time

import pytest
from tests.rest import LOCAL_TOKEN, ask, make_app, new_token, running

from thrive.client.transport import Transport
from thrive.domain.errors import StoreBusy
from thrive.server.polling import _seconds

TARGET = "/api/tokens/list"


@pytest.fixture
def app(home):
    made = make_app(home)
    yield made
    made.close()


@pytest.fixture
def way(app):
    with running(app) as url:
        transport = Transport(url, LOCAL_TOKEN)
        yield transport
        transport.close()


def test_an_answer_that_is_known_is_held_until_it_is_another_one(way, context):
    first = way.poll(TARGET, "", 20)
    began = time.monotonic()
    later = threading.Timer(0.4, lambda: new_token(context, "ana", "auditor"))
    later.start()
    second = way.poll(TARGET, first.tag, 20)
    took = time.monotonic() - began
    later.join()
    assert b"ana" in second.body
    assert second.tag != first.tag
    assert 0.4 <= took < 10
    assert way.poll(TARGET, first.tag, 20).tag == second.tag, "what is outdated is told at once"


def test_a_change_of_something_else_and_the_end_of_the_time_are_no_answer(way, context):
    first = way.poll(TARGET, "", 0)
    began = time.monotonic()
    with context.observe("run:1"):
        pass
    assert way.poll(TARGET, first.tag, 1) is None
    assert time.monotonic() - began >= 1
    assert way.poll(TARGET, first.tag, 0) is None


def test_a_server_that_leaves_lets_those_who_wait_go(app, way):
    first = way.poll(TARGET, "", 0)
    began = time.monotonic()
    threading.Timer(0.2, app.drain).start()
    assert way.poll(TARGET, first.tag, 20) is None
    assert time.monotonic() - began < 10


def test_too_many_that_wait_are_told_to_come_back(way, monkeypatch):
    monkeypatch.setattr("thrive.server.feed.MOST_STREAMS", 0)
    with pytest.raises(StoreBusy):
        way.poll(TARGET, "", 1)


def test_who_may_not_read_may_not_wait(app, context):
    auditor = new_token(context, "ana", "auditor")
    waiting = {"prefer": "wait=20"}
    assert ask(app, "GET", TARGET, token=auditor, headers=waiting).status == 403
    assert ask(app, "GET", TARGET, token="wrong", headers=waiting).status == 401


@pytest.mark.parametrize(
    ("preference", "seconds"),
    [
        ("wait=10", 10),
        ("respond-async, wait=5", 5),
        ("wait=99999", 30),
        ("wait=-1", 0),
        ("wait=1e9", 0),
        ("wait", 0),
        ("", 0),
        ("wait=999999999999", 0),
    ],
)
def test_preferences_are_read_within_bounds(preference, seconds):
    assert _seconds(preference) == seconds
