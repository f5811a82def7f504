"""Rows counted once by group, label and decision; the table of any columns is a sum of it.

One pass over the rows gives the joint table of all group columns. Groups of one column and their
intersections are marginal sums, so that a million rows cost what one grouping costs.
"""

from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.gates.case import Floats, GateCase, words_of
from thrive.packaging.signature import OutputKind
from thrive.statistics.fairness import CountTable

if TYPE_CHECKING:
    import polars as pl

MOST_CELLS = 200
"""Triples of columns are crossed up to this many cells."""
_LABEL, _OWN, _OTHER, _ROWS = "_gate_label", "_gate_own", "_gate_other", "_gate_rows"


class Cells(msgspec.Struct, frozen=True, kw_only=True):
    """The joint table: one line a combination of groups, label, decision, decision of the rival."""

    columns: list[str]
    frame: Any

    def table(self, columns: Iterable[str], *, rival: bool = False) -> CountTable:
        """Return counts group x label x decision, the groups named `column=value & ...`.

        Args:
            columns: one column, or several for their intersections.
            rival: count the decisions of the rival.
        """
        wanted, decision = list(columns), _OTHER if rival else _OWN
        lines = self._summed(wanted, decision)
        names = lines["_name"].unique(maintain_order=True)
        counts = np.zeros((len(names), 2, 2), dtype=np.int64)
        place = {name: index for index, name in enumerate(names)}
        code = [place[name] for name in lines["_name"]]
        flat = (np.array(code), lines[_LABEL].to_numpy(), lines[decision].to_numpy())
        counts[flat] = lines[_ROWS].to_numpy()
        return CountTable(groups=tuple(names), counts=counts)

    def discordant(self, columns: Iterable[str]) -> dict[str, tuple[int, int, int]]:
        """Return of each group its rows, those only the candidate and those only the rival hit."""
        import polars as pl

        own, other = (pl.col(name) == pl.col(_LABEL) for name in (_OWN, _OTHER))
        named = self.frame.with_columns(_named(list(columns)))
        lines = named.group_by("_name").agg(
            pl.col(_ROWS).sum(),
            pl.col(_ROWS).filter(own & ~other).sum().alias("own"),
            pl.col(_ROWS).filter(other & ~own).sum().alias("other"),
        )
        return {name: (rows, own, other) for name, rows, own, other in lines.sort("_name").rows()}

    def crossings(self) -> list[tuple[str, ...]]:
        """Return the pairs of columns, and the triples with few enough cells."""
        sizes = {name: self.frame[name].n_unique() for name in self.columns}
        pairs = list(combinations(self.columns, 2))
        triples = [
            three
            for three in combinations(self.columns, 3)
            if np.prod([sizes[name] for name in three]) <= MOST_CELLS
        ]
        return [*pairs, *triples]

    def _summed(self, columns: list[str], decision: str) -> "pl.DataFrame":
        import polars as pl

        named = self.frame.with_columns(_named(columns))
        return (
            named.group_by("_name", _LABEL, decision)
            .agg(pl.col(_ROWS).sum())
            .sort("_name", _LABEL, decision)
        )


def _named(columns: list[str]) -> "pl.Expr":
    import polars as pl

    parts = [pl.format("{}={}", pl.lit(name), pl.col(name)) for name in columns]
    return pl.concat_str(parts, separator=" & ").alias("_name")


def count_cells(case: GateCase, columns: list[str]) -> Cells:
    """Return the joint table of a case's rows by group columns, label and both decisions.

    Of more than two classes a decision is whether the answer is right, and every label counts as
    one; of numbers nothing is decided.
    """
    import polars as pl

    other = case.candidate if case.other is None else case.other
    label, own, rival = (_decided(case, scores) for scores in (case.labels, case.candidate, other))
    decided = pl.DataFrame(
        [
            *(case.frame[name] for name in columns),
            pl.Series(_LABEL, label),
            pl.Series(_OWN, own),
            pl.Series(_OTHER, rival),
        ]
    )
    return cells_of(decided, columns)


def _decided(case: GateCase, scores: Floats) -> NDArray[np.int8]:
    if case.kind is OutputKind.PROBABILITY:
        if scores is case.labels:
            return (scores == 1).astype(np.int8)
        return (scores >= case.threshold).astype(np.int8)
    if case.kind is OutputKind.NUMBER:
        return np.zeros(case.rows, dtype=np.int8)
    chosen = scores if scores.ndim == 1 else scores.argmax(axis=1)
    return (chosen == case.labels).astype(np.int8)


def cells_of(decided: "pl.DataFrame", columns: list[str]) -> Cells:
    """Return the joint table of rows with their groups, labels and decisions."""
    import polars as pl

    counted = decided.group_by(*columns, _LABEL, _OWN, _OTHER).agg(pl.len().alias(_ROWS))
    words = [spelled for name in columns if (spelled := words_of(counted[name])) is not None]
    return Cells(columns=columns, frame=counted.with_columns(words))


def largest(table: CountTable, most: int) -> set[str]:
    """Return the names of the groups with most rows; ties by name."""
    sizes = table.counts.sum(axis=(1, 2)).tolist()
    ranked = sorted(zip(table.groups, sizes, strict=True), key=lambda one: (-one[1], one[0]))
    return {name for name, _ in ranked[:most]}
