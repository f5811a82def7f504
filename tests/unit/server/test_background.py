import signal
import sys
import threading
import time

from thrive.domain.errors import StoreBusy
from thrive.server.background import Background, Child, Errands, Ticker


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

    ticker = Ticker(lambda: [("one", tick)], every=0.01)
    background = Background(ticker)
    background.start()
    wait_for(lambda: ticker.done >= 3)
    background.stop()
    counted = background.counters()
    assert counted["thrive_tick_failures_total"] == 2
    assert counted["thrive_ticks_total"] == ticker.done
    assert not any(thread.name == "Ticker" for thread in threading.enumerate())


def test_a_tick_that_takes_long_holds_up_no_other():
    release = threading.Event()
    calls = []
    ticks = [("slow", release.wait), ("quick", lambda: calls.append(1))]
    ticker = Ticker(lambda: ticks, every=0.01)
    background = Background(ticker)
    background.start()
    wait_for(lambda: len(calls) >= 3)
    release.set()
    background.stop()
    assert background.counters()["thrive_ticks_total"] > len(calls)


def test_ticks_that_cannot_be_listed_are_a_failure():
    def ticks():
        raise StoreBusy("held")

    ticker = Ticker(ticks, every=0.01)
    background = Background(ticker)
    background.start()
    wait_for(lambda: ticker.failed >= 2)
    background.stop()


def test_errands_run_side_by_side_and_again_after_a_pause(tmp_path):
    program = """
import pathlib, sys, time
place = pathlib.Path(sys.argv[1])
place.with_suffix(".began").touch()
sys.exit(3) if place.name == "bad" else time.sleep(60) if place.name == "long" else None
"""
    wanted = ["bad", "good", "long"]
    errands = Errands(
        lambda: wanted,
        lambda place: [sys.executable, "-c", program, str(tmp_path / place)],
        at_once=2,
        every=0.02,
    )
    background = Background(workers=[errands])
    background.start()
    wait_for(lambda: all((tmp_path / f"{each}.began").exists() for each in wanted))
    wanted[:] = ["bad"]
    (tmp_path / "bad.began").unlink(missing_ok=True)
    wait_for((tmp_path / "bad.began").exists)
    background.stop()
    started = background.counters()["thrive_worker_starts_total"]
    assert 4 <= started < 100, "one that fails is not started again at once"


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
    background = Background(workers=[child])
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
