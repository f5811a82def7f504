"""Today against the predictions themselves: sealed files and outcome rows, nothing in between."""

import json
import sqlite3

import polars as pl
import pytest
from tests.streams import Stream

from thrive.domain.clock import DAY
from thrive.flows.health import Health
from thrive.monitoring.alerts import raise_alerts
from thrive.monitoring.closing import close_windows
from thrive.operations import Context
from thrive.ui.pages import model, today


def raw_rows(context: Context, start: int, end: int) -> pl.DataFrame:
    """Return what was logged between two moments, joined with its outcomes, read by hand."""
    database = sqlite3.connect(context.home.folder / "thrive.db")
    digests = [row[0] for row in database.execute("select digest from sealed_logs")]
    told = {
        key: float(json.loads(value))
        for key, value in database.execute("select prediction_id, value from outcomes")
    }
    database.close()
    paths = [context.home.folder / "blobs" / digest[:2] / digest[2:] for digest in digests]
    frame = pl.concat([pl.read_parquet(path) for path in paths])
    frame = frame.filter((pl.col("time") >= start) & (pl.col("time") < end))
    happened = [told.get(key) for key in frame["prediction_id"]]
    return frame.with_columns(pl.Series("happened", happened, dtype=pl.Float64))


def test_the_last_window_is_what_was_predicted_and_what_happened(context: Context) -> None:
    stream = Stream(context)
    for _ in range(3):
        stream.live_day()
    frame = stream.frame(stream.day)
    stream.tell(frame[:300], stream.serve(frame)[:300])
    failed = stream.frame(stream.day)[:7]
    stream.serve(failed, error="broken")
    stream.day += 1
    stream.advance()
    close_windows(context, "m")
    (row,) = [*today.load(context).unhealthy, *today.load(context).well]
    assert row.last is not None
    assert row.last.end - row.last.start == DAY
    raw = raw_rows(context, row.last.start, row.last.end)
    answered = raw.filter(pl.col("error") == "")
    rated = answered.filter(pl.col("happened").is_not_null())
    assert row.last.rows == answered.height == 400
    assert row.last.outcomes == rated.height == 300
    assert row.last.error_share == pytest.approx((raw.height - answered.height) / raw.height)
    assert row.last.p99_us == raw["latency_us"].quantile(0.99)
    right = ((rated["score"] >= 0.5) == (rated["happened"] == 1.0)).mean()
    assert row.performance.last("realised") == pytest.approx(right)
    assert row.outcomes_until == row.last.end
    assert len(row.performance.realised) == 4


def test_a_real_decline_is_seen_with_its_limit(context: Context) -> None:
    stream = Stream(context)
    for _ in range(4):
        stream.live_day()
    close_windows(context, "m")
    raise_alerts(context, "m")
    before = today.load(context)
    assert not any(item.kind == "alert" for item in before.decide)
    for _ in range(4):
        stream.live_day(noise=0.45)
        close_windows(context, "m")
        raise_alerts(context, "m")
    after = today.load(context)
    (row,) = after.unhealthy
    assert (row.health, row.part) == (Health.BAD, "Performance")
    assert any(item.kind == "alert" and item.owner == "ml" for item in after.decide)
    line = model.load(context, "m").timeline
    assert all(point.value is not None for point in line.limit)
    assert [mark.kind for mark in line.marks] == ["alert"]
