"""A forked process ends with whoever waits for its answer."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from thrive.store.forked import Forked, ending_with


def long_answer(_asking: int) -> bytes:
    time.sleep(0.2)
    return bytes(1 << 20)


def endless_work(asking: int) -> bytes:
    tell = ending_with(asking)
    while True:
        tell(1, 2, "a file")
        time.sleep(0.01)


def asked_and_killed(work: Callable[[int], bytes], note: Path) -> bytes:
    helper = Forked(partial(work, os.getpid()))
    note.write_text(str(helper._process))
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("work", [long_answer, endless_work])
def test_it_ends_when_whoever_asked_was_killed(work, tmp_path: Path) -> None:
    note = tmp_path / "process"
    asking = Forked(partial(asked_and_killed, work, note))
    assert asking.answer() == b""
    asking.stop()
    process, deadline = int(note.read_text()), time.monotonic() + 10
    while is_running(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(process)


def test_it_tells_on_while_somebody_waits() -> None:
    told: list[str] = []
    ending_with(os.getppid(), lambda done, of, name: told.append(f"{name} {done}/{of}"))(1, 2, "a")
    assert told == ["a 1/2"]
