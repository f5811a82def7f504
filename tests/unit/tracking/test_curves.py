"""Curves against the points themselves: every extreme is there, and a narrow range is exact."""

import numpy as np
import pytest

from thrive.domain.clock import SECOND
from thrive.domain.run import Run, RunState
from thrive.operations import Context
from thrive.store import runs
from thrive.store.observations import Observation, observe_one
from thrive.store.points import Points
from thrive.tracking.curves import Curves, curves_of, thinned

RUN = "1" * 32
COUNT = 70_000


def log(context: Context, steps: np.ndarray, values: np.ndarray) -> None:
    with context.home.write() as tx:
        columns = {"loss": Points(steps, steps * SECOND, values)}
        observe_one(tx, context.project_id, RUN, Observation(columns=columns))


@pytest.fixture
def values(context: Context) -> np.ndarray:
    """Log a metric in uneven parts, one of them twice, and one before the one before it."""
    run = Run(
        run_id=RUN, experiment="e", name="", state=RunState.RUNNING, actor="ana", started_at=0
    )
    with context.home.write() as tx:
        runs.save(tx, context.project_id, run)
    made = np.random.default_rng(3).normal(0, 1, COUNT)
    made[12_345], made[54_321], made[777] = 99.0, -99.0, np.nan
    steps = np.arange(COUNT)
    for first, last in ((0, 20_000), (30_000, 50_000), (20_000, 30_000), (50_000, 65_000)):
        log(context, steps[first:last], made[first:last])
    return made


def look(context: Context, most: int, *sight: float) -> tuple[np.ndarray, np.ndarray]:
    with context.read() as tx:
        sight_ = (sight[0], sight[1]) if sight else None
        return curves_of(context.home).curve(tx, RUN, "loss", most, sight_)


def test_the_whole_keeps_every_extreme(context: Context, values: np.ndarray) -> None:
    steps, seen = look(context, 400)
    assert len(steps) <= 400
    assert bool(np.all(np.diff(steps) > 0))
    assert np.array_equal(seen, values[steps], equal_nan=True)
    assert {12_345, 54_321} <= set(steps.tolist())
    stretch = 65_000 // 100
    for first in range(0, 65_000 - 2 * stretch, stretch):
        part = (steps >= first - stretch) & (steps < first + 2 * stretch)
        near = values[first : first + stretch]
        assert np.nanmax(seen[part]) >= np.nanmax(near)
        assert np.nanmin(seen[part]) <= np.nanmin(near)


def test_a_narrow_range_is_exact_across_chunks(context: Context, values: np.ndarray) -> None:
    for first, last in ((19_900, 20_100), (29_999, 30_001), (0, 0), (64_990, 90_000)):
        steps, seen = look(context, 800, first, last)
        expected = np.arange(max(0, first - 1), min(65_000, last + 2))
        assert np.array_equal(steps, expected)
        assert np.array_equal(seen, values[expected], equal_nan=True)
    steps, _ = look(context, 100, 10_000, 40_000)
    assert len(steps) <= 100
    assert 12_345 in steps


def test_it_follows_a_run_that_grows_and_is_compacted(context: Context, values: np.ndarray) -> None:
    before, _ = look(context, 400)
    log(context, np.arange(65_000, COUNT), values[65_000:])
    after, _ = look(context, 400)
    assert (int(before[-1]) < 65_000, int(after[-1]) >= 65_000) == (True, True)
    with context.home.write() as tx:
        runs.compact(tx, context.project_id, RUN)
    compacted, seen = look(context, 400)
    assert np.array_equal(seen, values[compacted], equal_nan=True)
    assert {12_345, 54_321} <= set(compacted.tolist())
    steps, seen = look(context, 4000, 100, 1100)
    assert np.array_equal(seen, values[steps], equal_nan=True)
    assert len(steps) == 1003


def test_nothing_is_nothing(context: Context, values: np.ndarray) -> None:
    with context.read() as tx:
        steps, seen = Curves(context.project_id).curve(tx, RUN, "other", 100)
    assert (len(steps), len(seen)) == (0, 0)
    few = thinned(np.arange(3), np.array([1.0, np.nan, 2.0]), 2)
    assert len(few[0]) == 2
