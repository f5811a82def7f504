"""Faults of the data in a window: what no change of the world explains."""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from thrive.domain.features import VIEW_STATUS, ValueStatus
from thrive.domain.model import TIME
from thrive.monitoring.baseline import Baseline
from thrive.monitoring.explanations import explain, likelihood_of_unit
from thrive.monitoring.findings import LABELS, ROWS, Fault, Measured
from thrive.monitoring.frames import NUMERIC, measured
from thrive.monitoring.habits import (
    Habit,
    is_hasty,
    quantiles,
    repeated_rows,
    stands_still,
    width_and_place,
)
from thrive.monitoring.measure import Sketch
from thrive.statistics.arrays import Floats
from thrive.statistics.distributions import binomial_survival
from thrive.statistics.sketch import CategorySketch, NumericSketch

if TYPE_CHECKING:
    import polars as pl

CERTAIN = 1e-6
"""Chance below which a fault of the data is not luck: a year of hourly windows of 100 inputs."""
LEAST_UNSEEN = 0.02
"""Share of rows that must hold values never seen before."""
LEAST_OUTSIDE = 0.1
"""Share of rows that must lie far outside: a wrong unit moves most rows, a storm moves a few."""
_FELL = 0.1
"""A known value whose share falls to this part of what it was has been replaced."""
_WIDER = math.log(1.5)
_FARTHER = 1.5
_ALIKE = 0.35
"""How near two swapped inputs lie to each other's past, relative to their own."""
_MORE_REPEATED = 0.1
_NEARER = 0.5
_LEAST_APART = 0.05
_LEAST_LIKELY = 0.5
"""How likely a change of unit must be to be called a fault of the data."""
_FEED = 2
"""Inputs that must repeat the window before: one may do so by chance."""
LEAST_LATE = 0.5
"""Share of answers for which a view's values were too old: a feed is late, not one entity."""
LEAST_MISTYPED = 0.01
LEAST_ROWS = 50
_NEAR_OPPOSITE, _NEAR_AS_OFTEN = 0.15, 0.1
_TURNED = ("realised roc_auc", "realised accuracy", "estimated accuracy")


def faults(
    frame: "pl.DataFrame",
    baseline: Baseline,
    known: Mapping[str, Sketch],
    seen: Mapping[str, Sketch],
    before: Mapping[str, Sketch],
) -> list[Fault]:
    """Return the breaks in the data that the reference cannot explain.

    Args:
        frame: the answered rows of a window.
        baseline: with the habits of the inputs.
        known: the counters of the reference.
        seen: those of the window.
        before: those of the window before it, empty without one.
    """
    found: list[Fault] = _late(frame) + _mistyped(frame, baseline)
    for name in baseline.kinds:
        then, now = known[name], seen[name]
        found += _missing(name, baseline, then, now)
        if isinstance(then, CategorySketch) and isinstance(now, CategorySketch):
            found += _unseen(name, then, now)
        elif isinstance(then, NumericSketch):
            found += _outside(name, then, measured(frame, name, baseline.kinds[name]))
    broken = {fault.column for fault in found}
    if frame.height >= LEAST_ROWS:
        hasty = TIME in frame.columns and is_hasty(baseline.habits, _lasted(frame))
        found = _explained(found, baseline, known, seen)
        found += _against_habit(baseline, known, seen, broken, hasty=hasty)
        found += [] if hasty else _as_before(baseline, seen, before)
        found += _multiplied(frame, baseline)
    return sorted(found, key=lambda fault: -fault.share)


def _lasted(frame: "pl.DataFrame") -> int:
    times = frame[TIME].cast(int)
    return int(times.max()) - int(times.min())  # type: ignore[arg-type]


def _late(frame: "pl.DataFrame") -> list[Fault]:
    """Return the feature views whose values were too old when most answers were given."""
    found: list[Fault] = []
    for name in frame.columns if frame.height >= LEAST_ROWS else ():
        if name.startswith(VIEW_STATUS):
            share = float((frame[name] == ValueStatus.STALE.value).fill_null(value=False).mean())  # type: ignore[arg-type]
            if share >= LEAST_LATE:
                view = name.removeprefix(VIEW_STATUS)
                found.append(Fault(column=view, kind="late", share=share, expected=0.0))
    return found


