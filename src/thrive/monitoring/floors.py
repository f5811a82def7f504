"""How far an input moves by itself: floors of drift from the reference's own windows.

Days are not independent samples of a year. What a window of the reference did against the rest of
it (the same weekday or season, where enough are known) is no news when a live window does it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypedDict

import msgspec
import numpy as np

from thrive.domain.clock import DAY, SECOND
from thrive.domain.errors import CannotTell
from thrive.monitoring.limits import AMONG, NEEDED
from thrive.monitoring.terms import YEAR, TermsInForce
from thrive.statistics.arrays import Integers
from thrive.statistics.thresholds import AlarmLimit, AlarmRule, alarm_limit

WEEK, SEASONS = 7, 4
LEAST_ALIKE = 26
"""Windows of a weekday, or of a season, from which they are compared with their own kind."""
LEAST_YEARS = 2
"""Years of history that show what a season is."""
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


def season(moment: int) -> int:
    """Return the season of a moment in UTC microseconds: 0 from December to February."""
    return datetime.fromtimestamp(moment / SECOND, UTC).month % 12 // 3


def floor_at(floors: Sequence[float], start: int) -> float:
    """Return the floor of a window: one for all, by weekday, or by season."""
    place = {WEEK: weekday, SEASONS: season}.get(len(floors))
    return floors[place(start)] if place is not None else floors[0]


def drift_floors(effects: Effects, terms: TermsInForce, windows_a_year: float) -> DriftFloors:
    """Return the floor of each input, from the contract's budget of false alarms a year.

    The budget is shared among the inputs. Where the history is too short for it, the floor is
    that of the rarest budget the history supports, and `drift_per_year` says which that is.
    """
    budget = terms.model.monitor.false_alarms_per_year / max(1, len(effects.names))
    kind, count = _kinds(effects.starts, terms)
    floors: dict[str, list[float]] = {}
    per_year: list[float] = []
    for name, values in effects.by_name.items():
        chosen = np.array(values)
        parts = [chosen[kind == place] for place in range(count)]
        try:
            found = [_limit(part, windows_a_year, budget) for part in parts]
        except CannotTell:
            return DriftFloors(floors={}, drift_per_year=None)
        floors[name] = [limit.upper for limit in found]
        per_year.append(float(np.mean([limit.expected_per_year for limit in found])))
    return DriftFloors(floors=floors, drift_per_year=sum(per_year))


def _kinds(starts: Sequence[int], terms: TermsInForce) -> tuple[Integers, int]:
    """Return of which kind each window is, and how many kinds there are: like is held to like.

    Windows of a day or less by weekday, others by season, where enough of each are known.
    """
    days = np.array([weekday(start) for start in starts], dtype=np.int64)
    if not terms.counted and terms.window <= DAY and _fewest(days, WEEK) >= LEAST_ALIKE:
        return days, WEEK
    seasons = np.array([season(start) for start in starts], dtype=np.int64)
    years = (starts[-1] - starts[0]) / YEAR if starts else 0.0
    if years >= LEAST_YEARS and _fewest(seasons, SEASONS) >= LEAST_ALIKE:
        return seasons, SEASONS
    return np.zeros(len(starts), dtype=np.int64), 1


def _fewest(kind: Integers, count: int) -> int:
    return int(np.bincount(kind, minlength=count).min())


def _limit(
    values: "np.ndarray[tuple[int], np.dtype[np.float64]]", windows_a_year: float, budget: float
) -> AlarmLimit:
    rule = AlarmRule(needed=NEEDED, among=AMONG)
    return alarm_limit(values, windows_a_year, budget, rule=rule, lower=False, upper=True)
