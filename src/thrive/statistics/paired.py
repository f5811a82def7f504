"""Two models on the same rows: is b (the candidate) better or worse than a (production)?

Every difference is b - a in the metric's own unit. Intervals are two-sided; the non-inferiority
bound at one-sided 95 % is the low end of a 90 % interval.
"""

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import Floats, binary, codes, column, floats, same_length
from thrive.statistics.distributions import binomial_test_two_sided, normal_quantile
from thrive.statistics.intervals import Estimate, critical_value, estimate_from

EXACT_BELOW = 25
"""Discordant rows under which McNemar's test is the exact binomial instead of mid-p."""


class PairedProportions(msgspec.Struct, frozen=True, kw_only=True):
    """McNemar's comparison of two models' hits on the same rows; difference = accuracy b - a."""

    only_a: int
    only_b: int
    rows: int
    difference: float
    standard_error: float
    low: float
    high: float
    confidence: float
    p_value: float
    method: str

    @property
    def variance(self) -> float:
        """Variance a row, as `needed_rows` takes it."""
        return self.standard_error**2 * self.rows


class PairedAuc(msgspec.Struct, frozen=True, kw_only=True):
    """DeLong's comparison of two areas under the ROC curve on the same rows."""

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float
    low: float
    high: float
    confidence: float
    p_value: float
    rows: int
    units: int

    @property
    def variance(self) -> float:
        """Variance a row, as `needed_rows` takes it."""
        return self.standard_error**2 * self.rows


def cluster_error(influence: Floats, clusters: ArrayLike) -> tuple[float, int]:
    """Cluster-robust standard error of a sum of centred influence values, and how many clusters.

    Sums within a cluster, then the sandwich with the factor G / (G - 1) (Liang and Zeger 1986).
    """
    code, units = codes(clusters)
    same_length(clusters=code, values=influence)
    if units < 2:
        return math.nan, units
    sums = np.bincount(code, weights=influence, minlength=units)
    return math.sqrt(float(sums @ sums) * units / (units - 1)), units


def paired_mean(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95, clusters: ArrayLike | None = None
) -> Estimate:
    """Mean of b - a over rows, for metrics that are a mean over rows (log-loss, MAE, cost...).

    For accuracy prefer `mcnemar`: this interval has width zero when the models never disagree.

    Args:
        a: production's value a row (`metrics.row_values`).
        b: the candidate's value a row, same order.
        confidence: two-sided.
        clusters: what repeats, one a row (subject, day); the interval then counts clusters.
    """
    first, second = floats(a, "a"), floats(b, "b")
    rows = same_length(a=first, b=second)
    difference = second - first
    mean = float(difference.mean())
    if clusters is None:
        error = float(difference.std(ddof=1)) / math.sqrt(rows) if rows > 1 else math.nan
        return estimate_from(mean, error, confidence, rows=rows)
    error, units = cluster_error((difference - mean) / rows, clusters)
    return estimate_from(mean, error, confidence, rows=rows, units=units)


def mcnemar(
    correct_a: ArrayLike, correct_b: ArrayLike, confidence: float = 0.95
) -> PairedProportions:
    """McNemar's test of two models' accuracy on the same rows, with an interval.

    The p-value is the exact binomial below `EXACT_BELOW` discordant rows, mid-p from there
    (Fagerland 2013). The interval adds one discordant row to each side (Bonett and Price 2012), so
    it keeps a width when the models never disagree.

    Args:
        correct_a: 0 or 1 a row: production was right.
        correct_b: the same of the candidate.
        confidence: two-sided.
    """
    first, second = binary(correct_a, "correct_a"), binary(correct_b, "correct_b")
    rows = same_length(correct_a=first, correct_b=second)
    only_a, only_b = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    exact = only_a + only_b < EXACT_BELOW
    share_a, share_b = (only_a + 1) / (rows + 2), (only_b + 1) / (rows + 2)
    centre = share_b - share_a
    error = math.sqrt((share_a + share_b - centre**2) / (rows + 2))
    half = critical_value(confidence) * error
    return PairedProportions(
        only_a=only_a,
        only_b=only_b,
        rows=rows,
        difference=(only_b - only_a) / rows,
        standard_error=error,
        low=max(-1.0, centre - half),
        high=min(1.0, centre + half),
        confidence=confidence,
        p_value=binomial_test_two_sided(only_b, only_a + only_b, mid_p=not exact),
        method="exact binomial" if exact else "mid-p",
    )


