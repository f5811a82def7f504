"""The asking side of a worker, with programs that misbehave; a team's own checks."""

import time

import pytest

from thrive.domain.gate import Answer, CheckResult
from thrive.gates import own, process
from thrive.gates.process import Worker, WorkerFailed

HELLO = (
    "import socket, sys; from thrive.engines import wire; "
    "link = socket.socket(fileno=int(sys.argv[1])); wire.receive(link); "
)


def program(monkeypatch, code):
    monkeypatch.setattr(process, "PROGRAM", ("-c", code))


def test_a_worker_that_hangs_is_killed_at_its_time_limit(monkeypatch, tmp_path):
    program(monkeypatch, "import time; time.sleep(600)")
    started = time.monotonic()
    with Worker("version 3", tmp_path / "log") as worker:
        with pytest.raises(WorkerFailed, match=r"version 3 gave no answer within 0.3 s"):
            worker.ask("load", 0.3)
        with pytest.raises(WorkerFailed):
            worker.ask("load", 0.3)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("sys.exit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        (
            "wire.send(link, {'body': {}, 'error': 'ValueError: no'}); wire.receive(link)",
            "version 3: ValueError: no",
        ),
    ],
)
def test_how_a_worker_failed_is_told(monkeypatch, tmp_path, ending, words):
    program(monkeypatch, HELLO + ending)
    with (
        Worker("version 3", tmp_path / "log") as worker,
        pytest.raises(WorkerFailed, match=words),
    ):
        worker.ask("predict", 30.0)


class Point:
    def __init__(self, name, check):
        self.name = name
        self._check = check

    def __lt__(self, other):
        return self.name < other.name

    def load(self):
        return self._check


def test_own_checks_are_asked_and_one_that_raises_cannot_tell(monkeypatch):
    fine = CheckResult(check="cost", group="own", answer=Answer.PASS, summary="Cheap.")

    def broken(case):
        raise ValueError(f"no rows in {case}")

    points = [Point("fair", broken), Point("cost", lambda case: fine)]
    monkeypatch.setattr(own, "entry_points", lambda group: points)
    first, second = own.own_checks("this case")
    assert first is fine
    assert (second.check, second.answer) == ("fair", Answer.CANNOT_TELL)
    assert "no rows in this case" in second.summary
