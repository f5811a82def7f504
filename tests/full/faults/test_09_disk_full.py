"""Fault 9: the disk of a serving host, or of the server, is full; answers go on."""

import contextlib
import json
import os
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from tests.callers import calling, check_exactly_once, eventually, stored
from tests.end_to_end.test_server import served
from tests.full.faults.conftest import House
from tests.full.faults.test_22_database_and_network import status
from tests.serving_home import RemoteHost, make_home

from thrive.store import audit, tokens

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]


@pytest.fixture
def small(tmp_path):
    """A disk of 40 megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take every byte that is left, also what is given back meanwhile."""
    filling = folder / "filling"
    with filling.open("ab", buffering=0) as handle:
        for size in (1 << 20, 4096, 64):
            with contextlib.suppress(OSError):
                while True:
                    handle.write(bytes(size))
    return filling


def ask(known, method, path, body=None, kind="application/json"):
    """Return the status of one request."""
    asked = urllib.request.Request(known["url"] + path, body, method=method)
    asked.add_header("Authorization", f"Bearer {known['token']}")
    asked.add_header("Content-Type", kind)
    return status(asked)


def writes(known):
    """Try a state change and a blob; return both statuses."""
    name = json.dumps({"name": f"n{time.time_ns()}", "role": ["auditor"]}).encode()
    blob = msgspec.msgpack.encode([os.urandom(5000)])
    return (
        ask(known, "POST", "/api/tokens/create", name),
        ask(known, "PUT", "/api/blobs/small", blob, "application/octet-stream"),
    )


def reads(known):
    paths = ["/api/jobs/list", "/api/models/list", "/", "/ready", "/health", "/metrics"]
    return {ask(known, "GET", path) for path in paths}


def test_09_a_host_with_a_full_disk_answers_on_and_ships_again(house, small):
    """Its segment has room, its folder has not; a host without a segment counts what it drops."""
    with ExitStack() as stack:
        _, known = stack.enter_context(served(house.folder, *house.words))
        host = stack.enter_context(RemoteHost(small / "edge", known["url"], house.token))
        with calling(host) as seen:
            eventually(lambda: len(seen.ids) > 50)
            filling = fill(small)
            answered = len(seen.ids)
            eventually(lambda: bool(fill(small)) and len(seen.ids) > answered + 200, 60)
            filling.unlink()
            host.wait_for_revision(house.switch())
        assert seen.failures == []
        lost = host.ask("/health")[1]["counters"]["dropped"]
        host.stop()
        missing = set(seen.ids) - set(stored(house.home))
        assert len(missing) <= lost, "what is not there was counted"


def test_09_a_server_with_a_full_disk_reads_refuses_and_writes_again(tmp_path, small):
    """The home is on the full disk: nothing is half-written, and all arrives when there is room."""
    house = House(make_home(small / "home"), small / "home", ["--no-worker"])
    (house.folder / "thrive.toml").write_text("contract = 1\n")
    with ExitStack() as stack:
        _, known = stack.enter_context(served(house.folder, *house.words))
        host = stack.enter_context(RemoteHost(tmp_path / "edge", known["url"], house.token))
        with calling(host) as seen:
            eventually(lambda: len(seen.ids) > 50)
            assert writes(known) == (200, 200)
            filling = fill(small)
            answered, refused = len(seen.ids), []
            while len(refused) < 40 or len(seen.ids) < answered + 200:
                fill(small)
                refused.append(writes(known))
                assert reads(known) == {200}
            assert (507, 507) in refused
            assert {code for both in refused for code in both} <= {200, 507}
            filling.unlink()
            assert writes(known) == (200, 200)
            host.wait_for_revision(house.switch())
        assert seen.failures == []
        host.stop()
        check_exactly_once(house.home, seen.ids)
    assert house.home.database.quick_check() == ""
    with house.home.read() as tx:
        assert audit.first_broken(tx, house.home.project_id) is None
        taken = [token.name for token in tokens.every(tx, house.home.project_id)]
    good = 2 + sum(status == 200 for status, _ in refused)
    assert len(taken) - 1 == good, "what was refused is not there, what was taken is"
    house.home.close()
