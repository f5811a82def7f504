"""Two servers behind a balancer that sends each request to the other one: they are as one."""

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import pytest
from blake3 import blake3
from tests.end_to_end.test_server import served
from tests.fault_proxy import fault_proxy
from tests.rest import new_token
from tests.servers import postgresql_server, s3_server

from thrive.client.blobs import STREAMS
from thrive.client.wire import PART_BYTES
from thrive.data.operations import checkout
from thrive.domain.actor import local_actor
from thrive.operations import Context, find_operation, invoke
from thrive.store.home import FOLDER, connect_home

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]


class Balancer:
    """Sends one request after another, each to the server after the one before."""

    def __init__(self, urls, token):
        self._places = [url.removeprefix("http://") for url in urls]
        self._token = token
        self._turn = 0

    def ask(self, method, target, body=b"", **headers):
        place = self._places[self._turn % len(self._places)]
        self._turn += 1
        connection = http.client.HTTPConnection(place, timeout=60)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def call(self, method, target, body=b"", kind="application/json"):
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        return self.ask(method, target, body, **headers)


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    folder = tmp_path_factory.mktemp("team")
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server())
        database = stack.enter_context(postgresql_server())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
        patch.setenv("AWS_REGION", "us-east-1")
        address, objects = database.new_database(), f"s3://{s3.bucket}/team"
        home = connect_home(address, objects, "flights", folder / "own" / FOLDER, create=True)
        words = ["--database", address, "--objects", objects, "--project", "flights"]
        urls = []
        for name, worker in (("first", []), ("second", ["--no-worker"])):
            (folder / name).mkdir()
            running = served(folder / name, *words, *worker)
            urls.append(stack.enter_context(running)[1]["url"])
        context = Context(home, local_actor("t"), operation="t")
        token = new_token(context, "ana", "data-scientist")
        yield Balancer(urls, token), urls, context, token
        home.close()


def test_parts_of_one_blob_come_to_servers_in_turn(team):
    balancer, _, context, _ = team
    data = os.urandom(2 * PART_BYTES + 1000)
    name = blake3(data).hexdigest()
    for offset in range(0, len(data), PART_BYTES):
        asked = json.dumps({"digests": [name]}).encode()
        _, _, known = balancer.call("POST", "/api/blobs/missing", asked)
        assert json.loads(known) == [{"digest": name, "received": offset}]
        balancer.ask("GET", "/health")  # so that the next part goes to the other server
        target = f"/api/blobs/{name}?offset={offset}&size={len(data)}"
        part = data[offset : offset + PART_BYTES]
        status, _, said = balancer.call("PUT", target, part, "application/octet-stream")
        assert status == 200, said
        balancer.ask("GET", "/health")
    for _ in range(2):
        assert balancer.call("GET", f"/api/blobs/{name}")[2] == data
    assert context.home.blobs.get(name) == data


def test_parts_that_do_not_hash_to_their_name_leave_nothing(team):
    balancer, _, _, _ = team
    name = "a" * 64
    for offset, part in ((0, b"one"), (3, b"two")):
        target = f"/api/blobs/{name}?offset={offset}&size=6"
        status, _, _ = balancer.call("PUT", target, part, "application/octet-stream")
    assert status == 500
    asked = json.dumps({"digests": [name]}).encode()
    _, _, known = balancer.call("POST", "/api/blobs/missing", asked)
    assert json.loads(known) == [{"digest": name, "received": 0}]
    again = f"/api/blobs/{name}?offset=3&size=6"
    assert balancer.call("PUT", again, b"two", "application/octet-stream")[0] == 409


def test_a_browser_signs_in_once_for_all_servers_and_out_of_all(team):
    balancer, _, context, _ = team
    token = new_token(context, "bea", "auditor")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, headers, _ = balancer.ask("POST", "/sign-in", urlencode({"token": token}), **form)
    assert status == 303
    cookie = headers["Set-Cookie"].partition(";")[0]
    for _ in range(4):
        assert balancer.ask("GET", "/", Cookie=cookie)[0] == 200
    again = balancer.ask("POST", "/sign-in", urlencode({"token": token}), **form)
    other = again[1]["Set-Cookie"].partition(";")[0]
    assert balancer.ask("POST", "/sign-out", "", Cookie=cookie, **form)[0] == 303
    for _ in range(2):
        assert balancer.ask("GET", "/", Cookie=cookie)[0] == 303
        assert balancer.ask("GET", "/", Cookie=other)[0] == 200
    known = {"token_id": token.split("_")[1]}
    invoke(find_operation("tokens revoke"), context, known)
    for _ in range(2):
        assert balancer.ask("GET", "/", Cookie=other)[0] == 303


def test_the_token_of_one_server_signs_in_at_that_one_alone(team):
    _, urls, context, _ = team
    folder = Path(context.home.folder).parents[1]
    own = json.loads((folder / "first" / FOLDER / "server.json").read_text())["token"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    first, second = (Balancer([url], own) for url in urls)
    status, headers, _ = first.ask("POST", "/sign-in", urlencode({"token": own}), **form)
    assert status == 303
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert first.ask("GET", "/", Cookie=cookie)[0] == 200
    assert second.ask("GET", "/", Cookie=cookie)[0] == 303


FILES, FILE_BYTES = 16, 8 << 20


def adding(folder, url, token):
    words = [
        "data",
        "add",
        "large",
        "--name",
        "large",
        "--why",
        "A test's.",
        "--owner",
        "desk",
        "--json",
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "thrive", *words, "--home", url],
        cwd=folder,
        env=os.environ | {"THRIVE_TOKEN": token},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_upload_that_was_killed_twice_goes_on_at_the_other_server(team, tmp_path):
    _, urls, context, token = team
    (tmp_path / "large").mkdir()
    for number in range(FILES):
        (tmp_path / "large" / f"{number}.bin").write_bytes(os.urandom(FILE_BYTES))
    with ExitStack() as stack:
        ports = [int(url.rpartition(":")[2]) for url in urls]
        ways = [stack.enter_context(fault_proxy(port)) for port in (*ports, ports[0])]
        for way in ways[:2]:
            way.delay_s = 0.002
            process = adding(tmp_path, f"http://127.0.0.1:{way.port}", token)
            while way.passed < FILES * FILE_BYTES // 4:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
            process.communicate()
        said, _ = adding(tmp_path, f"http://127.0.0.1:{ways[2].port}", token).communicate()
        sent = [way.passed for way in ways]
    assert json.loads(said)["files"] == FILES
    on_the_way = 2 * STREAMS * PART_BYTES
    assert sum(sent) < FILES * FILE_BYTES + on_the_way + (1 << 20), sent
    scoped = Context(context.home, context.actor, folder=tmp_path, operation="t")
    checkout(scoped, "large", to=tmp_path / "out")
    for path in (tmp_path / "large").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_what_the_command_line_adds_at_one_server_is_seen_at_the_other(team, tmp_path):
    _, urls, _, token = team
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,2\n" * 100)
    adding = ["add", "rows.csv", "--name", "rows", "--why", "A test's.", "--owner", "desk"]
    for url, words in zip(urls, (adding, ["list"]), strict=True):
        said = subprocess.run(
            [sys.executable, "-m", "thrive", "data", *words, "--json", "--home", url],
            cwd=tmp_path,
            env=os.environ | {"THRIVE_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stderr
    assert '"rows"' in said.stdout
