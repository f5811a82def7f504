"""The speed gate on this machine, in fresh worker processes, with a busy neighbour beside them.

Each trial starts two workers as a gate run does and lets them answer with a known amount of work:
the same for both, or 15 % more for the candidate. The limit is 1.10. A process that computes
without pause stands beside them, so that the machine is never quiet.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest

from thrive.domain.gate import Answer
from thrive.gates import process
from thrive.gates.process import LOAD_S, Worker
from thrive.gates.speed import compare_speed

pytestmark = pytest.mark.full

TRIALS = 40
MOST_ALARMS = 6
"""The 99 % binomial bound of a nominal 5 %: P(more than 6 of 40) = 0.3 %."""
LEAST_FOUND = 38
"""95 % of 40."""
LIMIT = 1.10

PROGRAM = """
import numpy as np
from thrive.gates import worker

class Work:
    def __init__(self, rounds):
        self.rounds = rounds
    def predict(self, columns):
        values = np.concatenate([columns["x"]] * 64)
        for _ in range(self.rounds):
            np.sin(values).sum()
        return columns["x"]

class Session(worker.Session):
    def load(self, folder, digest, name):
        self._predictor = Work(int(name))
        self._columns = {"x": np.linspace(0.0, 1.0, 1024)}
        return {}

worker.Session = Session
worker.main()
"""


@pytest.fixture
def neighbour():
    """A process that keeps a processor busy while the workers are timed."""
    busy = "import numpy as np\na = np.ones((200, 200))\nwhile True: a @ a"
    with subprocess.Popen([sys.executable, "-c", busy]) as running:
        yield running
        running.kill()


def judged(tmp_path, candidate, rival):
    """Return the answer of one whole comparison in two fresh processes."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(who, tmp_path / who)) for who in ("own", "other")]
        for worker, rounds in zip(workers, (candidate, rival), strict=True):
            worker.ask("load", LOAD_S, folder="", digest="", name=str(rounds))
        return compare_speed(workers[0], workers[1], "production", LIMIT)


def trials(tmp_path, monkeypatch, candidate, rival):
    monkeypatch.setattr(process, "PROGRAM", ("-c", PROGRAM))
    return [judged(tmp_path, candidate, rival) for _ in range(TRIALS)]


def count(found, answer):
    return sum(one.answer is answer for one in found)


@pytest.mark.usefixtures("neighbour")
def test_an_equal_candidate_sets_off_no_alarm_beside_a_busy_process(tmp_path, monkeypatch):
    found = trials(tmp_path, monkeypatch, 100, 100)
    print("equal: fail", count(found, Answer.FAIL), "pass", count(found, Answer.PASS))
    assert count(found, Answer.FAIL) <= MOST_ALARMS
    assert count(found, Answer.PASS) >= TRIALS // 2


@pytest.mark.usefixtures("neighbour")
def test_a_slowdown_of_15_percent_is_found_beside_a_busy_process(tmp_path, monkeypatch):
    found = trials(tmp_path, monkeypatch, 115, 100)
    print("15 % slower: fail", count(found, Answer.FAIL))
    assert count(found, Answer.FAIL) >= LEAST_FOUND


def test_a_worker_that_was_stopped_for_longer_than_its_limit_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "PROGRAM", ("-c", PROGRAM))
    with Worker("version 3", tmp_path / "log") as worker:
        worker.ask("load", LOAD_S, folder="", digest="", name="10")
        pid = worker._process.pid
        os.kill(pid, signal.SIGSTOP)
        goes_on = threading.Timer(8.0, os.kill, (pid, signal.SIGCONT))
        goes_on.start()
        answer = worker.ask("time", 5.0, rows=1, calls=2)
        goes_on.join()
    assert len(answer["nanoseconds"]) == 2
