"""Limits of performance from a version's own history and the contract's alert budget."""

import math

import msgspec
import numpy as np

from thrive.domain.errors import CannotTell
from thrive.monitoring.findings import Breach, Measured
from thrive.statistics.early_warning import warning_limit
from thrive.statistics.thresholds import AlarmRule, alarm_limit

NEEDED, AMONG = 2, 3
"""A signal must be beyond its limit in 2 of the last 3 windows that were judged."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A signal in each window of the reference, in order of time, with its standard errors.

    That of an estimate has the real value of the same windows beside it, where all are known.
    """

    signal: str
    higher_is_better: bool
    values: list[float] = []
    errors: list[float] = []
    real: list[float] = []
    real_errors: list[float] = []


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Where a signal leaves what its history explains.

    Attributes:
        signal: e.g. `estimated accuracy`.
        higher_is_better: then a value below the limit is beyond it, otherwise one above.
        windows: windows of history.
        budget: false alarms a year that this signal was given.
        value: the limit; None while the history is too short for any.
        mean: of the history.
        spread: standard deviation of the history.
        error: the usual standard error of one window's value.
        supported: the smallest budget that the history can show.
        expected: false alarms a year to be expected: the budget, or what is supported.
        windows_needed: how long the history would have to be for the budget.
        needed: windows of the last three that must be beyond; one where the history shows that
            the estimate follows the real value so surely that one low window is news.
    """

    signal: str
    higher_is_better: bool
    windows: int
    budget: float
    value: float | None = None
    mean: float = 0.0
    spread: float = 0.0
    error: float = 0.0
    supported: float | None = None
    expected: float | None = None
    windows_needed: int | None = None
    needed: int = NEEDED

    @property
    def provisional(self) -> bool:
        """Whether the history is too short for the budget."""
        return self.supported is None or self.supported > self.budget

    def for_error(self, error: float | None) -> float:
        """Return the limit for a value that is less exact than the history's usually are."""
        assert self.value is not None
        extra = max(0.0, (error or 0.0) ** 2 - self.error**2)
        if not extra or not self.spread:
            return self.value
        return self.mean + (self.value - self.mean) * math.sqrt(1.0 + extra / self.spread**2)

    def breach(self, measured: Measured | None) -> Breach | None:
        """Return the breach if a window's value is beyond the limit."""
        if measured is None or measured.value is None or self.value is None:
            return None
        limit = self.for_error(measured.error)
        beyond = measured.value < limit if self.higher_is_better else measured.value > limit
        if not beyond:
            return None
        return Breach(signal=self.signal, value=measured.value, limit=limit, needed=self.needed)


def limit_of(history: History, budget: float, windows_a_year: float) -> Limit:
    """Return the limit of a signal.

    That of an estimate is never nearer to the mean than the usual standard error of one window:
    less than that nobody could see in the real performance, however steady the estimate is.

    Args:
        history: the signal in the reference's windows.
        budget: false alarms a year for this signal.
        windows_a_year: how many windows a year has.
    """
    limit = Limit(
        signal=history.signal,
        higher_is_better=history.higher_is_better,
        windows=len(history.values),
        budget=budget,
        error=float(np.median(history.errors)) if history.errors else 0.0,
    )
    try:
        found = alarm_limit(
            history.values,
            windows_a_year,
            budget,
            rule=AlarmRule(needed=NEEDED, among=AMONG),
            lower=history.higher_is_better,
            upper=not history.higher_is_better,
        )
    except CannotTell:
        return limit
    far = abs((found.lower if history.higher_is_better else found.upper) - found.mean)
    warned = _warning(history, budget, windows_a_year, found.mean)
    seen = limit.error if history.signal.startswith("estimated") else 0.0
    least = max(min(far, warned), seen)
    return msgspec.structs.replace(
        limit,
        needed=1 if warned < far else NEEDED,
        value=found.mean - least if history.higher_is_better else found.mean + least,
        mean=found.mean,
        spread=found.standard_deviation,
        supported=found.supported_per_year,
        expected=found.expected_per_year,
        windows_needed=found.windows_needed,
    )


def _warning(history: History, budget: float, windows_a_year: float, mean: float) -> float:
    """Return how far one window of an estimate must lie from the mean to be worth an alert."""
    if not history.real:
        return math.inf
    sign = 1.0 if history.higher_is_better else -1.0
    limit = warning_limit(
        sign * np.array(history.values),
        sign * np.array(history.real),
        float(np.median(history.real_errors)),
        windows_a_year,
        budget,
    )
    return math.inf if limit is None else abs(sign * limit - mean)
