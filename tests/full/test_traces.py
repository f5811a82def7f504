"""Traces of a real server, sent by OpenTelemetry's own library to a receiver."""

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.end_to_end.test_server import served

from thrive.domain.errors import UsageError
from thrive.server.traces import traces_from
from thrive.store.home import create_home

pytestmark = pytest.mark.full

PLACE = Path("~/.cache/thrive-bench/otel").expanduser()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def receiver():
    """Take spans as an OpenTelemetry collector does; yields its address and what came."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", came
    server.shutdown()
    server.server_close()


def test_a_request_continues_the_trace_of_its_caller_and_is_sent_before_the_end(tmp_path, receiver):
    if not PLACE.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", PLACE]
        wanted = ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"]
        subprocess.run([*command, *wanted], check=True)
    address, came = receiver
    create_home(tmp_path, "first").close()
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "PYTHONPATH": str(PLACE)}
    with served(tmp_path, "--no-worker", **told) as (_, known):
        headers = {
            "Authorization": f"Bearer {known['token']}",
            "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        }
        url = f"{known['url']}/api/jobs/list?after=secret-word"
        urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30).close()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{known['url']}/api/jobs/list", timeout=30)
    until = time.monotonic() + 30
    while not came and time.monotonic() < until:
        time.sleep(0.05)
    assert {path for path, _ in came} == {"/v1/traces"}
    sent = b"".join(body for _, body in came)
    assert bytes.fromhex(TRACE) in sent
    assert bytes.fromhex("00f067aa0ba902b7") in sent
    for word in (b"thrive-server", b"http.route", b"http.response.status_code", b"GET"):
        assert word in sent
    assert b"secret-word" not in sent
    assert known["token"].encode() not in sent


def test_traces_that_are_asked_for_without_the_library_are_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert traces_from({}) is None
    with pytest.raises(UsageError, match="OpenTelemetry is not installed"):
        traces_from({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
