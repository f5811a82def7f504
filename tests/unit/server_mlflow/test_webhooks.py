"""Webhooks: told through a real HTTP receiver, signed, once each, and never into our network."""

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from thrive.domain.actor import local_actor
from thrive.domain.project import JobState
from thrive.flows.worker import execute_next
from thrive.operations import Context
from thrive.store import jobs

EVENTS = [
    {"entity": "MODEL_VERSION", "action": "CREATED"},
    {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"},
    {"entity": "MODEL_VERSION_TAG", "action": "SET"},
]


class Receiver:
    """Answers what it is told to, and keeps what came."""

    def __init__(self):
        self.came, self.answers = [], []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.came.append((dict(self.headers), body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in?key=1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setenv("THRIVE_WEBHOOK_HOSTS", "127.0.0.1")
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def work(home, rounds=20):
    """Do what is due; return how each job ended."""
    context = Context(home, local_actor("worker"))
    ended = []
    for _ in range(rounds):
        state = execute_next(context)
        if state is None:
            break
        ended.append(state)
    return ended


def hook(client, url, **more):
    made = client.post("webhooks", name="deploys", url=url, events=EVENTS, **more)
    return made["webhook"]["webhook_id"]


def test_events_are_told_signed_and_only_those_that_were_asked_for(client, home, receiver):
    hook(client, receiver.url, secret="shared")
    client.post("registered-models/create", name="m")
    client.post("model-versions/create", name="m", source="s3://bucket/m")
    client.post("model-versions/set-tag", name="m", version="1", key="k", value="v")
    client.post("registered-models/alias", name="m", alias="best", version="1")
    client.post("registered-models/alias", "DELETE", name="m", alias="best")
    assert work(home) == [JobState.DONE] * 3
    told = [json.loads(body) for _, body in receiver.came]
    assert [(one["entity"], one["action"]) for one in told] == [
        ("model_version", "created"),
        ("model_version_tag", "set"),
        ("model_version_alias", "created"),
    ]
    assert told[0]["data"]["source"] == "s3://bucket/m"
    assert told[1]["data"] == {"name": "m", "version": "1", "key": "k", "value": "v"}
    assert told[2]["data"] == {"name": "m", "version": "1", "alias": "best"}
    for headers, body in receiver.came:
        signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.".encode()
        digest = hmac.new(b"shared", signed + body, hashlib.sha256).digest()
        assert headers["X-MLflow-Signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert len({headers["X-MLflow-Delivery-Id"] for headers, _ in receiver.came}) == 3


def test_what_did_not_happen_is_not_told(client, home, receiver):
    hook(client, receiver.url)
    client.refused("POST", "model-versions/create", {"name": "none", "source": "s3://b/m"})
    assert work(home) == []


def test_an_event_is_told_again_under_the_same_id_until_it_is_taken(
    client, home, receiver, monkeypatch
):
    monkeypatch.setattr("thrive.flows.worker.FIRST_PAUSE_SECONDS", 0.0)
    hook(client, receiver.url)
    receiver.answers = [(503, {}), (429, {}), (200, {})]
    client.post("registered-models/create", name="m")
    client.post("model-versions/create", name="m", source="s3://bucket/m")
    assert work(home) == [JobState.WAITING, JobState.WAITING, JobState.DONE]
    assert len({headers["X-MLflow-Delivery-Id"] for headers, _ in receiver.came}) == 1


@pytest.mark.parametrize("answer", [(302, {"Location": "http://127.0.0.1:1/"}), (404, {})])
def test_a_redirect_and_a_refusal_end_it(client, home, receiver, answer):
    hook(client, receiver.url)
    receiver.answers = [answer]
    client.post("registered-models/create", name="m")
    client.post("model-versions/create", name="m", source="s3://bucket/m")
    assert work(home) == [JobState.FAILED]
    assert len(receiver.came) == 1


def test_one_that_is_disabled_or_gone_is_sent_nothing(client, home, receiver):
    first, second = hook(client, receiver.url), hook(client, receiver.url)
    client.post("registered-models/create", name="m")
    client.post("model-versions/create", name="m", source="s3://bucket/m")
    client.post(f"webhooks/{first}", "PATCH", status="DISABLED")
    client.post(f"webhooks/{second}", "DELETE")
    assert work(home) == [JobState.DONE] * 2
    assert receiver.came == []
    assert client.refused("GET", f"webhooks/{second}")[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


def test_prompts_have_events_of_their_own(client, home, receiver):
    events = [{"entity": "PROMPT_VERSION", "action": "CREATED"}]
    client.post("webhooks", name="prompts", url=receiver.url, events=events)
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    template = {"key": "mlflow.prompt.text", "value": "Hello {{name}}"}
    client.post("registered-models/create", name="p", tags=prompt)
    client.post("model-versions/create", name="p", source="dummy", tags=[*prompt, template])
    work(home)
    assert json.loads(receiver.came[0][1])["data"]["template"] == "Hello {{name}}"


def test_the_test_shows_what_the_address_says(client, receiver):
    webhook_id = hook(client, receiver.url)
    receiver.answers = [(418, {})]
    result = client.post(f"webhooks/{webhook_id}/test")["result"]
    assert (result["success"], result["response_status"], result["response_body"]) == (
        False,
        418,
        "ok",
    )
    event = {"entity": "MODEL_VERSION_TAG", "action": "SET"}
    assert client.post(f"webhooks/{webhook_id}/test", event=event)["result"]["success"]


def test_the_secret_is_never_shown(client, home, receiver):
    webhook_id = hook(client, receiver.url, secret="very-secret")
    shown = (
        client.reply("GET", "webhooks").body + client.reply("GET", f"webhooks/{webhook_id}").body
    )
    assert b"very-secret" not in shown
    client.post("registered-models/create", name="m")
    client.post("model-versions/create", name="m", source="s3://bucket/m")
    with home.read() as tx:
        queued = [job.arguments for job in jobs.find(tx, home.project_id)]
    assert queued
    assert "very-secret" not in str(queued)


def test_lists_are_paged_and_names_and_events_are_checked(client, receiver):
    for _ in range(3):
        hook(client, receiver.url)
    page = client.get("webhooks", "max_results=2")
    assert len(page["webhooks"]) == 2
    rest = client.get("webhooks", f"max_results=2&page_token={page['next_page_token']}")
    assert len(rest["webhooks"]) == 1
    assert "next_page_token" not in rest
    for wrong in (
        {"name": "a b", "url": receiver.url, "events": EVENTS},
        {"name": "a", "url": receiver.url, "events": []},
        {"name": "a", "url": receiver.url, "events": [{"entity": "MODEL", "action": "EATEN"}]},
        {"name": "a", "url": "not an address", "events": EVENTS},
    ):
        assert client.refused("POST", "webhooks", wrong)[:2] == (400, "INVALID_PARAMETER_VALUE")
