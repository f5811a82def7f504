"""How far off a number will be: the expected absolute error of each row, learned without its label.

On labelled reference rows the absolute error is explained by an additive model of binned inputs:
cyclic boosting with one table an input (Friedman 2001 with Lou, Caruana, Gehrke 2012's shape
functions), each step shrunk by the rows behind it. The mean over unlabelled rows estimates their
mean absolute error (direct loss estimation). It sees covariate shift, not concept drift.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from thrive.statistics.arrays import Floats, Integers
from thrive.statistics.estimation import Estimated

BINS = 32
"""Bins of a numeric input; one more holds what is missing."""
_ROUNDS = 40
_RATE = 0.3
_PRIOR_ROWS = 30.0
"""Rows that a bin's own mean must outweigh."""


class Difficulty(msgspec.Struct, frozen=True, kw_only=True):
    """The additive model: a row's expected absolute error is `base` plus one entry of each table.

    `spread` is the standard deviation of the real error around the expected one.
    """

    base: float
    tables: tuple[tuple[float, ...], ...]
    spread: float

    def apply(self, codes: Sequence[Integers]) -> Floats:
        """Return the expected absolute error of each row, never below zero.

        Args:
            codes: for each input, the bin of each row.
        """
        total = np.full(len(codes[0]) if codes else 0, self.base)
        for table, code in zip(self.tables, codes, strict=True):
            total += np.array(table)[code]
        return np.maximum(total, 0.0)

    def estimate(self, codes: Sequence[Integers]) -> Estimated:
        """Estimate the mean absolute error of unlabelled rows, with its standard error."""
        expected = self.apply(codes)
        rows = len(expected)
        error = self.spread / np.sqrt(rows) if rows else np.nan
        mean = float(expected.mean()) if rows else float("nan")
        return Estimated(metric="mae", estimate=mean, standard_error=float(error), rows=rows)


def fit_difficulty(codes: Sequence[Integers], sizes: Sequence[int], off: Floats) -> Difficulty:
    """Explain absolute errors by binned inputs.

    Args:
        codes: for each input, the bin of each row, 0 <= bin < its size.
        sizes: bins of each input.
        off: absolute error of each row, in the unit of the label.
    """
    base = float(off.mean())
    tables = [np.zeros(size) for size in sizes]
    counts = [np.bincount(code, minlength=size) for code, size in zip(codes, sizes, strict=True)]
    rest = off - base
    for _ in range(_ROUNDS):
        for place, (code, count) in enumerate(zip(codes, counts, strict=True)):
            step = np.bincount(code, weights=rest, minlength=len(count)) / (count + _PRIOR_ROWS)
            step *= _RATE
            tables[place] = tables[place] + step
            rest -= step[code]
    return Difficulty(
        base=base + float(rest.mean()),
        tables=tuple(tuple(table.tolist()) for table in tables),
        spread=float(rest.std()),
    )
