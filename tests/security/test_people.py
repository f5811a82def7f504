"""Cases of the attack list about who calls: signing in, roles, races, and what is never told."""

import ast
import threading
from pathlib import Path

import pytest
from tests.rest import LOCAL_TOKEN, ask, make_app, new_token

from thrive.domain.actor import KEEPERS, Role, local_actor
from thrive.domain.errors import ThriveError
from thrive.flows.catalogue import load_all
from thrive.operations import Context, find_operation, invoke
from thrive.store import tokens
from thrive.store.home import create_home
from thrive.store.observations import MOST_KEYS

API = "/api/2.0/mlflow/"
FORM = {"content-type": "application/x-www-form-urlencoded"}
SOURCES = Path(__file__).parents[2] / "src/thrive"


@pytest.fixture
def house(tmp_path):
    home = create_home(tmp_path, "first")
    app = make_app(home)
    yield app, Context(home, local_actor("tester"), operation="test")
    app.close()
    home.close()


def test_case_44_no_socket_is_opened_to_a_page_elsewhere(house):
    """There is no WebSocket: the one thing that browsers open across origins without asking."""
    import asyncio

    app, _ = house
    sent = []

    async def send(message):
        sent.append(message["type"])

    async def receive():
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/", "headers": [(b"origin", b"http://evil.example")]}
    asyncio.run(app(scope, receive, send))
    assert "websocket.accept" not in sent


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "origin": "http://evil.example"},
    ],
)
def test_case_47_nobody_is_signed_in_from_elsewhere(house, headers):
    app, _ = house
    body = f"token={LOCAL_TOKEN}".encode()
    reply = ask(app, "POST", "/sign-in", token=None, raw=body, headers=FORM | headers)
    assert reply.status == 403
    assert "set-cookie" not in reply.headers


def test_case_62_a_form_in_parts_is_not_read(house):
    app, _ = house
    kind = {"content-type": f"multipart/form-data; boundary={'-' * 10_000}"}
    for path in ("/sign-in", API + "runs/create", "/api/jobs/cancel"):
        reply = ask(app, "POST", path, raw=b"-" * 1_000_000, headers=kind)
        assert 400 <= reply.status < 500, path


def test_case_66_a_run_keeps_so_many_tags_and_no_more(house, monkeypatch):
    few = {**MOST_KEYS, "tags": 250, "params": 150}
    monkeypatch.setattr("thrive.store.observations.MOST_KEYS", few)
    app, _ = house
    made = ask(app, "POST", API + "experiments/create", body={"name": "tags"}).json()
    run = ask(app, "POST", API + "runs/create", body=made).json()["run"]["info"]["run_id"]

    def send(kind, first):
        pairs = [{"key": f"{kind}{n}", "value": "v"} for n in range(first, first + 100)]
        return ask(app, "POST", API + "runs/log-batch", body={"run_id": run, kind: pairs})

    for kind, statuses in (("tags", [200, 200, 400]), ("params", [200, 400])):
        replies = [send(kind, 100 * turn) for turn in range(len(statuses))]
        assert [reply.status for reply in replies] == statuses
        assert f"more than {250 if kind == 'tags' else 150} {kind}" in replies[-1].json()["message"]
    again = {"run_id": run, "tags": [{"key": "tags0", "value": "new"}]}
    assert ask(app, "POST", API + "runs/log-batch", body=again).status == 200


