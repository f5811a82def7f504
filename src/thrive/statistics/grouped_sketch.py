"""Sketches of many groups of a column at once: one pass over all rows, whatever the groups."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from thrive.statistics.arrays import Floats, Integers
from thrive.statistics.cells import CELLS, cells_of
from thrive.statistics.sketch import CategorySketch, NumericSketch, sketch_categories


def sketch_numeric_groups(
    values: Floats, groups: Integers, count: int, baseline: NumericSketch
) -> list[NumericSketch]:
    """Count a numeric column by group: as `sketch_numeric` of each group's rows would.

    Args:
        values: numbers; NaN is missing. Shape (rows,).
        groups: from 0 to `count` - 1; rows of another number belong to no group. Shape (rows,).
        count: how many groups there are.
        baseline: the sketch that fixes the cells.
    """
    wanted = (groups >= 0) & (groups < count)
    values, groups = values[wanted], groups[wanted]
    absent = np.isnan(values)
    present, at = values[~absent], groups[~absent]
    bounded = np.isfinite(present)
    finite, within = (present, at) if bounded.all() else (present[bounded], at[bounded])
    cells = cells_of(present, baseline.centre, baseline.scale)
    keys, counts = _counted(at * CELLS + cells, count)
    cut = np.searchsorted(keys, np.arange(count + 1) * CELLS)
    minimum, maximum = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(minimum, at, present)
    np.maximum.at(maximum, at, present)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.bincount(within, finite, minlength=count)
        squares = np.bincount(within, (finite - baseline.centre) ** 2, minlength=count)
    missing = np.bincount(groups[absent], minlength=count)
    infinite = np.bincount(at[~bounded], minlength=count)
    return [
        NumericSketch(
            centre=baseline.centre,
            scale=baseline.scale,
            cells=(keys[cut[place] : cut[place + 1]] % CELLS).astype(np.uint16),
            counts=counts[cut[place] : cut[place + 1]],
            missing=int(missing[place]),
            infinite=int(infinite[place]),
            minimum=float(minimum[place]),
            maximum=float(maximum[place]),
            total=float(total[place]),
            squares=float(squares[place]),
        )
        for place in range(count)
    ]


_SPARSE_BELOW = 50_000
"""Values under which sorting is cheaper than counting into all cells of all groups."""


def _counted(keys: Integers, count: int) -> tuple[Integers, Integers]:
    """Return the keys that occur in rising order, and how often each does."""
    if len(keys) < _SPARSE_BELOW:
        return np.unique(keys, return_counts=True)
    dense = np.bincount(keys, minlength=count * CELLS)
    held = np.flatnonzero(dense != 0)
    return held, dense[held]


def sketch_category_groups(
    counted: Mapping[tuple[int, Any], int], count: int, baseline: CategorySketch
) -> list[CategorySketch]:
    """Count a column of categories by group.

    Args:
        counted: rows by (group, value); groups that are no number from 0 to `count` - 1 are left
            out.
        count: how many groups there are.
        baseline: the sketch whose names are counted.
    """
    parts: list[dict[Any, int]] = [{} for _ in range(count)]
    for (group, value), rows in counted.items():
        if 0 <= group < count:
            parts[group][value] = rows
    return [sketch_categories(part, baseline) for part in parts]
