import logging
from collections.abc import Iterator

import msgspec
import pytest
from tests.rest import ask, make_app, new_token

from thrive.domain import errors
from thrive.domain.actor import ANYONE, KEEPERS
from thrive.domain.project import Job, JobState
from thrive.operations import Kind, Operation
from thrive.store import audit, jobs


class Greeting(msgspec.Struct):
    words: str
    times: float = 1.0


def greet(
    ctx, name: str, *, times: int = 1, loud: bool = False, to: list[str] | None = None
) -> str:
    """Greet somebody."""
    return f"{name} {times} {loud} {to} {ctx.actor.name} {ctx.folder}"


def move(ctx, name: str, *, speed: float = 1.0) -> Greeting:
    """Move something."""
    with ctx.write(f"thing:{name}"):
        pass
    return Greeting(words=name, times=speed)


def train(ctx, name: str) -> Greeting:
    """Train something for long."""
    raise AssertionError("a server never executes a job itself")


def local(ctx, path: str) -> str:
    """Read a local file."""
    raise AssertionError("has no route")


RAISED: list[Exception] = []


def fail(ctx) -> str:
    """Raise what the test says."""
    raise RAISED[-1]


def made(name, function, kind=Kind.CALL, role=ANYONE, writes=False):
    return Operation(name, function, kind=kind, role=role, writes=writes, next_hint="")


OPERATIONS = {
    each.name: each
    for each in (
        made("things greet", greet),
        made("things move", move, writes=True),
        made("things train", train, Kind.JOB, KEEPERS),
        made("things read", local, Kind.CLIENT),
        made("things fail", fail),
    )
}


@pytest.fixture
def app(home) -> Iterator:
    made = make_app(home, OPERATIONS)
    yield made
    made.close()


def test_the_route_table_comes_from_the_kinds(app):
    routes = {(route.method, route.path) for route in app.rooms.api.routes.values()}
    assert routes == {
        ("GET", "/api/things/greet"),
        ("POST", "/api/things/move"),
        ("POST", "/api/things/train"),
        ("GET", "/api/things/fail"),
    }


def test_a_read_takes_its_arguments_from_the_query(app):
    reply = ask(app, "GET", "/api/things/greet", query="name=a%20b&times=3&loud=true&to=x&to=y")
    assert (reply.status, reply.json()) == (200, "a b 3 True ['x', 'y'] owner None")


def test_a_write_takes_json_and_leaves_its_audit_row(app, context):
    reply = ask(app, "POST", "/api/things/move", body={"name": "m", "speed": 2.5})
    assert (reply.status, reply.json()) == (200, {"words": "m", "times": 2.5})
    with context.read() as tx:
        link = audit.latest(tx, context.project_id)[0]
    assert (link.actor, link.operation, link.subject) == ("owner", "things move", "thing:m")


def test_msgpack_keeps_what_json_cannot_say(app):
    headers = {"accept": "application/msgpack"}
    reply = ask(app, "POST", "/api/things/move", body={"name": "m"}, headers=headers)
    assert reply.headers["content-type"] == "application/msgpack"
    assert msgspec.msgpack.decode(reply.body, type=Greeting) == Greeting(words="m", times=1.0)


@pytest.mark.parametrize(
    ("method", "path", "send", "status", "words"),
    [
        ("POST", "move", {"body": {"name": "m", "x": 1}}, 422, "unknown field `x`"),
        ("POST", "move", {"body": {"name": 3}}, 422, "got `int` - at `$.name`"),
        ("POST", "move", {"raw": b""}, 422, "missing required field `name`"),
        ("POST", "move", {"raw": b"{"}, 400, "not JSON"),
        ("GET", "greet", {"query": "name=a&x=1"}, 422, "unknown field `x`"),
        ("GET", "greet", {"query": "name=a&times=two"}, 422, "at `$.times`"),
        ("GET", "greet", {"query": "name=a&name=b"}, 422, "`name` twice"),
        ("GET", "greet", {}, 422, "missing required field `name`"),
    ],
)
def test_wrong_arguments_are_named(app, method, path, send, status, words):
    reply = ask(app, method, f"/api/things/{path}", **send)
    assert (reply.status, reply.code) == (status, "UsageError")
    assert words in reply.json()["error"]["what"]