def test_case_69_secrets_are_compared_in_constant_time():
    """A digest, a token or a cookie is compared with `==` nowhere in the rooms that check them."""
    secret = {"token", "secret", "cookie", "password", "signature", "digest_of"}
    for file in (*(SOURCES / "server").rglob("*.py"), SOURCES / "flows/tokens.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                sides = [node.left, *node.comparators]
                names = {ast.unparse(side).rpartition(".")[2].strip("_") for side in sides}
                constant = any(isinstance(side, ast.Constant) for side in sides)
                assert constant or not names & secret, f"{file}:{node.lineno}"


@pytest.mark.parametrize(
    ("user", "password"),
    [("admin", "password1234"), ("admin", "password"), ("admin", ""), ("", ""), ("admin", "admin")],
)
def test_case_70_there_is_no_default_password(house, user, password):
    from base64 import b64encode

    app, _ = house
    basic = b64encode(f"{user}:{password}".encode()).decode()
    sent = {"headers": {"authorization": f"Basic {basic}"}, "token": None}
    assert ask(app, "GET", API + "experiments/search", query="max_results=1", **sent).status == 401
    body = f"token={password}".encode()
    assert ask(app, "POST", "/sign-in", token=None, raw=body, headers=FORM).status == 401


def test_cases_71_and_77_a_role_is_given_by_a_keeper_alone(house):
    """Whatever makes, renews or changes a token is the platform's, so nobody raises a role."""
    app, ctx = house
    giving = [
        each
        for each in load_all().values()
        if each.writes and each.name.partition(" ")[0] in {"tokens", "projects", "users"}
    ]
    assert {each.name for each in giving} >= {"tokens create", "tokens revoke"}
    for each in giving:
        assert each.role <= KEEPERS, each.name
    token = new_token(ctx, "sam", Role.DATA_SCIENTIST)
    body = {"name": "sam", "role": ["platform"], "expires": ""}
    assert ask(app, "POST", "/api/tokens/create", token=token, body=body).status == 403
    with ctx.read() as tx:
        assert [each.roles for each in tokens.every(tx, ctx.project_id)] == [[Role.DATA_SCIENTIST]]


def test_case_76_a_protected_alias_is_moved_through_no_other_door(house):
    app, ctx = house
    for path, body in (
        ("registered-models/create", {"name": "m"}),
        ("model-versions/create", {"name": "m", "source": "s3://bucket/m"}),
        ("model-versions/create", {"name": "m", "source": "s3://bucket/m"}),
        ("registered-models/alias", {"name": "m", "alias": "field", "version": "1"}),
    ):
        assert ask(app, "POST", API + path, body=body).status == 200, path
    invoke(find_operation("models protect"), ctx, {"model": "m", "alias": "field"})
    sam = new_token(ctx, "sam", Role.DATA_SCIENTIST)
    moves = [
        ("POST", "registered-models/alias", {"name": "m", "alias": "field", "version": "2"}),
        ("DELETE", "registered-models/alias", {"name": "m", "alias": "field"}),
        ("DELETE", "model-versions/delete", {"name": "m", "version": "1"}),
        ("DELETE", "registered-models/delete", {"name": "m"}),
        ("POST", "registered-models/rename", {"name": "m", "new_name": "n"}),
    ]
    for method, path, body in moves:
        reply = ask(app, method, API + path, token=sam, body=body)
        found = ask(app, "GET", API + "registered-models/alias", query="name=m&alias=field")
        assert (path, reply.status) == (path, 403), reply.body
        assert found.json()["model_version"]["version"] == "1", path


def test_case_78_of_many_that_take_one_name_at_once_one_has_it(house):
    app, ctx = house
    statuses, refused = [], []

    def make():
        body = {"name": "raced"}
        statuses.append(ask(app, "POST", API + "experiments/create", body=body).status)
        try:
            new_token(ctx, "raced", "auditor")
        except ThriveError as error:
            refused.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(statuses) == [200] + [400] * 5
    with ctx.read() as tx:
        named = [each for each in tokens.every(tx, ctx.project_id) if each.name == "raced"]
    assert len(named) + len(refused) == 6
    assert len({each.token_id for each in named}) == len(named)


def test_case_79_an_error_tells_no_secret_query_or_path(house, monkeypatch, caplog):
    app, ctx = house
    inside = f"password=hunter2 {ctx.home.folder} SELECT token FROM tokens"

    def fail(*_, **__):
        raise RuntimeError(inside)

    monkeypatch.setattr("thrive.server.mlflow.door.Given", fail)
    reply = ask(app, "GET", API + "experiments/search", query="max_results=1")
    assert reply.status == 500
    shown = reply.body.decode()
    assert not [word for word in inside.split() if len(word) > 6 and word in shown]
    assert LOCAL_TOKEN not in caplog.text
