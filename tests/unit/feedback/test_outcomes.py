"""Outcomes: idempotent, corrected by revisions, kept when unknown, joined as known on a day."""

import time
from pathlib import Path

import polars as pl
import pytest
from tests.streams import START, Stream

from thrive.domain.clock import DAY, HOUR
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.prediction import Outcome
from thrive.feedback import add_outcomes, joined, label_coverage, operations, read_outcomes
from thrive.operations import Context
from thrive.store.prediction_frames import predictions_between, with_outcomes


@pytest.fixture
def stream(context: Context) -> Stream:
    return Stream(context, rows=50)


def outcome(prediction_id: str, value: object = True, **changes: object) -> Outcome:
    told = {"observed_at": START, "recorded_at": 0} | changes
    return Outcome(prediction_id=prediction_id, value=value, **told)  # type: ignore[arg-type]


def test_the_same_outcome_twice_is_one(stream: Stream) -> None:
    ids = stream.serve(stream.frame(stream.day))
    batch = [outcome(name) for name in ids]
    first, second = (add_outcomes(stream.context, batch) for _ in range(2))
    assert (first.received, first.added, first.known, first.orphans) == (50, 50, 0, 0)
    assert (second.added, second.known) == (0, 50)
    assert first.next_hint.startswith("thrive outcomes status (")
    assert "50 known before" in second.next_hint
    assert "higher revision" in second.next_hint


def test_outcomes_without_a_value_are_left_out_and_counted(stream: Stream) -> None:
    ids = stream.serve(stream.frame(stream.day))
    batch = [outcome(ids[0], None), outcome(ids[1], float("nan")), outcome(ids[2], 0)]
    added = add_outcomes(stream.context, batch)
    assert (added.added, added.empty) == (1, 2)


def test_unknown_ids_are_kept_counted_and_join_later(stream: Stream) -> None:
    frame = stream.frame(stream.day).with_columns(pl.lit(START).alias("_time"))
    ids = [f"{START // 1000:011x}{0:04x}{1:07x}{8 + row:06x}{0:04x}" for row in range(3)]
    batch = [outcome(name) for name in [*ids, "order-17"]]
    early = add_outcomes(stream.context, batch)
    assert (early.added, early.orphans) == (4, 4)
    assert set(ids) < set(stream.serve(frame))
    again = add_outcomes(stream.context, batch)
    assert (again.known, again.orphans) == (4, 1)
    assert joined(stream.context.home, "m", START, START + DAY).height == 3


def test_a_correction_counts_from_the_day_it_was_told(stream: Stream) -> None:
    (name, *_) = stream.serve(stream.frame(stream.day))
    add_outcomes(stream.context, [outcome(name, 1.0)])
    stream.advance()
    correction = outcome(name, 0.0, revision=1, reason="the clerk erred")
    add_outcomes(stream.context, [correction])
    frame = predictions_between(stream.context.home, START, START + DAY, "m").filter(
        pl.col("prediction_id") == name
    )
    home = stream.context.home
    assert with_outcomes(home, frame)["outcome"].to_list() == [0.0]
    assert with_outcomes(home, frame, START)["outcome"].to_list() == [1.0]
    assert with_outcomes(home, frame, START - 1)["outcome"].to_list() == [None]


def test_words_stay_words_and_shadows_take_the_live_rows_outcome(stream: Stream) -> None:
    live = stream.serve(stream.frame(stream.day))
    add_outcomes(stream.context, [outcome(live[0], "late"), outcome(live[1], "in time")])
    shadow = pl.DataFrame({"prediction_id": ["f" * 32], "live_id": [live[0]]})
    assert with_outcomes(stream.context.home, shadow)["outcome"].to_list() == ["late"]


