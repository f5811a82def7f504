"""What an input's windows have in common: its habits, against which a fault of the data shows.

A wrong unit, a swapped column, a feed that stands still or repeats yesterday and a join that
multiplies rows change what no window of the reference ever changed, however much the values move
with the weather.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from thrive.domain.model import LABEL, SCORE, TIME
from thrive.monitoring.frames import DECISION
from thrive.statistics.arrays import Floats
from thrive.statistics.sketch import CategorySketch, NumericSketch

if TYPE_CHECKING:
    import polars as pl

SHARES = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
"""The quantiles that a window's place and width are read from."""
_LEAST_WINDOWS = 8
_LEAST_CELLS = 8


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """What the windows of one numeric input have in common.

    Attributes:
        width: the smallest and the largest logarithm of a window's width (its quantiles from 10 %
            to 90 %) over that of the reference.
        place: the smallest and the largest distance of a window's median from the reference's, in
            widths of the reference.
        cells: the fewest different values of a window, as far as cells tell them apart.
        apart: the smallest KS distance of a window from the one before it; None without pairs.
        rows: the values of the window with the fewest different ones.
    """

    width: tuple[float, float]
    place: tuple[float, float]
    cells: int
    apart: float | None = None
    rows: int = 0


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """The habits of all inputs, and the largest share of repeated rows in a window.

    `lasts` is what the shortest of the windows by count lasted, in microseconds; None by time.
    """

    inputs: dict[str, Habit] = {}
    repeated: float | None = None
    lasts: int | None = None


def quantiles(sketch: NumericSketch) -> Floats:
    """Return the quantiles of `SHARES`."""
    return np.array([sketch.quantile(float(share)) for share in SHARES])


def width_and_place(known: Floats, seen: Floats) -> tuple[float, float] | None:
    """Return the logarithm of the width ratio, and the shift of the median in widths.

    None for an input without width: most of its values are the same.
    """
    width, now = float(known[-1] - known[0]), float(seen[-1] - seen[0])
    if not (width > 0.0 and now > 0.0 and np.isfinite(width) and np.isfinite(now)):
        return None
    return float(np.log(now / width)), float(seen[2] - known[2]) / width


def habits_of(
    whole: Mapping[str, NumericSketch | CategorySketch],
    parts: Sequence[Mapping[str, NumericSketch | CategorySketch]],
    starts: Sequence[int],
    length: int | None,
    repeated: Sequence[float],
) -> Habits:
    """Return the habits that the windows of a reference show; none where they are too few.

    Args:
        whole: the counters of the reference.
        parts: those of its windows, in order of time.
        starts: of the windows.
        length: of a window; None for windows by count, each of which follows the one before it.
        repeated: the share of repeated rows in each window.
    """
    if len(parts) < _LEAST_WINDOWS:
        return Habits()
    pairs = [
        place
        for place in range(1, len(parts))
        if length is None or starts[place] - starts[place - 1] == length
    ]
    found: dict[str, Habit] = {}
    for name, known in whole.items():
        if not isinstance(known, NumericSketch) or name == SCORE:
            continue
        seen = [part[name] for part in parts]
        columns = [each for each in seen if isinstance(each, NumericSketch) and each.present]
        habit = _habit(known, columns, pairs)
        if habit is not None:
            found[name] = habit
    lasts = None if length is not None else int(np.diff(np.asarray(starts)).min())
    return Habits(inputs=found, repeated=max(repeated), lasts=lasts)


def _habit(
    known: NumericSketch, columns: Sequence[NumericSketch], pairs: Sequence[int]
) -> Habit | None:
    if len(columns) < _LEAST_WINDOWS:
        return None
    reference = quantiles(known)
    moves = [width_and_place(reference, quantiles(each)) for each in columns]
    told = [move for move in moves if move is not None]
    widths, places = [move[0] for move in told], [move[1] for move in told]
    whole = len(told) == len(columns)
    least = min(columns, key=lambda each: len(each.cells))
    apart = [columns[place].ks_distance(columns[place - 1]) for place in pairs if whole]
    return Habit(
        width=(min(widths), max(widths)) if whole else (-np.inf, np.inf),
        place=(min(places), max(places)) if whole else (-np.inf, np.inf),
        cells=len(least.cells),
        apart=min(apart) if len(apart) >= _LEAST_WINDOWS else None,
        rows=least.present,
    )


def repeated_rows(frame: "pl.DataFrame", names: Collection[str]) -> float:
    """Return the share of rows that say the same as a row before them, keys included.

    Args:
        frame: rows in the shape of a reference table.
        names: the inputs and the keys; those the frame lacks are left out.
    """
    reserved = {LABEL, SCORE, TIME, DECISION}
    held = [name for name in frame.columns if name in names and name not in reserved]
    if not held or not frame.height:
        return 0.0
    return 1.0 - frame.select(held).n_unique() / frame.height


def stands_still(habit: Habit, seen: NumericSketch) -> bool:
    """Tell whether an input has far fewer different values than any window of the reference.

    A window of fewer rows may have fewer in proportion.
    """
    part = min(1.0, seen.present / habit.rows) if habit.rows else 1.0
    return habit.cells >= _LEAST_CELLS and 0 < len(seen.cells) <= habit.cells * 0.4 * part


def is_hasty(habits: Habits, lasted: int) -> bool:
    """Tell whether rows came so fast that inputs had no time to change as in the reference.

    Args:
        habits: of the reference.
        lasted: microseconds from the first row of a window to its last.
    """
    return habits.lasts is not None and lasted < habits.lasts / 2