def _mistyped(frame: "pl.DataFrame", baseline: Baseline) -> list[Fault]:
    """Return the inputs that are texts where the reference has numbers."""
    import polars as pl

    found: list[Fault] = []
    for name, kind in baseline.kinds.items():
        if kind != NUMERIC or frame.schema.get(name) != pl.String:
            continue
        unread = frame[name].cast(pl.Float64, strict=False).null_count() - frame[name].null_count()
        share = unread / frame.height
        if share >= LEAST_MISTYPED:
            found.append(Fault(column=name, kind="mistyped", share=share, expected=0.0))
    return found


def _missing(name: str, baseline: Baseline, before: Sketch, now: Sketch) -> list[Fault]:
    share, worst = now.missing / max(1, now.rows), baseline.missing[name]
    if share < baseline.missing_limit[name] or share <= worst:
        return []
    expected = max(worst, 1.0 / max(1, before.rows))
    if binomial_survival(now.missing, now.rows, expected) > CERTAIN:
        return []
    return [Fault(column=name, kind="missing", share=share, expected=worst)]


def _unseen(name: str, before: CategorySketch, now: CategorySketch) -> list[Fault]:
    """Values never seen before that stand where known ones stood: a recoding, not a new value."""
    if not now.present or not before.present:
        return []
    expected = min(1.0, (before.singletons + 1) / before.present)
    share = now.new / now.present
    if share < 3.0 * expected + LEAST_UNSEEN:
        return []
    if binomial_survival(now.new, now.present, expected) > CERTAIN:
        return []
    if _gone(before, now) < share / 2.0:
        return []
    return [Fault(column=name, kind="unseen", share=share, expected=expected)]


def _gone(before: CategorySketch, now: CategorySketch) -> float:
    """Return the share that known values had which (nearly) nobody sends any more."""
    then, current = before.counts / before.present, now.counts / now.present
    return float(then[current < _FELL * then].sum())


def _outside(name: str, before: NumericSketch, values: Floats) -> list[Fault]:
    present = int((~np.isnan(values)).sum())
    if not present or not before.present:
        return []
    margin = 0.5 * (before.maximum - before.minimum) + 1e-9
    beyond = (values < before.minimum - margin) | (values > before.maximum + margin)
    count, expected = int(beyond.sum()), 1.0 / before.present
    if count / present < LEAST_OUTSIDE or binomial_survival(count, present, expected) > CERTAIN:
        return []
    return [Fault(column=name, kind="outside", share=count / present, expected=0.0)]


class _Moved(msgspec.Struct, frozen=True, kw_only=True):
    """An input whose place or width no window of the reference had."""

    name: str
    then: Floats
    now: Floats


def _against_habit(
    baseline: Baseline,
    known: Mapping[str, Sketch],
    seen: Mapping[str, Sketch],
    broken: set[str],
    *,
    hasty: bool,
) -> list[Fault]:
    """Return inputs that stand still, came in another unit, or were swapped with one another.

    What moved as never before, but more likely with other rows or a changed world than with its
    unit, is no fault: it is judged as drift.
    """
    found: list[Fault] = []
    moved: list[_Moved] = []
    for name, habit in baseline.habits.inputs.items():
        then, now = known[name], seen[name]
        if not isinstance(then, NumericSketch) or not isinstance(now, NumericSketch):
            continue
        if now.present < LEAST_ROWS:
            continue
        if not hasty and stands_still(habit, now):
            found.append(Fault(column=name, kind="still", share=1.0, expected=0.0))
            continue
        item = _Moved(name=name, then=quantiles(then), now=quantiles(now))
        if name in broken or _beyond(habit, item):
            moved.append(item)
    swapped = {
        name
        for one, other in combinations(moved, 2)
        if _is_swapped(one, other)
        for name in (one.name, other.name)
    }
    for item in moved:
        if item.name in swapped:
            found.append(Fault(column=item.name, kind="swapped", share=1.0, expected=0.0))
        elif item.name not in broken:
            found += _rescaled(item.name, baseline, known, seen)
    return found


def _rescaled(
    name: str, baseline: Baseline, known: Mapping[str, Sketch], seen: Mapping[str, Sketch]
) -> list[Fault]:
    likely = _explanations(name, baseline, known, seen)
    if likelihood_of_unit(likely) < _LEAST_LIKELY:
        return []
    return [Fault(column=name, kind="rescaled", share=1.0, expected=0.0, likely=likely)]


