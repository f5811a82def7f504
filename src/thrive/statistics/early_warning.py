"""Early warnings: how far an estimate may fall before its alarm is worth raising.

An estimate that comes before the truth may be compared with it in the past. Where it followed the
truth, a low estimate is news of a real fall and no accident, and the budget of false alarms is
spent on the others alone: alarms in windows whose true value is as good as usual.

The model is a linear regression of the true value on the estimate. What single windows scatter by
sampling is taken out of its residuals, the uncertainty of a short history is left in (the
predictive t distribution, e.g. Gelman et al. 2013, ch. 14).
"""

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import Floats, floats, same_length
from thrive.statistics.distributions import (
    chi2_survival,
    normal_quantile,
    student_survival,
)

LEAST_PAIRS = 20
"""Windows with both values under which nothing is said of how they hang together."""
_SURE = 0.01
_POINTS, _FARTHEST = 600, 12.0


class _Relation(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The regression of the true value on the estimate."""

    pairs: int
    mean: float
    spread: float
    slope: float
    residual: float
    """variance of one window's true value around the line, its sampling included"""
    sampling: float
    """variance that the sampling of one window's rows makes"""

    def chance_as_usual(self, estimate: float) -> float:
        """Return the chance that the true value is as good as usual, or one error below."""
        off = estimate - self.mean
        line = self.residual * (1.0 / self.pairs + off**2 / ((self.pairs - 1) * self.spread**2))
        scale = math.sqrt(max(self.residual - self.sampling, 0.0) + line)
        worse = -math.sqrt(self.sampling) - self.slope * off
        if scale == 0.0:
            return float(worse <= 0.0)
        return student_survival(worse / scale, self.pairs - 2)


def warning_limit(
    estimates: ArrayLike,
    truths: ArrayLike,
    error: float,
    windows_per_year: float,
    false_alarms_per_year: float,
) -> float | None:
    """Return the estimate below which one window by itself is worth an alarm.

    An alarm is false when the window's true value is not below the history's mean by more than
    the error of one window. The limit is the highest one at which the expected false alarms keep
    the budget.

    Args:
        estimates: the estimate in past windows, higher is better.
        truths: the true value in the same windows.
        error: the standard error of one window's true value.
        windows_per_year: 365.25 for days.
        false_alarms_per_year: the budget of this signal.

    Returns:
        The limit; None where the estimate did not surely follow the truth: too few pairs, a
        spread that sampling alone explains, or no sure correlation (99 %).

    Raises:
        UsageError: if the budget or the number of windows is not positive.
    """
    if false_alarms_per_year <= 0.0 or windows_per_year <= 0.0:
        raise UsageError(
            f"budget {false_alarms_per_year} in {windows_per_year} windows a year",
            "give both above 0",
        )
    relation = _relation(floats(estimates, "estimates"), floats(truths, "truths"), error)
    if relation is None:
        return None
    steps = np.linspace(-_FARTHEST, 0.0, _POINTS)
    at = relation.mean + steps * relation.spread * math.sqrt(1.0 + 1.0 / relation.pairs)
    false = _student_density(steps, relation.pairs - 1)
    false *= np.array([relation.chance_as_usual(point) for point in at.tolist()])
    width = steps[1] - steps[0]
    summed = np.concatenate(([0.0], np.cumsum((false[1:] + false[:-1]) / 2.0 * width)))
    allowed = false_alarms_per_year / windows_per_year
    return float(np.interp(allowed, summed, at))


def _relation(estimates: Floats, truths: Floats, error: float) -> _Relation | None:
    same_length(estimates=estimates, truths=truths)
    known = np.isfinite(estimates) & np.isfinite(truths)
    e, t = estimates[known], truths[known]
    pairs, sampling = len(e), error**2
    if pairs < LEAST_PAIRS or not (e.std() > 0.0 and t.std() > 0.0):
        return None
    variance = float(e.var(ddof=1))
    varies = sampling == 0.0 or chi2_survival((pairs - 1) * variance / sampling, pairs - 1) < _SURE
    r = min(float(np.corrcoef(e, t)[0, 1]), 1.0 - 1e-12)
    follows = math.atanh(r) * math.sqrt(pairs - 3) > normal_quantile(1.0 - _SURE)
    if not varies or not follows:
        return None
    slope = r * float(t.std(ddof=1)) / math.sqrt(variance)
    left = t - t.mean() - slope * (e - e.mean())
    return _Relation(
        pairs=pairs,
        mean=float(e.mean()),
        spread=math.sqrt(variance),
        slope=slope,
        residual=float(left @ left) / (pairs - 2),
        sampling=sampling,
    )


def _student_density(x: Floats, degrees: float) -> Floats:
    scale = math.lgamma((degrees + 1.0) / 2.0) - math.lgamma(degrees / 2.0)
    logs = scale - 0.5 * math.log(degrees * math.pi)
    return np.exp(logs - (degrees + 1.0) / 2.0 * np.log1p(x**2 / degrees))
