"""A client that is told to come back later does, also with what it may send once only."""

import http.server
import json
import threading

import pytest

from thrive.client import transport
from thrive.client.transport import Transport
from thrive.domain.errors import Refused, StoreBusy


@pytest.fixture
def server():
    """A server that answers with what stands in `answers`: a status and a wait."""

    answers: list[tuple[int, int]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            status, wait = answers.pop(0)
            code = "StoreBusy" if wait <= 5 else "Refused"
            body = json.dumps({"error": {"code": code, "what": "Slow.", "hint": ""}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if wait:
                self.send_header("Retry-After", str(wait))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving, answers
        serving.shutdown()
        thread.join()


def test_a_client_waits_as_long_as_it_is_told_and_not_for_ever(server, monkeypatch):
    serving, answers = server
    slept: list[float] = []
    monkeypatch.setattr(transport.time, "sleep", slept.append)
    client = Transport(f"http://127.0.0.1:{serving.server_port}", "token")
    answers += [(429, 1), (429, 2), (200, 0)]
    assert client.post("/x", b"{}").status == 200
    assert [0.5 <= slept[0] <= 1, 1 <= slept[1] <= 2, len(slept)] == [True, True, 2]
    answers += [(429, 1)] * transport.PATIENCE
    with pytest.raises(StoreBusy):
        client.post("/x", b"{}")
    answers += [(429, 60)]
    with pytest.raises(Refused):  # too many wrong tokens: a minute is not waited for
        client.post("/x", b"{}")
    client.close()
