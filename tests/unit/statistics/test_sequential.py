import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from thrive.domain.errors import UsageError
from thrive.statistics.sequential import (
    Moments,
    Side,
    always_valid,
    difference_of_means,
    difference_of_proportions,
    sample_ratio_mismatch,
)


def aborts(p_a: float, p_b: float, runs: int, *, seed: int = 1, stable: int = 9, looks: int = 100):
    """Share of canaries that alarm, looked at each 100 canary rows from 200 on."""
    rng = np.random.default_rng(seed)
    b = np.cumsum(rng.binomial(100, p_b, (runs, looks)), axis=1).tolist()
    a = np.cumsum(rng.binomial(100 * stable, p_a, (runs, looks)), axis=1).tolist()
    alarms, covered = 0, 0
    for run_a, run_b in zip(a, b, strict=True):
        looked = [
            difference_of_proportions(
                run_a[i], 100 * stable * (i + 1), run_b[i], 100 * (i + 1), side=Side.GREATER
            )
            for i in range(1, looks)
        ]
        alarms += any(look.p_value < 0.05 for look in looked)
        covered += all(look.high > p_b - p_a for look in looked)
    return alarms / runs, covered / runs


@pytest.mark.parametrize("share", [0.002, 0.02, 0.5])
def test_a_good_canary_is_rarely_aborted_however_often_one_looks(share: float):
    alarms, covered = aborts(share, share, 150)
    assert alarms <= 0.085  # 0.05 plus what 150 runs scatter
    assert covered >= 0.915


@pytest.mark.full
@pytest.mark.parametrize(("p_a", "p_b"), [(0.0, 0.005), (0.002, 0.007), (0.01, 0.015)])
def test_a_harm_is_not_ruled_out_too_early(p_a: float, p_b: float):
    assert aborts(p_a, p_b, 800)[1] >= 0.935


@pytest.mark.full
@pytest.mark.parametrize("share", [0.0005, 0.002, 0.01, 0.02, 0.1, 0.5, 0.98])
def test_false_aborts_stay_in_the_budget(share: float):
    alarms, covered = aborts(share, share, 800, looks=200)
    assert alarms <= 0.065  # 0.05 plus what 800 runs scatter
    assert covered >= 0.935


def test_a_bad_canary_is_aborted():
    assert aborts(0.02, 0.04, 100)[0] == 1.0
    assert aborts(0.002, 0.02, 100, looks=20)[0] == 1.0


def test_p_value_and_interval_of_both_sides_say_the_same():
    for difference in (0.01, 0.02, 0.03, 0.04, 0.1):
        look = always_valid(difference, 0.01**2, 9000, 1000)
        assert (look.low > 0) == (look.p_value < 0.05)
        assert look.high - look.low > 2 * 1.96 * 0.01


def test_the_interval_is_tightest_where_it_was_planned():
    def ratio(rows: int, tightest_at: int) -> float:
        look = always_valid(0.0, 1.0 / rows, rows, rows, tightest_at=tightest_at)
        return look.high * math.sqrt(rows)

    at = [ratio(500, t) for t in (50, 200, 500, 1500, 10_000)]
    assert min(at) == at[2]


def test_a_side_is_the_mirror_of_the_other():
    greater = difference_of_proportions(20, 900, 9, 100, side=Side.GREATER)
    less = difference_of_proportions(880, 900, 91, 100, side=Side.LESS)
    assert greater.p_value == pytest.approx(less.p_value, rel=1e-9)
    assert greater.low == pytest.approx(-less.high, rel=1e-9)
    assert difference_of_proportions(20, 900, 9, 100, side=Side.LESS).p_value == 1.0


@given(st.integers(0, 50), st.integers(0, 50))
def test_any_counts_have_an_answer(a: int, b: int):
    for side in Side:
        look = difference_of_proportions(a, 50, b, 50, side=side)
        assert 0.0 < look.p_value <= 1.0
        assert look.low < look.estimate < look.high


def test_no_traffic_is_no_evidence():
    look = difference_of_proportions(0, 100, 0, 0)
    assert (look.low, look.high, look.p_value) == (-math.inf, math.inf, 1.0)
    assert difference_of_means(Moments.of([]), Moments.of([1.0])).p_value == 1.0
    with pytest.raises(UsageError, match="5 of 3"):
        difference_of_proportions(5, 3, 0, 1)
    with pytest.raises(UsageError, match="alpha"):
        always_valid(0.0, 1.0, 1, 1, alpha=5)


def test_means_are_covered_at_every_look():
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(200):
        a, b = rng.exponential(1.0, (40, 300)), rng.exponential(1.2, (40, 100))
        left, right = Moments.of([]), Moments.of([])
        inside = True
        for block_a, block_b in zip(a, b, strict=True):
            left, right = left + Moments.of(block_a), right + Moments.of(block_b)
            look = difference_of_means(left, right)
            inside &= right.rows < 200 or look.low <= 0.2 <= look.high
        missed += not inside
    assert missed / 200 <= 0.08
    assert left.variance == pytest.approx(a.var(ddof=1), rel=1e-9)


def test_sample_ratio_agrees_with_scipy():
    theirs = scipy.stats.chisquare([9100, 900], [9000, 1000]).pvalue
    assert sample_ratio_mismatch([9100, 900], [90, 10]) == pytest.approx(theirs, rel=1e-9)
    assert sample_ratio_mismatch([5, 1], [1, 0]) == 0.0
    assert sample_ratio_mismatch([0, 0], [1, 1]) == 1.0
    with pytest.raises(UsageError, match="do not fit"):
        sample_ratio_mismatch([1, 2], [1.0])
