"""How many different values a column has, in 32 KiB that add up: the smallest of their hashes.

Among n hashes spread evenly the k-th smallest lies near k / n of their range; below k different
values the count is exact. Source: Bar-Yossef, Jayram, Kumar, Sivakumar, Trevisan (2002), "Counting
distinct elements in a data stream", with the unbiased estimator of Beyer, Haas, Reinwald,
Sismanis, Gemulla (2007), "On synopses for distinct-value estimation under multiset operations".
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

_KEPT = 4096
_RANGE = 2.0**64
_MARGIN = 4
"""So many times `_KEPT` hashes are looked at first, for some may be of one value."""
_WORTH_A_SAMPLE = 0.3
"""Above this share of the hashes, all are looked at at once."""


class DistinctSketch(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The up to 4096 smallest hashes in rising order; standard error 1.6 % beyond, else none."""

    smallest: NDArray[np.uint64]

    def __add__(self, other: "DistinctSketch") -> "DistinctSketch":
        both = np.concatenate([self.smallest, other.smallest])
        return DistinctSketch(smallest=_different(both)[:_KEPT])

    def estimate(self) -> int:
        """Return how many different values were counted, to within some percent."""
        found = len(self.smallest)
        return found if found < _KEPT else round((found - 1) * _RANGE / float(self.smallest[-1]))


def sketch_distinct(hashes: NDArray[np.uint64]) -> DistinctSketch:
    """Count 64-bit hashes of values; sketches add up only where the hashes are of one function.

    Only hashes below a limit are sorted; where too few of them differ, the limit rises.

    Args:
        hashes: one a value, well mixed; missing values left out.
    """
    share = _MARGIN * _KEPT / max(1, len(hashes))
    while share < _WORTH_A_SAMPLE:
        found = _different(hashes[hashes < np.uint64(share * _RANGE)])
        if len(found) >= _KEPT:
            return DistinctSketch(smallest=found[:_KEPT])
        share *= 2 * _KEPT / max(1, len(found))
    return DistinctSketch(smallest=_different(hashes)[:_KEPT])


def _different(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the different ones of many hashes, in rising order.

    Sorting whole numbers is vectorised; `np.unique` puts them into a table and is far slower.
    """
    ranked = np.sort(hashes)
    is_new = np.ones(len(ranked), dtype=np.bool_)
    np.not_equal(ranked[1:], ranked[:-1], out=is_new[1:])
    return ranked[is_new]
