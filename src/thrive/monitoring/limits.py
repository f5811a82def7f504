"""Limits from a version's own history and the contract's alert budget.

An alert needs two of three windows beyond the limit. With independent windows that each pass it
with chance q, about 2 q^2 of the windows begin such a pair; so a budget of B false alarms a year in
W windows a year allows q = sqrt(B / 2W). The limit is the lower of two: the history's own quantile,
and the bound below which a normal next value falls with chance q (Student's t, Hahn 1969). Where
the history is too short to show its quantile, only the second is there and the limit is
provisional.
"""

import math
from functools import lru_cache

import msgspec
import numpy as np

from thrive.monitoring.findings import Breach, Measured
from thrive.statistics.distributions import student_quantile

LEAST_WINDOWS = 5
"""Windows of history below which nothing is judged."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A signal in each window of the reference: its values and their standard errors."""

    signal: str
    higher_is_better: bool
    values: list[float] = []
    errors: list[float] = []


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Where a signal leaves what its history explains.

    Attributes:
        signal: e.g. `estimated accuracy`.
        higher_is_better: then a value below the limit is beyond it, otherwise one above.
        value: the limit; None while the history is too short for any.
        centre: mean of the history.
        spread: standard deviation of the history.
        error: the usual standard error of one window's value.
        factor: how many spreads lie between centre and limit.
        windows: windows of history.
        budget: false alarms a year that this signal was given.
        supported: the smallest budget that the history could show by itself, were its windows
            independent.
        provisional: the budget is below that.
    """

    signal: str
    higher_is_better: bool
    value: float | None
    centre: float
    spread: float
    error: float
    factor: float
    windows: int
    budget: float
    supported: float
    provisional: bool

    def for_error(self, error: float | None) -> float:
        """Return the limit for a value that is less exact than the history's usually are."""
        assert self.value is not None
        extra = max(0.0, (error or 0.0) ** 2 - self.error**2)
        wider = math.sqrt(self.spread**2 + extra) - self.spread
        return self.value - self.factor * wider * (1 if self.higher_is_better else -1)

    def breach(self, measured: Measured | None) -> Breach | None:
        """Return the breach if a window's value is beyond the limit."""
        if measured is None or measured.value is None or self.value is None:
            return None
        limit = self.for_error(measured.error)
        beyond = measured.value < limit if self.higher_is_better else measured.value > limit
        return Breach(signal=self.signal, value=measured.value, limit=limit) if beyond else None


@lru_cache(maxsize=256)
def _normal_factor(chance: float, windows: int) -> float:
    """Return how many spreads below its mean the next value lies with some chance."""
    return -student_quantile(chance, windows - 1) * math.sqrt(1.0 + 1.0 / windows)


def limit_of(history: History, budget: float, windows_a_year: float) -> Limit:
    """Return the limit of a signal.

    Args:
        history: the signal in the reference's windows.
        budget: false alarms a year for this signal.
        windows_a_year: how many windows a year has.
    """
    sign = 1.0 if history.higher_is_better else -1.0
    values = np.asarray(history.values, dtype=np.float64) * sign
    n = len(values)
    chance = min(0.5, math.sqrt(budget / (2.0 * windows_a_year)))
    supported = 2.0 * windows_a_year / (n + 1) ** 2
    centre = float(values.mean()) if n else math.nan
    spread = float(values.std(ddof=1)) if n > 1 else math.nan
    factor = value = math.nan
    if n >= LEAST_WINDOWS:
        factor = _normal_factor(chance, n)
        value = centre - factor * spread
        if supported <= budget:
            value = min(value, float(np.quantile(values, chance, method="lower")))
    return Limit(
        signal=history.signal,
        higher_is_better=history.higher_is_better,
        value=value * sign if n >= LEAST_WINDOWS else None,
        centre=centre * sign if n else 0.0,
        spread=spread if n > 1 else 0.0,
        error=float(np.median(history.errors)) if history.errors else 0.0,
        factor=factor if n >= LEAST_WINDOWS else 0.0,
        windows=n,
        budget=budget,
        supported=supported,
        provisional=n < LEAST_WINDOWS or supported > budget,
    )
