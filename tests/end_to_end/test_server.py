"""`thrive server` as a process: found, used, drained, refused."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager

import pytest
from tests.servers import postgresql_server, s3_server

from thrive.client.remote import connect
from thrive.domain.errors import Refused, ThriveError
from thrive.store.home import create_home

START_S = 60


@pytest.fixture
def project(tmp_path):
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    create_home(tmp_path, "test").close()
    return tmp_path


def thrive(folder, *words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "thrive", *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@contextmanager
def served(folder, *words, port=0, **environment):
    """Run `thrive server` in a folder; yields the process and what `server.json` says."""
    file = folder / ".thrive" / "server.json"
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "thrive", "server", "--port", str(port), *words],
            cwd=folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        until = time.monotonic() + START_S
        while not file.exists():
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield process, json.loads(file.read_text())
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=START_S)


def log_of(folder):
    """Return the log lines of a server; the last word of its command is not one."""
    lines = (folder / "server.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_a_server_is_found_used_and_leaves_nothing_behind(project):
    with served(project, "--no-worker") as (process, known):
        assert stat.S_IMODE((project / ".thrive" / "server.json").stat().st_mode) == 0o600
        assert known["pid"] == process.pid
        with urllib.request.urlopen(f"{known['url']}/health", timeout=10) as answer:
            assert json.load(answer)["status"] == "ok"
        made = thrive(project, "tokens", "create", "ana", "--role", "auditor", "--json")
        assert made.returncode == 0, made.stderr
        token = json.loads(made.stdout)["secret"]
        with connect(known["url"], token) as workspace:
            assert workspace.audit.list().items[0].operation == "tokens create"
            with pytest.raises(Refused, match="ana may not"):
                workspace.tokens.list()
        elsewhere = thrive(
            project.parent, "--home", known["url"], "changes", "list", "--json", THRIVE_TOKEN=token
        )
        assert [json.loads(elsewhere.stdout)["items"][1]["kind"]] == ["token"]
        second = thrive(project, "server", "--port", "0")
        assert second.returncode == 7
        assert known["url"] in second.stderr
    assert process.returncode == 0
    assert not (project / ".thrive" / "server.json").exists()
    routes = [line["route"] for line in log_of(project) if line["message"] == "request"]
    assert "/api/tokens/create" in routes, "the command line used the running server"
    assert "/api/changes/list" in routes
    assert token not in (project / "server.log").read_text()


def test_a_drain_answers_every_request_that_came(project):
    """Fault 23: SIGTERM during load fails no request that was taken."""
    with served(project, "--no-worker") as (process, known):
        answered, failed = [], []
        stop = threading.Event()

        def load():
            with connect(known["url"], known["token"]) as workspace:
                while not stop.is_set():
                    try:
                        answered.append(workspace.audit.list(limit=5))
                    except ThriveError as error:
                        # a connection that is refused after the end was never taken
                        if "does not answer" not in error.what:
                            failed.append(error)
                        return

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + START_S
        while len(answered) < 40 and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=START_S)
        stop.set()
        for thread in threads:
            thread.join()
    assert len(answered) >= 40
    assert failed == []
    log = log_of(project)
    taken = [line["status"] for line in log if line.get("route") == "/api/audit/list"]
    assert taken == [200] * len(answered), "every request that was taken was answered"
    assert log[-1]["message"] == "stopped"


def test_whoever_connects_while_a_server_stops_is_answered(project):
    """A connection that was made is never cut off without an answer; later ones are refused."""
    with served(project, "--no-worker") as (process, known):
        place = urllib.parse.urlsplit(known["url"])
        answered, cut = [], []

        def knock():
            while True:
                try:
                    caller = socket.create_connection((place.hostname, place.port), timeout=5)
                except OSError:
                    return  # nothing was sent yet: the caller knows, and asks elsewhere
                with caller:
                    try:
                        caller.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                        answered.append(caller.recv(4096)[:12])
                    except OSError as error:
                        cut.append(error)

        threads = [threading.Thread(target=knock) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=START_S)
        for thread in threads:
            thread.join()
    assert cut == []
    assert set(answered) <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}


@pytest.mark.full
def test_the_worker_beside_a_server_is_restarted_and_leaves_with_it(project):
    with served(project) as (process, known):
        first = _wait_for_child(process.pid)
        os.kill(first, signal.SIGKILL)
        until = time.monotonic() + START_S
        while (second := _wait_for_child(process.pid)) == first:
            assert time.monotonic() < until
            time.sleep(0.1)
        with urllib.request.urlopen(f"{known['url']}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert "thrive_worker_starts_total 2" in text
        assert "thrive_ticks_total" in text
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def _wait_for_child(parent):
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        found = subprocess.run(
            ["pgrep", "-P", str(parent), "-f", "thrive worker"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        if found:
            return int(found[0])
        time.sleep(0.1)
    raise AssertionError("no worker was started")


@pytest.mark.full
def test_two_servers_of_a_team_behave_as_one(tmp_path):
    """A token made at one opens the other, what one wrote the other shows, and one may leave."""
    with postgresql_server() as database, s3_server() as objects:
        words = ["--database", database.new_database(), "--objects", f"s3://{objects.bucket}/team"]
        words += ["--project", "flights", "--no-worker"]
        keys = {
            "AWS_ENDPOINT_URL": objects.endpoint,
            "AWS_ACCESS_KEY_ID": objects.access_key,
            "AWS_SECRET_ACCESS_KEY": objects.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        folders = [tmp_path / "first", tmp_path / "second"]
        for folder in folders:
            folder.mkdir()
        with (
            served(folders[0], *words, **keys) as (first, one),
            served(folders[1], *words, **keys) as (_, two),
        ):
            with connect(one["url"], one["token"]) as workspace:
                token = workspace.tokens.create("ana", role=["platform"]).secret
            with connect(two["url"], token) as workspace:
                assert [line.name for line in workspace.tokens.list()] == ["ana"]
                first.send_signal(signal.SIGTERM)
                assert first.wait(timeout=START_S) == 0
                assert workspace.tokens.revoke(token.split("_")[1]).good is False
                with pytest.raises(Refused, match="revoked"):
                    workspace.tokens.list()
