"""A rollback while several hosts answer: how long until none of them answers by the bad version."""

import http.client
import json
import threading
import time
from contextlib import ExitStack

import pytest
from tests.end_to_end.test_server import served
from tests.rest import new_token
from tests.serving_home import (
    MODEL,
    RemoteHost,
    Server,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)

from thrive.domain.actor import local_actor
from thrive.flows.traffic import roll_back
from thrive.operations import Context

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

BODY = json.dumps({"origin": "EWR", "wind": 1.5, "flight_id": "f1"})
EFFECTIVE_S = 2.0


class Caller:
    """Asks one host without a pause; keeps when each version answered last, and what failed."""

    def __init__(self, port: int) -> None:
        self.last: dict[int, float] = {}
        self.failed: list[int] = []
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.is_set():
            line.request("POST", f"/predict/{MODEL}", BODY, {"Content-Type": "application/json"})
            answer = line.getresponse()
            said = json.loads(answer.read())
            if answer.status == 200:
                self.last[said["version"]] = time.monotonic()
            else:
                self.failed.append(answer.status)
            time.sleep(0.002)
        line.close()

    def wait_for(self, version: int, since: float) -> None:
        until = time.monotonic() + 60
        while self.last.get(version, 0.0) <= since:
            assert time.monotonic() < until
            time.sleep(0.001)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_a_rollback_is_effective_within_two_seconds_on_every_server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    home = make_home(folder)
    (folder / "thrive.toml").write_text("contract = 1\n")
    good, bad = (add_version(home, constant_package(value)) for value in (0.3, 0.9))
    route(home, live(good))
    ctx = Context(home, local_actor("grace"), folder=folder, operation="releases rollback")
    token = new_token(ctx, "edge", "serve")
    took: list[float] = []
    with ExitStack() as stack:
        _, known = stack.enter_context(served(folder, "--no-worker"))
        hosts = [stack.enter_context(Server(folder, workers=2))]
        hosts += [
            stack.enter_context(RemoteHost(tmp_path / name, known["url"], token))
            for name in ("edge-1", "edge-2")
        ]
        callers = [Caller(host.port) for host in hosts]
        for each in callers:
            stack.callback(each.stop)
        for _ in range(5):
            moved, began = route(home, live(bad)), time.monotonic()
            for host, caller in zip(hosts, callers, strict=True):
                host.wait_for_revision(moved)
                caller.wait_for(bad.version, began)
            began = time.monotonic()
            table = roll_back(ctx, MODEL, "the desk reports wrong warnings")
            for host, caller in zip(hosts, callers, strict=True):
                host.wait_for_revision(table.revision)
                caller.wait_for(good.version, time.monotonic())
            took.append(max(caller.last[bad.version] for caller in callers) - began)
    home.close()
    print("rollback on 3 hosts, seconds:", " ".join(f"{each:.2f}" for each in sorted(took)))
    assert all(not caller.failed for caller in callers)
    assert sorted(took)[len(took) // 2] <= EFFECTIVE_S
