import math

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from thrive.domain.errors import CannotTell, UsageError
from thrive.statistics.thresholds import LEAST_WINDOWS, AlarmRule, alarm_limit

DAYS = 365.25
SINGLE = AlarmRule()
TWO_OF_THREE = AlarmRule(needed=2, among=3)


def series(seed: int, runs: int, length: int, autocorrelation: float):
    """Gaussian AR(1) series of variance 1, one a row."""
    noise = np.random.default_rng(seed).normal(size=(runs, length + 50))
    path = scipy.signal.lfilter([1.0], [1.0, -autocorrelation], noise, axis=1)[:, 50:]
    return path * math.sqrt(1 - autocorrelation**2)


def episodes(beyond, rule: AlarmRule) -> int:
    """How often the rule starts to fire."""
    firing = np.convolve(beyond.astype(int), np.ones(rule.among, int), "valid") >= rule.needed
    return int(np.sum(firing[1:] & ~firing[:-1]))


def false_alarms(windows: int, autocorrelation: float, rule: AlarmRule, runs: int, shape=None):
    """(real, expected) false alarms a year above the upper limit, two years after each history."""
    past = series(1, runs, windows, autocorrelation)
    future = series(2, runs, 730, autocorrelation)
    if shape is not None:
        past, future = shape(past), shape(future)
    limits = [alarm_limit(h, DAYS, 4, rule=rule, lower=False, upper=True) for h in past]
    real = [episodes(f > limit.upper, rule) / 2 for f, limit in zip(future, limits, strict=True)]
    return np.mean(real), np.mean([limit.expected_per_year for limit in limits])


@pytest.mark.parametrize("rule", [SINGLE, TWO_OF_THREE])
def test_the_budget_holds_for_independent_windows(rule: AlarmRule):
    real, expected = false_alarms(120, 0.0, rule, 100)
    assert real == pytest.approx(expected, rel=0.25)


@pytest.mark.full
@pytest.mark.parametrize("windows", [30, 60, 200])
@pytest.mark.parametrize("autocorrelation", [0.0, 0.5])
@pytest.mark.parametrize("rule", [SINGLE, AlarmRule(needed=2, among=2), TWO_OF_THREE])
def test_the_budget_holds(windows: int, autocorrelation: float, rule: AlarmRule):
    real, expected = false_alarms(windows, autocorrelation, rule, 300)
    assert 0.7 * expected <= real <= 1.4 * expected


@pytest.mark.full
@pytest.mark.parametrize("shape", [np.exp, lambda z: scipy.stats.t.ppf(scipy.stats.norm.cdf(z), 5)])
def test_heavy_tails_do_not_flood(shape):
    real, expected = false_alarms(200, 0.2, TWO_OF_THREE, 200, shape)
    assert real <= 1.4 * expected


def test_a_short_history_says_which_budget_it_supports():
    history = series(3, 1, 60, 0.0)[0]
    strict = alarm_limit(history, DAYS, DAYS / 1000)
    assert not strict.supported
    assert strict.expected_per_year == strict.supported_per_year
    assert DAYS / 62 * 0.9 < strict.supported_per_year < DAYS / 60 * 1.1
    assert 900 < strict.windows_needed < 1300
    rule = alarm_limit(history, DAYS, 4, rule=TWO_OF_THREE)
    assert rule.supported
    assert rule.expected_per_year == 4


def test_the_limit_follows_budget_rule_and_history():
    history = 0.8 + 0.02 * series(4, 1, 300, 0.0)[0]
    few, many = alarm_limit(history, DAYS, 2), alarm_limit(history, DAYS, 20)
    assert few.lower < many.lower < few.mean
    assert few.upper == math.inf
    assert (
        alarm_limit(history, DAYS, 4, rule=TWO_OF_THREE).lower > alarm_limit(history, DAYS, 4).lower
    )
    both = alarm_limit(history, DAYS, 4, lower=True, upper=True)
    assert both.lower < alarm_limit(history, DAYS, 4).lower
    assert both.upper > both.mean
    moved = alarm_limit(history * 10 + 3, DAYS, 2)
    assert moved.lower == pytest.approx(few.lower * 10 + 3, rel=1e-6)
    assert (
        few.mean - 3.6 * few.standard_deviation
        < few.lower
        < few.mean - 2.0 * few.standard_deviation
    )


def test_autocorrelation_is_seen_and_paid_for():
    free, bound = (
        alarm_limit(series(5, 1, 400, r)[0], DAYS, 4, rule=TWO_OF_THREE) for r in (0.0, 0.6)
    )
    assert free.autocorrelation < 0.12
    assert bound.autocorrelation == pytest.approx(0.6, abs=0.12)
    assert bound.effective_windows < 0.5 * free.effective_windows
    distance = [(x.mean - x.lower) / x.standard_deviation for x in (free, bound)]
    assert distance[1] > distance[0]


def test_a_constant_history_alarms_at_any_change():
    limit = alarm_limit(np.full(30, 0.0), DAYS, 20, lower=True, upper=True)
    assert (limit.lower, limit.upper) == (0.0, 0.0)


def test_what_cannot_be_told_is_refused():
    with pytest.raises(CannotTell, match=f"wait for {LEAST_WINDOWS} windows"):
        alarm_limit([0.1, 0.2, float("nan")] * 3, DAYS, 4)
    with pytest.raises(UsageError, match="budget"):
        alarm_limit(np.arange(20.0), DAYS, 0)
    with pytest.raises(UsageError, match="no rule"):
        AlarmRule(needed=3, among=2)
