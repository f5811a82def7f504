"""Has a column moved? Tests on the mergeable counters of `sketch`.

Every function takes the reference's sketch and the current window's and gives one `DriftResult`:
the statistic, the p-value of "same distribution, independent rows", and an effect that does not
grow with the number of rows. Days are not independent rows, so on real data small p-values are
common: ask for an effect too, and calibrate it against the reference's own windows (`thresholds`).

Bins with fewer than five expected rows are merged before PSI, JS and chi-square.
"""

import math
from typing import TypeAlias

import msgspec
import numpy as np

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import Floats, Integers
from thrive.statistics.distributions import (
    binomial_survival,
    chi2_survival,
    fisher_exact,
    ks_survival,
    two_sided_normal,
)
from thrive.statistics.sketch import CategorySketch, NumericSketch

Sketch: TypeAlias = NumericSketch | CategorySketch

LEAST_EXPECTED = 5.0
"""Rows a bin must be expected to hold in the smaller sample."""
_JEFFREYS = 0.5


class DriftResult(msgspec.Struct, frozen=True, kw_only=True):
    """One test of one column.

    `p_value` is 1 when a sample is empty: nothing can be told. `effect` is what the test measures
    in its own unit: corrected PSI, KS distance, JS distance, Cramer's V, change of a share.
    """

    test: str
    statistic: float
    p_value: float
    effect: float


def _unknown(test: str) -> DriftResult:
    return DriftResult(test=test, statistic=math.nan, p_value=1.0, effect=math.nan)


def _groups(expected: Floats) -> Integers:
    """The group of each bin: neighbours joined until each group expects enough rows."""
    group = np.zeros(len(expected), dtype=np.int64)
    current, mass = 0, 0.0
    for index, rows in enumerate(expected.tolist()):
        group[index] = current
        mass += rows
        if mass >= LEAST_EXPECTED:
            current, mass = current + 1, 0.0
    if mass < LEAST_EXPECTED:  # what is left at the end joins the last full group
        group[group == current] = max(0, current - 1)
    return group


def merged_bins(
    reference: Integers, current: Integers, *, ordered: bool
) -> tuple[Integers, Integers]:
    """Join bins until each expects five rows in the smaller sample.

    Args:
        reference: counts a bin.
        current: counts of the same bins.
        ordered: bins of numbers, joined with their neighbour; otherwise the rare ones are joined.
    """
    n, m = int(reference.sum()), int(current.sum())
    pooled = (reference + current).astype(np.float64)
    if not ordered:
        order = np.argsort(-pooled, kind="stable")
        reference, current, pooled = reference[order], current[order], pooled[order]
    group = _groups(pooled * min(n, m) / (n + m))
    bins = int(group.max()) + 1
    joined = (np.bincount(group, weights=w, minlength=bins) for w in (reference, current))
    first, second = (counts.astype(np.int64) for counts in joined)
    return first, second


def histograms(
    reference: Sketch, current: Sketch, bins: int = 10, *, held_out: bool = False
) -> tuple[Integers, Integers]:
    """The two columns' counts on the reference's bins, thin ones joined; empty without rows.

    Args:
        reference: whose bins.
        current: what is compared with it.
        bins: of a numeric column.
        held_out: the current rows are part of the reference and are taken out of it first.

    Raises:
        UsageError: if one is numeric and the other categorical, or their baselines differ.
    """
    if isinstance(reference, NumericSketch) and isinstance(current, NumericSketch):
        reference.check_same(current)
        borders = reference.bin_borders(bins)
        counts = reference.histogram(borders), current.histogram(borders)
    elif isinstance(reference, CategorySketch) and isinstance(current, CategorySketch):
        reference.check_same(current)
        counts = reference.histogram(), current.histogram()
    else:
        raise UsageError(
            "one column is numeric and the other categorical", "check the schema of the window"
        )
    if held_out:
        counts = counts[0] - counts[1], counts[1]
    if not counts[0].sum() or not counts[1].sum():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    return merged_bins(*counts, ordered=isinstance(reference, NumericSketch))


def psi(
    reference: Sketch, current: Sketch, bins: int = 10, *, held_out: bool = False
) -> DriftResult:
    """Population stability index without its bias: zero on average when nothing moved.

    Jeffreys smoothing (+ 0.5 a bin), then minus (B - 1)(1/n + 1/m), its mean under no drift
    (Yurdakul and Naranjo 2020). The p-value compares n m / (n + m) PSI with a chi-square on B - 1
    degrees of freedom. With `held_out`, a part of the reference is compared with its rest.
    """
    first, second = histograms(reference, current, bins, held_out=held_out)
    if not len(first):
        return _unknown("psi")
    n, m, degrees = int(first.sum()), int(second.sum()), len(first) - 1
    p = (first + _JEFFREYS) / (n + _JEFFREYS * len(first))
    q = (second + _JEFFREYS) / (m + _JEFFREYS * len(first))
    raw = float(np.sum((q - p) * np.log(q / p)))
    corrected = raw - degrees * (1.0 / n + 1.0 / m)
    return DriftResult(
        test="psi",
        statistic=corrected,
        p_value=chi2_survival(raw * n * m / (n + m), degrees),
        effect=corrected,
    )


