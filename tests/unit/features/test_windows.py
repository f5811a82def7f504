"""Windows of events against a row-by-row reference, at any moment and at their edges."""

import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrive.domain.errors import UsageError
from thrive.features.declare import feature_view
from thrive.features.join import join_views
from thrive.features.rows import newest_rows, normal_rows
from thrive.features.windows import windowed

START = datetime(2024, 3, 30, 20, tzinfo=UTC)
"""Hours before clocks go forward in Europe."""
SCHEMA = {"k": pl.String, "h": pl.Int64, "x": pl.Int64}
KINDS = ("count", "sum", "mean", "min", "max", "first", "last", "distinct", "per_hour")
PERIOD = 3

events = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 10), st.one_of(st.none(), st.integers(0, 3))),
    max_size=15,
)
moments = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 16)), min_size=1, max_size=8)


@feature_view(entity="k", event_time="at", source="events")
def recent(rows):
    named = {kind: ("x", kind) for kind in KINDS}
    return windowed(rows, by="k", time="at", period=f"{PERIOD}h", **named)


def frame_of(rows, column):
    schema = {"k": pl.String, "h": pl.Int64, "x": pl.Int64}
    width = dict(list(schema.items())[: len(rows[0]) if rows else 3])
    frame = pl.DataFrame(rows, schema=width, orient="row")
    at = pl.lit(START) + pl.duration(hours=pl.col("h"))
    return frame.with_columns(at.alias(column)).drop("h")


def by_the_book(rows, key, hour):
    """Return the aggregates over the events of (hour - PERIOD, hour]."""
    inside = [
        (h, n, x) for n, (k, h, x) in enumerate(rows) if k == key and hour - PERIOD < h <= hour
    ]
    values = [x for _, _, x in sorted(inside, key=lambda each: each[:2]) if x is not None]
    some = bool(values)
    return {
        "count": len(values),
        "sum": sum(values),
        "mean": statistics.fmean(values) if some else None,
        "min": min(values) if some else None,
        "max": max(values) if some else None,
        "first": values[0] if some else None,
        "last": values[-1] if some else None,
        "distinct": len(set(values)),
        "per_hour": len(values) / PERIOD,
    }


@settings(max_examples=60, deadline=None)
@given(rows=events, asked=moments)
def test_a_window_holds_what_the_book_says_at_every_moment(rows, asked):
    side = normal_rows(recent, [frame_of(rows, "at").lazy()])
    with tempfile.TemporaryDirectory() as folder:
        found = join_views(frame_of(asked, "t").lazy(), "t", [side], Path(folder)).collect()
    for (key, hour), row in zip(asked, found.to_dicts(), strict=True):
        wanted = by_the_book(rows, key, hour)
        began = any(k == key and h <= hour for k, h, _ in rows)
        for kind in KINDS:
            expected = wanted[kind] if began else None
            assert row[kind] == (pytest.approx(expected) if expected is not None else None), kind


@feature_view(entity="k", event_time="at", recorded_time="written", source="events")
def written(rows):
    named = {kind: ("x", kind) for kind in KINDS}
    period = f"{PERIOD}h"
    return windowed(rows, by="k", time="at", recorded="written", period=period, **named)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.integers(0, 8),
            st.one_of(st.none(), st.integers(0, 3)),
            st.integers(-1, 6),
        ),
        max_size=10,
    ),
    asked=moments,
)
def test_what_was_written_down_later_is_known_later(rows, asked):
    """At each moment the window holds the events of its time that were written down by then."""
    schema = {"k": pl.String, "h": pl.Int64, "x": pl.Int64, "late": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    at = pl.lit(START) + pl.duration(hours=pl.col("h"))
    frame = frame.with_columns(at=at, written=at + pl.duration(hours=pl.col("late")))
    side = normal_rows(written, [frame.lazy()])
    with tempfile.TemporaryDirectory() as folder:
        found = join_views(frame_of(asked, "t").lazy(), "t", [side], Path(folder)).collect()
    for (key, hour), row in zip(asked, found.to_dicts(), strict=True):
        told = [(k, h, x) for k, h, x, late in rows if h + late <= hour]
        began = any(k == key and h <= hour for k, h, _ in told)
        wanted = by_the_book(told, key, hour)
        for kind in KINDS:
            expected = wanted[kind] if began else None
            assert row[kind] == (pytest.approx(expected) if expected is not None else None), kind


@settings(max_examples=25, deadline=None)
@given(rows=events, hour=st.integers(0, 16))
def test_what_comes_online_is_the_window_as_of_now(rows, hour):
    now = int((START + timedelta(hours=hour)).timestamp() * 1e6)
    side = normal_rows(recent, [frame_of(rows, "at").lazy()])
    found = {row["k"]: row for row in newest_rows(side, now)[0].to_dicts()}
    assert found.keys() == {k for k, h, _ in rows if h <= hour}
    for key, row in found.items():
        wanted = by_the_book(rows, key, hour)
        assert {kind: row[kind] for kind in ("count", "sum", "last", "distinct")} == {
            kind: wanted[kind] for kind in ("count", "sum", "last", "distinct")
        }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": ("y", "count")}, "no column 'y'"),
        ({"n": ("x", "median")}, "'median' is no aggregate"),
        ({"by": "z", "n": ("x", "sum")}, "no column 'z'"),
        ({"time": "x", "n": ("x", "sum")}, "'x' is Int64, which is no time"),
        ({"period": "soon", "n": ("x", "sum")}, "is not a duration"),
    ],
)
def test_what_cannot_be_aggregated_is_named(options, words):
    with pytest.raises(UsageError, match=words):
        windowed(
            frame_of([("a", 1, 1)], "at").lazy(),
            **{"by": "k", "time": "at", "period": "3h"} | options,
        )