def test_the_join_is_training_data_without_skew(stream: Stream) -> None:
    frame = stream.live_day()
    rows = joined(stream.context.home, "m", START, START + DAY).sort("_time")
    assert rows.height == frame.height
    assert rows["a"].to_list() == frame["a"].to_list()
    assert rows["_label"].to_list() == frame["_label"].to_list()
    assert {"id", "city", "_score", "prediction_id", "version"} <= set(rows.columns)


def test_coverage_tells_shares_by_age_and_the_delay(stream: Stream) -> None:
    frame = stream.frame(stream.day)
    ids = stream.serve(frame)
    stream.tell(frame.head(25), ids[:25])
    stream.advance(2)
    (found,) = label_coverage(stream.context.home, START, stream.context.now())
    assert (found.predictions, found.labelled) == (50, 25)
    assert found.share_by_age == {"1 h": 0.5, "1 day": 0.5, "7 days": None}
    assert found.median_delay == HOUR
    assert operations.status(stream.context, model="m") == [found]


def test_pages_of_outcomes_go_backwards_in_time(stream: Stream) -> None:
    ids = stream.serve(stream.frame(stream.day))
    add_outcomes(stream.context, [outcome(name) for name in ids[:30]])
    first = operations.list_outcomes(stream.context, limit=20)
    second = operations.list_outcomes(stream.context, limit=20, after=first.next)
    assert (len(first.items), len(second.items), second.next) == (20, 10, None)
    seen = [item.prediction_id for item in [*first.items, *second.items]]
    assert sorted(seen) == sorted(ids[:30])
    with pytest.raises(UsageError, match="no key of a page"):
        operations.list_outcomes(stream.context, after="nonsense")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_files_of_each_kind_are_read(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame(
        {
            "prediction_id": ["a" * 32, "0" * 31 + "1"],
            "value": [1.0, 0.0],
            "observed_at": ["2011-01-26T00:00:00Z", "2011-01-26"],
            "revision": [0, 1],
        }
    )
    path = tmp_path / f"outcomes{suffix}"
    write = {".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".parquet": frame.write_parquet}
    write[suffix](path)
    first, second = read_outcomes(path, 5)
    assert (first.prediction_id, first.value, first.observed_at) == ("a" * 32, 1.0, START)
    assert (second.revision, second.source, second.recorded_at) == (1, "default", 5)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("o.csv", "prediction_id,value\na,1\n", "no column observed_at"),
        ("o.csv", "prediction_id,value,observed_at\na,1,soon\n", "'soon' is not a time"),
        ("o.csv", "prediction_id,value,observed_at\na,1,\n", "observed_at is empty"),
        ("o.txt", "a", "neither .csv"),
        ("o.parquet", "not parquet", "cannot be read"),
    ],
)
def test_bad_files_have_one_clear_message(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=words):
        read_outcomes(tmp_path / name, 0)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        read_outcomes(tmp_path / "none.csv", 0)


def test_a_file_is_added_by_command(stream: Stream, tmp_path: Path) -> None:
    ids = stream.serve(stream.frame(stream.day))
    path = tmp_path / "o.csv"
    lines = [f"{name},1,2011-01-26" for name in ids]
    path.write_text("\n".join(["prediction_id,value,observed_at", *lines]))
    assert operations.add(stream.context, str(path)).added == 50
    assert operations.report(stream.context, ids[0], 0.0, revision=1).added == 1
    revisions = operations.list_outcomes(stream.context, prediction=ids[0]).items
    assert [item.value for item in revisions] == [1, 0.0]


def test_a_hundred_thousand_rows_are_read_and_joined_quickly(context: Context) -> None:
    stream = Stream(context, rows=2000)
    stream.rows = 100_000
    frame = stream.frame(stream.day)
    ids = stream.serve(frame)
    stream.tell(frame, ids)
    before = time.process_time()
    rows = with_outcomes(context.home, predictions_between(context.home, START, START + DAY))
    assert rows["outcome"].null_count() == 0
    assert time.process_time() - before < 1.5  # 0.3 s alone; CPU seconds of both cores, loaded
