"""What may stand behind an input that moved as no window of the reference did, and how likely.

Three explanations compete: the values come in another unit, other rows come than before (a part of
what was known), or the world changed. Each says where the width and the place of a window could
lie, and how many values outside the known range it would bring; what was seen then tells them
apart by Bayes' theorem, each counted as likely as the others beforehand (R. Kass and A. Raftery,
"Bayes factors", 1995). A unit says where exactly, so it convinces only where it fits.
"""

import math
from collections.abc import Mapping
from functools import cache

import numpy as np

from thrive.monitoring.habits import Habit, quantiles, width_and_place
from thrive.statistics.arrays import Floats, Integers
from thrive.statistics.sketch import NumericSketch, cell_edges

UNIT, ROWS, WORLD = "another unit", "other rows than before", "a changed world"

_NAMED: Mapping[str, tuple[float, float]] = {
    "°F to °C": (1 / 1.8, -32 / 1.8),
    "°C to °F": (1.8, 32.0),
    "K to °C": (1.0, -273.15),
    "°C to K": (1.0, 273.15),
    "K to °F": (1.8, -459.67),
    "°F to K": (1 / 1.8, 459.67 / 1.8),
}
_RATIOS: Mapping[str, float] = {
    "km to miles": 1 / 1.609344,
    "m to feet": 1 / 0.3048,
    "m to inches": 1 / 0.0254,
    "cm to inches": 1 / 2.54,
    "kg to pounds": 1 / 0.45359237,
    "kg to ounces": 1 / 0.028349523,
    "l to gallons": 1 / 3.785411784,
    "m/s to mph": 1 / 0.44704,
    "m/s to km/h": 3.6,
    "m/s to knots": 1 / 0.514444,
    "knots to mph": 1.150779,
    "knots to km/h": 1.852,
    "hPa to inHg": 0.0295299831,
    "hPa to mmHg": 0.750061576,
    "radians to degrees": 180 / math.pi,
    "hours to minutes": 60.0,
    "hours to seconds": 3600.0,
    "days to hours": 24.0,
    "days to seconds": 86400.0,
    "weeks to days": 7.0,
    "years to months": 12.0,
    "years to days": 365.25,
    "KiB to bytes": 1024.0,
    "MiB to bytes": 1024.0**2,
    "dozens to pieces": 12.0,
    **{f"units to {10**power:,} times smaller ones": 10.0**power for power in range(1, 10)},
}
_AS_LISTED = 0.8
"""The share of changes of unit that the lists above hold; the others are by any factor."""
_FACTORS = np.exp(np.linspace(-math.log(1e6), math.log(1e6), 1201))
_MARGIN = 0.1
"""How much wider than what it did in the reference an input may be: logarithms, and widths."""
_WIDTHS, _PLACES = 0.7, 2.5
"""How far a changed world takes an input: the mean of the logarithm of its width, and in widths."""
_NARROWEST = math.log(1e-3)
_SOME, _MOST = 0.005, 0.5
_AS_FORETOLD = 0.9
_INSIDE_BY_WORLD = 0.5


@cache
def conversions() -> Mapping[str, tuple[float, float]]:
    """Return the known changes of unit: their factor and what is added after it, by name."""
    found = dict(_NAMED)
    for words, ratio in _RATIOS.items():
        one, _, other = words.partition(" to ")
        found[words] = (ratio, 0.0)
        found[f"{other} to {one}"] = (1.0 / ratio, 0.0)
    return found


def explain(habit: Habit, known: NumericSketch, seen: NumericSketch) -> dict[str, float]:
    """Return how likely each explanation of a moved input is; they add up to 1, likeliest first.

    The name of a known change of unit stands with it where one fits. Empty where the input has no
    width, so that nothing can be compared.

    Args:
        habit: what its windows did in the reference.
        known: the counters of the reference.
        seen: those of the window.
    """
    then, now = quantiles(known), quantiles(seen)
    move = width_and_place(then, now)
    if move is None or not all(map(math.isfinite, (*habit.width, *habit.place))):
        return {}
    share = _outside(known, seen)
    unit, name = _unit(habit, known, then, move, int(_classes(np.array([share]))[0]))
    weights = {
        f"{UNIT}, {name}" if name else UNIT: unit,
        ROWS: _other_rows(known, then) if share < _SOME else 0.0,
        WORLD: _world(habit, move)
        * (_INSIDE_BY_WORLD if share < _SOME else (1.0 - _INSIDE_BY_WORLD) / 2),
    }
    total = sum(weights.values())
    if not total > 0.0:
        return {}
    ranked = sorted(weights.items(), key=lambda each: -each[1])
    return {words: weight / total for words, weight in ranked}


