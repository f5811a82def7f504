import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from thrive.domain.errors import UsageError
from thrive.statistics.intervals import (
    difference_of_proportions,
    mean_interval,
    quantile_interval,
    wilson,
)


@given(st.data(), st.integers(1, 5000), st.floats(0.5, 0.999))
def test_wilson_agrees_with_statsmodels(data: st.DataObject, n: int, confidence: float):
    k = data.draw(st.integers(0, n))
    low, high = proportion_confint(k, n, alpha=1 - confidence, method="wilson")
    interval = wilson(k, n, confidence)
    assert interval.low == pytest.approx(low, abs=1e-9)
    assert interval.high == pytest.approx(high, abs=1e-9)
    assert interval.low <= interval.estimate <= interval.high


@given(st.data(), st.integers(1, 3000), st.integers(1, 3000))
def test_newcombe_agrees_with_statsmodels(data: st.DataObject, n_a: int, n_b: int):
    a, b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    low, high = confint_proportions_2indep(b, n_b, a, n_a, method="newcomb", compare="diff")
    ours = difference_of_proportions(a, n_a, b, n_b)
    assert ours.low == pytest.approx(low, abs=1e-9)
    assert ours.high == pytest.approx(high, abs=1e-9)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50, unique=True))
def test_mean_interval_agrees_with_scipy(values: list[float]):
    assume(np.std(values) > 1e-6 * max(1.0, np.abs(values).max()))  # else scipy's error is rounding
    low, high = scipy.stats.t.interval(
        0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values)
    )
    ours = mean_interval(values)
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9, abs=1e-6)
    expected = scipy.stats.ttest_1samp(values, 0).pvalue
    assert ours.p_value == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_nothing_known_is_as_wide_as_possible():
    assert math.isnan(wilson(0, 0).estimate)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    assert mean_interval([3.0]).high == math.inf
    assert mean_interval([]).rows == 0
    assert quantile_interval([], 0.5).low == -math.inf
    assert quantile_interval([1.0, 2.0], 0.99).high == math.inf
    empty = difference_of_proportions(0, 0, 1, 2)
    assert empty.high - empty.low > 1


def test_wrong_counts_are_refused():
    with pytest.raises(UsageError, match="5 successes of 3"):
        wilson(5, 3)
    with pytest.raises(UsageError, match="confidence"):
        wilson(1, 3, 95)


def test_quantile_interval_covers_the_true_median():
    rng = np.random.default_rng(3)
    inside = [quantile_interval(rng.exponential(size=101), 0.5, 0.9) for _ in range(500)]
    share = np.mean([i.low <= math.log(2) <= i.high for i in inside])
    assert 0.87 <= share <= 0.95
