"""Chunks of points against the points themselves, and what is kept of them against one by one."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrive.domain.errors import Damaged
from thrive.domain.run import MetricPoint
from thrive.store.few_points import FEW, pack_few
from thrive.store.points import NARROW, Points, pack, pack_ended, summarized, unpack

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
NUMBERS = INT64 | st.integers(0, 3) | st.integers(1_700_000_000_000, 1_700_000_000_999)
METRIC = st.lists(st.tuples(NUMBERS, NUMBERS, st.floats()), min_size=1, max_size=12)


def points_of(rows: list[tuple[int, int, float]]) -> Points:
    steps, moments, values = zip(*rows, strict=True)
    return Points(
        np.array(steps, np.int64), np.array(moments, np.int64), np.array(values, np.float64)
    )


def rows_of(points: Points) -> list[tuple[int, int, bytes]]:
    columns = (points.steps.tolist(), points.moments.tolist(), points.values.tolist())
    return [(step, at, struct.pack("<d", value)) for step, at, value in zip(*columns, strict=True)]


@given(st.lists(METRIC, min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_every_point_comes_back_from_its_chunk(metrics):
    several = [points_of(rows) for rows in metrics]
    for chunk, points in zip(pack(several), several, strict=True):
        assert rows_of(unpack([chunk])) == rows_of(points)
        assert rows_of(unpack([pack_ended(points)])) == rows_of(points)
    assert rows_of(unpack(pack(several))) == [row for each in several for row in rows_of(each)]


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.floats()), min_size=1, max_size=FEW))
@settings(max_examples=150, deadline=None)
def test_a_few_points_come_back_without_numpy(rows):
    points = [
        MetricPoint(key="a", value=None if math.isnan(value) else value, step=step, at=at)
        for step, at, value in rows
    ]
    found = unpack([pack_few(points)])
    assert found.steps.tolist() == [point.step for point in points]
    assert found.moments.tolist() == [point.at for point in points]
    values = [None if math.isnan(value) else value for value in found.values.tolist()]
    assert values == [point.value for point in points]


@given(st.lists(METRIC, min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_what_is_kept_is_that_of_one_point_after_the_other(metrics):
    several = [points_of(rows) for rows in metrics]
    for seen, rows in zip(summarized(several), metrics, strict=True):
        rank = [(step, at, -math.inf if math.isnan(v) else v, v) for step, at, v in rows]
        step, at, _, value = max(rank, key=lambda each: each[:3])
        numbers = [v for *_, v in rows if not math.isnan(v)]
        assert (seen.step, seen.at) == (step, at)
        assert (seen.value is None) == math.isnan(value)
        assert seen.value is None or seen.value == value
        assert seen.low == min(numbers, default=None)
        assert seen.high == max(numbers, default=None)


def test_regular_points_take_little_more_than_their_values():
    steps = np.arange(1000)
    points = Points(steps, steps * 1000 + 1_700_000_000_000_000, np.sqrt(steps))
    (chunk,) = pack([points])
    assert len(chunk) < 8 * 1000 + 64
    assert pack_ended(points) == chunk
    loss = Points(steps, points.moments, np.round(np.sqrt(steps), 1))
    assert len(pack_ended(loss)) < len(chunk) / 2


def test_chunks_of_the_formats_before_are_read():
    plain = struct.pack("<BI", 0xC1, 2) + struct.pack("<6q", 5, 1, 70, 10, 0, 0)
    assert rows_of(unpack([plain]))[1][:2] == (6, 80)
    import msgspec

    first = [MetricPoint(key="a", value=None, step=3, at=4)]
    assert rows_of(unpack([msgspec.msgpack.encode(first)]))[0][:2] == (3, 4)


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"x", lambda c: c[:9]])
def test_a_damaged_chunk_is_told(change):
    (chunk,) = pack([points_of([(1, 2, 0.5), (2, 9, 0.25)])])
    assert chunk[0] == NARROW
    with pytest.raises(Damaged):
        unpack([change(chunk)])
