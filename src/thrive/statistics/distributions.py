"""Distribution functions from the standard library alone.

Normal, chi-square, Student's t, beta, binomial, Fisher's exact test, Kolmogorov. scipy is not a
core dependency, and what the tests here need is small. Every function is checked against scipy
to 1e-9 or better. Scalars in, scalars out, except where an array is said.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import Floats

_STANDARD_NORMAL = NormalDist()
_TINY = 1e-300
_EPSILON = 1e-16
_MOST_TERMS = 200_000


def _probability(p: float, name: str = "p") -> float:
    if not 0.0 <= p <= 1.0:
        raise UsageError(f"{name} = {p} is not a probability", "use a number from 0 to 1")
    return p


def normal_cdf(x: float) -> float:
    """P(Z <= x) of a standard normal."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def normal_survival(x: float) -> float:
    """P(Z > x) of a standard normal, accurate far in the tail."""
    return 0.5 * math.erfc(x / math.sqrt(2.0))


def normal_quantile(p: float) -> float:
    """The z with P(Z <= z) = p (Wichura's AS241, from the standard library)."""
    if _probability(p) in (0.0, 1.0):
        return math.inf if p else -math.inf
    return _STANDARD_NORMAL.inv_cdf(p)


def two_sided_normal(z: float) -> float:
    """P(|Z| >= |z|): the two-sided p-value of a z statistic."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def gamma_survival(shape: float, x: float) -> float:
    """Upper regularised incomplete gamma function Q(shape, x).

    Series below the mean, continued fraction (Lentz) above it.
    """
    if x <= 0.0:
        return 1.0
    if math.isinf(x):
        return 0.0
    front = math.exp(-x + shape * math.log(x) - math.lgamma(shape))
    if x < shape + 1.0:
        return max(0.0, 1.0 - front * _gamma_series(shape, x))
    return front * _gamma_fraction(shape, x)


def _gamma_series(shape: float, x: float) -> float:
    term = total = 1.0 / shape
    for k in range(1, _MOST_TERMS):
        term *= x / (shape + k)
        total += term
        if term < total * _EPSILON:
            break
    return total


def _gamma_fraction(shape: float, x: float) -> float:
    b = x + 1.0 - shape
    c = 1.0 / _TINY
    d = 1.0 / b
    value = d
    for k in range(1, _MOST_TERMS):
        a = -k * (k - shape)
        b += 2.0
        d = 1.0 / (a * d + b or _TINY)
        c = b + a / c or _TINY
        value *= d * c
        if abs(d * c - 1.0) < _EPSILON:
            break
    return value


def chi2_survival(statistic: float, degrees: float) -> float:
    """P(X >= statistic) of a chi-square with these degrees of freedom; 1 when there are none."""
    if degrees <= 0.0:
        return 1.0
    return gamma_survival(degrees / 2.0, statistic / 2.0)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b) (continued fraction, as Numerical Recipes)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1.0) / (a + b + 2.0):
        return min(1.0, front * _beta_fraction(x, a, b) / a)
    return max(0.0, 1.0 - front * _beta_fraction(1.0 - x, b, a) / b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    c = 1.0
    d = 1.0 / (1.0 - (a + b) * x / (a + 1.0) or _TINY)
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        change = 1.0
        for term in (even, odd):
            d = 1.0 / (1.0 + term * d or _TINY)
            c = 1.0 + term / c or _TINY
            change = d * c
            value *= change
        if abs(change - 1.0) < 4e-16:
            break
    return value


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = p."""
    if _probability(p) in (0.0, 1.0):
        return p
    return invert(lambda x: beta_cdf(x, a, b) - p, 0.0, 1.0)


def invert(rising: Callable[[float], float], low: float, high: float) -> float:
    """The zero of a non-decreasing function between low and high, by halving to the last bit."""
    for _ in range(1100):  # enough for the smallest positive double between 0 and 1
        middle = 0.5 * (low + high)
        if middle in (low, high) or high - low <= 2e-16 * abs(middle):
            break
        if rising(middle) < 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def student_survival(t: float, degrees: float) -> float:
    """P(T > t) of Student's t."""
    share = t * t / (degrees + t * t)
    if share < 0.5:  # one minus this would lose the digits of a small t
        tail = 0.5 - 0.5 * beta_cdf(share, 0.5, degrees / 2.0)
    else:
        tail = 0.5 * beta_cdf(degrees / (degrees + t * t), degrees / 2.0, 0.5)
    return tail if t >= 0.0 else 1.0 - tail


