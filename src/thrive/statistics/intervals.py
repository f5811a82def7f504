"""Intervals of proportions and means, and the two result types the whole room speaks.

All confidences are two-sided: a bound that should hold one-sided at 95 % is the end of a 90 %
interval. A number that cannot be known (no rows) is NaN and its interval is as wide as possible.
"""

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import floats
from thrive.statistics.distributions import normal_quantile, student_quantile, student_survival


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate between two bounds."""

    estimate: float
    low: float
    high: float
    confidence: float


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate with its standard error, interval, and the p-value of "it is zero".

    `rows` counts rows, `units` what was independent: rows, or clusters where rows repeat a subject.
    """

    estimate: float
    standard_error: float
    low: float
    high: float
    confidence: float
    p_value: float
    rows: int
    units: int

    @property
    def variance(self) -> float:
        """Variance a row, as `paired.needed_rows` takes it (clusters are paid for)."""
        return self.standard_error**2 * self.rows


def critical_value(confidence: float, degrees: float = math.inf) -> float:
    """The half-width of a two-sided interval in standard errors.

    Raises:
        UsageError: if confidence is not strictly between 0 and 1.
    """
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence = {confidence} is not between 0 and 1", "try 0.95")
    return student_quantile(0.5 + confidence / 2.0, degrees)


def estimate_from(
    value: float, standard_error: float, confidence: float, *, rows: int, units: int | None = None
) -> Estimate:
    """An estimate with a t interval on units - 1 degrees of freedom."""
    independent = rows if units is None else units
    degrees = independent - 1
    if degrees < 1 or math.isnan(standard_error):
        low, high, error, p_value = -math.inf, math.inf, math.nan, 1.0
    else:
        half = critical_value(confidence, degrees) * standard_error
        low, high, error = value - half, value + half, standard_error
        p_value = _p_value(value, standard_error, degrees)
    return Estimate(
        estimate=value,
        standard_error=error,
        low=low,
        high=high,
        confidence=confidence,
        p_value=p_value,
        rows=rows,
        units=independent,
    )


def without_skew(statistic: float, skewness: float, units: int) -> float:
    """A t statistic of a mean, transformed so that it follows Student's t in skewed data as well.

    Hall's monotone cubic (1992): t + a t^2 / 3 + a^2 t^3 / 27 + a / 6 with a = skewness / sqrt(n).

    Args:
        statistic: (estimate - true value) / standard error.
        skewness: third standardized moment of one unit.
        units: how many were independent.
    """
    a = skewness / math.sqrt(units)
    return statistic + a * statistic**2 / 3.0 + a**2 * statistic**3 / 27.0 + a / 6.0


def with_skew(value: float, skewness: float, units: int) -> float:
    """The t statistic that `without_skew` turns into the value: its inverse, for bounds."""
    a = skewness / math.sqrt(units)
    if abs(a) < 1e-9:
        return value
    return 3.0 / a * (math.cbrt(1.0 + a * (value - a / 6.0)) - 1.0)


def skewed_bounds(
    estimate: float, standard_error: float, skewness: float, units: int, confidence: float
) -> tuple[float, float]:
    """Bounds of a mean whose units are skewed, as losses are (Hall 1992).

    Each end has half of the error, which a t interval has not: on squared errors of Laplace noise
    it lets through 7.6 % where 5 % are meant (400 rows).
    """
    if units < 2 or math.isnan(standard_error):
        return -math.inf, math.inf
    half = critical_value(confidence, units - 1)
    low, high = (with_skew(end, skewness, units) for end in (half, -half))
    return estimate - low * standard_error, estimate - high * standard_error


def _p_value(value: float, standard_error: float, degrees: float) -> float:
    if standard_error == 0.0:
        return 0.0 if value else 1.0
    return 2.0 * student_survival(abs(value / standard_error), degrees)


def _checked_counts(successes: float, n: float) -> None:
    if not 0 <= successes <= n:
        raise UsageError(f"{successes} successes of {n} trials", "pass 0 <= successes <= n")


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927).

    Args:
        successes: count (an expected count may be fractional), 0..n.
        n: number of trials; with 0 the estimate is NaN and the interval is 0..1.
        confidence: two-sided.
    """
    _checked_counts(successes, n)
    z = critical_value(confidence)
    if n == 0:
        return Interval(estimate=math.nan, low=0.0, high=1.0, confidence=confidence)
    share = successes / n
    centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n)
    spread = math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    half = z / (1.0 + z * z / n) * spread
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(estimate=share, low=low, high=high, confidence=confidence)


def difference_of_proportions(
    successes_a: float, n_a: float, successes_b: float, n_b: float, confidence: float = 0.95
) -> Interval:
    """Interval of p_b - p_a for two independent samples (Newcombe 1998, method 10).

    With an empty sample the estimate is NaN and the interval is what the other sample allows.
    """
    a, b = wilson(successes_a, n_a, confidence), wilson(successes_b, n_b, confidence)
    if n_a == 0 or n_b == 0:
        low, high = b.low - a.high, b.high - a.low
        return Interval(estimate=math.nan, low=low, high=high, confidence=confidence)
    difference = b.estimate - a.estimate
    below = math.hypot(b.estimate - b.low, a.high - a.estimate)
    above = math.hypot(b.high - b.estimate, a.estimate - a.low)
    return Interval(
        estimate=difference,
        low=max(-1.0, difference - below),
        high=min(1.0, difference + above),
        confidence=confidence,
    )


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Student's t interval of a mean.

    Args:
        values: one number a row, NaN left out beforehand.
        confidence: two-sided.
    """
    array = floats(values)
    rows = len(array)
    mean = float(array.mean()) if rows else math.nan
    error = float(array.std(ddof=1)) / math.sqrt(rows) if rows > 1 else math.nan
    return estimate_from(mean, error, confidence, rows=rows)


def quantile_interval(values: ArrayLike, share: float, confidence: float = 0.95) -> Interval:
    """Distribution-free interval of a quantile from its order statistics (latencies, for example).

    The ranks come from the normal approximation of the binomial; a bound beyond the sample is
    infinite.
    """
    array = np.sort(floats(values))
    rows = len(array)
    if rows == 0:
        return Interval(estimate=math.nan, low=-math.inf, high=math.inf, confidence=confidence)
    half = normal_quantile(0.5 + confidence / 2.0) * math.sqrt(rows * share * (1.0 - share))
    low, high = math.floor(rows * share - half), math.ceil(rows * share + half)
    return Interval(
        estimate=float(np.quantile(array, share)),
        low=float(array[low - 1]) if low >= 1 else -math.inf,
        high=float(array[high]) if high < rows else math.inf,
        confidence=confidence,
    )
