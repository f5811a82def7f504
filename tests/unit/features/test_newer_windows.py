"""Windows that are brought online reading by reading, against the book over all events."""

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.features.test_windows import START, by_the_book

from thrive.features.declare import feature_view
from thrive.features.newer_windows import newer_windows
from thrive.features.row_wise import is_windows
from thrive.features.rows import newest_rows, normal_rows
from thrive.features.windows import windowed

PERIOD = 3
DELAY = 1
KINDS = ("count", "sum", "mean", "last", "distinct")
SCHEMA = {"k": pl.String, "h": pl.Int64, "x": pl.Int64, "late": pl.Int64}
Event = tuple[str, int, int | None, int]
"""Key, hour, value, hours after which it was written down."""

batches = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.sampled_from("abc"),
                st.integers(-12, 2),
                st.one_of(st.none(), st.integers(0, 3)),
                st.integers(-1, 9),
            ),
            max_size=6,
        ),
        st.integers(0, 7),
    ),
    min_size=2,
    max_size=5,
)
"""For each reading what was added, at hours from the reading on, and the hours since the last."""
NAMED = {kind: ("x", kind) for kind in KINDS}


@feature_view(entity="who", event_time="at", delay=f"{DELAY}h", source="events")
def recent(rows: pl.LazyFrame) -> pl.LazyFrame:
    made = windowed(rows.filter(pl.col("x") != 2), by="k", time="at", period=f"{PERIOD}h", **NAMED)
    return made.rename({"k": "who"}).with_columns(twice=pl.col("sum") * 2)


@feature_view(
    entity="k", event_time="at", recorded_time="written", delay=f"{DELAY}h", source="events"
)
def told(rows: pl.LazyFrame) -> pl.LazyFrame:
    kept = rows.filter(pl.col("x") != 2)
    made = windowed(kept, by="k", time="at", recorded="written", period=f"{PERIOD}h", **NAMED)
    return made.with_columns(twice=pl.col("sum") * 2)


def frame_of(events: list[Event]) -> pl.DataFrame:
    at = pl.lit(START) + pl.duration(hours=pl.col("h"))
    frame = pl.DataFrame(events, schema=SCHEMA, orient="row").with_columns(at=at)
    return frame.with_columns(written=pl.col("at") + pl.duration(hours=pl.col("late"))).drop("h")


def moment(hour: int) -> int:
    return int((START + timedelta(hours=hour)).timestamp() * 1e6)


def book(events: list[Event], hour: int, *, revised: bool) -> dict[str, tuple[int, list[object]]]:
    """Return key = the last change that could be known at an hour, and the window as it was then."""
    seen = [
        (k, h, x)
        for k, h, x, late in events
        if x not in (None, 2) and (not revised or h + late <= hour)
    ]
    found: dict[str, tuple[int, list[object]]] = {}
    for key in "abc":
        moments = [each for k, h, _ in seen if k == key for each in (h, h + PERIOD)]
        past = [each for each in moments if each <= hour - DELAY]
        if past:
            said = by_the_book(seen, key, max(past))
            found[key] = moment(max(past)), [*(said[kind] for kind in KINDS), said["sum"] * 2]
    return found


def renew(online: dict[str, tuple[int, list[object]]], newest: pl.DataFrame) -> None:
    """Do as an online store does: no later event time is replaced."""
    for key, *values, at in newest.rows():
        if key not in online or at >= online[key][0]:
            online[key] = at, values


