"""Fixed cells for numbers: (x - centre) / scale as a bfloat16 (sign, exponent, 7 bits of mantissa).

Finding a cell is a subtraction, a division and a shift: no sort and no search, and an outlier gets
a cell of its own. Cells are numbered in rising order of the value they stand for.
"""

import functools
import math
import sys

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thrive.statistics.arrays import Floats, Integers

CELLS = 65_536
_BLOCK = 131_072  # values that are counted at a time
_CACHED = 16_384  # values that are turned into cells at a time, so that the work stays in the cache
_UPPER = 1 if sys.byteorder == "little" else 0  # which half of a float32 has sign and exponent
_LEAST_POWER, _MOST_POWER = -1000, 1000  # beyond, numbers of this size are not rounded
_SUMMED = 32_768  # the same for sums
_PLACED = 16_384  # values that a baseline's centre and scale are read from; more change nothing
_SPARSE_BELOW = 4_000  # values under which sorting is cheaper than counting into all cells


@functools.cache
def cell_edges() -> Floats:
    """The 65 537 borders of the cells, for centre 0 and scale 1, in rising order."""
    magnitude = np.arange(0x8001, dtype=np.uint32)
    values = (np.minimum(magnitude, 0x7F80) << 16).view(np.float32).astype(np.float64)
    edges = np.concatenate([-values[:0:-1], values])
    edges.flags.writeable = False
    return edges


def _in_order(pattern: NDArray[np.int64]) -> NDArray[np.int64]:
    """bfloat16 bit patterns as numbers that rise with the value they stand for."""
    negative = pattern >= 0x8000
    return np.where(negative, 0xFFFF - pattern, pattern + 0x8000)


def count_cells(values: Floats, centre: float, scale: float) -> tuple[Integers, Integers]:
    """The occupied cells in rising order, and how many values each holds.

    Args:
        values: without NaN; infinite values have cells of their own.
        centre: stands in the middle of the cells.
        scale: the distance that counts as one.
    """
    if len(values) < _SPARSE_BELOW:
        return np.unique(cells_of(values, centre, scale), return_counts=True)
    by_pattern = np.zeros(CELLS, dtype=np.int64)
    patterns = np.empty(min(len(values), _BLOCK), dtype=np.int64)
    scaled, narrow = np.empty(_CACHED), np.empty(_CACHED, dtype=np.float32)
    upper = narrow.view(np.uint16)[_UPPER::2]
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        for at in range(0, len(block), _CACHED):
            few = block[at : at + _CACHED]
            size = len(few)
            with np.errstate(over="ignore"):
                np.subtract(few, centre, out=scaled[:size])
                np.divide(scaled[:size], scale, out=scaled[:size])
                narrow[:size] = scaled[:size]
            patterns[at : at + size] = upper[:size]
        by_pattern += np.bincount(patterns[: len(block)], minlength=CELLS)
    held = np.flatnonzero(by_pattern != 0)
    cells = _in_order(held)
    order = np.argsort(cells)
    return cells[order], by_pattern[held[order]]


def cells_of(values: Floats, centre: float, scale: float) -> Integers:
    """The cell of each value.

    Args:
        values: without NaN.
        centre: stands in the middle of the cells.
        scale: the distance that counts as one.
    """
    return _in_order(_patterns(values, centre, scale).astype(np.int64))


def _patterns(values: Floats, centre: float, scale: float) -> NDArray[np.uint32]:
    with np.errstate(over="ignore"):
        scaled = values - centre
        scaled /= scale
        return scaled.astype(np.float32).view(np.uint32) >> np.uint32(16)


def sum_of_squares(values: Floats, centre: float) -> float:
    """Sum of squared distances of finite values from the centre."""
    total = 0.0
    with np.errstate(over="ignore"):
        for start in range(0, len(values), _SUMMED):
            off = values[start : start + _SUMMED] - centre
            total += float(np.einsum("i,i->", off, off))  # one thread, unlike off @ off
    return total


def baseline_cells(values: ArrayLike) -> tuple[float, float]:
    """Centre and scale of a baseline: median and interquartile range of its finite values.

    Of many values a fixed random sample: they only say where the cells are finest. A column whose
    quartiles coincide takes its mean distance from the median, a constant one 1.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) > 2 * _PLACED:
        array = array[np.random.default_rng(0).integers(0, len(array), _PLACED)]
    finite = array[np.isfinite(array)]
    if not len(finite):
        return 0.0, 1.0
    low, centre, high = (float(q) for q in np.quantile(finite, [0.25, 0.5, 0.75]))
    scale = high - low or float(np.abs(finite - centre).mean())
    return centre, scale if math.isfinite(scale) and scale > 0.0 else 1.0


def steady_cells(values: ArrayLike) -> tuple[float, float]:
    """Centre and scale of `baseline_cells` in round numbers: almost those get the same cells.

    The scale is a power of two, the centre a multiple of a quarter of it; so the sketches of two
    deliveries of a column can mostly be compared as they are. Cells at the median are then up to
    1/2000 of the interquartile range wide.
    """
    centre, scale = baseline_cells(values)
    power = round(math.log2(scale))
    if not _LEAST_POWER < power < _MOST_POWER:
        return centre, scale
    step = 2.0 ** (power - 2)
    return round(centre / step) * step, 2.0**power