def ks(reference: NumericSketch, current: NumericSketch) -> DriftResult:
    """Two-sample Kolmogorov-Smirnov test, asymptotic with Stephens' correction (1970)."""
    distance = reference.ks_distance(current)
    if math.isnan(distance):
        return _unknown("ks")
    n, m = reference.present, current.present
    root = math.sqrt(n * m / (n + m))
    p_value = ks_survival((root + 0.12 + 0.11 / root) * distance)
    return DriftResult(test="ks", statistic=distance, p_value=p_value, effect=distance)


def chi2(reference: Sketch, current: Sketch, bins: int = 10) -> DriftResult:
    """Chi-square test that two columns of counts have the same shares; effect is Cramer's V."""
    first, second = histograms(reference, current, bins)
    if not len(first):
        return _unknown("chi2")
    table = np.stack([first, second]).astype(np.float64)
    rows = table.sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / rows
    statistic = float(np.sum((table - expected) ** 2 / expected))
    return DriftResult(
        test="chi2",
        statistic=statistic,
        p_value=chi2_survival(statistic, len(first) - 1),
        effect=math.sqrt(statistic / rows),
    )


def js(reference: Sketch, current: Sketch, bins: int = 10) -> DriftResult:
    """Jensen-Shannon distance (base 2, 0..1); p-value by the chi-square limit of 8 JS in nats."""
    first, second = histograms(reference, current, bins)
    if not len(first):
        return _unknown("js")
    n, m = int(first.sum()), int(second.sum())
    p, q = first / n, second / m
    nats = 0.5 * (_relative_entropy(p, (p + q) / 2.0) + _relative_entropy(q, (p + q) / 2.0))
    distance = math.sqrt(max(0.0, nats) / math.log(2.0))
    p_value = chi2_survival(8.0 * nats * n * m / (n + m), len(first) - 1)
    return DriftResult(test="js", statistic=distance, p_value=p_value, effect=distance)


def _relative_entropy(p: Floats, q: Floats) -> float:
    held = p > 0.0
    return float(np.sum(p[held] * np.log(p[held] / q[held])))


def shares_differ(test: str, a: int, n_a: int, b: int, n_b: int) -> DriftResult:
    """Compare two shares: z with pooled variance, Fisher's exact test where counts are small.

    The statistic is z, the effect the change of the share from a to b.
    """
    if not n_a or not n_b:
        return _unknown(test)
    pooled = (a + b) / (n_a + n_b)
    change = b / n_b - a / n_a
    spread = math.sqrt(pooled * (1.0 - pooled) * (1.0 / n_a + 1.0 / n_b))
    z = change / spread if spread else 0.0
    few = min(n_a, n_b) * min(pooled, 1.0 - pooled) < LEAST_EXPECTED
    p_value = fisher_exact(a, n_a, b, n_b) if few else two_sided_normal(z)
    return DriftResult(test=test, statistic=z, p_value=p_value, effect=change)


def missing_change(reference: Sketch, current: Sketch) -> DriftResult:
    """Has the share of missing values changed? Effect: current share minus reference share."""
    return shares_differ(
        "missing", reference.missing, reference.rows, current.missing, current.rows
    )


def new_categories(reference: CategorySketch, current: CategorySketch) -> DriftResult:
    """Are there more values the reference never saw than its own rare values lead to expect?

    A reference in which s of N rows hold a value seen once leaves about s / N of all rows unseen
    (Good and Turing 1953); the p-value is the binomial tail beyond (s + 1) / N, one-sided.
    """
    reference.check_same(current)
    if not current.present or not reference.present:
        return _unknown("new_categories")
    share = current.new / current.present
    expected = min(1.0, (reference.singletons + 1) / reference.present)
    return DriftResult(
        test="new_categories",
        statistic=share,
        p_value=binomial_survival(current.new, current.present, expected),
        effect=share,
    )


def column_drift(reference: Sketch, current: Sketch) -> dict[str, DriftResult]:
    """Every test that fits the column, by name: psi, js, ks or chi2, missing, new_categories."""
    results = [psi(reference, current), js(reference, current), missing_change(reference, current)]
    if isinstance(reference, NumericSketch) and isinstance(current, NumericSketch):
        results.append(ks(reference, current))
    elif isinstance(reference, CategorySketch) and isinstance(current, CategorySketch):
        results += [chi2(reference, current), new_categories(reference, current)]
    return {result.test: result for result in results}
