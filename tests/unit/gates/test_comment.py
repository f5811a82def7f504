"""A verdict in a merge request: one comment, written over, beside a host that speaks as GitHub and
GitLab do."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from thrive.domain.errors import Refused, StoreUnavailable, UsageError
from thrive.gates.comment import ACTIONS, place_in, write_comment

TEXT = "<!-- thrive gates: delay -->\n### delay@1: pass\n"


class Host(BaseHTTPRequestHandler):
    """Comments of one merge request; a comment is changed by whoever may write at all."""

    def do_GET(self):
        address = urlsplit(self.path)
        self.asked()
        if address.path.endswith("/user"):
            return self.answer(200, self.server.me) if self.server.me else self.answer(403, {})
        assert address.path in (self.server.comments, f"/api{self.server.comments}")
        query = parse_qs(address.query)
        page, size = int(query["page"][0]), int(query["per_page"][0])
        return self.answer(200, self.server.kept[(page - 1) * size : page * size])

    def do_POST(self):
        self.asked()
        if self.server.status != 201:
            return self.answer(self.server.status, {})
        assert self.path == self.server.comments
        made = {"id": 1000 + len(self.server.kept), **self.server.author, **self.sent()}
        self.server.kept.append(made)
        return self.answer(201, {**made, "html_url": f"https://github.com/c/{made['id']}"})

    def changed(self):
        self.asked()
        base, _, number = self.path.rpartition("/")
        assert base == self.server.one
        known = next(each for each in self.server.kept if each["id"] == int(number))
        known.update(self.sent())
        return self.answer(200, known)

    do_PATCH = do_PUT = changed  # noqa: N815 - names of the library

    def asked(self):
        self.server.asked.append((self.command, dict(self.headers)))

    def sent(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://elsewhere.example/")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def host():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.me, server.kept, server.asked, server.status = None, [], [], 201
    server.comments = "/repos/flights-ml/delay/issues/7/comments"
    server.one = "/repos/flights-ml/delay/issues/comments"
    server.author = {"user": {"login": ACTIONS}}
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def github(host, **changes):
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_TOKEN": "t0ken",
        "GITHUB_REPOSITORY": "flights-ml/delay",
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_API_URL": f"http://127.0.0.1:{host.server_port}",
    }
    return {**variables, **changes}


def test_a_second_run_writes_over_the_first_and_over_nobody_else(host):
    forged = {"id": 5, "user": {"login": "stranger"}, "body": TEXT}
    talk = [{"id": 10 + at, "user": {"login": ACTIONS}, "body": "hello"} for at in range(150)]
    host.kept = [forged, *talk]
    place = place_in(github(host))
    first = write_comment(place, TEXT, "pass")
    assert (first.again, first.address) == (False, f"https://github.com/c/{first.comment}")
    second = write_comment(place, TEXT.replace("pass", "fail"), "fail")
    assert (second.again, second.comment, second.exit_code) == (True, first.comment, 0)
    assert host.kept[0] == forged
    assert len(host.kept) == 152
    assert host.kept[-1]["body"].endswith("delay@1: fail\n")
    other = write_comment(place, TEXT.replace("gates: delay", "gates: other"), "pass")
    assert not other.again
    assert {headers["Authorization"] for _, headers in host.asked} == {"Bearer t0ken"}


def test_gitlab_is_spoken_to_in_its_own_way(host):
    host.me, host.author = {"username": "bot"}, {"author": {"username": "bot"}}
    host.comments = host.one = "/api/v4/projects/3/merge_requests/9/notes"
    place = place_in(
        {
            "GITLAB_CI": "true",
            "GITLAB_TOKEN": "t0ken",
            "CI_API_V4_URL": f"http://localhost:{host.server_port}/api/v4",
            "CI_PROJECT_ID": "3",
            "CI_MERGE_REQUEST_IID": "9",
        }
    )
    first, second = (write_comment(place, TEXT, "pass") for _ in range(2))
    assert (first.again, second.again, second.comment) == (False, True, first.comment)
    assert [method for method, _ in host.asked] == ["GET", "GET", "POST", "GET", "GET", "PUT"]
    assert {headers["Private-Token"] for _, headers in host.asked} == {"t0ken"}


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [(403, Refused, "403"), (302, Refused, "302"), (502, StoreUnavailable, "502")],
)
def test_what_the_host_refuses_is_told_and_no_redirect_is_followed(host, status, error, words):
    host.status = status
    with pytest.raises(error, match=words) as told:
        write_comment(place_in(github(host)), TEXT, "pass")
    assert "t0ken" not in str(told.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"GITHUB_ACTIONS": ""}, "no job of"),
        ({"GITHUB_TOKEN": ""}, "no token"),
        ({"GITHUB_REF": "refs/heads/main"}, "not of a pull request"),
        ({"GITHUB_API_URL": "http://api.example.org"}, "not https"),
        ({"GITHUB_API_URL": "http://localhost.example.org/"}, "not https"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_sent(host, change, words):
    with pytest.raises(UsageError, match=words):
        place_in(github(host, **change))
    with pytest.raises(UsageError, match="no token"):
        place_in({"GITLAB_CI": "true"})
    assert host.asked == []
