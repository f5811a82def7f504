"""Duplicates, disorder, a month's delay, a clock that jumps and kill -9: the same final numbers."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from tests.streams import CONTRACT, Stream

from thrive.domain.actor import local_actor
from thrive.domain.clock import DAY
from thrive.feedback.outcomes import add_outcomes
from thrive.monitoring.alerts import raise_alerts
from thrive.monitoring.closing import close_windows
from thrive.monitoring.findings import findings_of
from thrive.operations import Context
from thrive.store import monitoring
from thrive.store.home import create_home, made, open_home

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

DAYS = 5
Numbers = list[tuple[int, int, int, dict[str, float | None], list[tuple[str, float | None]]]]


BY_COUNT = CONTRACT.replace('window = "1 day"', 'window = "150 rows within 2 days"')


def fresh(folder: Path, contract: str = CONTRACT) -> Stream:
    home = create_home(made(folder), "faults")
    context = Context(home, local_actor("tester"), operation="test")
    return Stream(context, seed=3, contract=contract)


def numbers(stream: Stream, most: int = DAYS) -> Numbers:
    """Return what the newest revision of each of the first windows says."""
    with stream.context.read() as tx:
        windows = monitoring.find_windows(tx, stream.context.project_id, "m")
    told: Numbers = []
    for window in windows[:most]:
        found = findings_of(window)
        measured = {
            name: None if item.value is None else round(item.value, 12)
            for name, item in sorted(found.performance.items())
        }
        moved = [(each.name, round(each.psi or 0.0, 12)) for each in found.columns]
        told.append((window.start, window.rows, window.outcomes, measured, moved))
    return told


def look(stream: Stream) -> None:
    close_windows(stream.context, "m")
    raise_alerts(stream.context, "m")


def days(stream: Stream) -> list[pl.DataFrame]:
    return [stream.frame(stream.day + place) for place in range(DAYS)]


def in_order(folder: Path, contract: str = CONTRACT, most: int = DAYS) -> Numbers:
    stream = fresh(folder, contract)
    for frame in days(stream):
        stream.tell(frame, stream.serve(frame))
        stream.advance()
        look(stream)
    stream.advance(31)
    look(stream)
    return numbers(stream, most)


def disturbed(folder: Path) -> Numbers:
    """Half of each day comes 30 days late and backwards; outcomes come twice and in disorder."""
    stream = fresh(folder)
    late: list[pl.DataFrame] = []
    told = []
    for frame in days(stream):
        late.append(frame.tail(200))
        early = frame.head(200)
        told += stream.outcomes(early, stream.serve(early))
        stream.advance()
        look(stream)
    stream.advance(30)
    for frame in reversed(late):
        told += stream.outcomes(frame, stream.serve(frame))
    for batch in (told[::-1], told[::3], told):
        add_outcomes(stream.context, batch)
        look(stream)
    stream.advance(1)
    look(stream)
    return numbers(stream)


def jumping(folder: Path, contract: str = CONTRACT, most: int = DAYS) -> Numbers:
    """The clock jumps over days, and stands still."""
    stream = fresh(folder, contract)
    for frame in days(stream):
        stream.tell(frame, stream.serve(frame))
    for step in (0.3, 0.0, 3.4, 0.1, 12.0, 20.5):
        stream.advance(step)
        look(stream)
        look(stream)
    return numbers(stream, most)


@pytest.mark.parametrize("way", [disturbed, jumping])
def test_disorder_ends_in_the_same_numbers(tmp_path: Path, way) -> None:
    expected = in_order(tmp_path / "calm")
    assert [row[1] for row in expected] == [400] * DAYS
    assert way(tmp_path / "disturbed") == expected


FULL = DAYS * 400 // 150
"""Windows by count that all rows of the days fill."""


def test_windows_by_count_end_in_the_same_numbers_however_the_clock_goes(tmp_path: Path) -> None:
    expected = in_order(tmp_path / "calm", BY_COUNT, FULL)
    assert [row[1] for row in expected] == [150] * FULL
    assert jumping(tmp_path / "jumping", BY_COUNT, FULL) == expected


_LOOK = """
import sys
from pathlib import Path
from thrive.domain.actor import local_actor
from thrive.flows.controller import tick
from thrive.operations import Context
from thrive.store.home import open_home
home = open_home(Path(sys.argv[1]))
print("ready", flush=True)
tick(Context(home, local_actor("tester"), operation="tick"))
"""


@pytest.mark.parametrize(("contract", "most"), [(CONTRACT, DAYS), (BY_COUNT, FULL)])
def test_a_kill_in_the_middle_of_a_window_changes_nothing(
    tmp_path: Path, contract: str, most: int
) -> None:
    expected = in_order(tmp_path / "calm", contract, most)
    stream = fresh(tmp_path / "killed", contract)
    for frame in days(stream):
        stream.tell(frame, stream.serve(frame))
    stream.advance(DAYS + 31)
    folder = stream.context.home.folder.parent
    stream.context.home.close()
    for wait in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4):
        child = subprocess.Popen(
            [sys.executable, "-c", _LOOK, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    home = open_home(folder)
    context = Context(home, local_actor("tester"), operation="test")
    stream.context = context
    look(stream)
    assert numbers(stream, most) == expected
    with context.read() as tx:
        closed = monitoring.find_windows(tx, context.project_id, "m")
        alerts = monitoring.find_alerts(tx, context.project_id)
    by_time = (context.now() - stream.start) // DAY
    assert contract != CONTRACT or len(closed) == by_time
    assert all(one.end <= other.start for one, other in pairwise(closed))
    assert len({(alert.model, alert.cause) for alert in alerts}) == len(alerts)
    home.close()
