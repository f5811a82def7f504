"""Default deny, held by walking the route table: every route with every kind of caller."""

import pytest
from tests.rest import LOCAL_TOKEN, ask, make_app, new_token

from thrive.client.wire import is_local
from thrive.domain.actor import Role, local_actor
from thrive.flows.catalogue import load_all
from thrive.operations import Context, Kind
from thrive.store import audit, changes, jobs, projects, tokens
from thrive.store.home import Home, create_home

ROUTES = {
    name: operation for name, operation in load_all().items() if operation.kind is not Kind.CLIENT
}
OPEN = {"/health", "/ready", "/metrics", "/sign-in", "/sign-out"}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A home with two projects on one database, a server on the first, a token of each role."""
    folder = tmp_path_factory.mktemp("house")
    home = create_home(folder, "first")
    first = Context(home, local_actor("tester"), operation="test")
    with home.write() as tx:
        other = projects.create(tx, "second")
    second = Context(
        Home(other, home.database, home.blobs, home.folder), first.actor, operation="test"
    )
    roles = {role: new_token(first, role.value, role.value) for role in Role}
    app = make_app(home)
    yield app, first, second, roles
    app.close()
    home.close()


def call(app, operation, token, text="x", **more):
    """Call an operation with something for each required argument."""
    given = {
        each.name: _value(each.annotation, text)
        for each in operation.parameters
        if not is_local(each) and (each.required or each.annotation is str)
    }
    path = "/api/" + operation.name.replace(" ", "/")
    if operation.writes or operation.kind is Kind.JOB:
        return ask(app, "POST", path, token=token, body=given, **more)
    from urllib.parse import urlencode

    return ask(app, "GET", path, token=token, query=urlencode(given, doseq=True), **more)


def _value(annotation, text):
    if annotation is bool:
        return False
    if annotation in {int, float}:
        return 1
    if isinstance(annotation, type) and issubclass(annotation, str) and annotation is not str:
        return next(iter(annotation)).value
    return [text] if "list" in str(annotation) else text


def state(context):
    with context.read() as tx:
        return (
            audit.latest(tx, context.project_id, 1),
            changes.head(tx, context.project_id),
            jobs.find(tx, context.project_id),
            tokens.every(tx, context.project_id),
        )


@pytest.mark.parametrize("name", sorted(ROUTES))
@pytest.mark.parametrize("token", [None, "", "wrong", f"thrive_{'0' * 32}_x", LOCAL_TOKEN[:-1]])
def test_no_route_answers_nobody(house, name, token):
    app, first, _, _ = house
    before = state(first)
    reply = call(app, ROUTES[name], token, address="192.0.2.7")
    assert reply.status in {401, 429}
    assert set(reply.json()) == {"error"}
    assert state(first) == before


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_every_route_refuses_each_role_that_may_not(house, name):
    """Case 74: each route with each role; a role outside the operation's is 403, and leaves no row."""
    app, first, _, roles = house
    operation = ROUTES[name]
    for role, token in roles.items():
        if role in operation.role:
            continue
        before = state(first)
        reply = call(app, operation, token)
        assert (reply.status, reply.code) == (403, "Refused"), role
        assert state(first) == before


@pytest.mark.parametrize("name", sorted(n for n, each in ROUTES.items() if each.kind is Kind.CALL))
def test_no_route_reaches_another_project(house, name):
    """Cases 74 and 75: what one project holds is neither shown to nor changed by another's token."""
    app, first, second, _ = house
    if not _stranger:
        _stranger.append(new_token(second, "stranger", *[role.value for role in Role]))
    with first.read() as tx:
        secret_ids = [each.token_id for each in tokens.every(tx, first.project_id)]
    before = state(first)
    reply = call(app, ROUTES[name], _stranger[0], text=secret_ids[0])
    assert reply.status < 500
    shown = reply.body.decode()
    assert not [each for each in secret_ids[1:] if each in shown]
    assert first.project_id not in shown
    assert state(first) == before


_stranger: list[str] = []


@pytest.mark.parametrize("name", sorted(n for n, each in ROUTES.items() if each.kind is Kind.CALL))
def test_a_read_changes_nothing(house, name):
    """Case 43: no GET changes state."""
    app, first, _, _ = house
    if ROUTES[name].writes:
        return
    before = state(first)
    assert call(app, ROUTES[name], LOCAL_TOKEN).status < 500
    assert state(first) == before


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/none",
        "/api/openapi.json",
        "/api/jobs/list/",
        "/api//jobs/list",
        "/API/jobs/list",
        "/api/jobs/list/../../tokens/list",
        "/",
        "/models",
        "/models.json",
        "/tokens",
        "/.thrive/server.json",
        "/server.json",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_nothing_beside_the_table_is_open(house, path, method):
    app, _, _, _ = house
    reply = ask(app, method, path, token=None)
    assert reply.status in {303, 401, 404, 405, 415}
    if reply.status == 303:
        assert reply.headers["location"].startswith("/sign-in")


@pytest.mark.parametrize("path", ["/../server.json", "/static/../server.json", "/static/%2e%2e/x"])
def test_the_stylesheet_folder_holds_no_way_out(house, path):
    app, _, _, _ = house
    static = ask(app, "GET", f"/static{path}", token=None)
    assert static.status in {401, 403, 404}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "X"])
@pytest.mark.parametrize("path", ["/api/jobs/list", "/", "/health", "/sign-in"])
def test_other_methods_are_not_known(house, method, path):
    """Case 41: not only POST is guarded; an override header is not heard."""
    app, _, _, _ = house
    assert ask(app, method, path).status == 405
    header = {"x-http-method-override": "POST"}
    assert ask(app, "GET", "/api/jobs/cancel", headers=header).status == 405
