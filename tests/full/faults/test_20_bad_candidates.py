"""Faults 20 and 21: a candidate that hangs, beside production and in front of callers.

The candidate is a real one in its own process, and hangs because it is stopped (SIGSTOP) as often
as its host starts it again.
"""

import os
import random
import signal
import statistics
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.callers import FOREVER, eventually
from tests.serving_home import MODEL, Server, add_version, constant_package, live, route

from thrive.domain.actor import local_actor
from thrive.domain.clock import HOUR, machine_now
from thrive.domain.identifiers import new_id
from thrive.domain.release import Phase, PhaseKind, Release, ReleaseState
from thrive.flows.controller import tick
from thrive.operations import Context
from thrive.serving.shadowing import SHADOW_DEADLINE_S
from thrive.store import releases
from thrive.store.prediction_frames import predictions_between

pytestmark = pytest.mark.full
REQUESTS = 300
SHARE = 0.2


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in task.read_text().split()]
        except OSError:
            continue  # it ended meanwhile
        for child in children:
            found += [child, *descendants(child)]
    return found


def candidates_of(host: Server) -> list[int]:
    def is_candidate(pid: int) -> bool:
        try:
            return b"thrive.serving.candidate" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    return [pid for pid in descendants(host.process.pid) if is_candidate(pid)]


@contextmanager
def hanging(host: Server):
    """Stop every candidate of a host, and each that it starts instead."""
    over = threading.Event()

    def stop() -> None:
        while not over.is_set():
            for pid in candidates_of(host):
                try:
                    os.kill(pid, signal.SIGSTOP)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for pid in candidates_of(host):
            os.kill(pid, signal.SIGCONT)


def ask(host: Server, count: int):
    """Return the answers to requests one after the other, and the seconds each took."""
    answers, seconds = [], []
    for number in range(count):
        began = time.perf_counter()
        row = {"origin": "EWR", "wind": 1.5, "flight_id": f"f{random.random()}-{number}"}
        answers.append(host.predict([row])["predictions"][0])
        seconds.append(time.perf_counter() - began)
    return answers, seconds


def test_20_a_shadow_that_hangs_costs_callers_nothing(house):
    home = house.home
    shadow = add_version(home, constant_package(0.1))
    revision = route(home, live(house.first), live(shadow, shadow=True))
    with Server(house.folder) as host:
        host.wait_for_revision(revision)
        eventually(lambda: candidates_of(host))
        ask(host, REQUESTS)
        before, usual = ask(host, REQUESTS)
        with hanging(host):
            during, hung = ask(host, REQUESTS)
            late = time.monotonic() + SHADOW_DEADLINE_S + 1
            more = 0
            while time.monotonic() < late:
                more += len(ask(host, 10)[0])
        host.stop()
    print(quantiles("usual", usual), quantiles("hung", hung))
    told = [{k: v for k, v in each.items() if k != "id"} for each in before + during]
    assert all(each == told[0] for each in told)
    assert statistics.median(hung) < 2 * statistics.median(usual) + 0.005
    tick(Context(home, local_actor("t"), folder=house.folder, operation="tick"))
    logged = predictions_between(home, 0, FOREVER, MODEL)
    errors = set(logged.filter(logged["version"] == shadow.version)["error"])
    assert errors & {"timeout", "not running"}, errors
    production = logged.filter(logged["version"] == house.first.version)
    assert production.height == 3 * REQUESTS + more
    assert set(production["error"]) == {""}


def scores(asked):
    return {each["score"] for each in asked[0]}


def quantiles(name, seconds):
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    return f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def test_21_a_canary_that_hangs_is_rolled_back_and_few_callers_meet_it(house):
    home = house.home
    canary = add_version(home, constant_package(0.1))
    live_now = [live(house.first, 1 - SHARE), live(canary, SHARE)]
    begun = machine_now()
    release = Release(
        release_id=new_id(),
        model=MODEL,
        candidate=canary.version,
        production=house.first.version,
        phases=[
            Phase(kind=PhaseKind.CANARY, share=SHARE, bake=HOUR),
            Phase(kind=PhaseKind.FULL, share=1.0, bake=0),
        ],
        position=0,
        state=ReleaseState.RUNNING,
        phase_started_at=begun,
        started_at=begun,
        actor="ada",
        verdict="",
        contract=canary.contract,
    )
    with home.write() as tx:
        releases.save(tx, home.project_id, release)
    revision = route(home, *live_now)
    ctx = Context(home, local_actor("t"), folder=house.folder, operation="tick")
    with Server(house.folder) as host:
        host.wait_for_revision(revision)
        eventually(lambda: 0.1 in scores(ask(host, 20)))
        with hanging(host):
            began = time.monotonic()
            asked = 0
            while state_of(home, release) is ReleaseState.RUNNING:
                assert time.monotonic() < began + 120
                asked += len(ask(host, 20)[0])
                tick(ctx)
            with home.read() as tx:
                table = releases.current_routing(tx, home.project_id, MODEL)
            assert table is not None
            host.wait_for_revision(table.revision)
            took = time.monotonic() - began
        assert scores(ask(host, REQUESTS)) == {0.7}
        host.stop()
    assert state_of(home, release) is ReleaseState.ROLLED_BACK
    assert [(each.version, each.share) for each in table.variants] == [(1, 1.0)]
    logged = predictions_between(home, begun, FOREVER, MODEL)
    failed = logged.filter((logged["version"] == canary.version) & (logged["error"] != ""))
    print(f"rolled back after {took:.1f} s, {asked} requests, {failed.height} met the canary")
    assert 0 < failed.height < 2 * SHARE * asked + 10


def state_of(home, release):
    with home.read() as tx:
        return releases.get(tx, home.project_id, release.release_id).state
