"""Sources are read again by hand and by the tick; what did not change makes no version."""

import pytest

from thrive.data.operations import add, log
from thrive.data.refreshing import queue_refreshes, refresh
from thrive.domain.clock import ClockMode, ClockState
from thrive.domain.errors import NotFound, UsageError
from thrive.flows.worker import worker
from thrive.store import column_labels, projects
from thrive.store.pins import read_lock


def later(ctx, days: int) -> None:
    moment = ctx.now() + days * 86_400_000_000
    with ctx.home.write() as tx:
        projects.set_clock(tx, ctx.project_id, ClockState(mode=ClockMode.REPLAY, replay_now=moment))


def test_only_what_changed_makes_a_version(project, added, write):
    [same] = refresh(project)
    assert (same.version, same.is_new, same.what) == (1, False, "the content is the same")
    write("1,ann,10.5,2024-01-01T08:00:00Z", "4,dan,3,2024-01-03T08:00:00Z")
    [changed] = refresh(project, "trips")
    assert (changed.version, changed.is_new, changed.trainable) == (2, True, True)
    assert len(log(project, "trips")) == 2


def test_the_lock_stays_where_a_check_failed(project, added, write):
    write("1,ann,500,2024-01-01T08:00:00Z")
    [failed] = refresh(project)
    assert failed.trainable is False
    assert failed.what.endswith(": 1 row lies outside")
    assert read_lock(project.local_folder())["trips"] == added.digest


def test_what_cannot_be_read_is_remembered(project, added, tmp_path):
    (tmp_path / "trips.csv").unlink()
    with pytest.raises(NotFound, match=r"trips\.csv"):
        refresh(project)
    with project.read() as tx:
        state = column_labels.find_source(tx, project.project_id, "trips")
    assert "trips.csv" in state.problem
    with pytest.raises(NotFound, match="No source of 'nothing'"):
        refresh(project, "nothing")


def test_a_source_that_tells_of_changes_is_not_read_for_nothing(project, tmp_path, monkeypatch):
    import polars as pl

    from thrive.store.sources.delta import write as write_delta

    write_delta(pl.DataFrame({"a": [1, 2]}), tmp_path / "lake", "first")
    first = add(project, "lake", name="lake")
    assert log(project, "lake")[0].source == "delta:lake@0"
    with monkeypatch.context() as patched:
        patched.setattr("thrive.data.refreshing.add_version", None)
        [same] = refresh(project, "lake")
    assert (same.version, same.what) == (first.version, "the source says that nothing changed")
    write_delta(pl.DataFrame({"a": [1, 2, 3]}), tmp_path / "lake", "second")
    [changed] = refresh(project, "lake")
    assert (changed.version, changed.is_new) == (2, True)
    assert log(project, "lake")[0].source == "delta:lake@1"


def test_what_came_from_memory_has_no_source(project, tmp_path, monkeypatch):
    import polars as pl

    import thrive

    monkeypatch.chdir(tmp_path)
    thrive.data.add(pl.DataFrame({"a": [1]}), name="m")
    with pytest.raises(UsageError, match="added from memory"):
        refresh(project, "m")


def test_the_tick_reads_as_often_as_the_contract_says(project, added, tmp_path, write):
    contract = tmp_path / "thrive.toml"
    assert queue_refreshes(project) == []
    text = contract.read_text().replace("[data.trips]", '[data.trips]\nrefresh = "1 day"')
    contract.write_text(text)
    assert queue_refreshes(project) == []
    later(project, 2)
    assert queue_refreshes(project) == ["trips"]
    assert queue_refreshes(project) == []
    write("7,ann,10.5,2024-01-01T08:00:00Z")
    assert worker(project, once=True).done == 1
    assert [each.version for each in log(project, "trips")] == [2, 1]
    assert queue_refreshes(project) == []
