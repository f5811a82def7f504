"""Sources that grow: only what is new is read, and what comes online is as if all had been."""

from datetime import timedelta

import polars as pl
import pytest
from tests.unit.features.conftest import START, set_clock

from thrive.data import operations as data
from thrive.domain.clock import format_time
from thrive.features import feature_view
from thrive.features.row_wise import is_row_wise
from thrive.flows import feature_rows
from thrive.flows.features import materialize
from thrive.flows.online_features import OnlineFeatures

VIEW = """
import polars as pl
from thrive import feature_view

@feature_view(entity="k", event_time="at", source="events", delay="1h"{recorded})
def latest(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.select("k", "at", {columns}x=pl.col("x") * 2)
"""
Event = tuple[str, int, int, int]
"""Key, hour of the event, hour at which it was recorded, value."""


def add_file(project, number: int, events: list[Event]) -> None:
    """Put a file behind those that are there, and add them all as the next version."""
    folder = project.folder / "events"
    folder.mkdir(exist_ok=True)
    frame = pl.DataFrame(events, schema=["k", "hour", "noted", "x"], orient="row").select(
        "k",
        "x",
        at=START + pl.duration(hours=pl.col("hour")),
        noted=START + pl.duration(hours=pl.col("noted")),
    )
    frame.write_parquet(folder / f"{number:03}.parquet")
    data.add(project, "events", name="events", owner="data-platform", why="a test")


def declare(project, *, revised: bool) -> None:
    recorded = ', recorded_time="noted"' if revised else ""
    columns = '"noted", ' if revised else ""
    (project.folder / "features.py").write_text(VIEW.format(recorded=recorded, columns=columns))


def bring(project, hour: int):
    set_clock(project, format_time(int((START + timedelta(hours=hour)).timestamp() * 1e6)))
    (line,) = materialize(project)
    return line


def online(project) -> dict[str, int | None]:
    reader = OnlineFeatures(project.folder, ["latest"])
    keys = ["a", "b", "c", "d"]
    values = reader.read([{"k": key} for key in keys]).values["x"]
    reader.close()
    return dict(zip(keys, values, strict=True))


def test_of_files_that_were_added_only_those_are_read(project, monkeypatch):
    declare(project, revised=False)
    add_file(project, 1, [("a", 0, 0, 1), ("b", 0, 0, 2), ("a", 9, 9, 3)])
    bring(project, 4)
    read: list[list[str]] = []
    scan = feature_rows.scan_version

    def noted(version, blobs, part=None):
        read.append(part.paths if part else ["all"])
        return scan(version, blobs, part)

    monkeypatch.setattr(feature_rows, "scan_version", noted)
    add_file(project, 2, [("b", 1, 1, 5), ("c", 2, 2, 6), ("a", -1, -1, 7), ("b", 8, 8, 8)])
    line = bring(project, 5)
    assert (line.note, line.rows, line.changed) == ("read what is new", 3, 2)
    assert ["002.parquet"] in read
    assert online(project) == {"a": 2, "b": 10, "c": 12, "d": None}
    line = bring(project, 10)
    assert (line.note, line.changed) == ("read what is new", 2)
    assert online(project) == {"a": 6, "b": 16, "c": 12, "d": None}
    assert bring(project, 11).note == "nothing new"


def test_a_file_that_changed_or_went_is_read_with_all_others(project):
    declare(project, revised=False)
    add_file(project, 1, [("a", 0, 0, 1), ("b", 0, 0, 2)])
    bring(project, 4)
    add_file(project, 1, [("a", 0, 0, 9)])
    line = bring(project, 4)
    assert (line.note, line.rows, line.changed) == ("", 1, 2)
    assert online(project) == {"a": 18, "b": None, "c": None, "d": None}


def test_corrections_hold_by_when_they_were_recorded(project):
    declare(project, revised=True)
    add_file(project, 1, [("a", 0, 3, 1), ("b", 0, 1, 2)])
    bring(project, 4)
    add_file(project, 2, [("a", 0, 2, 5), ("b", 0, 5, 6)])
    line = bring(project, 6)
    assert line.note == "", "a row that was recorded before the last reading: all is read"
    assert online(project) == {"a": 2, "b": 12, "c": None, "d": None}
    add_file(project, 3, [("a", 0, 7, 8), ("b", -1, 8, 9)])
    assert bring(project, 9).note == "read what is new"
    assert online(project) == {"a": 16, "b": 12, "c": None, "d": None}


SCHEMA = pl.Schema({"k": pl.String, "at": pl.Datetime("us", "UTC"), "x": pl.Float64, "n": pl.Int64})


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda rows: rows, True),
        (lambda rows: rows.select("k", "at", y=pl.col("x") / 2).filter(pl.col("y") > 1), True),
        (lambda rows: rows.rename({"x": "y"}).with_columns(pl.col("n").fill_null(0)), True),
        (lambda rows: rows.drop("n").with_columns(pl.col("k").str.to_lowercase()), True),
        (lambda rows: rows.with_columns(y=pl.col("x").shift(1)), False),
        (lambda rows: rows.with_columns(y=pl.col("x").mean().over("k")), False),
        (lambda rows: rows.with_columns(pl.col("x").fill_null(strategy="forward")), False),
        (lambda rows: rows.filter(pl.col("k").is_first_distinct()), False),
        (lambda rows: rows.filter(pl.col("x") > pl.col("x").max()), False),
        (lambda rows: rows.group_by("k").agg(pl.all().last()), False),
        (lambda rows: rows.unique("k"), False),
        (lambda rows: rows.join(rows.select("k", "n"), on="k"), False),
        (lambda rows: rows.map_batches(lambda frame: frame.head(1)), False),
        (lambda rows: rows.with_columns(pl.col("n").map_elements(abs, pl.Int64)), False),
        (lambda rows: rows.with_row_index("y"), False),
        (lambda rows: rows.head(5), False),
        (lambda rows: rows.sort("x").drop_nulls(), False),
    ],
)
def test_what_makes_each_row_from_one_row_is_seen(made, expected):
    view = feature_view(entity="k", event_time="at", source="events")(made_named(made))
    assert is_row_wise(view, SCHEMA) is expected


def made_named(function):
    def latest(rows: pl.LazyFrame) -> pl.LazyFrame:
        return function(rows)

    return latest
