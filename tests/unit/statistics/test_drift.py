import math

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from thrive.domain.errors import UsageError
from thrive.statistics.drift import (
    chi2,
    column_drift,
    histograms,
    js,
    ks,
    merged_bins,
    missing_change,
    new_categories,
    psi,
    shares_differ,
)
from thrive.statistics.multiplicity import benjamini_hochberg
from thrive.statistics.sketch import sketch_categories, sketch_numeric


def numeric(a, b):
    baseline = sketch_numeric(a)
    return baseline, sketch_numeric(b, baseline)


def categories(a, b):
    baseline = sketch_categories(a)
    return baseline, sketch_categories(b, baseline)


def test_agrees_with_scipy():
    rng = np.random.default_rng(1)
    reference, current = categories(
        rng.choice(list("abcd"), 5000, p=[0.4, 0.3, 0.2, 0.1]).tolist(),
        rng.choice(list("abcd"), 900, p=[0.35, 0.3, 0.2, 0.15]).tolist(),
    )
    table = np.array(histograms(reference, current))
    theirs = scipy.stats.chi2_contingency(table, correction=False)
    ours = chi2(reference, current)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-9)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours.effect == pytest.approx(scipy.stats.contingency.association(table), rel=1e-9)
    distance = scipy.spatial.distance.jensenshannon(*table, base=2)
    assert js(reference, current).statistic == pytest.approx(distance, rel=1e-9)


def test_ks_is_near_the_exact_one():
    rng = np.random.default_rng(2)
    for shift in (0.0, 0.05, 0.2):
        a, b = rng.normal(size=20_000), rng.normal(shift, 1, 700)
        ours, theirs = ks(*numeric(a, b)), scipy.stats.ks_2samp(a, b)
        assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-3)
        assert ours.p_value == pytest.approx(theirs.pvalue, rel=0.15, abs=1e-8)


@pytest.mark.parametrize("rows", [200, 1000, 10_000])
@pytest.mark.parametrize("cardinality", [0, 5, 200])
def test_corrected_psi_is_zero_on_average_without_drift(rows: int, cardinality: int):
    rng = np.random.default_rng(rows + cardinality)
    draw = (lambda n: rng.normal(size=n)) if not cardinality else None
    values, p_values = [], []
    for _ in range(60):
        if draw is not None:
            pair = numeric(draw(20_000), draw(rows))
        else:
            weights = 1.0 / np.arange(1, cardinality + 1)
            counts = [rng.multinomial(n, weights / weights.sum()) for n in (20_000, rows)]
            pair = categories(*({str(i): int(c) for i, c in enumerate(k)} for k in counts))
        result = psi(*pair)
        values.append(result.effect)
        p_values.append(result.p_value)
    spread = np.std(values) / math.sqrt(60)
    assert abs(np.mean(values)) < 4 * spread + 0.1 / rows
    assert 0.25 < np.mean(p_values) < 0.75
    assert np.mean(np.array(p_values) < 0.01) < 0.1


def test_drift_is_found_where_equal_width_bins_are_blind():
    rng = np.random.default_rng(3)
    one_wild_value = numeric(rng.normal(size=50_000), np.append(rng.normal(3, 1, 20_000), 1e6))
    assert psi(*one_wild_value).effect > 1
    long_tail = numeric(rng.lognormal(0, 2, 50_000), 2.7 * rng.lognormal(0, 2, 20_000))
    assert psi(*long_tail).effect == pytest.approx(0.227, abs=0.05)
    calm = numeric(rng.normal(size=50_000), np.append(rng.normal(size=20_000), 5000))
    assert psi(*calm).effect < 0.01
    constant = numeric(np.full(1000, 3.0), np.full(500, 3.5))
    assert psi(*constant).effect > 1
    assert ks(*constant).p_value < 1e-9


def test_missing_values_are_a_drift_of_their_own():
    rng = np.random.default_rng(4)
    values = rng.normal(size=4000)
    holes = np.where(rng.random(4000) < 0.4, np.nan, values)
    pair = numeric(values, holes)
    assert ks(*pair).p_value > 0.01
    assert missing_change(*pair).effect == pytest.approx(0.4, abs=0.03)
    assert missing_change(*pair).p_value < 1e-9
    few = shares_differ("missing", 0, 900, 2, 60)
    expected = scipy.stats.fisher_exact([[0, 900], [2, 58]]).pvalue
    assert few.p_value == pytest.approx(expected, rel=1e-9)


def test_new_categories_are_judged_by_what_is_to_be_expected():
    steady = ["a"] * 600 + ["b"] * 400
    result = new_categories(*categories(steady, ["a"] * 994 + ["x"] * 6))
    assert result.effect == pytest.approx(0.006)
    assert result.p_value < 0.01
    names = [f"n{i}" for i in range(500)] + ["a"] * 500
    usual = new_categories(*categories(names, [f"m{i}" for i in range(50)] + ["a"] * 50))
    assert usual.p_value > 0.3


@given(st.data(), st.integers(1, 12), st.booleans())
def test_joining_thin_bins_keeps_every_row(data: st.DataObject, bins: int, ordered: bool):
    counts = st.lists(st.integers(0, 40), min_size=bins, max_size=bins)
    a, b = np.array(data.draw(counts)), np.array(data.draw(counts))
    if not a.sum() or not b.sum():
        return
    first, second = merged_bins(a, b, ordered=ordered)
    assert (first.sum(), second.sum()) == (a.sum(), b.sum())
    if len(first) > 1:
        n, m = a.sum(), b.sum()
        assert np.all((first + second) * min(n, m) / (n + m) >= 5 - 1e-9)


def test_nothing_to_compare_is_no_evidence():
    for result in column_drift(*numeric([1.0, 2.0], [])).values():
        assert result.p_value == 1.0
        assert math.isnan(result.effect)
    assert set(column_drift(*categories(["a"], []))) == {
        "psi",
        "js",
        "missing",
        "chi2",
        "new_categories",
    }
    with pytest.raises(UsageError, match="numeric and the other categorical"):
        psi(sketch_numeric([1.0]), sketch_categories(["a"]))


@pytest.mark.full
def test_the_rule_of_the_house_rarely_alarms_and_finds_shifts():
    """30 features, BH at 1 % and corrected PSI above 0.01, 1000 rows a window."""
    rng = np.random.default_rng(5)
    baseline = [sketch_numeric(rng.normal(size=50_000)) for _ in range(30)]
    alarms, found = 0, 0
    for window in range(200):
        shift = np.where((np.arange(30) < 8) & (window >= 100), 0.25, 0.0)
        current = [
            sketch_numeric(rng.normal(s, 1, 1000), b) for s, b in zip(shift, baseline, strict=True)
        ]
        small = (
            benjamini_hochberg([ks(b, c).p_value for b, c in zip(baseline, current, strict=True)])
            < 0.01
        )
        large = np.array([psi(b, c).effect > 0.01 for b, c in zip(baseline, current, strict=True)])
        fired = small & large
        alarms += int(fired[8:].any() or (window < 100 and fired.any()))
        found += int(fired[:8].sum()) if window >= 100 else 0
    assert alarms <= 8
    assert found / 800 > 0.85
