"""How far an input moves by itself: floors of drift from the reference's own windows.

Days are not independent samples of a year. What a window of the reference did against the rest of
it (the same weekday, where enough weeks are known) is no news when a live window does it.
"""

from typing import TypedDict

import msgspec
import numpy as np

from thrive.domain.clock import DAY
from thrive.domain.errors import CannotTell
from thrive.monitoring.limits import AMONG, NEEDED
from thrive.monitoring.terms import TermsInForce
from thrive.statistics.thresholds import AlarmLimit, AlarmRule, alarm_limit

WEEK = 7
LEAST_WEEKS = 26
"""Weeks of history from which each weekday is compared with its own kind."""
_THURSDAY = 3
"""The weekday of the first of January 1970."""


class Effects(msgspec.Struct, kw_only=True):
    """The effect of each reference window against the rest, by input, with its start."""

    names: list[str]
    starts: list[int] = []
    by_name: dict[str, list[float]] = {}

    def __post_init__(self) -> None:
        self.by_name = {name: [] for name in self.names}


class DriftFloors(TypedDict):
    """What the history of the inputs allows to be said of drift."""

    floors: dict[str, list[float]]
    drift_per_year: float | None


def weekday(moment: int) -> int:
    """Return the weekday of a moment in UTC microseconds, Monday as 0."""
    return (moment // DAY + _THURSDAY) % WEEK


def drift_floors(effects: Effects, terms: TermsInForce, windows_a_year: float) -> DriftFloors:
    """Return the floor of each input, from the contract's budget of false alarms a year.

    The budget is shared among the inputs. Where the history is too short for it, the floor is
    that of the rarest budget the history supports, and `drift_per_year` says which that is.
    """
    budget = terms.model.monitor.false_alarms_per_year / max(1, len(effects.names))
    days = np.array([weekday(start) for start in effects.starts])
    weekly = not terms.counted and terms.window <= DAY and _weeks(days) >= LEAST_WEEKS
    floors: dict[str, list[float]] = {}
    per_year: list[float] = []
    for name, values in effects.by_name.items():
        chosen = np.array(values)
        parts = [chosen[days == day] for day in range(WEEK)] if weekly else [chosen]
        try:
            found = [_limit(part, windows_a_year, budget) for part in parts]
        except CannotTell:
            return DriftFloors(floors={}, drift_per_year=None)
        floors[name] = [limit.upper for limit in found]
        per_year.append(float(np.mean([limit.expected_per_year for limit in found])))
    return DriftFloors(floors=floors, drift_per_year=sum(per_year))


def _weeks(days: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> int:
    return int(np.bincount(days, minlength=WEEK).min()) if len(days) else 0


def _limit(
    values: "np.ndarray[tuple[int], np.dtype[np.float64]]", windows_a_year: float, budget: float
) -> AlarmLimit:
    rule = AlarmRule(needed=NEEDED, among=AMONG)
    return alarm_limit(values, windows_a_year, budget, rule=rule, lower=False, upper=True)
