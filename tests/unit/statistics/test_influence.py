"""Influence against the definition it stands for, and what is made of it."""

import numpy as np
import pytest
import scipy.stats

from thrive.statistics.influence import influence, moments
from thrive.statistics.intervals import skewed_bounds, with_skew, without_skew
from thrive.statistics.metrics import METRICS, macro_f1
from thrive.statistics.multiplicity import holm, max_t
from thrive.statistics.paired import paired_auc, paired_mean
from thrive.statistics.resampling import paired_bootstrap


def rows(rows=500, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=rows)
    return truth, truth + rng.normal(size=rows), truth + rng.laplace(size=rows)


def prepared(name):
    """Return truth and both predictions in the form the metric needs."""
    truth, a, b = rows()
    if METRICS[name].task == "regression":
        return truth, a, b
    y = (truth > 0).astype(float)
    return (y, (a > 0) * 1.0, (b > 0) * 1.0) if METRICS[name].needs == "class" else (y, a, b)


@pytest.mark.parametrize("name", ["mae", "rmse", "r2", "f1", "precision", "recall", "roc_auc"])
def test_the_influence_of_a_row_is_the_slope_in_its_weight(name):
    metric, (y, a, b) = METRICS[name], prepared(name)
    found = influence(metric, y, a, b)
    assert found.sum() == pytest.approx(0.0, abs=1e-7)
    for at in (0, 17, 300):
        ends = []
        for step in (1e-4, -1e-4):
            weights = np.ones(len(y))
            weights[at] += step
            ends.append(metric.function(y, b, weights) - metric.function(y, a, weights))
        assert found[at] == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=1e-6)


def test_its_sum_of_squares_is_the_error_of_the_closed_forms():
    y, a, b = prepared("roc_auc")
    error, _ = moments(influence(METRICS["roc_auc"], y, a, b))
    assert error == pytest.approx(paired_auc(y, a, b).standard_error, rel=0.01)
    y, a, b = prepared("mae")
    error, skewness = moments(influence(METRICS["mae"], y, a, b))
    assert error == pytest.approx(paired_mean(abs(a - y), abs(b - y)).standard_error, rel=1e-9)
    assert skewness == pytest.approx(scipy.stats.skew(abs(b - y) - abs(a - y)), rel=1e-9)
    y, a, b = prepared("rmse")
    error, _ = moments(influence(METRICS["rmse"], y, a, b))
    assert paired_bootstrap("rmse", y, a, b).standard_error == pytest.approx(error, rel=0.1)


def test_cells_are_drawn_as_rows_are():
    rng = np.random.default_rng(4)
    y = rng.integers(0, 4, 3000).astype(float)
    a, b = (np.where(rng.random(3000) < 0.7, y, (y + 1) % 4) for _ in range(2))
    metric = macro_f1(4)
    found = paired_bootstrap(metric, y, a, b, seed=3)
    error, _ = moments(influence(metric, y, a, b))
    assert found.standard_error == pytest.approx(error, rel=0.1)
    assert found.low == pytest.approx(found.difference - 1.96 * error, abs=0.3 * error)
    again = paired_bootstrap(metric, y, a, b, seed=3)
    assert (again.low, again.high) == (found.low, found.high)


def test_bounds_of_skewed_means_lean_to_the_long_tail_and_are_plain_without_skew():
    assert without_skew(with_skew(1.7, 3.0, 80), 3.0, 80) == pytest.approx(1.7, rel=1e-12)
    low, high = skewed_bounds(0.0, 1.0, 0.0, 80, 0.90)
    assert (low, high) == pytest.approx(scipy.stats.t.interval(0.90, 79), rel=1e-9)
    low, high = skewed_bounds(0.0, 1.0, 3.0, 80, 0.90)
    assert high > -low > 0


def test_max_t_pays_once_for_what_tests_share_and_as_sidak_for_what_they_do_not():
    rng = np.random.default_rng(1)
    apart = rng.normal(size=(4000, 30))
    p = np.full(30, 0.003)
    assert max_t(p, apart) == pytest.approx(1 - (1 - 0.003) ** 30, abs=0.01)
    same = np.repeat(rng.normal(size=(4000, 1)), 30, axis=1)
    assert max_t(p, same) == pytest.approx(0.003, abs=0.002)
    spread = np.geomspace(1e-6, 0.9, 30)
    assert np.all(max_t(spread, apart) <= holm(spread) + 0.01)
    assert np.array_equal(max_t(spread, apart), max_t(spread, apart))