def likelihood_of_unit(found: Mapping[str, float]) -> float:
    """Return how likely it is that the unit changed; 0 where nothing could be compared."""
    return sum(share for words, share in found.items() if words.startswith(UNIT))


def words_of(found: Mapping[str, float]) -> str:
    """Return explanations with how likely they are, those below 1 % left out."""
    told = [f"{words} ({_chance(share)})" for words, share in found.items() if share >= 0.01]
    return "most likely " + ", or ".join(told) if told else ""


def _chance(share: float) -> str:
    return "over 99%" if share > 0.99 else f"{share:.0%}"


def _outside(known: NumericSketch, seen: NumericSketch) -> float:
    """Return the share of values in cells beyond all that the reference has."""
    beyond = (seen.cells < known.cells[0]) | (seen.cells > known.cells[-1])
    return float(seen.counts[beyond].sum() / max(1, seen.present))


def _classes(shares: Floats) -> Integers:
    """Return 0 where next to none lies outside, 2 where most does, 1 between."""
    return np.searchsorted([_SOME, _MOST], shares, "right")


def _unit(
    habit: Habit, known: NumericSketch, then: Floats, move: tuple[float, float], seen: int
) -> tuple[float, str]:
    """Return the density of a move under a change of unit, and the name of what fits best."""
    listed = conversions()
    factors = np.array([factor for factor, _ in listed.values()])
    added = np.array([more for _, more in listed.values()])
    each = _fits(habit, known, then, move, factors, added, seen)
    by_any = _fits(habit, known, then, move, _FACTORS, np.zeros(len(_FACTORS)), seen)
    named = _AS_LISTED * each / len(each)
    free = (1.0 - _AS_LISTED) * float(by_any.mean())
    total = float(named.sum()) + free
    best = int(named.argmax())
    return total, list(listed)[best] if named[best] > total / 2 else ""


def _fits(
    habit: Habit,
    known: NumericSketch,
    then: Floats,
    move: tuple[float, float],
    factors: Floats,
    added: Floats,
    seen: int,
) -> Floats:
    """Return the density of a move under each conversion of a window such as there were before."""
    (low, high), (left, right) = habit.width, habit.place
    low, high, left, right = low - _MARGIN, high + _MARGIN, left - _MARGIN, right + _MARGIN
    width, middle = float(then[-1] - then[0]), float(then[2])
    shift = ((factors - 1.0) * middle + added) / width
    wide, place = move[0] - np.log(factors), (move[1] - shift) / factors
    inside = (wide >= low) & (wide <= high) & (place >= left) & (place <= right)
    density = inside / ((high - low) * (right - left)) / factors
    foretold = _classes(_outside_by(known, factors, added))
    return density * np.where(foretold == seen, _AS_FORETOLD, (1.0 - _AS_FORETOLD) / 2)


def _outside_by(known: NumericSketch, factors: Floats, added: Floats) -> Floats:
    """Return the share of values that each conversion takes out of the known range."""
    values = cell_edges()[known.cells] * known.scale + known.centre
    values = np.clip(values, known.minimum, known.maximum)
    below = np.concatenate([[0], np.cumsum(known.counts)])
    low = below[np.searchsorted(values, (known.minimum - added) / factors, "left")]
    high = below[np.searchsorted(values, (known.maximum - added) / factors, "right")]
    return 1.0 - np.maximum(high - low, 0) / known.present


def _other_rows(known: NumericSketch, then: Floats) -> float:
    """Return the density of a move if a part of the known values comes: anywhere among them."""
    width = float(then[-1] - then[0])
    span = (known.maximum - known.minimum) / width
    return 1.0 / (max(_MARGIN, span) * (math.log(max(span, 1.0)) - _NARROWEST))


def _world(habit: Habit, move: tuple[float, float]) -> float:
    """Return the density of a move if the values really changed: the farther, the less likely."""
    wide = max(_WIDTHS, (habit.width[1] - habit.width[0]) / 2)
    far = max(_PLACES, (habit.place[1] - habit.place[0]) / 2)
    return math.exp(-abs(move[0]) / wide) / (2 * wide) * math.exp(-abs(move[1]) / far) / (2 * far)
