"""Inputs in bins: what the expected error of a number is learned from."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from thrive.domain.model import SCORE
from thrive.monitoring.frames import CATEGORY, NUMERIC, measured
from thrive.statistics.arrays import Integers
from thrive.statistics.difficulty import BINS

if TYPE_CHECKING:
    import polars as pl

_NAMED = 30
"""Categories with a bin of their own; the rest share one, and what is missing has another."""


class Binned(msgspec.Struct, frozen=True, kw_only=True):
    """The bins of one input: borders of numbers, or names of categories."""

    name: str
    kind: str = NUMERIC
    borders: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many bins there are."""
        return (len(self.names) if self.names else len(self.borders)) + 2

    def codes(self, frame: "pl.DataFrame") -> Integers:
        """Return the bin of each row; the last is for what is missing."""
        if self.names:
            return _category_codes(frame, self)
        values = measured(frame, self.name, self.kind)
        code = np.searchsorted(np.array(self.borders), values, "right").astype(np.int64)
        return np.where(np.isnan(values), self.size - 1, code)


def _category_codes(frame: "pl.DataFrame", binned: Binned) -> Integers:
    import polars as pl

    if binned.name not in frame.columns:
        return np.full(frame.height, binned.size - 1, dtype=np.int64)
    column = frame[binned.name].cast(pl.String)
    places = {name: place for place, name in enumerate(binned.names)}
    code = column.replace_strict(places, default=len(places), return_dtype=pl.Int64)
    missing = column.is_null().to_numpy()
    return np.where(missing, binned.size - 1, code.fill_null(0).to_numpy())


def bins_of(frame: "pl.DataFrame", kinds: Mapping[str, str]) -> list[Binned]:
    """Return the bins of each input and the score: quantiles, or the most frequent names."""
    made: list[Binned] = []
    for name, kind in {**kinds, SCORE: NUMERIC}.items():
        if kind != CATEGORY:
            values = measured(frame, name, kind)
            finite = values[np.isfinite(values)]
            cuts = np.quantile(finite, np.arange(1, BINS) / BINS) if len(finite) else np.empty(0)
            made.append(Binned(name=name, kind=kind, borders=tuple(np.unique(cuts).tolist())))
        else:
            made.append(Binned(name=name, names=_frequent(frame, name)))
    return made


def _frequent(frame: "pl.DataFrame", name: str) -> tuple[str, ...]:
    import polars as pl

    counted = frame[name].cast(pl.String).drop_nulls().value_counts()
    ranked = counted.sort("count", name, descending=[True, False])
    return tuple(ranked[name].head(_NAMED).to_list())
