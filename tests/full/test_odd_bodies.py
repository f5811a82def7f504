"""Odd values in every field of every route of MLflow's protocol: 4xx in its words, never a 500."""

import json
import random
from urllib.parse import urlencode

import pytest
from tests.rest import ask, make_app

from thrive.server.mlflow.routes import ROUTES
from thrive.store.home import create_home

pytestmark = pytest.mark.full

API = "/api/2.0/mlflow/"
ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    2**31,
    2**63,
    -(2**63),
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x" * 70_000,
    "a\0b",
    "\ud800",
    "\u202e\uffff",
    "9" * 5000,
    "' OR 1=1 --",
    "../../etc/passwd",
    "{}",
    [],
    [None],
    [[]],
    ["x", 1, None],
    [{}],
    [{"key": None}],
    [{"key": "a", "value": {"b": 1}}],
    [{"key": ["a"], "value": "b"}],
    [{"key": "\ud800", "value": "\ud800"}],
    {},
    {"a": {"a": {"a": []}}},
    {"key": "a", "value": "b"},
]
QUERIES = [
    "",
    "%00",
    "%ed%a0%80",
    "%ff",
    "-1",
    "0",
    "9" * 30,
    "1e9",
    "nan",
    "x" * 4000,
    "[]",
    "' OR 1=1 --",
    "`",
    "a = 'b",
    "metrics.`a` > 'x'",
    "tags.a LIKE '%%%'",
    "name ILIKE '\\'",
    "bnVsbA==",
    "WyJhIiwxXQ==",
]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A server with one of each thing, and the fields with which every route would find it."""
    home = create_home(tmp_path_factory.mktemp("house"), "test")
    app = make_app(home)

    def post(path, **fields):
        reply = ask(app, "POST", API + path, body=fields)
        assert reply.status == 200, reply.body
        return reply.json()

    experiment = post("experiments/create", name="exp")["experiment_id"]
    run = post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    post("runs/log-metric", run_id=run, key="a", value=1, timestamp=1)
    logged = post("logged-models", experiment_id=experiment, name="net", source_run_id=run)
    post("registered-models/create", name="m")
    post("model-versions/create", name="m", source="s3://elsewhere/m", run_id=run)
    model_id = logged["model"]["info"]["model_id"]
    point = {"key": "a", "value": 1.0, "timestamp": 1, "step": 0, "model_id": model_id}
    pair = {"key": "k", "value": "v"}
    known = {
        "experiment_id": experiment, "experiment_ids": [experiment], "experiment_name": "exp",
        "run_id": run, "run_ids": [run], "run_uuid": run, "source_run_id": run,
        "name": "m", "new_name": "n", "version": "1", "alias": "a", "stage": "Staging",
        "key": "k", "value": "1", "metric_key": "a", "timestamp": 1, "step": 0,
        "model_id": model_id, "source": "s3://elsewhere/m", "model_json": "{}",
        "status": "RUNNING", "start_time": 1, "end_time": 2, "run_name": "r",
        "tags": [pair], "params": [pair], "metrics": [point],
        "datasets": [{"dataset": {"name": "d", "digest": "1"}, "tags": [pair]}],
        "models": [{"model_id": model_id, "step": 0}], "stages": ["Staging"],
        "filter": "", "order_by": [], "max_results": 5, "page_token": "", "description": "d",
        "run_view_type": "ALL", "view_type": "ALL", "path": "", "user_id": "u",
        "start_step": 0, "end_step": 5, "archive_existing_versions": True,
        "model_type": "t", "artifact_directory_path": "", "allow_deleted": "true",
        "url": "https://example.org/x", "events": [], "secret": "s", "event": {},
    }  # fmt: skip
    yield app, known, model_id
    app.close()
    home.close()


def path_of(route, model_id):
    filled = route.path.replace("{model_id}", model_id).replace("{key}", "k")
    return API + filled.replace("{webhook_id}", "0" * 32)


def sent(app, route, path, fields):
    """Send fields as JSON, with the numbers and half characters that JSON does not have."""
    raw = json.dumps(fields).encode()
    reply = ask(app, route.method, path, raw=raw)
    answered(reply, f"{route.method} {route.path} {raw[:300]!r}")


def answered(reply, said):
    assert reply.status < 500, f"{said}: {reply.status} {reply.body[:300]!r}"
    assert reply.status == 200 or reply.json()["error_code"], said


WRITING = [route for route in ROUTES if route.method != "GET" and "test" not in route.path]


@pytest.mark.parametrize("route", WRITING, ids=lambda route: f"{route.method} {route.path}")
def test_an_odd_value_in_any_field_is_refused_in_words(house, route):
    app, known, model_id = house
    path = path_of(route, model_id)
    for name in known:
        for value in ODD:
            sent(app, route, path, {**known, name: value})


@pytest.mark.parametrize("inner", ["tags", "params", "metrics", "datasets", "models", "order_by"])
@pytest.mark.parametrize("route", WRITING, ids=lambda route: f"{route.method} {route.path}")
def test_an_odd_value_inside_a_list_is_refused_in_words(house, route, inner):
    app, known, model_id = house
    path = path_of(route, model_id)
    dice = random.Random(f"{route.path} {inner}")
    whole = {"order_by": [{"field_name": "name", "ascending": True}]}.get(inner) or known[inner]
    for _ in range(150):
        changed = json.loads(json.dumps(whole))
        place, value = changed[0], dice.choice(ODD)
        while True:
            name = dice.choice(sorted(place))
            if isinstance(place[name], dict) and place[name] and dice.random() < 0.7:
                place = place[name]
            elif isinstance(place[name], list) and place[name] and dice.random() < 0.7:
                place = place[name][0]
            else:
                break
        place[name] = value
        sent(app, route, path, {**known, inner: changed})


READING = [route for route in ROUTES if route.method == "GET"]


@pytest.mark.parametrize("route", READING, ids=lambda route: route.path)
def test_an_odd_query_is_refused_in_words(house, route):
    app, known, model_id = house
    plain = {name: value for name, value in known.items() if isinstance(value, str | int | list)}
    path = path_of(route, model_id)
    for name in plain:
        rest = {key: value for key, value in plain.items() if key != name and value != [{}]}
        given = urlencode({k: v for k, v in rest.items() if v not in ("", [])}, doseq=True)
        for text in QUERIES:
            reply = ask(app, "GET", path, query=f"{given}&{name}={text}")
            answered(reply, f"GET {route.path} {name}={text[:60]}")
