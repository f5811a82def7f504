import signal
import sys
import threading
import time

from thrive.domain.errors import StoreBusy
from thrive.server.background import Background, Child, Ticker


def wait_for(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_a_tick_that_fails_is_tried_again():
    failures = [StoreBusy("held"), RuntimeError("unforeseen")]

    def tick():
        if failures:
            raise failures.pop()

    ticker = Ticker(tick, every=0.01)
    background = Background(ticker)
    background.start()
    wait_for(lambda: ticker.done >= 3)
    background.stop()
    counted = background.counters()
    assert counted["thrive_tick_failures_total"] == 2
    assert counted["thrive_ticks_total"] == ticker.done
    assert not any(thread.name == "Ticker" for thread in threading.enumerate())


def test_a_child_that_dies_is_started_again_and_leaves_when_told(tmp_path):
    program = f"""
import pathlib, signal, sys, time
def leave(*_):
    pathlib.Path({str(tmp_path / "left")!r}).touch()
    sys.exit(0)
signal.signal(signal.SIGINT, leave)
pathlib.Path({str(tmp_path / "ready")!r}).touch()
time.sleep(60)
"""
    child = Child([sys.executable, "-c", program])
    background = Background(child=child)
    background.start()
    wait_for((tmp_path / "ready").exists)
    first = child.process
    (tmp_path / "ready").unlink()
    first.send_signal(signal.SIGKILL)
    wait_for((tmp_path / "ready").exists)
    assert child.process.pid != first.pid
    background.stop()
    assert (tmp_path / "left").exists()
    assert child.process.poll() == 0
    assert background.counters() == {"thrive_worker_starts_total": 2}


def test_a_background_with_nothing_stops_at_once():
    background = Background()
    background.start()
    background.stop()
    assert background.counters() == {}
