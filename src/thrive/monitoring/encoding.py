"""Inputs as standardized numbers, one row a prediction: what relations are measured on.

A number is taken relative to its place and width in the reference, a category by the mean score
that its rows had there. What is missing, or was never seen, stands in the middle.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from thrive.domain.model import SCORE
from thrive.monitoring.frames import CATEGORY, measured
from thrive.statistics.arrays import Floats
from thrive.statistics.relations import (
    RelationChange,
    RelationReference,
    relation_change,
    relation_reference,
)

if TYPE_CHECKING:
    import polars as pl

RELATION = "_relation"
"""Stands for all pairs of inputs among the floors of drift."""
MOST_COLUMNS, MOST_ROWS = 100, 10_000
_FARTHEST = 4.0
_MOST_NAMES = 200
_QUARTILES = 1.349
"""Interquartile range of a normal distribution in standard deviations."""


class Encoding(msgspec.Struct, frozen=True, kw_only=True):
    """How one input becomes a number: relative to a centre and a width, or by name."""

    name: str
    kind: str
    centre: float = 0.0
    width: float = 1.0
    names: dict[str, float] = {}

    def encode(self, frame: "pl.DataFrame") -> Floats:
        """Return one number a row, without NaN."""
        import polars as pl

        if self.kind == CATEGORY:
            if self.name not in frame.columns:
                return np.zeros(frame.height)
            column = frame[self.name].cast(pl.String)
            found = column.replace_strict(self.names, default=None, return_dtype=pl.Float64)
            values = found.fill_null(self.centre).to_numpy()
        else:
            values = measured(frame, self.name, self.kind)
        off = np.nan_to_num((values - self.centre) / self.width, nan=0.0)
        return np.clip(off, -_FARTHEST, _FARTHEST)


class Relations(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a model as numbers, and how they hang together in its reference."""

    encodings: list[Encoding]
    reference: RelationReference

    def change(self, frame: "pl.DataFrame") -> RelationChange | None:
        """Return the pair of inputs whose relation changed most surely in a window."""
        return relation_change(self.reference, _encoded(frame, self.encodings))

    def names(self, change: RelationChange) -> str:
        """Return the pair as it is shown: `temp and humid`."""
        one, other = (self.encodings[place].name for place in change.pair)
        return f"{one} and {other}"


def relations_of(reference: "pl.DataFrame", kinds: Mapping[str, str]) -> Relations | None:
    """Return how the inputs of a reference hang together; None for fewer than two.

    Args:
        reference: out-of-sample rows.
        kinds: the inputs with their kind; of more than 100 the first.
    """
    rows = reference.gather_every(max(1, -(-reference.height // MOST_ROWS)))
    encodings = [_encoding(rows, name, kind) for name, kind in list(kinds.items())[:MOST_COLUMNS]]
    found = relation_reference(_encoded(rows, encodings)) if encodings else None
    return None if found is None else Relations(encodings=encodings, reference=found)


def _encoded(frame: "pl.DataFrame", encodings: Sequence[Encoding]) -> Floats:
    rows = frame.gather_every(max(1, -(-frame.height // MOST_ROWS)))
    return np.column_stack([each.encode(rows) for each in encodings])


def _encoding(rows: "pl.DataFrame", name: str, kind: str) -> Encoding:
    if kind == CATEGORY:
        return _of_names(rows, name)
    values = measured(rows, name, kind)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Encoding(name=name, kind=kind)
    low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75]).tolist()
    width = (high - low) / _QUARTILES or float(finite.std()) or 1.0
    return Encoding(name=name, kind=kind, centre=middle, width=width)


def _of_names(rows: "pl.DataFrame", name: str) -> Encoding:
    import polars as pl

    score = pl.col(SCORE).fill_nan(None)
    grouped = (
        rows.select(pl.col(name).cast(pl.String), score)
        .drop_nulls()
        .group_by(name)
        .agg(pl.len().alias("rows"), pl.col(SCORE).mean())
        .sort("rows", name, descending=[True, False])
        .head(_MOST_NAMES)
    )
    if not grouped.height:
        return Encoding(name=name, kind=CATEGORY)
    weights, means = grouped["rows"].to_numpy(), grouped[SCORE].to_numpy()
    centre = float(np.average(means, weights=weights))
    width = float(np.sqrt(np.average((means - centre) ** 2, weights=weights))) or 1.0
    names = dict(zip(grouped[name].to_list(), means.tolist(), strict=True))
    return Encoding(name=name, kind=CATEGORY, centre=centre, width=width, names=names)
