import json
import logging

import pytest
from tests.rest import LOCAL_TOKEN, ask, make_app

from thrive.server.guard import HEADERS
from thrive.server.logs import JsonLines


@pytest.fixture
def app(home):
    made = make_app(home, hosts=("thrive.example.org",))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/api/jobs/list", 200), ("/api/none", 404), ("/", 200), ("/none", 404)],
)
def test_every_answer_carries_the_security_headers(app, path, status):
    reply = ask(app, "GET", path)
    assert reply.status == status
    for name in HEADERS:
        assert name.lower() in reply.headers
    assert "'none'" in reply.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("THRIVE.example.org:443", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("localhost:8000@evil.example", 403),
        ("", 403),
        (None, 403),
    ],
)
def test_only_known_host_names_are_answered(app, host, status):
    assert ask(app, "GET", "/api/jobs/list", headers={"host": host}).status == status
    assert ask(app, "GET", "/", headers={"host": host}).status == status


def test_probes_answer_under_any_name(app):
    assert ask(app, "GET", "/health", token=None, headers={"host": "10.1.2.3"}).status == 200
    assert ask(app, "GET", "/ready", token=None, headers={"host": "10.1.2.3"}).status == 200
    assert ask(app, "GET", "/metrics", token=None, headers={"host": "10.1.2.3"}).status == 403


def test_a_log_line_is_json_and_holds_no_secret(app, caplog):
    with caplog.at_level(logging.INFO, "thrive.server"):
        ask(app, "GET", "/api/jobs/list", query="after=secret-word")
        ask(app, "GET", "/api/jobs/list", token="wrong-token-of-somebody")
    lines = [json.loads(JsonLines().format(each)) for each in caplog.records]
    first = next(line for line in lines if line["message"] == "request")
    assert (first["route"], first["status"], first["actor"]) == ("/api/jobs/list", 200, "owner")
    assert first["ms"] > 0
    for word in (LOCAL_TOKEN, "wrong-token-of-somebody", "secret-word"):
        assert word not in json.dumps(lines)


def test_metrics_count_by_route_never_by_what_a_caller_wrote(app):
    for path in ("/api/jobs/list", "/api/jobs/list", '/api/x"y', "/health"):
        ask(app, "GET", path)
    text = ask(app, "GET", "/metrics", token=None).body.decode()
    assert 'thrive_requests_total{method="GET",route="/api/jobs/list",status="200"} 2' in text
    assert 'thrive_request_seconds_count{route="/api/jobs/list"} 2' in text
    assert 'thrive_jobs{state="waiting"} 0' in text
    assert 'x"y' not in text


def test_metrics_need_a_token_where_others_reach_the_server(home):
    app = make_app(home, open_metrics=False)
    assert ask(app, "GET", "/metrics", token=None).status == 401
    assert ask(app, "GET", "/metrics").status == 200
    app.close()


def test_readiness_tells_which_store_is_silent(app, monkeypatch):
    assert ask(app, "GET", "/ready", token=None).json()["status"] == "ready"
    monkeypatch.setattr("thrive.server.health.LOOK_EVERY_S", -1.0)
    monkeypatch.setattr(app.health, "_has_blob", lambda: open("/nonexistent/blob"))  # noqa: PTH123, SIM115 - fails at once
    reply = ask(app, "GET", "/ready", token=None)
    assert (reply.status, reply.json()["blobs"]) == (503, "does not answer")
    assert reply.json()["database"] == "ok"
    assert ask(app, "GET", "/health", token=None).status == 200


def test_a_draining_server_closes_connections_and_is_not_ready(app):
    app.drain()
    reply = ask(app, "GET", "/api/jobs/list")
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert ask(app, "GET", "/ready", token=None).status == 503