def placements(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """Share of negatives below each positive and of positives above each negative, ties by half.

    One sort of each side, O(n log n); what is looked up is sorted too, as the search then walks
    memory in order (four times as fast). The mean of either is the area under the ROC curve.
    """
    first, second = np.argsort(positive), np.argsort(negative)
    ranked_positive, ranked_negative = positive[first], negative[second]
    of_positive, of_negative = np.empty(len(positive)), np.empty(len(negative))
    of_positive[first] = _share_below(ranked_positive, ranked_negative)
    of_negative[second] = 1.0 - _share_below(ranked_negative, ranked_positive)
    return of_positive, of_negative


def _share_below(values: Floats, ranked: Floats) -> Floats:
    """Return the share of ranked numbers below each value, ties by half."""
    below, up_to = (np.searchsorted(ranked, values, side) for side in ("left", "right"))
    return (below + up_to) / (2.0 * len(ranked))


def paired_auc(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    confidence: float = 0.95,
    clusters: ArrayLike | None = None,
) -> PairedAuc:
    """Difference of two areas under the ROC curve on the same rows (DeLong 1988, ties by half).

    Args:
        labels: 0 or 1 a row.
        scores_a: production's score a row.
        scores_b: the candidate's score a row.
        confidence: two-sided.
        clusters: what repeats, one a row; the error is then cluster-robust (Obuchowski 1997).

    Two perfect models have a standard error of zero on any number of rows: a gate asks for a
    smallest number of positives beside the interval.

    Raises:
        UsageError: if a class is absent.
    """
    y, a, b = binary(labels), floats(scores_a, "scores_a"), floats(scores_b, "scores_b")
    rows = same_length(labels=y, scores_a=a, scores_b=b)
    positives = int(y.sum())
    if positives in (0, rows):
        raise UsageError(
            f"{positives} of {rows} rows are positive: there is no ROC curve",
            "judge on rows that hold both classes",
        )
    positive_a, negative_a = placements(a[y], a[~y])
    positive_b, negative_b = placements(b[y], b[~y])
    auc_a, auc_b = float(positive_a.mean()), float(positive_b.mean())
    error, units = _auc_error(y, positive_b - positive_a, negative_b - negative_a, clusters)
    difference = auc_b - auc_a
    base = estimate_from(difference, error, confidence, rows=rows, units=units)
    return PairedAuc(
        auc_a=auc_a,
        auc_b=auc_b,
        difference=difference,
        standard_error=base.standard_error,
        low=base.low,
        high=base.high,
        confidence=confidence,
        p_value=base.p_value,
        rows=rows,
        units=units,
    )


def _auc_error(
    y: np.ndarray[tuple[int], np.dtype[np.bool_]],
    positive: Floats,
    negative: Floats,
    clusters: ArrayLike | None,
) -> tuple[float, int]:
    if clusters is not None:
        influence = np.empty(len(y))
        influence[y] = (positive - positive.mean()) / len(positive)
        influence[~y] = (negative - negative.mean()) / len(negative)
        return cluster_error(influence, column(clusters, "clusters"))
    if min(len(positive), len(negative)) < 2:
        return math.nan, len(y)
    variance = positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative)
    return math.sqrt(float(variance)), len(y)


def _power_factor(alpha: float, power: float) -> float:
    return (normal_quantile(1.0 - alpha) + normal_quantile(power)) ** 2


def needed_rows(
    variance: float,
    margin: float,
    difference: float = 0.0,
    *,
    alpha: float = 0.05,
    power: float = 0.80,
) -> int:
    """Rows a non-inferiority test needs: (z_alpha + z_power)^2 variance / (margin + difference)^2.

    For accuracy with equal models the variance is the share d of rows on which they disagree:
    n = 6.18 d / margin^2.

    Args:
        variance: variance of the difference a row (`.variance` of a paired result).
        margin: the loss that is still accepted, > 0, in the metric's unit.
        difference: the true b - a one plans for (greater is better), above -margin.
        alpha: one-sided level.
        power: wanted chance to pass.
    """
    distance = margin + difference
    if distance <= 0.0:
        raise UsageError(
            f"a true difference of {difference} is not inside the margin {margin}",
            "plan for a difference above -margin",
        )
    return max(2, math.ceil(_power_factor(alpha, power) * variance / distance**2))


def smallest_visible_loss(
    variance: float, rows: int, *, alpha: float = 0.05, power: float = 0.80
) -> float:
    """The smallest loss these rows can show: (z_alpha + z_power) sqrt(variance / rows)."""
    return math.sqrt(_power_factor(alpha, power) * variance / rows)
