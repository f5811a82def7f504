"""Messages through a real mail server and a real web hook, from the outbox to the other side."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socket import socket
from threading import Thread
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from tests.streams import CONTRACT, Stream

from thrive.domain.errors import NotFound, Refused, StoreUnavailable
from thrive.domain.monitoring import Cause
from thrive.flows import worker
from thrive.flows.catalogue import load_all
from thrive.flows.messages import send
from thrive.flows.teams import teams_confirm, teams_test
from thrive.monitoring.alerts import raise_alerts
from thrive.monitoring.closing import close_windows
from thrive.operations import Context
from thrive.store import monitoring, projects

pytestmark = pytest.mark.full
load_all()


class Inbox(Message):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.mails.append(message_from_bytes(message.as_bytes(), policy=default))


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    handler = Inbox()
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv("THRIVE_SMTP_URL", f"smtp://127.0.0.1:{port}")
    yield handler
    controller.stop()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    taken: list[dict[str, Any]] = []
    monkeypatch.setenv("THRIVE_WEBHOOK_HOSTS", "127.0.0.1")

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append(json.loads(body))
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/team")
            else:
                self.send_response(204 if self.path == "/team" else 503)
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()


def test_an_alert_reaches_its_owner_by_mail_and_the_owner_of_the_data_by_web_hook(
    context: Context, inbox: Inbox, hook: tuple[str, list[dict[str, Any]]]
) -> None:
    address, taken = hook
    contract = (
        CONTRACT.replace("file:ml.txt", f"{address}/team")
        .replace("file:data.txt", "mailto:data@example.org")
        .replace('within = "4h"', 'within = "4h", runbook = "https://wiki.example.org/weather"')
    )
    stream = Stream(context, contract=contract)
    frame = stream.frame(stream.day).with_columns(weather_wind=None)
    stream.serve(frame)
    stream.day += 1
    stream.advance()
    close_windows(context, "m")
    (alert,) = raise_alerts(context, "m")
    assert (alert.cause, alert.owner) == (Cause.DATA_QUALITY, "data")
    worker.worker(context, once=True)
    (mail,) = inbox.mails
    assert mail["To"] == "data@example.org"
    assert "weather_wind is missing" in mail["Subject"]
    body = mail.get_body(("plain",)).get_content()
    assert "Do not retrain" in body
    assert "Runbook: https://wiki.example.org/weather" in body
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/svg+xml"]
    drawing = picture.get_payload(decode=True).decode()
    assert ET.fromstring(drawing).tag.endswith("svg")
    assert "weather_wind: missing" in drawing
    assert alert.alert_id in body
    for _ in range(3):
        stream.live_day(noise=0.4)
        close_windows(context, "m")
        raise_alerts(context, "m")
    worker.worker(context, once=True)
    with context.read() as tx:
        causes = {each.cause for each in monitoring.find_alerts(tx, context.project_id)}
    assert Cause.PERFORMANCE in causes
    assert any("accuracy" in message["text"] for message in taken)


def test_a_hook_that_refuses_is_tried_again(tmp_path, hook) -> None:
    address, taken = hook
    with pytest.raises(StoreUnavailable, match="did not take the message") as caught:
        send(f"{address}/broken", "subject", "body", tmp_path)
    assert caught.value.transient
    assert len(taken) == 1


def test_apprise_takes_a_message_to_whatever_the_settings_name(
    tmp_path: Path, hook: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, taken = hook
    place = address.removeprefix("http://")
    monkeypatch.setenv(
        "THRIVE_CHANNELS",
        f"desk=json://{place}/team broken=json://{place}/broken moved=json://{place}/moved",
    )
    send("apprise:desk", "[m] accuracy fell", "Decide by noon.", tmp_path)
    assert (taken[0]["title"], taken[0]["message"]) == ("[m] accuracy fell", "Decide by noon.")
    for name in ("broken", "moved"):
        with pytest.raises(StoreUnavailable, match=name):
            send(f"apprise:{name}", "subject", "body", tmp_path)
    with pytest.raises(NotFound, match="name no channel"):
        send("apprise:nobody", "subject", "body", tmp_path)


def test_no_channel_leads_into_our_own_network_unless_its_host_is_named(
    tmp_path: Path, hook: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, taken = hook
    place = address.removeprefix("http://")
    monkeypatch.setenv("THRIVE_CHANNELS", f"desk=json://{place}/team")
    monkeypatch.setenv("THRIVE_WEBHOOK_HOSTS", "hooks.example.org")
    for channel in (f"{address}/team", "https://169.254.169.254/latest", "apprise:desk"):
        with pytest.raises(Refused):
            send(channel, "subject", "body", tmp_path)
    assert taken == []


def test_a_team_counts_once_it_answered_what_came_by_mail(
    context: Context, tmp_path: Path, inbox: Inbox
) -> None:
    (tmp_path / "thrive.toml").write_text(
        'contract = 1\n[project]\nname = "flights"\n[team.desk]\nchannel = "mailto:desk@example.org"\n'
    )
    here = context.inside(tmp_path)
    sent = teams_test(here, "desk")
    assert not sent.answered
    with here.read() as tx:
        assert projects.contacts(tx, here.project_id) == []
    words = inbox.mails[0].get_content().split()
    with pytest.raises(Refused, match="not the code"):
        teams_confirm(here, "desk", "AAAAAAAA")
    assert teams_confirm(here, "desk", words[-1]).channel == "mailto:desk@example.org"


def test_an_alert_is_lived_through_from_its_mail_to_its_decision_and_verdict(
    context: Context, inbox: Inbox
) -> None:
    """A unit changes; the owner is written to, is silent, the deputy decides, and it works."""

    def thrive(*words: str, code: int = 0) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "thrive", *words, "--json"],
            cwd=context.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return json.loads(done.stdout or "null")

    def day(factor: float) -> None:
        frame = stream.frame(stream.day)
        stream.tell(frame, stream.serve(frame.with_columns(pl.col("a") * factor)))
        stream.day += 1
        stream.advance()
        assert thrive("tick")["problems"] == []

    def delivered(count: int) -> list[Any]:
        end = time.monotonic() + 120  # what a slow machine did not deliver is tried again
        while len(inbox.mails) < count and time.monotonic() < end:
            assert thrive("worker", "--once")["failed"] == 0
        assert len(inbox.mails) == count
        return inbox.mails

    contract = CONTRACT.replace("file:ml.txt", "mailto:ml@example.org")
    contract = contract.replace("file:data.txt", "mailto:data@example.org")
    stream = Stream(context, contract=contract)
    day(1.0)
    day(25.4)
    (alert,) = thrive("alerts", "list")
    short = alert["alert_id"][:18]
    assert (alert["cause"], alert["owner"], alert["recommended"]) == (
        "data_quality",
        "data",
        "hold",
    )
    (mail,) = delivered(1)
    assert mail["To"] == "data@example.org"
    assert [part for part in mail.walk() if part.get_content_type() == "image/svg+xml"]
    thrive("alerts", "acknowledge", short)
    thrive("alerts", "mute", short, "--until", "30h", "--reason", "the unit is being asked for")
    day(25.4)
    assert thrive("alerts", "show", short)["alert"]["owner"] == "data"  # muted: nobody is asked
    day(25.4)
    asked = thrive("alerts", "show", short)["alert"]
    assert (asked["owner"], asked["state"]) == ("ml", "open")
    later = delivered(2)[-1]
    assert later["To"] == "ml@example.org"
    assert "data did not decide" in later["Subject"]
    thrive("alerts", "decide", short, "retrain", "--reason", " ", code=2)
    made = thrive("alerts", "decide", short, "hold", "--reason", "inches became millimetres")
    assert (made["state"], made["result"]["effect"]) == (
        "done",
        "nothing moves: no release is on its way",
    )
    for _ in range(4):
        day(1.0)
    story = thrive("alerts", "show", short)
    assert story["alert"]["state"] == "closed"
    assert story["alert"]["closing"] == "hold worked: 3 clean windows"
    assert story["decisions"][0]["worked"] is True
    thrive("alerts", "judge", short, "right")
    (budget,) = thrive("alerts", "budget")
    assert (budget["right"], budget["wrong"], budget["unread"]) == (1, 0, 0)
