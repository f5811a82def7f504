"""What an agent follows while a package is slow to arrive, and a worker that says nothing more."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time

import pytest
from tests.serving_home import constant_package

from thrive.domain.release import Variant
from thrive.serving import prestart, serve, workers
from thrive.serving.agent import Agent, AgentOptions
from thrive.serving.counters import WorkerState, write_state
from thrive.serving.limits import Limits, WorkerSettings
from thrive.serving.routes import Routes, ServedModel, read_routes
from thrive.serving.workers import WorkerPool

PATIENCE_S = 60.0


def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class SlowPlane:
    """A control plane behind a line on which one package takes its time."""

    def __init__(self, *packages, slow: str) -> None:
        self.slow = {slow}
        self.blobs = {}
        for each in packages:
            self.blobs[each.digest] = each.manifest.to_bytes()
            for name, entry in each.manifest.files.items():
                self.blobs[entry.digest] = each.files[name]
        self.told: list[Routes] = []
        self.fetching, self.let_go = threading.Event(), threading.Event()

    def routing(self, wait_s):
        return self.told.pop(0) if self.told else None

    def fetch(self, digest):
        if digest in self.slow:
            self.fetching.set()
            assert self.let_go.wait(PATIENCE_S)
        return self.blobs[digest]

    def worker_numbers(self, log_id, count):
        return list(range(count))

    def ship(self):
        return 0

    def heartbeat(self, host):
        pass


class NoCrew:
    def pids(self):
        return {}

    def keep(self):
        pass

    def stop(self):
        pass


def routes(**models: tuple[int, Variant]) -> Routes:
    return Routes(
        project="flights",
        models={
            name: ServedModel(model=name, revision=revision, variants=[variant])
            for name, (revision, variant) in models.items()
        },
    )


def test_a_package_that_is_slow_to_arrive_holds_up_no_rollback_of_another_model(tmp_path):
    cache, log = tmp_path / "cache", tmp_path / "log"
    cache.mkdir()
    log.mkdir()
    small, large = constant_package(0.1), constant_package(0.9)
    plane = SlowPlane(small, large, slow=large.digest)
    good = Variant(version=1, package=small.digest, share=1.0)
    slow = Variant(version=2, package=large.digest, share=1.0)
    plane.told.append(routes(a=(1, good), b=(1, good)))
    agent = Agent(plane, cache, log, AgentOptions())
    stop = threading.Event()
    running = threading.Thread(
        target=agent.run_beside, args=(stop, print, "http://127.0.0.1:1", lambda _: NoCrew())
    )
    running.start()

    def revisions():
        with contextlib.suppress(FileNotFoundError):
            return {name: each.revision for name, each in read_routes(cache).models.items()}
        return {}

    try:
        until(lambda: revisions() == {"a": 1, "b": 1})
        plane.told.append(routes(a=(2, slow), b=(1, good)))
        assert plane.fetching.wait(PATIENCE_S)
        plane.told.append(routes(a=(2, slow), b=(2, good)))
        until(lambda: revisions() == {"a": 1, "b": 2})
        plane.let_go.set()
        until(lambda: revisions() == {"a": 2, "b": 2})
    finally:
        plane.let_go.set()
        stop.set()
        running.join()


def test_a_signal_is_heard_in_the_midst_of_a_wait():
    stop = threading.Event()
    with serve._stopped_by_signals(stop):
        with stop._cond:  # the main thread holds it at times while it waits
            signal.raise_signal(signal.SIGTERM)
        assert stop.wait(PATIENCE_S)


SPEAKS_ONCE = """
import sys, time, msgspec
from pathlib import Path
from thrive.serving.counters import WorkerState, write_state
from thrive.serving.limits import WorkerSettings
settings = msgspec.json.decode(sys.argv[1], type=WorkerSettings)
write_state(Path(settings.cache), WorkerState(worker=settings.worker))
sum(range(1 << 62))
"""


def test_a_worker_that_its_model_holds_for_ever_is_started_again(tmp_path, monkeypatch):
    monkeypatch.setattr(prestart, "PROGRAM", (sys.executable, "-c", SPEAKS_ONCE))
    monkeypatch.setattr(workers, "STUCK_S", 0.2)
    write_state(tmp_path, WorkerState(worker=0))  # of one before
    with socket.socket() as listening:
        pool = WorkerPool(listening, [0], tmp_path, tmp_path / "log", Limits())
        pool.keep()
        first = pool.pids()[0]

        def is_another():
            pool.keep()
            return pool.pids().get(0, first) != first

        try:
            until(is_another)
        finally:
            for pid in pool.pids().values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            pool.stop()
    assert pool.restarts == 1


def test_a_worker_that_was_started_too_early_is_left_to_nobody(tmp_path):
    settings = WorkerSettings(worker=0, socket=0, cache=str(tmp_path), log="", limits=Limits())
    with prestart.begun():
        pass  # words that were wrong
    with socket.socket() as listening:
        assert prestart.take(settings, listening) is None


@pytest.mark.parametrize("ending", ["agent", "signal"])
def test_a_worker_that_waits_for_its_first_routes_leaves_when_told(tmp_path, ending):
    (tmp_path / "log").mkdir()
    with socket.socket() as listening:
        pool = WorkerPool(listening, [0], tmp_path, tmp_path / "log", Limits())
        pool.keep()
        process = pool._slots[0].process
        assert process is not None
        assert process.stdin is not None
        with process:
            until(lambda: (tmp_path / "log" / "0000.worker").exists())
            if ending == "signal":
                process.terminate()
            else:
                process.stdin.close()
            process.wait(PATIENCE_S)


@pytest.mark.parametrize("spoke", [False, True])
def test_a_worker_that_loads_and_one_that_speaks_are_left_alone(spoke):
    slot = workers._Slot(0)
    slot.hear(1 if spoke else None, 0.0)
    for second in range(100):
        slot.hear(second if spoke else None, 1.0)
        assert slot.silent == 0.0
