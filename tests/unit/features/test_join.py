"""Point-in-time joins against a row-by-row reference, over random histories."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.unit.features.naive import naive

from thrive.domain.errors import UsageError
from thrive.features.declare import feature_view, on_demand
from thrive.features.join import add_on_demand, join_views
from thrive.features.rows import normal_rows

START = datetime(2024, 10, 26, 20, tzinfo=UTC)
"""Hours before clocks go back in Europe."""
SCHEMA = {"k": pl.String, "at": pl.Int64, "rec": pl.Int64, "x": pl.Int64}

keys = st.sampled_from(["a", "b", None])
times = st.integers(0, 12)
histories = st.lists(
    st.tuples(keys, st.one_of(st.none(), times), times, st.integers()), max_size=14
)
histories = histories.map(lambda rows: [(k, a, r, n) for n, (k, a, r, _) in enumerate(rows)])


NUMBERS_BACK = {-5: "a", 2_000_000_000: "b"}


def numbered():
    """Keys as whole numbers instead of texts."""
    back = {text: number for number, text in NUMBERS_BACK.items()}
    return pl.col("k").replace_strict(back, return_dtype=pl.Int64)


def view_of(name, ttl, delay, revised):
    def plain(rows):
        kept = ["k", "at", "rec"] if revised else ["k", "at"]
        return rows.select(*kept, pl.col("x").alias(name))

    plain.__name__ = name + "_view"
    declare = feature_view(
        entity="k",
        event_time="at",
        source="s",
        ttl=f"{ttl} h" if ttl else "",
        delay=f"{delay} h" if delay else "",
        recorded_time="rec" if revised else "",
    )
    return declare(plain)


def moments(column, unit, zone):
    """Hours since START as times of a unit and zone."""
    start = int(START.timestamp() * 1_000_000)
    shown = pl.from_epoch(start + pl.col(column) * 3_600_000_000, time_unit="us")
    shown = shown.dt.replace_time_zone("UTC")
    if zone is None:
        return shown.dt.replace_time_zone(None).dt.cast_time_unit(unit).alias(column)
    return shown.dt.convert_time_zone(zone).dt.cast_time_unit(unit).alias(column)


class Here:
    """A cluster of this process."""

    def spread(self, function, parts):
        """Call the function on each part."""
        return (function(*part) for part in parts)


def joined(entities, views):
    """Join both ways: in memory and over files; they must agree."""
    with tempfile.TemporaryDirectory() as folder:
        streamed = join_views(
            entities, "t", views, Path(folder), status=True, in_memory=False
        ).collect()
    within = join_views(entities, "t", views, Path(), status=True)
    assert_frame_equal(within.collect(), streamed, categorical_as_str=True)
    return streamed


@settings(max_examples=30, deadline=None)
@given(
    entities=st.lists(st.tuples(keys, times), max_size=12),
    first=histories,
    second=histories,
    ttl=st.sampled_from([0, 1, 3]),
    delay=st.sampled_from([0, 2]),
    as_of=st.one_of(st.none(), times),
    unit=st.sampled_from(["ms", "us", "ns"]),
    zone=st.sampled_from([None, "UTC", "Europe/Berlin"]),
    whole=st.booleans(),
)
def test_the_join_agrees_with_the_book(
    entities, first, second, ttl, delay, as_of, unit, zone, whole
):
    """Ties, late rows, corrections, missing keys and times, units, zones and the clock change."""
    hour = 3_600_000_000
    limit = None if as_of is None else int(START.timestamp() * 1_000_000) + as_of * hour
    sides = []
    for name, rows, revised in (("p", first, False), ("q", second, True)):
        frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").lazy()
        frame = frame.with_columns(moments("at", unit, zone), moments("rec", unit, zone))
        frame = frame.with_columns(numbered()) if whole else frame
        sides.append(normal_rows(view_of(name, ttl, delay, revised), [frame], as_of=limit))
    spine = pl.DataFrame(entities, schema={"k": pl.String, "t": pl.Int64}, orient="row").lazy()
    spine = spine.with_columns(moments("t", "us", "UTC"))
    found = joined(spine.with_columns(numbered()) if whole else spine, sides)
    found = found.with_columns(pl.col("k").replace_strict(NUMBERS_BACK)) if whole else found
    wanted = naive(entities, [(first, ttl, delay, False), (second, ttl, delay, True)], as_of=as_of)
    assert found.columns == ["k", "t", "p", "p_view_status", "q", "q_view_status"]
    assert found["k"].to_list() == [key for key, _ in entities]
    assert found.select("p", "p_view_status").rows() == [row[0] for row in wanted]
    assert found.select("q", "q_view_status").rows() == [row[1] for row in wanted]


def test_parts_that_are_joined_apart_are_the_whole(monkeypatch, tmp_path):
    monkeypatch.setattr("thrive.features.on_ray.PART_CELLS", 30)
    rows = hourly(30, "abcde").lazy()
    times = [normal_rows(view_of("p", 3, 0, False), [rows])]
    revised = [normal_rows(view_of("q", 0, 2, True), [rows.filter(pl.col("k") != "d")])]
    spine = asked([("bdxa"[n % 4], n) for n in range(40)] + [(None, 3), ("a", None)])
    apart = join_views(spine, "t", [*times, *revised], tmp_path, status=True, cluster=Here())
    assert len(list((tmp_path / "view-0" / "joined").iterdir())) > 2
    assert_frame_equal(apart.collect(), joined(spine, [*times, *revised]))


def hourly(hours, keys="ab"):
    """One row an hour and key; values count up."""
    cells = [(k, a) for a in range(hours) for k in keys]
    rows = [(k, a, a, n) for n, (k, a) in enumerate(cells)]
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return frame.with_columns(moments("at", "us", "UTC"), moments("rec", "us", "UTC"))


def asked(rows):
    spine = pl.DataFrame(rows, schema={"k": pl.String, "t": pl.Int64}, orient="row")
    return spine.lazy().with_columns(moments("t", "us", "UTC"))


def test_nothing_of_the_future_changes_a_training_row():
    """Falsify all that could not be known at the last question: no training row changes."""
    history = hourly(30)
    spine = asked([(k, t) for t in range(10) for k in "ab"])
    view = view_of("value", 4, 2, False)
    known = START + timedelta(hours=9 - 2)
    falsified = history.with_columns(
        x=pl.when(pl.col("at") > known).then(pl.col("x").shuffle(7) + 1000).otherwise("x")
    )
    before = joined(spine, [normal_rows(view, [history.lazy()])])
    after = joined(spine, [normal_rows(view, [falsified.lazy()])])
    assert before.equals(after)
    assert before["value"].null_count() == 4, "the first two hours know nothing"
    told = joined(asked([("a", 20)]), [normal_rows(view, [falsified.lazy()])])
    assert told["value"][0] >= 1000, "the falsified rows are read by who may know them"


def test_rows_in_are_rows_out_in_their_order():
    spine = asked([("b", 3), ("a", 3), ("b", 3), (None, 3), ("a", 1), ("z", 5)] * 500)
    found = joined(spine, [normal_rows(view_of("value", 0, 0, False), [hourly(5).lazy()])])
    assert found.select("k", "t").equals(spine.collect())
    assert found["value"].to_list() == [7, 6, 7, None, 2, None] * 500


def test_keys_and_times_too_far_apart_for_one_number():
    """Centuries of microseconds and keys of 60 bits: places come from ranks."""
    random = np.random.default_rng(3)
    keys, century = [0, 1 << 31, 1 << 60], 100 * 365 * 86_400_000_000
    rows = pl.DataFrame(
        {
            "k": random.choice(keys, 500),
            "at": random.integers(-century, century, 500),
            "rec": 0,
            "x": range(500),
        }
    )
    asked = {"k": random.choice([*keys, 7], 400), "t": random.integers(-century, century, 400)}
    found = joined(pl.LazyFrame(asked), [normal_rows(view_of("v", 0, 0, False), [rows.lazy()])])
    history = list(rows.select("k", "at", "rec", "x").iter_rows())
    wanted = naive(list(zip(asked["k"], asked["t"], strict=True)), [(history, 0, 0, False)])
    assert found["v"].to_list() == [row[0][0] for row in wanted]


def test_a_view_without_times_and_a_composite_key():
    @feature_view(entity=["k", "n"], source="s")
    def both(rows):
        return rows

    side = pl.DataFrame({"k": ["a", "a", "b"], "n": [1, 1, 2], "size": [1.5, 2.5, float("nan")]})
    spine = asked([("a", 0), ("b", 0), ("b", 0)]).with_columns(n=pl.Series([1, 2, 3]))
    found = joined(spine, [normal_rows(both, [side.lazy()])])
    assert found["size"].to_list() == [2.5, None, None], "the last row of a key; NaN is missing"
    assert found["both_status"].to_list() == ["present", "present", "missing"]


def test_types_come_back_as_they_went_in():
    @feature_view(entity="k", event_time="at", source="s")
    def typed(rows):
        return rows.select(
            "k",
            "at",
            small=pl.lit(3, pl.Int8),
            day=pl.lit(START.date()),
            kind=pl.lit("u").cast(pl.Categorical),
            moment=pl.col("at").dt.convert_time_zone("Europe/Berlin"),
            yes=pl.lit(True),
        )

    found = joined(asked([("a", 1)]), [normal_rows(typed, [hourly(2).lazy()])])
    assert [found.schema[name] for name in ("small", "day", "yes")] == [
        pl.Int8,
        pl.Date,
        pl.Boolean,
    ]
    assert found["kind"].to_list() == ["u"]
    berlin = START.astimezone(ZoneInfo("Europe/Berlin")) + timedelta(hours=1)
    assert found["moment"][0] == berlin


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.drop("k"), "is about 'k', which the rows do not have"),
        (lambda s: s.with_columns(k=pl.lit(1)), "k is Int32 in the rows and String"),
        (lambda s: s.with_columns(value=pl.lit(1)), "both have 'value'"),
        (lambda s: s.rename({"t": "when"}), "no column 't'"),
        (lambda s: s.with_columns(t=pl.lit("x")), "t is String, which is no time"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    side = normal_rows(view_of("value", 0, 0, False), [hourly(2).lazy()])
    with pytest.raises(UsageError, match=words):
        joined(change(asked([("a", 1)])), [side])


def test_on_demand_features_are_computed_in_their_order():
    @on_demand
    def minute(hhmm):
        return hhmm // 100 * 60 + hhmm % 100

    @on_demand
    def late_evening(minute):
        return minute >= 22 * 60

    rows = pl.LazyFrame({"hhmm": [2215, 905]})
    found = add_on_demand(rows, [minute, late_evening]).collect()
    assert found.rows() == [(2215, 1335, True), (905, 545, False)]
    with pytest.raises(UsageError, match="reads 'hhmm', which no row has"):
        add_on_demand(pl.LazyFrame({"a": [1]}), [minute])
