"""Windows by count, and the counters of their parts."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams import CONTRACT, START, Stream

from thrive.contract.windows import LONGEST, WindowLength, parse_window
from thrive.domain.clock import DAY, HOUR
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.monitoring import Window
from thrive.monitoring.baseline import load_baseline
from thrive.monitoring.closing import close_windows, load_counters
from thrive.monitoring.counters import unpacked
from thrive.monitoring.findings import findings_of
from thrive.monitoring.grid import Span, ended_windows
from thrive.monitoring.measure import Sketch, merge, sketches
from thrive.monitoring.merging import windows_merge
from thrive.monitoring.operations import monitors_explain
from thrive.operations import Context
from thrive.statistics.grouped_sketch import sketch_category_groups, sketch_numeric_groups
from thrive.statistics.sketch import NumericSketch, sketch_categories, sketch_numeric
from thrive.store import monitoring

BY_COUNT = CONTRACT.replace('window = "1 day"', 'window = "150 rows within 2 days"')


def same(one: Sketch, other: Sketch) -> bool:
    """Tell whether two sketches count the same; sums may be added in another order."""
    if not isinstance(one, NumericSketch) or not isinstance(other, NumericSketch):
        return one.to_bytes() == other.to_bytes()
    exact = ("missing", "infinite", "minimum", "maximum", "centre", "scale")
    return (
        all(getattr(one, name) == getattr(other, name) for name in exact)
        and np.array_equal(one.cells, other.cells)
        and np.array_equal(one.counts, other.counts)
        and one.total == pytest.approx(other.total)
        and one.squares == pytest.approx(other.squares)
    )


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("1 day", WindowLength(lasts=DAY)),
        ("1000 rows", WindowLength(lasts=LONGEST, rows=1000)),
        ("1,000 rows within 2 days", WindowLength(lasts=2 * DAY, rows=1000)),
        ("1_000 rows within 6h", WindowLength(lasts=6 * HOUR, rows=1000)),
    ],
)
def test_a_window_is_a_time_or_a_number_of_rows(text: str, length: WindowLength) -> None:
    assert parse_window(text) == length


@pytest.mark.parametrize("text", ["10 rows", "rows", "0 days", "1000 rows within", "1000 rows 2"])
def test_what_is_no_window_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"rows|window"):
        parse_window(text)


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 30), max_size=60),
    rows=st.integers(1, 9),
    lasts=st.integers(5, 80),
    looks=st.lists(st.integers(1, 400), min_size=1, max_size=6),
)
def test_windows_by_count_tile_the_time_whenever_one_looks(
    gaps: list[int], rows: int, lasts: int, looks: list[int]
) -> None:
    times = np.cumsum(np.array(gaps, dtype=np.int64))
    length, last = WindowLength(lasts=lasts, rows=rows), max(looks)
    live = [Span(version=1, start=0, end=last + 1, main=True)]
    at_once = ended_windows(live, length, last, 0, times[times < last])
    bit_by_bit: list[tuple[int, int]] = []
    for now in sorted(looks):
        after = bit_by_bit[-1][1] if bit_by_bit else 0
        seen = times[(times >= after) & (times < now)]
        bit_by_bit += ended_windows(live, length, now, after, seen)
    assert bit_by_bit == at_once
    edges = [start for start, _ in at_once] + [at_once[-1][1]] if at_once else []
    assert edges == sorted(edges)
    assert [end for _, end in at_once[:-1]] == [start for start, _ in at_once[1:]]
    for start, end in at_once:
        inside = times[(times >= start) & (times < end)]
        full = len(inside) >= rows
        assert full or end - start == lasts
        if len(inside) > rows:  # rows of one microsecond stay together
            assert (inside[rows - 1 :] == inside[-1]).all()


def test_a_version_that_pauses_goes_on_where_it_is_live_again() -> None:
    spans = [
        Span(version=1, start=0, end=100, main=True),
        Span(version=1, start=500, end=600, main=True),
    ]
    times = np.array([10, 20, 510, 520, 530])
    length = WindowLength(lasts=90, rows=2)
    assert ended_windows(spans, length, 590, 0, times) == [(0, 21), (21, 111), (500, 521)]


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(
        st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=60
    ),
    seed=st.integers(0, 1000),
)
def test_groups_are_counted_as_each_alone_would_be(values: list[float], seed: int) -> None:
    array = np.array(values, dtype=np.float64)
    groups = np.random.default_rng(seed).integers(-1, 4, len(array))
    known = sketch_numeric(np.array([0.0, 1.0, 2.0, 5.0]))
    found = sketch_numeric_groups(array, groups, 4, known)
    for place, each in enumerate(found):
        alone = sketch_numeric(array[groups == place], known)
        assert (each.missing, each.infinite) == (alone.missing, alone.infinite)
        assert (each.minimum, each.maximum) == (alone.minimum, alone.maximum)
        assert np.array_equal(each.cells, alone.cells)
        assert np.array_equal(each.counts, alone.counts)
        assert each.total == pytest.approx(alone.total, nan_ok=True)


def test_categories_are_counted_by_group() -> None:
    known = sketch_categories(["a", "a", "b"])
    counted = {(0, "a"): 3, (0, None): 1, (1, "c"): 2, (-1, "a"): 9}
    first, second = sketch_category_groups(counted, 2, known)
    assert (first.counts.tolist(), first.missing, first.new) == ([3, 0], 1, 0)
    assert (second.new, second.examples) == (2, {"c": 2})


@pytest.fixture
def counted(context: Context) -> Stream:
    return Stream(context, contract=BY_COUNT)


def closed(stream: Stream) -> list[Window]:
    with stream.context.read() as tx:
        return monitoring.find_windows(tx, stream.context.project_id, "m")


def test_windows_by_count_merge_to_one_pass_over_all_rows(counted: Stream) -> None:
    context, frames = counted.context, [counted.live_day() for _ in range(3)]
    made = close_windows(context, "m")
    assert close_windows(context, "m") == []
    assert [window.rows for window in made] == [150] * 8
    assert [window.start for window in made[1:]] == [window.end for window in made[:-1]]
    baseline = load_baseline(context, findings_of(made[0]).baseline)
    known = baseline.sketches()
    whole = sketches(pl.concat(frames), baseline.kinds, known)
    counters = [load_counters(context, window) for window in made]
    parts = [unpacked(each.whole, baseline.kinds) for each in counters]
    for name, expected in whole.items():
        assert same(merge([part[name] for part in parts]), expected), name
    cities = {"EWR", "JFK", "LGA"}
    for each in counters:
        assert set(each.parts["city"]) == cities
        held = [unpacked(each.parts["city"][city], baseline.kinds) for city in sorted(cities)]
        for name, total in unpacked(each.whole, baseline.kinds).items():
            assert same(merge([part[name] for part in held]), total), name


def test_late_rows_correct_the_window_they_fall_in_and_move_no_border(counted: Stream) -> None:
    counted.live_day()
    first = close_windows(counted.context, "m")
    counted.serve(counted.frame(START // DAY).filter(pl.col("_time") < first[0].end))
    corrected = close_windows(counted.context, "m")
    assert corrected[0].start == first[0].start
    assert corrected[0].revision == 1
    assert corrected[0].rows > 150
    assert [(w.start, w.end) for w in closed(counted)] == [(w.start, w.end) for w in first]


def test_a_window_whose_rows_do_not_come_ends_in_time(counted: Stream) -> None:
    counted.serve(counted.frame(counted.day).head(60))
    counted.advance(4.1)
    assert [(w.rows, w.end - w.start) for w in close_windows(counted.context, "m")] == [
        (60, 2 * DAY),
        (0, 2 * DAY),
    ]


def test_the_alert_budget_knows_how_often_such_windows_end(counted: Stream) -> None:
    counted.live_day()
    close_windows(counted.context, "m")
    explained = monitors_explain(counted.context, "m")
    assert explained.windows_a_year == pytest.approx(365 * 400 / 150, rel=0.25)
    assert explained.windows_of_history == 90 * 400 // 150


def test_a_month_tells_which_part_moved(context: Context) -> None:
    stream = Stream(context, rows=3000)
    frame = stream.frame(stream.day)
    moved = pl.when(frame["city"] == "JFK").then(frame["b"] + 2.0).otherwise(frame["b"])
    frame = frame.with_columns(moved.alias("b"))
    stream.serve(frame.head(2000))
    stream.serve(frame.tail(1000), variant="canary")
    stream.advance()
    (window,) = close_windows(context, "m")
    of_variants = [each for each in findings_of(window).segments if each.column == "variant"]
    assert [(each.value, each.rows) for each in of_variants] == [
        ("production", 2000),
        ("canary", 1000),
    ]
    found = windows_merge(context, "m", part="city=JFK")
    told = {(each.column, each.value): each for each in found.parts}
    assert told["variant", "production"].rows == 2000
    assert told["variant", "canary"].rows == 1000
    assert "b" in told["city", "JFK"].moved
    assert told["city", "LGA"].moved == told["city", "EWR"].moved == ""
    assert {each.name: each.drifted for each in found.columns}["b"]
    whole = windows_merge(context, "m")
    assert {each.name for each in whole.columns} == {*stream.inputs, "_score"}
    assert whole.parts == found.parts
    with pytest.raises(NotFound, match="city=SFO"):
        windows_merge(context, "m", part="city=SFO")


def test_many_rows_are_counted_by_group_as_few_are() -> None:
    rng = np.random.default_rng(5)
    values, groups = rng.normal(size=60_000), rng.integers(0, 3, 60_000)
    values[::100] = np.nan
    known = sketch_numeric(values)
    for place, each in enumerate(sketch_numeric_groups(values, groups, 3, known)):
        assert same(each, sketch_numeric(values[groups == place], known))
