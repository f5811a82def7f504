"""Cases 34 to 37 of the attack list: requests that the server can be made to send."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.rest import ask, make_app

from thrive.domain.errors import Refused, StoreUnavailable, UsageError
from thrive.flows.public_post import checked_url, post
from thrive.store.home import create_home

INWARD = [
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/",
    "https://127.0.0.1:8000/",
    "https://localhost/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://0.0.0.0/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://10.0.0.8/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://[fd00::1]/",
    "https://[fe80::1%25eth0]/",
    "https://intranet/",
    "http://example.org/",
    "gopher://example.org/",
    "file:///etc/passwd",
    "ftp://example.org/x",
    "https://user:password@example.org/",
    "https://example.org/#/../",
    "https:///x",
    "https://example.org\r\nX: y/",
    "https://exa mple.org/",
    "https://example.org:99999/",
    "",
]


@pytest.mark.parametrize("url", INWARD)
def test_cases_34_and_37_no_address_of_our_own_network(url):
    with pytest.raises((Refused, UsageError)):
        checked_url(url)


def test_case_34_the_route_says_no_as_well(tmp_path):
    home = create_home(tmp_path, "p")
    app = make_app(home)
    body = {
        "name": "w",
        "url": "http://169.254.169.254/",
        "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
    }
    reply = ask(app, "POST", "/api/2.0/mlflow/webhooks", body=body)
    assert reply.status == 403
    assert ask(app, "GET", "/api/2.0/mlflow/webhooks").json() == {"webhooks": []}
    app.close()
    home.close()


@pytest.fixture
def inner():
    """A server of our own network, which counts who came."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append(self.path)
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/further")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port, came
    server.shutdown()
    server.server_close()


def names(monkeypatch, *answers):
    """Have every name lead to an address after the other; count the look-ups."""
    left = list(answers)

    def look_up(_host, port, **_):
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_case_36_a_name_that_leads_inward_is_refused_at_the_sending(monkeypatch, inner):
    port, came = inner
    names(monkeypatch, "127.0.0.1")
    with pytest.raises(Refused, match="own network"):
        post(f"https://rebound.example.org:{port}/", b"{}", {})
    assert came == []


def test_case_36_a_name_is_looked_up_once_and_the_checked_address_is_asked(monkeypatch, inner):
    port, came = inner
    names(monkeypatch, "93.184.215.14", "127.0.0.1")
    asked = []

    def connect(address, _timeout):
        asked.append(address)
        raise OSError("not sent in a test")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(StoreUnavailable):
        post(f"https://rebound.example.org:{port}/", b"{}", {})
    assert asked == [("93.184.215.14", port)]
    assert came == []


def test_case_36_one_inward_address_among_several_is_enough(monkeypatch):
    pairs = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443))
        for each in ("93.184.215.14", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pairs)
    with pytest.raises(Refused):
        post("https://both.example.org/", b"{}", {})


def test_case_35_a_redirect_is_not_followed(inner):
    port, came = inner
    answer = post(f"http://127.0.0.1:{port}/", b"{}", {}, private=["127.0.0.1"])
    assert answer.status == 302
    assert came == ["/"]


def test_no_proxy_of_the_environment_stands_between(monkeypatch, inner):
    port, came = inner
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert post(f"http://127.0.0.1:{port}/x", b"{}", {}, private=["127.0.0.1"]).status == 302
    assert came == ["/x"]
