"""Versions that are past their retention go, with a tombstone; what is held stays."""

import pytest

from thrive.data.operations import add
from thrive.data.reading import find_version
from thrive.domain.clock import DAY, ClockMode, ClockState
from thrive.domain.errors import NotFound
from thrive.flows.expiring import Fate, expire
from thrive.flows.oversight import holds_lift, holds_place
from thrive.store import audit, erasures, projects

CONTRACT = """\
contract = 1

[data.riders]
source = "riders.csv"
retention = "30 days"

[data.towns]
source = "towns.csv"
"""


@pytest.fixture
def riders(context, tmp_path):
    """Two versions of riders, the second 20 days younger, and one of towns; 40 days have passed."""

    def at(day):
        with context.home.write() as tx:
            moment = ClockState(mode=ClockMode.REPLAY, replay_now=day * DAY)
            projects.set_clock(tx, context.project_id, moment)

    (tmp_path / "thrive.toml").write_text(CONTRACT)
    (tmp_path / "towns.csv").write_text("town\nRome\n")
    for day, rows in ((16_000, "Ann"), (16_020, "Ann\nBob")):
        at(day)
        (tmp_path / "riders.csv").write_text(f"rider\n{rows}\n")
        add(context, name="riders")
    add(context, name="towns")
    at(16_040)
    return context


def test_what_is_over_goes_and_is_answered_for(riders):
    old = find_version(riders, "riders@1")
    (due,) = expire(riders)
    assert (due.dataset, due.version, due.rows, due.fate) == ("riders", 1, 1, Fate.DUE)
    assert find_version(riders, "riders@1") == old
    (gone,) = expire(riders, yes=True)
    assert gone.fate is Fate.REMOVED
    with pytest.raises(NotFound):
        find_version(riders, "riders@1")
    assert find_version(riders, "riders").version == 2
    with riders.read() as tx:
        stone = erasures.tombstone(tx, riders.project_id, old.digest)
        (entry,) = audit.find(tx, riders.project_id, audit.Wanted(subject="dataset:riders@1"), 9)
    assert "kept for 30 days, until 2013-11-21" in stone.reason
    assert entry.detail["digest"] == old.digest
    assert expire(riders, yes=True) == []


def test_a_hold_keeps_what_is_over(riders):
    hold = holds_place(riders, "dataset:riders", reason="court order 17")
    (held,) = expire(riders, yes=True)
    assert held.fate is Fate.HELD
    assert "court order 17" in held.why
    assert find_version(riders, "riders@1").rows == 1
    holds_lift(riders, hold.hold_id, reason="settled")
    assert [each.fate for each in expire(riders, yes=True)] == [Fate.REMOVED]


def test_a_pin_to_what_went_says_why(riders, tmp_path):
    old = find_version(riders, "riders@1").digest
    expire(riders, yes=True)
    lock = tmp_path / "thrive.lock"
    new = find_version(riders, "riders").digest
    lock.write_text(lock.read_text().replace(new, old))
    with pytest.raises(NotFound, match=r"was erased on .* for: kept for 30 days"):
        find_version(riders, "riders")