def student_quantile(p: float, degrees: float) -> float:
    """The t with P(T <= t) = p; the normal's when degrees is infinite."""
    if math.isinf(degrees) or _probability(p) in (0.0, 0.5, 1.0):
        return normal_quantile(p)
    if p < 0.5:
        return -student_quantile(1.0 - p, degrees)
    high = 2.0
    while student_survival(high, degrees) > 1.0 - p:
        high *= 2.0
    return invert(lambda t: (1.0 - p) - student_survival(t, degrees), 0.0, high)


def _around_mode(log_ratios: Floats, mode: int, log_at_mode: float) -> Floats:
    """Probabilities from the log ratios log f(k + 1) - log f(k), summed outward from the mode."""
    logs = np.empty(len(log_ratios) + 1)
    logs[mode] = log_at_mode
    logs[mode + 1 :] = log_at_mode + np.cumsum(log_ratios[mode:])
    logs[:mode] = log_at_mode - np.cumsum(log_ratios[:mode][::-1])[::-1]
    return np.exp(logs)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def binomial_probabilities(n: int, p: float) -> Floats:
    """P(X = k) for k = 0..n of a binomial."""
    if n == 0 or _probability(p) in (0.0, 1.0):
        point = np.zeros(n + 1)
        point[n if p == 1.0 else 0] = 1.0
        return point
    k = np.arange(n, dtype=np.float64)
    ratios = np.log((n - k) / (k + 1.0)) + (math.log(p) - math.log1p(-p))
    mode = min(n, int((n + 1) * p))
    peak = _log_choose(n, mode) + mode * math.log(p) + (n - mode) * math.log1p(-p)
    return _around_mode(ratios, mode, peak)


def binomial_survival(k: int, n: int, p: float) -> float:
    """P(X >= k) of a binomial."""
    if k <= 0:
        return 1.0
    return 0.0 if k > n else beta_cdf(p, k, n - k + 1)


def _as_rare_as(probabilities: Floats, observed: int, *, mid_p: bool) -> float:
    """Two-sided p-value: the mass of outcomes at most as likely as the observed one."""
    limit = probabilities[observed]
    slack = 1e-7 * limit  # equal in mathematics, apart in floating point
    rarer = probabilities < limit - slack
    equal = np.abs(probabilities - limit) <= slack
    return float(
        min(1.0, probabilities[rarer].sum() + (0.5 if mid_p else 1.0) * probabilities[equal].sum())
    )


def binomial_test_two_sided(
    successes: int, n: int, p: float = 0.5, *, mid_p: bool = False
) -> float:
    """Exact two-sided binomial test (outcomes at most as likely as the observed one).

    Args:
        successes: observed count, 0..n.
        n: number of trials.
        p: probability under the null.
        mid_p: count outcomes exactly as likely as the observed one by half (Lancaster).
    """
    if not 0 <= successes <= n:
        raise UsageError(f"{successes} successes of {n} trials", "pass 0 <= successes <= n")
    if n == 0:
        return 1.0
    return _as_rare_as(binomial_probabilities(n, p), successes, mid_p=mid_p)


def fisher_exact(a: int, n_a: int, b: int, n_b: int, *, mid_p: bool = False) -> float:
    """Fisher's exact two-sided test that two proportions a / n_a and b / n_b are equal.

    Memory grows with the smaller of the successes and the failures.
    """
    if min(a, b, n_a - a, n_b - b) < 0:
        raise UsageError(f"{a} of {n_a} against {b} of {n_b}", "pass 0 <= successes <= n for both")
    if a + b > (n_a - a) + (n_b - b):
        a, b = n_a - a, n_b - b
    total = a + b
    low, high = max(0, total - n_b), min(total, n_a)
    if low == high:
        return 1.0
    k = np.arange(low, high, dtype=np.float64)
    ratios = np.log((n_a - k) * (total - k)) - np.log((k + 1.0) * (n_b - total + k + 1.0))
    mode = min(high, max(low, (total + 1) * (n_a + 1) // (n_a + n_b + 2)))
    peak = _log_choose(n_a, mode) + _log_choose(n_b, total - mode) - _log_choose(n_a + n_b, total)
    return _as_rare_as(_around_mode(ratios, mode - low, peak), a - low, mid_p=mid_p)


def ks_survival(x: float) -> float:
    """P(K > x) of Kolmogorov's limit distribution, for x = sqrt(n m / (n + m)) * distance."""
    if x <= 0.0:
        return 1.0
    if x < 1.0:  # Jacobi's theta form converges here, the alternating series does not
        terms = sum(math.exp(-(((2 * k - 1) * math.pi / x) ** 2) / 8.0) for k in range(1, 6))
        return 1.0 - math.sqrt(2.0 * math.pi) / x * terms
    return 2.0 * sum((-1.0) ** (k - 1) * math.exp(-2.0 * (k * x) ** 2) for k in range(1, 6))
