import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrive.domain.errors import UsageError
from thrive.statistics.fairness import (
    CountTable,
    Rate,
    count_table,
    gaps,
    group_calibration,
    group_rates,
    ratios,
)
from thrive.statistics.metrics import ece


def equal_groups(seed: int, rows: int, lower: float = 0.0, groups: int = 10) -> CountTable:
    """Groups of positives found with probability 0.7, the first with less."""
    rng = np.random.default_rng(seed)
    found = rng.binomial(rows, [0.7 - lower] + [0.7] * (groups - 1))
    counts = np.zeros((groups, 2, 2), dtype=np.int64)
    counts[:, 1, 1], counts[:, 1, 0] = found, rows - found
    return CountTable(groups=tuple(f"g{i}" for i in range(groups)), counts=counts)


def test_rates_are_counted_by_hand():
    groups = ["a"] * 5 + ["b"] * 3
    table = count_table(groups, [1, 1, 1, 0, 0, 1, 0, 0], [1, 1, 0, 1, 0, 0, 0, 0])
    a, b = group_rates(table)
    assert (a.group, a.rows, a.positives) == ("a", 5, 3)
    expected = {
        Rate.SELECTION: 3 / 5,
        Rate.TRUE_POSITIVE: 2 / 3,
        Rate.FALSE_POSITIVE: 1 / 2,
        Rate.PRECISION: 2 / 3,
        Rate.FALSE_OMISSION: 1 / 2,
        Rate.ACCURACY: 3 / 5,
    }
    assert {r: i.estimate for r, i in a.rates.items()} == pytest.approx(expected)
    assert math.isnan(b.rates[Rate.PRECISION].estimate)
    assert (b.rates[Rate.PRECISION].low, b.rates[Rate.PRECISION].high) == (0.0, 1.0)


def test_fair_groups_rarely_alarm_and_enough_rows_say_fair():
    unfair, fair = {30: 0, 1000: 0}, {30: 0, 1000: 0}
    for rows in unfair:
        for seed in range(200):
            tested = gaps(equal_groups(seed, rows), Rate.TRUE_POSITIVE, 0.10)
            unfair[rows] += any(gap.p_exceeds_holm < 0.05 for gap in tested)
            fair[rows] += all(gap.p_within < 0.05 for gap in tested)
    assert unfair[30] <= 8
    assert unfair[1000] == 0
    assert fair[30] <= 2
    assert fair[1000] >= 198


def test_an_unfair_group_is_found_when_rows_allow():
    found = {100: 0, 1000: 0}
    for rows in found:
        for seed in range(100):
            tested = gaps(equal_groups(seed, rows, lower=0.2), Rate.TRUE_POSITIVE, 0.10)
            found[rows] += tested[0].p_exceeds_holm < 0.05
    assert found[1000] == 100
    assert found[100] < 90


def test_a_gap_names_its_interval():
    tested = gaps(equal_groups(1, 500, lower=0.3), Rate.TRUE_POSITIVE, 0.10)[0]
    assert tested.gap.low < -0.3 < tested.gap.high
    assert tested.rows == 500
    assert tested.rest_rows == 4500


def test_four_fifths_rule_on_the_ratio():
    counts = np.zeros((2, 2, 2), dtype=np.int64)
    counts[:, 0, 1], counts[:, 0, 0] = [300, 500], [700, 500]
    first, second = ratios(CountTable(groups=("x", "y"), counts=counts))
    assert first.ratio == second.ratio == pytest.approx(0.6)
    assert first.p_below_holm < 1e-4
    counts[:, 0, 1], counts[:, 0, 0] = [480, 500], [520, 500]
    assert ratios(CountTable(groups=("x", "y"), counts=counts))[0].p_above < 1e-4


@given(st.integers(5, 400), st.integers(5, 400), st.floats(0.3, 0.95))
def test_the_interval_of_a_ratio_says_what_its_test_says(hits: int, rest: int, least: float):
    counts = np.zeros((2, 2, 2), dtype=np.int64)
    counts[:, 0, 1], counts[:, 0, 0] = [hits, rest], [500 - hits, 500 - rest]
    (one, _) = ratios(CountTable(groups=("x", "y"), counts=counts), least=least, confidence=0.90)
    assert one.low <= one.high
    assert (one.low > least) == (one.p_above < 0.05)
    assert (one.high < least) == (one.p_below < 0.10)


def test_groups_too_small_to_judge_say_nothing():
    table = count_table(["a", "b", "b"], [0, 1, 0], [0, 1, 0])
    for gap in gaps(table, Rate.TRUE_POSITIVE, 0.1):
        assert (gap.p_exceeds_holm, gap.p_within) == (1.0, 1.0)
    for gap in gaps(table, Rate.SELECTION, 0.1):
        assert gap.p_exceeds_holm > 0.05
        assert gap.p_within > 0.05
    assert math.isnan(ratios(table, Rate.TRUE_POSITIVE)[0].ratio)
    with pytest.raises(UsageError, match="shape"):
        CountTable(groups=("a",), counts=np.zeros((2, 2, 2), dtype=np.int64))


def test_calibration_of_each_group():
    rng = np.random.default_rng(2)
    scores = rng.random(20_000)
    group = np.where(rng.random(20_000) < 0.5, "good", "bad")
    labels = rng.random(20_000) < np.where(group == "bad", scores * 0.8, scores)
    bad, good = group_calibration(group, labels, scores)
    assert bad.error == pytest.approx(ece(labels[group == "bad"], scores[group == "bad"]))
    assert bad.p_value < 1e-9
    assert good.p_value > 0.001
    assert good.error < 2.5 * good.expected
    assert bad.rate < bad.mean_score - 0.08
