"""Histograms with bins of equal width, read from the cells of a numeric sketch."""

from typing import Any

import numpy as np

from thrive.statistics.cells import cell_edges
from thrive.statistics.sketch import NumericSketch

BINS = 20
_TAIL = 0.005
"""The share of the values at each end that the outermost bins take in."""


def equal_bins(sketch: NumericSketch, bins: int = BINS) -> dict[str, Any]:
    """Return `{"edges": [...], "counts": [...]}` of the finite values; empty lists without any.

    The bins have equal width between the outermost half percents of the values; what lies beyond
    is counted in the first and the last, so that one outlier does not flatten the picture.
    """
    if sketch.present - sketch.infinite <= 0:
        return {"edges": [], "counts": []}
    edges = np.linspace(*_range(sketch), bins + 1)
    return {"edges": [float(edge) for edge in edges], "counts": counts_between(sketch, edges)}


def _range(sketch: NumericSketch) -> tuple[float, float]:
    low, high = sketch.quantile(_TAIL), sketch.quantile(1.0 - _TAIL)
    finite = [each for each in (low, high) if np.isfinite(each)]
    if len(finite) < 2 or low >= high:
        middle = finite[0] if finite else sketch.centre
        return middle - 0.5, middle + 0.5
    return low, high


def counts_between(sketch: NumericSketch, edges: Any) -> list[int]:
    """Return how many values lie in each bin; a cell belongs to the bin of its middle."""
    borders = cell_edges()
    cells = sketch.cells.astype(np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        middle = (borders[cells] + borders[cells + 1]) / 2 * sketch.scale + sketch.centre
    kept = np.isfinite(middle)
    place = np.searchsorted(edges, np.clip(middle[kept], sketch.minimum, sketch.maximum), "right")
    inside = np.clip(place - 1, 0, len(edges) - 2)
    counted = np.bincount(inside, weights=sketch.counts[kept], minlength=len(edges) - 1)
    return [int(count) for count in counted]