@pytest.mark.parametrize("view", [recent, told])
@settings(max_examples=20, deadline=None)
@given(readings=batches)
@example(readings=[([("a", 0, 1, 0)], 0), ([("a", -3, 1, 9)], 9), ([], 3), ([], 9)])
@example(readings=[([("a", -5, 1, 0)], 10), ([("a", -3, 1, 0)], 0)])
def test_reading_by_reading_it_is_what_all_events_say(view, readings):
    revised = bool(view.definition.recorded_time)
    hour, known, complete = 0, [], True
    online: dict[str, tuple[int, list[object]]] = {}
    since = None
    for added, later in readings:
        hour += later
        more = [(k, hour + h, x, late) for k, h, x, late in added]
        old, until = frame_of(known).lazy(), moment(hour)
        if since is None:
            newest, last = newest_rows(normal_rows(view, [frame_of(more).lazy()]), until)
        else:
            found = newer_windows(
                view, old, frame_of(more).lazy() if more else None, since=since, until=until
            )
            newest, last = newest_rows(found.rows, until)[0], found.last
        before = dict(online)
        renew(online, newest)
        known, since = known + more, until
        assert online == {
            key: (at, [pytest.approx(each) for each in values])
            for key, (at, values) in book(known, hour, revised=revised).items()
        }
        assert more or not complete or online == before, "it had said that nothing would change"
        complete = last is None or last <= until


def test_only_keys_that_something_happened_to_are_computed():
    old = frame_of([(key, -2 - place % 2, 1, 0) for place, key in enumerate("abcabc")])
    found = newer_windows(
        recent, old.lazy(), frame_of([("b", -9, 1, 0)]).lazy(), since=moment(1), until=moment(1)
    )
    assert set(found.rows.frame.collect()["who"]) == {"b"}
    far = frame_of([("b", -7, 1, 0), ("a", -1, 1, 0)])
    read = newer_windows(recent, far.lazy(), None, since=moment(1), until=moment(5))
    assert set(read.rows.frame.collect()["who"]) == {"a"}, "and what left long ago is not read back"


def made(windows, **changes):
    """Return a view over windows by `k`, changed by a function."""
    options = {"entity": "k", "event_time": "at", "source": "events"} | changes

    def recent(rows: pl.LazyFrame) -> pl.LazyFrame:
        return windows(rows)

    return feature_view(**options)(recent)


def by_k(rows: pl.LazyFrame, **changes: str) -> pl.LazyFrame:
    options = {"by": "k", "time": "at", "period": "3h"} | changes
    return windowed(rows, n=("x", "count"), **options)


@pytest.mark.parametrize(
    ("windows", "changes", "expected"),
    [
        (by_k, {}, True),
        (lambda rows: by_k(rows.filter(pl.col("x") > 1)).select("k", "at", m="n"), {}, True),
        (lambda rows: by_k(rows).select(pl.exclude("n"), m=pl.col("n") + 1), {}, True),
        (
            lambda rows: by_k(rows).select(pl.col("k").alias("key"), "at", "n"),
            {"entity": "key"},
            True,
        ),
        (lambda rows: by_k(rows).rename({"at": "t"}), {"event_time": "t"}, True),
        (
            lambda rows: by_k(rows, recorded="written"),
            {"recorded_time": "written"},
            True,
        ),
        (lambda rows: by_k(rows, recorded="written"), {}, False),
        (lambda rows: rows.select("k", "at", "x"), {}, False),
        (lambda rows: by_k(rows).filter(pl.col("n") > 1), {}, False),
        (lambda rows: by_k(rows).with_columns(pl.col("k").str.to_lowercase()), {}, False),
        (lambda rows: by_k(rows).with_columns(at=pl.col("at").dt.truncate("1d")), {}, False),
        (lambda rows: by_k(rows).with_columns(pl.all().cast(pl.String)), {}, False),
        (lambda rows: by_k(rows).with_columns(m=pl.col("n").shift(1)), {}, False),
        (lambda rows: by_k(rows.with_columns(pl.col("x").shift(1))), {}, False),
        (lambda rows: by_k(rows).rename({"k": "z", "at": "t"}).rename({"z": "k"}), {}, False),
        (lambda rows: by_k(rows).join(by_k(rows), on=["k", "at"]), {}, False),
        (lambda rows: by_k(rows, by=["k", "late"]), {}, False),
        (lambda rows: by_k(rows, by=["k", "late"]), {"entity": ["late", "k"]}, True),
    ],
)
def test_windows_of_single_rows_are_seen(windows, changes, expected):
    schema = frame_of([]).schema
    assert is_windows(made(windows, **changes), schema) is expected
