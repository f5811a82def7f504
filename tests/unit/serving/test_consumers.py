"""A consumer who was registered with a purpose asks models of that purpose, and no other."""

import asyncio
import json

import pytest
from tests.serving_home import MODEL, add_version, constant_package, make_home

from thrive.domain.actor import local_actor
from thrive.domain.errors import UsageError
from thrive.governance.evidence.general import interaction
from thrive.governance.records import read_records
from thrive.operations import Context
from thrive.serving.agent import Agent
from thrive.serving.answering import Answerer
from thrive.serving.app import App
from thrive.serving.callers import read_callers
from thrive.serving.counters import WorkerState
from thrive.serving.home_plane import LocalControlPlane
from thrive.serving.limits import Consumer, Limits
from thrive.serving.live import LiveModel, LiveModels
from thrive.serving.operations import serving_status
from thrive.serving.routes import Routes, ServedModel
from thrive.serving.serve import serving_options
from thrive.store.eventlog import SegmentWriter
from thrive.store.place import made

BOARD, ANYBODY = "b" * 24, "a" * 24
BODY = json.dumps({"flight_id": "f1"}).encode()
V2 = json.dumps({"inputs": []}).encode()


def limits(tmp_path):
    file = tmp_path / "callers"
    file.write_text(f"# who asks for what\n{BOARD} board Delay-Warning,planning\n{ANYBODY}\n")
    found = read_callers(file)
    consumers = {digest: each for digest, each in found.items() if each is not None}
    assert list(consumers.values()) == [
        Consumer(name="board", purposes=["delay-warning", "planning"])
    ]
    limits = Limits(callers=list(found), consumers=consumers)
    assert (limits.registered, limits.unregistered) == (["board: delay-warning, planning"], 1)
    return limits


async def answered(app, path, token, body=BODY):
    told = {}

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        told.update({key: value for key, value in message.items() if key != "type"})

    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"authorization", f"Bearer {token}".encode()),
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": headers,
    }
    await app(scope, receive, send)
    return told["status"], json.loads(told["body"])


def test_another_purpose_is_refused_in_every_protocol(tmp_path):
    async def main():
        live = LiveModels(tmp_path)
        for name, purposes in (("delay", ["delay", "delay-warning"]), ("prices", ["pricing"])):
            served = ServedModel(
                model=name, revision=1, variants=[], fallback=0.2, purposes=purposes
            )
            live.models[name] = LiveModel(
                served=served, production=None, candidates=[], shadows=[], mask=frozenset()
            )
        state = WorkerState(worker=0)
        with SegmentWriter(tmp_path / "log", 0) as writer:
            answerer = Answerer(writer, state)
            app = App(live, answerer, state, tmp_path, tmp_path / "log", limits(tmp_path))
            app.routes = Routes(project="p", models={})
            status, said = await answered(app, "/predict/prices", BOARD)
            assert (status, said["error"]["code"]) == (403, "OtherPurpose")
            assert "board may ask for delay-warning, planning, and prices is for pricing" in str(
                said
            )
            status, _ = await answered(app, "/v2/models/prices/infer", BOARD, V2)
            assert status == 403
            status, _ = await answered(app, "/v1/models/prices:predict", BOARD)
            assert status == 403
            assert (await answered(app, "/predict/delay", BOARD))[0] == 200
            assert (await answered(app, "/predict/prices", ANYBODY))[0] == 200
            assert (await answered(app, "/predict/delay", "c" * 24))[0] == 401

    asyncio.run(main())


def test_tokens_without_a_purpose_are_warned_about_and_told_by_the_host(tmp_path, caplog):
    limits(tmp_path)
    options = serving_options("0.0.0.0", 0, 1, tmp_path / "callers", (), ())
    assert "1 of 2 tokens" in caplog.text
    home = make_home(tmp_path)
    agent = Agent(LocalControlPlane(home), made(tmp_path / "c"), made(tmp_path / "log"), options)
    LocalControlPlane(home).heartbeat(agent.state("http://h"))
    ctx = Context(home, local_actor("ada"), operation="serving status")
    (status,) = serving_status(ctx)
    assert (status.host.consumers, status.host.unregistered) == (options.limits.registered, 1)
    add_version(home, constant_package(0.3))
    told = {each.what: each.value for each in interaction(read_records(ctx, MODEL))}
    host = status.host.host
    assert told[f"Consumers registered at {host}"] == "board: delay-warning, planning"
    assert "may ask every model" in told[f"Tokens without a purpose at {host}"]
    home.close()


def test_a_name_without_a_purpose_is_no_registration(tmp_path):
    (tmp_path / "callers").write_text(f"{BOARD} board\n")
    with pytest.raises(UsageError, match="names 'board' and no purpose"):
        read_callers(tmp_path / "callers")