def test_a_job_is_added_for_a_worker_and_answered_at_once(app, context):
    reply = ask(app, "POST", "/api/things/train", body={"name": "m"})
    job = msgspec.json.decode(reply.body, type=Job)
    assert reply.status == 202
    with context.read() as tx:
        assert jobs.get(tx, context.project_id, job.job_id) == job
        assert audit.latest(tx, context.project_id)[0].subject == f"job:{job.job_id}"
    assert (job.operation, job.arguments, job.actor) == ("things train", {"name": "m"}, "owner")
    assert job.state is JobState.WAITING


def test_a_role_that_may_not_is_refused_before_a_job_is_added(app, context):
    token = new_token(context, "eva", "auditor")
    reply = ask(app, "POST", "/api/things/train", body={"name": "m"}, token=token)
    assert (reply.status, reply.code) == (403, "Refused")
    assert "ask one of: platform" in reply.json()["error"]["hint"]
    with context.read() as tx:
        assert jobs.find(tx, context.project_id) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UsageError("w", "h"), 422),
        (errors.ContractError("w", "h"), 422),
        (errors.NotRight("w", "h"), 424),
        (errors.CannotTell("w", "h"), 424),
        (errors.NotFound("w", "h"), 404),
        (errors.Refused("w", "h"), 403),
        (errors.ContractGap("w", "h"), 403),
        (errors.Conflict("w", "h"), 409),
    ],
)
def test_an_error_says_what_happened_and_what_to_do(app, error, status):
    RAISED.append(error)
    reply = ask(app, "GET", "/api/things/fail")
    assert reply.status == status
    assert reply.json() == {"error": {"code": error.code, "what": "w", "hint": "h"}}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.StoreBusy, 503),
        (errors.StoreUnavailable, 503),
        (errors.DiskFull, 507),
        (errors.Damaged, 500),
        (errors.InfrastructureError, 500),
    ],
)
def test_infrastructure_shows_its_kind_and_nothing_of_its_inside(app, kind, status, caplog):
    RAISED.append(kind("postgresql://u:secret@db/x and /var/lib failed", "/etc/hint"))
    reply = ask(app, "GET", "/api/things/fail")
    assert (reply.status, reply.code) == (status, kind.__name__)
    assert b"secret" not in reply.body
    assert b"/var" not in reply.body
    assert b"/etc" not in reply.body
    assert ("retry-after" in reply.headers) == (status == 503)
    assert "secret" in caplog.text


def test_an_unexpected_error_is_an_id_that_stands_in_the_log(app, caplog):
    RAISED.append(RuntimeError("SELECT * FROM tokens -- /root/key"))
    with caplog.at_level(logging.ERROR, "thrive.server"):
        reply = ask(app, "GET", "/api/things/fail")
    assert (reply.status, reply.code) == (500, "UnexpectedError")
    assert b"SELECT" not in reply.body
    assert b"/root" not in reply.body
    record = next(each for each in caplog.records if each.exc_info)
    assert record.id in reply.json()["error"]["hint"]
    assert record.id == reply.headers["x-request-id"]


def test_head_and_options_change_nothing(app):
    head = ask(app, "HEAD", "/api/things/greet", query="name=a")
    options = ask(app, "OPTIONS", "/api/things/move")
    assert head.status == 200
    assert (options.status, options.headers["allow"]) == (204, "POST, OPTIONS")
    assert "access-control-allow-origin" not in options.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/things/move", 405),
        ("POST", "/api/things/greet", 405),
        ("GET", "/api/things/read", 404),
        ("GET", "/api/things/greet/", 404),
        ("GET", "/api//things/greet", 404),
        ("GET", "/api/THINGS/greet", 404),
        ("GET", "/api/", 404),
    ],
)
def test_only_the_table_answers(app, method, path, status):
    assert ask(app, method, path, query="name=a").status == status
