"""Outcomes by keys and time: from a file or a query, parked while no prediction is known."""

import sqlite3
from pathlib import Path

import polars as pl
import pytest
from tests.streams import START, Stream

from thrive.domain.clock import DAY, HOUR
from thrive.domain.errors import UsageError
from thrive.feedback import joined, operations, retry_parked
from thrive.operations import Context
from thrive.store import parked
from thrive.store.prediction_frames import predictions_between


@pytest.fixture
def stream(context: Context) -> Stream:
    return Stream(context, rows=20)


def told(stream: Stream, day: int, **changes: object) -> pl.DataFrame:
    """Return what became of each row of a day, at its end, by its key."""
    frame = pl.DataFrame({"id": [f"r{n}" for n in range(20)], "value": [n % 2 for n in range(20)]})
    return frame.with_columns(
        pl.lit((day + 1) * DAY - 1).alias("observed_at"),
        *(pl.lit(value).alias(name) for name, value in changes.items()),
    )


def labels(stream: Stream, day: int) -> dict[str, float]:
    rows = joined(stream.context.home, "m", day * DAY, (day + 1) * DAY)
    return dict(zip(rows["id"].to_list(), rows["_label"].to_list(), strict=True))


def test_an_outcome_answers_the_predictions_of_its_key_in_the_time_before_it(
    stream: Stream, tmp_path: Path
) -> None:
    first = START // DAY
    for day in (first, first + 1):
        frame = stream.frame(day)
        stream.serve(frame.with_columns(pl.col("_time").clip(None, day * DAY + 20 * HOUR)))
    path = tmp_path / "told.csv"
    told(stream, first + 1, note="ignored").write_csv(path)
    added = operations.add(stream.context, str(path), model="m", within="1 day")
    assert (added.received, added.added, added.parked) == (20, 20, 0)
    assert labels(stream, first) == {}
    assert labels(stream, first + 1) == {f"r{n}": float(n % 2) for n in range(20)}
    again = operations.add(stream.context, str(path), model="m", within="1 day")
    assert (again.added, again.known) == (0, 20)
    told(stream, first + 1, revision=1).with_columns(
        (1 - pl.col("value")).alias("value")
    ).write_csv(path)
    assert operations.add(stream.context, str(path), model="m", within="1 day").added == 20
    assert labels(stream, first + 1)["r0"] == 1.0


def test_a_query_tells_outcomes(
    stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = START // DAY
    stream.serve(stream.frame(day))
    path = tmp_path / "arrivals.db"
    with sqlite3.connect(path) as base:
        base.execute("create table arrivals (flight text, late integer, landed integer)")
        rows = [(f"r{n}", n % 2, (day + 1) * DAY) for n in range(20)]
        base.executemany("insert into arrivals values (?, ?, ?)", rows)
    monkeypatch.setenv("THRIVE_CONNECTIONS", f"warehouse=sqlite:///{path}")
    query = "warehouse: select flight as id, late as value, landed as observed_at from arrivals"
    assert operations.add(stream.context, query, model="m").added == 20
    assert labels(stream, day) == {f"r{n}": float(n % 2) for n in range(20)}


def test_what_finds_no_prediction_waits_for_it(stream: Stream, tmp_path: Path) -> None:
    day = START // DAY
    path = tmp_path / "early.parquet"
    told(stream, day).write_parquet(path)
    early = operations.add(stream.context, str(path), model="m")
    assert (early.added, early.parked, early.next_hint) == (0, 20, "thrive outcomes parked")
    waiting = operations.list_parked(stream.context, model="m")
    assert {row.entity["id"] for row in waiting.by_key} == {f"r{n}" for n in range(20)}
    stream.serve(stream.frame(day))
    assert retry_parked(stream.context) == []  # it was tried this very minute
    stream.advance(0.1)
    assert len(retry_parked(stream.context)) == 20
    assert operations.list_parked(stream.context).by_key == []
    assert len(labels(stream, day)) == 20


def test_a_person_can_be_forgotten_and_old_ones_are_dropped(stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "unknown.jsonl"
    told(stream, START // DAY).write_ndjson(path)
    operations.add(stream.context, str(path), model="m")
    with stream.context.home.write() as tx:
        assert parked.delete_of(tx, stream.context.project_id, {"r7"}) == 1
    stream.advance(91)
    assert operations.retry(stream.context).parked == 0


def test_ids_count_where_a_file_has_them_though_a_model_is_named(
    stream: Stream, tmp_path: Path
) -> None:
    first = START // DAY
    frame = stream.frame(first)
    stream.serve(frame.with_columns(pl.col("_time").clip(None, first * DAY + 20 * HOUR)))
    rows = predictions_between(stream.context.home, first * DAY, (first + 1) * DAY, "m")
    path = tmp_path / "told.csv"
    rows.select("prediction_id").with_columns(
        pl.lit(1).alias("value"), pl.lit((first + 1) * DAY).alias("observed_at")
    ).write_csv(path)
    added = operations.add(stream.context, str(path), model="m")
    assert (added.received, added.added, added.orphans) == (20, 20, 0)


def test_rows_without_keys_or_ids_are_refused(stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "nameless.csv"
    told(stream, START // DAY).drop("id").write_csv(path)
    with pytest.raises(UsageError, match="has no id"):
        operations.add(stream.context, str(path), model="m")
    with pytest.raises(UsageError, match="no column prediction_id"):
        operations.add(stream.context, str(path))


def test_keys_that_were_read_as_pseudonyms_are_refused(stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "hidden.csv"
    key = pl.format("pseudonym-{}", pl.lit("0123456789abcdef0123"))
    told(stream, START // DAY).with_columns(key.alias("id")).write_csv(path)
    with pytest.raises(UsageError, match="An outcome of m names pseudonyms as its id"):
        operations.add(stream.context, str(path), model="m")
    with stream.context.read() as tx:
        assert parked.find(tx, stream.context.project_id) == []
