"""The attack list against the doors that MLflow's clients knock at, each case by its number."""

import select
import socket
import time
from urllib.parse import quote

import pytest
from tests.rest import ask, make_app, new_token

from thrive.domain.actor import BUILDERS, Role, local_actor
from thrive.operations import Context
from thrive.server.mlflow.routes import ROUTES
from thrive.store import audit, changes, models, projects, runs
from thrive.store.home import Home, create_home

API = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A server of two projects: a run with a file in the first, a platform token of the second."""
    home = create_home(tmp_path_factory.mktemp("house"), "first")
    with home.write() as tx:
        other = projects.create(tx, "second")
    actor = local_actor("tester")
    second = Context(Home(other, home.database, home.blobs, home.folder), actor, operation="test")
    app = make_app(home)
    experiment = post(app, "experiments/create", name="secret").json()["experiment_id"]
    run = post(app, "runs/create", experiment_id=experiment).json()["run"]["info"]["run_id"]
    place = f"{experiment}/{run}/artifacts"
    assert put(app, f"artifacts/{place}/a.txt", b"secret words").status == 200
    post(app, "registered-models/create", name="secret-model")
    post(app, "model-versions/create", name="secret-model", source=f"runs:/{run}/m", run_id=run)
    yield app, place, run, new_token(second, "eve", "ml-engineer"), second
    app.close()
    home.close()


def post(app, path, token=None, **body):
    return ask(app, "POST", API + path, body=body, **({"token": token} if token else {}))


def put(app, path, content, **more):
    headers = {"content-type": "application/octet-stream"}
    return ask(app, "PUT", PROXY + path, raw=content, headers=headers, **more)


LEADS_ELSEWHERE = {
    1: "../../etc/passwd",
    2: "%2e%2e/passwd",
    3: "..%2f..%2fpasswd",
    4: "..\\..\\windows\\win.ini",
    5: "/etc/passwd",
    10: "a\0b",
    11: "a/../../b",
}


@pytest.mark.parametrize("number", LEADS_ELSEWHERE)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_cases_1_to_11_a_name_never_leads_out_of_a_run(house, number, method):
    app, place, _, _, context = house
    name = LEADS_ELSEWHERE[number]
    before = sorted(context.home.folder.parent.rglob("*passwd*"))
    reply = (
        put(app, f"artifacts/{place}/{name}", b"x")
        if method == "PUT"
        else ask(app, method, f"{PROXY}artifacts/{place}/{name}")
    )
    if "%" in name:  # decoded once by the server that listens; here it is a name with a percent
        assert reply.status in {200, 404}
    else:
        assert (reply.status, b"root:" in reply.body) == (400, False)
    assert sorted(context.home.folder.parent.rglob("*passwd*")) == before
    assert ask(app, "GET", f"{PROXY}artifacts/{place}/a.txt").body == b"secret words"


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc/",
        "/etc/passwd",
        "FILE:///etc",
        "//host/share",
        "mlflow-artifacts:/1/../../etc",
        "runs:/../../etc",
    ],
)
def test_case_6_a_source_names_no_file_of_the_server(house, source):
    app = house[0]
    reply = post(app, "model-versions/create", name="secret-model", source=source)
    assert (reply.status, reply.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_case_12_an_experiment_is_where_the_server_puts_it(house):
    app = house[0]
    made = post(app, "experiments/create", name="placed", artifact_location="file:///etc").json()
    found = ask(app, "GET", API + "experiments/get", query=f"experiment_id={made['experiment_id']}")
    assert found.json()["experiment"]["artifact_location"].startswith("mlflow-artifacts:/")


@pytest.mark.parametrize(
    ("route", "number"),
    [("mpu/create", 61), ("mpu/part/x/1", 61), ("presigned", 2)],
)
def test_parts_and_ranges_ask_who_calls(house, route, number):
    app, place, *_ = house
    method = {"mpu/create": "POST", "mpu/part/x/1": "PUT", "presigned": "GET"}[route]
    reply = ask(app, method, f"{PROXY}{route}/{place}/a.txt", token=None)
    assert (reply.status, number > 0) == (401, True)


def test_case_51_a_page_among_artifacts_is_never_shown(house):
    app, place, *_ = house
    put(app, f"artifacts/{place}/x.html", b"<script>alert(1)</script>")
    reply = ask(app, "GET", f"{PROXY}artifacts/{place}/x.html")
    assert reply.headers["content-disposition"] == "attachment"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "words",
    [
        "metrics.a > 1 OR 1=1",
        "metrics.a > 1; DROP TABLE runs",
        "attributes.project_id = 'x'",
        "params.`a' OR '1'='1` = 'x' --",
        "tags.a LIKE " + "'" + "%a" * 2000 + "'",
        " AND ".join(["metrics.a > 1"] * 20_000),
    ],
)
def test_cases_57_to_60_a_filter_is_read_or_refused_and_soon(house, words):
    app = house[0]
    began = time.process_time()
    reply = post(app, "runs/search", experiment_ids=["1"], filter=words)
    assert reply.status in {200, 400}
    assert time.process_time() - began < 20
    assert post(app, "runs/search", experiment_ids=["1"]).status == 200


NO_HONEST_BODIES = [
    b"[" * 100_000,
    b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"name":"\\ud800"}',
    b'{"name":"a\\u0000b"}',
    b'{"name":' + b"9" * 5000 + b"}",
    b'"' + b"[" * 5000 + b'"',
    b'{"tags":[null],"metrics":7,"params":{"a":[]},"datasets":[{"dataset":[]}],"models":"x"}',
]


@pytest.mark.parametrize("raw", NO_HONEST_BODIES, ids=range(len(NO_HONEST_BODIES)))
def test_case_63_bodies_that_are_no_honest_json_are_told_so(house, raw):
    app = house[0]
    for route in ROUTES:
        if route.method != "GET" and not route.path.startswith("webhooks"):
            reply = ask(app, route.method, address(route), raw=raw)
            assert reply.status < 500, f"{route.method} {route.path}: {reply.body[:200]!r}"
            assert reply.status == 200 or reply.json()["error_code"]


def test_case_64_a_page_has_its_largest(house):
    app = house[0]
    for path, body in (
        ("runs/search", {"experiment_ids": ["1"]}),
        ("experiments/search", {}),
        ("logged-models/search", {"experiment_ids": ["1"]}),
    ):
        reply = post(app, path, **body, max_results=1 << 31)
        assert (reply.status, reply.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_case_74_nothing_of_another_project_is_reached_by_its_id(house):
    app, place, run, eve, _ = house
    assert ask(app, "GET", f"{PROXY}artifacts/{place}/a.txt", token=eve).status == 404
    assert ask(app, "GET", f"{PROXY}presigned/{place}/a.txt", token=eve).status == 404
    assert put(app, f"artifacts/{place}/b.txt", b"x", token=eve).status == 404
    listed = ask(app, "GET", f"{PROXY}artifacts", query=f"path={quote(place)}", token=eve)
    assert listed.json()["files"] == []
    for path in ("runs/get", "artifacts/list", "metrics/get-history"):
        query = f"run_id={run}&metric_key=a"
        assert ask(app, "GET", API + path, query=query, token=eve).status == 404
    for path in ("runs/log-metric", "runs/set-tag", "runs/update", "runs/delete", "runs/log-batch"):
        given = {"run_id": run, "key": "a", "value": 1, "timestamp": 1, "status": "FAILED"}
        if path == "runs/set-tag":
            given["value"] = "x"
        assert post(app, path, token=eve, **given).status in {400, 404}
    model = ask(app, "GET", API + "registered-models/get", query="name=secret-model", token=eve)
    assert model.status == 404
    found = post(app, "runs/search", token=eve, experiment_ids=["0", "1", "2"]).json()
    assert found.get("runs", []) == []
    assert ask(app, "GET", API + "model-versions/search", token=eve).json()["model_versions"] == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_route_answers_nobody_or_a_wrong_token(house, route):
    app, *_, context = house
    path = API + route.path.replace("{model_id}", f"m-{'0' * 32}").replace("{key}", "k")
    with context.home.read() as tx:
        before = audit.latest(tx, context.project_id, 1)
    for token, address in ((None, "10.0.0.1"), ("wrong", f"10.1.{len(route.path)}.2")):
        reply = ask(app, route.method, path, token=token, body={}, address=address)
        assert reply.status in {401, 429}
        assert reply.json()["error_code"] in {"UNAUTHENTICATED", "REQUEST_LIMIT_EXCEEDED"}
    with context.home.read() as tx:
        assert audit.latest(tx, context.project_id, 1) == before


@pytest.fixture(scope="module")
def first(house):
    """Return the project that holds something, as its owner sees it."""
    second = house[-1]
    with second.home.read() as tx:
        (project,) = [each for each in projects.every(tx) if each.name == "first"]
    home = Home(project, second.home.database, second.home.blobs, second.home.folder)
    return Context(home, local_actor("tester"), operation="test")


@pytest.fixture(scope="module")
def of_role(first):
    return {role: new_token(first, role.value, role.value) for role in Role}


def state(context):
    """Return all that a call could have changed in a project."""
    with context.read() as tx:
        return (
            audit.latest(tx, context.project_id, 1),
            changes.head(tx, context.project_id),
            runs.find(tx, context.project_id),
            models.find(tx, context.project_id),
        )


def address(route):
    return API + route.path.replace("{model_id}", f"m-{'0' * 32}").replace("{key}", "k")


ARTIFACT_DOORS = [
    *(("GET", "artifacts/{}"), ("HEAD", "artifacts/{}"), ("GET", "presigned/{}")),
    *(("PUT", "artifacts/{}"), ("DELETE", "artifacts/{}"), ("PUT", "mpu/part/x/1/{}")),
    *(("POST", "mpu/create/{}"), ("POST", "mpu/complete/{}"), ("POST", "mpu/abort/{}")),
]
FIELDS = {
    "name": "secret-model",
    "new_name": "taken",
    "version": "1",
    "key": "k",
    "value": "1",
    "alias": "a",
    "stage": "Production",
    "status": "FAILED",
    "timestamp": 1,
    "description": "x",
    "max_results": 5,
}


@pytest.mark.parametrize("role", Role)
def test_case_74_every_route_refuses_each_role_that_may_not(house, first, of_role, role):
    app, place, *_ = house
    before = state(first)
    for route in ROUTES:
        if role not in route.role:
            body = {} if route.method == "GET" else {"body": FIELDS}
            reply = ask(app, route.method, address(route), token=of_role[role], **body)
            assert reply.status == 403, f"{role} {route.method} {route.path}"
            assert reply.json()["error_code"] == "PERMISSION_DENIED"
    for method, door in ARTIFACT_DOORS:
        if role not in BUILDERS and method in {"PUT", "POST", "DELETE"}:
            path = PROXY + door.format(f"{place}/a.txt")
            assert ask(app, method, path, token=of_role[role], raw=b"{}").status == 403, door
    assert state(first) == before


def test_case_74_no_route_reaches_another_project_whatever_the_role(house, first):
    app, place, run, eve, _ = house
    experiment = place.partition("/")[0]
    given = {**FIELDS, "run_id": run, "experiment_id": experiment, "experiment_ids": [experiment]}
    before = state(first)
    for route in ROUTES:
        if route.path.endswith("/create"):
            continue  # makes something of the caller's own
        query = "&".join(
            f"{key}={each}"
            for key, value in given.items()
            for each in (value if isinstance(value, list) else [value])
        )
        body = {"query": query} if route.method == "GET" else {"body": given}
        reply = ask(app, route.method, address(route), token=eve, **body)
        assert reply.status < 500, f"{route.method} {route.path}: {reply.body}"
        assert b"secret words" not in reply.body
        assert reply.status != 200 or run.encode() not in reply.body, route.path
    for method, door in ARTIFACT_DOORS:
        reply = ask(app, method, PROXY + door.format(f"{place}/a.txt"), token=eve, raw=b"{}")
        assert 400 <= reply.status < 500, f"{method} {door}"
    assert state(first) == before


@pytest.mark.parametrize("location", ["s3://other-bucket/x", "gs://b", "hdfs://h/x", "ftp://h/x"])
def test_case_38_a_client_names_no_storage(house, location):
    """A place is the server's own; a source elsewhere is a note that nothing reads."""
    app = house[0]
    named = {"name": f"at {location}", "artifact_location": location}
    made = post(app, "experiments/create", **named).json()["experiment_id"]
    found = ask(app, "GET", API + "experiments/get", query=f"experiment_id={made}").json()
    assert found["experiment"]["artifact_location"].startswith("mlflow-artifacts:/")
    post(app, "registered-models/create", name="elsewhere")
    post(app, "model-versions/create", name="elsewhere", source=location)
    path = "/api/2.0/mlflow/model-versions/get-artifact"
    read = ask(app, "GET", path, query="name=elsewhere&version=1&path=x")
    assert read.status == 404


def test_case_33_the_address_of_a_model_is_never_asked(house):
    app = house[0]
    with socket.create_server(("127.0.0.1", 0)) as inner:
        source = f"http://127.0.0.1:{inner.getsockname()[1]}/model.mar"
        post(app, "registered-models/create", name="fetched")
        assert post(app, "model-versions/create", name="fetched", source=source).status == 200
        for path in ("model-versions/get", "model-versions/get-download-uri"):
            assert ask(app, "GET", API + path, query="name=fetched&version=1").status == 200
        moved = {"name": "fetched", "version": "1", "stage": "Production"}
        post(app, "model-versions/transition-stage", **moved)
        assert select.select([inner], [], [], 0)[0] == []
