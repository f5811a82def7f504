"""Tests one may look at all the time: always-valid intervals and p-values for a running comparison.

A fixed test that is looked at every minute alarms falsely in a third of all canaries. These are
mixture tests (mSPRT; Robbins 1970, Johari et al. 2015): the interval holds at every look at once,
the p-value may be read at any moment. They are asymptotic (Waudby-Smith et al. 2021), so start
looking after a burn-in of some hundred rows a side.

Every difference is b - a: b the canary, a the stable version over the same minutes.
"""

import math
from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import floats
from thrive.statistics.distributions import beta_cdf, chi2_survival, normal_survival

TIGHTEST_AT = 1000
"""Rows of the canary at which the interval is narrowest compared with a fixed one."""

RARE_BELOW = 10
"""Expected events of the canary under which shares are compared as rare events."""
_PRIOR_EVENTS = 10.0


class Side(StrEnum):
    """Which difference is an alarm."""

    BOTH = "both"
    GREATER = "greater"
    """b greater than a, for what should be small: errors, latency"""
    LESS = "less"
    """b smaller than a, for what should be large: conversions"""


class AlwaysValid(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a running comparison.

    Alarm when `p_value` ("no difference to that side") falls below alpha; promote when the bound of
    the harm is inside the margin. Of a one-sided test each bound by itself holds at 1 - alpha, of a
    two-sided one the interval does.
    """

    estimate: float
    standard_error: float
    low: float
    high: float
    alpha: float
    p_value: float
    rows_a: int
    rows_b: int


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one side that add up: rows (or clusters), sum and sum of squares."""

    rows: int
    total: float
    squares: float

    @classmethod
    def of(cls, values: ArrayLike) -> "Moments":
        """The counters of an array of values."""
        array = floats(values)
        return cls(rows=len(array), total=float(array.sum()), squares=float((array**2).sum()))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            rows=self.rows + other.rows,
            total=self.total + other.total,
            squares=self.squares + other.squares,
        )

    @property
    def mean(self) -> float:
        """Mean of the values; NaN without rows."""
        return self.total / self.rows if self.rows else math.nan

    @property
    def variance(self) -> float:
        """Variance of the values (n - 1); NaN below two rows."""
        if self.rows < 2:
            return math.nan
        return max(0.0, self.squares - self.rows * self.mean**2) / (self.rows - 1)


def _mixture_variance(variance: float, rows_b: int, tightest_at: int, alpha: float) -> float:
    """The mixture's variance that makes the interval narrowest at `tightest_at` rows."""
    doubled = -2.0 * math.log(alpha)
    return variance * rows_b / tightest_at * (doubled + math.log(doubled + 1.0))


def _half_width(variance: float, mixture: float, alpha: float, *, both: bool) -> float:
    ratio = (variance + mixture) / variance
    if both:
        bound = 2.0 * math.log(1.0 / alpha) + math.log(ratio)
    else:  # Waudby-Smith et al., one-sided boundary
        bound = 2.0 * math.log1p(math.sqrt(ratio) / (2.0 * alpha))
    return math.sqrt(variance * ratio / mixture * bound * variance)


def _p_value(difference: float, variance: float, mixture: float, *, both: bool) -> float:
    """One over the mixture likelihood ratio (half-normal mixture for one side)."""
    total = variance + mixture
    log_ratio = 0.5 * math.log(variance / total)
    log_ratio += 0.5 * mixture * difference**2 / (variance * total)
    if not both:
        inside = normal_survival(-difference * math.sqrt(mixture / (variance * total)))
        if inside <= 0.0:
            return 1.0
        log_ratio += math.log(2.0 * inside)
    return min(1.0, math.exp(min(0.0, -log_ratio)))


def always_valid(
    difference: float,
    variance: float,
    rows_a: int,
    rows_b: int,
    *,
    alpha: float = 0.05,
    side: Side = Side.BOTH,
    tightest_at: int = TIGHTEST_AT,
) -> AlwaysValid:
    """An always-valid interval and p-value for any estimate that is normal in large samples.

    Args:
        difference: estimated b - a on all rows so far.
        variance: its squared standard error on all rows so far.
        rows_a: rows of the stable version.
        rows_b: rows of the canary.
        alpha: chance of a false alarm over the whole run; divide it among guardrails.
        side: which difference is an alarm.
        tightest_at: canary rows at which the interval should be narrowest; fix it beforehand.
    """
    if not 0.0 < alpha < 0.5:
        raise UsageError(f"alpha = {alpha} is not between 0 and 0.5", "try 0.05")
    low, high, p_value, error = -math.inf, math.inf, 1.0, math.nan
    if variance > 0.0:
        both = side is Side.BOTH
        error = math.sqrt(variance)
        mixture = _mixture_variance(variance, rows_b, tightest_at, alpha)
        half = _half_width(variance, mixture, alpha, both=both)
        low, high = difference - half, difference + half
        directed = -difference if side is Side.LESS else difference
        p_value = _p_value(directed, variance, mixture, both=both)
    return AlwaysValid(
        estimate=difference,
        standard_error=error,
        low=low,
        high=high,
        alpha=alpha,
        p_value=p_value,
        rows_a=rows_a,
        rows_b=rows_b,
    )