def _explained(
    found: list[Fault], baseline: Baseline, known: Mapping[str, Sketch], seen: Mapping[str, Sketch]
) -> list[Fault]:
    """Return faults with what may stand behind values far outside their range."""
    return [
        msgspec.structs.replace(fault, likely=_explanations(fault.column, baseline, known, seen))
        if fault.kind == "outside"
        else fault
        for fault in found
    ]


def _explanations(
    name: str, baseline: Baseline, known: Mapping[str, Sketch], seen: Mapping[str, Sketch]
) -> dict[str, float]:
    habit, then, now = baseline.habits.inputs.get(name), known[name], seen[name]
    if habit is None or not isinstance(then, NumericSketch) or not isinstance(now, NumericSketch):
        return {}
    return explain(habit, then, now) if now.present >= LEAST_ROWS else {}


def _beyond(habit: Habit, item: _Moved) -> bool:
    move = width_and_place(item.then, item.now)
    if move is None:
        return False
    width, place = move
    wide = max(_WIDER, (habit.width[1] - habit.width[0]) / 2)
    far = max(_FARTHER, (habit.place[1] - habit.place[0]) / 2)
    return bool(
        not habit.width[0] - wide <= width <= habit.width[1] + wide
        or not habit.place[0] - far <= place <= habit.place[1] + far
    )


def _is_swapped(one: _Moved, other: _Moved) -> bool:
    """Tell whether each of two inputs lies far nearer to the other's past than to its own."""
    return all(
        _distance(mine.now, theirs.then) < _ALIKE * _distance(mine.now, mine.then)
        for mine, theirs in ((one, other), (other, one))
    )


def _distance(now: Floats, then: Floats) -> float:
    width = float(then[-1] - then[0]) or 1.0
    return float(np.abs(now - then).mean()) / abs(width)


def _as_before(
    baseline: Baseline, seen: Mapping[str, Sketch], before: Mapping[str, Sketch]
) -> list[Fault]:
    """Return the inputs of a feed that brought the window before once more."""
    found: list[Fault] = []
    for name, habit in baseline.habits.inputs.items():
        then, now = before.get(name), seen[name]
        if habit.apart is None or habit.apart < _LEAST_APART:
            continue
        if not isinstance(then, NumericSketch) or not isinstance(now, NumericSketch):
            continue
        if now.ks_distance(then) < _NEARER * habit.apart:
            found.append(Fault(column=name, kind="repeated", share=1.0, expected=0.0))
    return found if len(found) >= _FEED else []


def _multiplied(frame: "pl.DataFrame", baseline: Baseline) -> list[Fault]:
    """Return the fault of a join that multiplies rows: the same inputs under the same keys."""
    usual = baseline.habits.repeated
    if usual is None:
        return []
    share = repeated_rows(frame, {*baseline.kinds, *baseline.keys})
    if share <= usual + _MORE_REPEATED:
        return []
    return [Fault(column=ROWS, kind="multiplied", share=share, expected=usual)]


def label_faults(found: Mapping[str, Measured], baseline: Baseline, coverage: float) -> list[Fault]:
    """Return the fault of outcomes that say the opposite of what they used to say.

    A world that changes makes a ranking worse, seldom turns it around, and does not make the model
    wrong as often as it should be right. Outcomes whose yes and no were exchanged do both.

    Args:
        found: the signals of performance in a window.
        baseline: with the same signals in the reference.
        coverage: the share of rows with an outcome.
    """
    area, real, estimated = (found.get(kind) for kind in _TURNED)
    past = [item.values for item in baseline.histories if item.signal == "realised roc_auc"]
    if area is None or area.value is None or not past or not past[0]:
        return []
    if real is None or real.value is None or estimated is None or estimated.value is None:
        return []
    usual = float(np.median(past[0]))
    turned = area.value < 0.5 - 4.0 * (area.error or 0.0)
    if not turned or usual < 0.6 or abs(1.0 - area.value - usual) > _NEAR_OPPOSITE:
        return []
    if abs(1.0 - real.value - estimated.value) > _NEAR_AS_OFTEN:
        return []
    return [Fault(column=LABELS, kind="flipped", share=coverage, expected=0.0)]