def difference_of_proportions(
    successes_a: int,
    rows_a: int,
    successes_b: int,
    rows_b: int,
    *,
    alpha: float = 0.05,
    side: Side = Side.BOTH,
    tightest_at: int = TIGHTEST_AT,
) -> AlwaysValid:
    """Always-valid difference of two shares (errors, slow requests, disagreements).

    The p-value is that of the normal mixture on the pooled variance; while the canary is expected
    to have had fewer than `RARE_BELOW` events, it is the beta-binomial mixture on which side the
    events fell (exact for rare events). The interval adds log(1 / alpha) successes and failures to
    each side (the rule of three): a canary without an error yet is not known to have none.
    """
    if not (0 <= successes_a <= rows_a and 0 <= successes_b <= rows_b):
        raise UsageError(
            f"{successes_a} of {rows_a} against {successes_b} of {rows_b}",
            "pass 0 <= successes <= rows for both",
        )
    if not (rows_a and rows_b):
        return always_valid(math.nan, 0.0, rows_a, rows_b, alpha=alpha, side=side)
    difference = successes_b / rows_b - successes_a / rows_a
    both = successes_a + successes_b, rows_a + rows_b
    pooled = _spread(*both, 0.5) * (1.0 / rows_a + 1.0 / rows_b)
    unseen = -math.log(alpha)
    apart = _spread(successes_a, rows_a, unseen) / rows_a
    apart += _spread(successes_b, rows_b, unseen) / rows_b
    look, under_null = (
        always_valid(
            difference, variance, rows_a, rows_b, alpha=alpha, side=side, tightest_at=tightest_at
        )
        for variance in (max(apart, pooled), pooled)
    )
    p_value = under_null.p_value
    if min(both[0], both[1] - both[0]) * rows_b < RARE_BELOW * both[1]:
        p_value = _rare_p_value(successes_a, rows_a, successes_b, rows_b, side)
    return msgspec.structs.replace(look, p_value=p_value)


def _spread(successes: int, rows: int, added: float) -> float:
    share = (successes + added) / (rows + 2.0 * added)
    return share * (1.0 - share)


def _rare_p_value(
    successes_a: int, rows_a: int, successes_b: int, rows_b: int, side: Side
) -> float:
    """Side of the rarer outcome: given that one happens, it falls to b by b's share of the rows."""
    events_a, events_b = successes_a, successes_b
    if 2 * (successes_a + successes_b) > rows_a + rows_b:
        events_a, events_b = rows_a - successes_a, rows_b - successes_b
        side = {Side.GREATER: Side.LESS, Side.LESS: Side.GREATER}.get(side, side)
    share = rows_b / (rows_a + rows_b)
    more = _beta_mixture_p_value(events_a, events_b, share)
    less = _beta_mixture_p_value(events_b, events_a, 1.0 - share)
    if side is Side.BOTH:
        return min(1.0, 2.0 * min(more, less))
    return more if side is Side.GREATER else less


def _beta_mixture_p_value(events_a: float, events_b: float, share: float) -> float:
    """One over the likelihood ratio of "b takes more than its share", mixed over a beta prior."""
    a, b = _PRIOR_EVENTS * share, _PRIOR_EVENTS * (1.0 - share)
    above = 1.0 - beta_cdf(share, a + events_b, b + events_a)
    if above <= 0.0:
        return 1.0
    log_ratio = (
        _log_beta(a + events_b, b + events_a)
        - _log_beta(a, b)
        + math.log(above / (1.0 - beta_cdf(share, a, b)))
        - events_b * math.log(share)
        - events_a * math.log1p(-share)
    )
    return min(1.0, math.exp(min(0.0, -log_ratio)))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def share_beyond(events: float, units: int, limit: float) -> float:
    """Always-valid p-value that a share is at most `limit`; read it at any moment.

    One over the beta-binomial mixture likelihood ratio over larger shares (Robbins 1970). A unit
    may count as a fraction of an event, the mean of the rows of a request for instance: the ratio
    is convex in it, so the test keeps its level for any values from 0 to 1.

    Args:
        events: units with the event, fractions included.
        units: all of them, independent of each other.
        limit: the largest share that is no alarm, above 0 and below 1.

    Raises:
        UsageError: the numbers are out of their range.
    """
    if not (0.0 <= events <= units and 0.0 < limit < 1.0):
        raise UsageError(
            f"{events} of {units} against a limit of {limit}", "pass 0 <= events <= units"
        )
    return _beta_mixture_p_value(units - events, events, limit) if units else 1.0


def difference_of_means(
    a: Moments,
    b: Moments,
    *,
    alpha: float = 0.05,
    side: Side = Side.BOTH,
    tightest_at: int = TIGHTEST_AT,
) -> AlwaysValid:
    """Always-valid difference of two means (asymptotic confidence sequence).

    Args:
        a: counters of the stable version; for repeated subjects give one value a subject.
        b: counters of the canary.
        alpha: chance of a false alarm over the whole run.
        side: which difference is an alarm.
        tightest_at: canary rows at which the interval should be narrowest.
    """
    known = min(a.rows, b.rows) >= 2
    variance = a.variance / a.rows + b.variance / b.rows if known else 0.0
    difference = b.mean - a.mean
    return always_valid(
        difference, variance, a.rows, b.rows, alpha=alpha, side=side, tightest_at=tightest_at
    )


def sample_ratio_mismatch(counts: Sequence[int], weights: Sequence[float]) -> float:
    """P-value that the variants were drawn with these weights (chi-square); below 0.0005 stop.

    Args:
        counts: keys (not requests: they repeat) seen by each variant.
        weights: the planned traffic of each, any scale; a variant of weight 0 must have no rows.
    """
    seen, planned = np.asarray(counts, dtype=float), np.asarray(weights, dtype=float)
    if seen.shape != planned.shape or planned.sum() <= 0 or np.any(planned < 0):
        raise UsageError(f"counts {counts} do not fit weights {weights}", "one weight a variant")
    if np.any(seen[planned == 0] > 0):
        return 0.0
    seen, planned = seen[planned > 0], planned[planned > 0]
    expected = planned / planned.sum() * seen.sum()
    if not seen.sum():
        return 1.0
    return chi2_survival(float(np.sum((seen - expected) ** 2 / expected)), len(seen) - 1)
