"""Has the relation of two columns changed, though each looks as it did?

One test over all pairs of columns: the correlations of a window against those of the reference,
each difference in its own standard error (the delta method, without assuming normal values), the
largest one corrected for the number of pairs. It asks of the joint distribution what no test of
single columns can see, and it names the pair. What it rests on, sums of products, adds up over
windows.
"""

import math

import msgspec
import numpy as np

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import Floats
from thrive.statistics.distributions import two_sided_normal

LEAST_ROWS = 200
"""Rows below which a correlation tells nothing here."""


class RelationReference(msgspec.Struct, frozen=True, kw_only=True):
    """The correlations of a reference, and how uncertain each is.

    Attributes:
        rows: of the reference.
        correlations: of each pair of columns, row by row of the upper triangle.
        variances: of one row's contribution to each.
    """

    rows: int
    columns: int
    correlations: list[float]
    variances: list[float]


class RelationChange(msgspec.Struct, frozen=True, kw_only=True):
    """The pair whose relation changed most surely.

    Attributes:
        pair: the numbers of its two columns.
        before: their correlation in the reference.
        now: their correlation in the window.
        p_value: of the same correlations everywhere, corrected for the number of pairs.
    """

    pair: tuple[int, int]
    before: float
    now: float
    p_value: float

    @property
    def effect(self) -> float:
        """How much the correlation changed."""
        return abs(self.now - self.before)


def relation_reference(rows: Floats) -> RelationReference | None:
    """Return the correlations of a reference; None for fewer than 2 columns or 200 rows.

    Args:
        rows: shape (rows, columns), without NaN; a column without spread has no relation.
    """
    if rows.ndim != 2 or rows.shape[1] < 2 or len(rows) < LEAST_ROWS:
        return None
    z, upper = _standard(rows), np.triu_indices(rows.shape[1], 1)
    count = len(rows)
    r = (z.T @ z / count)[upper]
    squares = z**2
    m22 = (squares.T @ squares / count)[upper]
    cubes = (squares * z).T @ z / count
    fourth = (squares**2).mean(axis=0)
    m31, m13 = cubes[upper], cubes.T[upper]
    m40, m04 = fourth[upper[0]], fourth[upper[1]]
    variance = m22 - r * (m31 + m13) + r**2 / 4.0 * (m40 + 2.0 * m22 + m04)
    return RelationReference(
        rows=count,
        columns=rows.shape[1],
        correlations=r.tolist(),
        variances=np.maximum(variance, 0.0).tolist(),
    )


def relation_change(reference: RelationReference, rows: Floats) -> RelationChange | None:
    """Return the pair whose correlation changed most surely; None where there are too few rows.

    Args:
        reference: of `relation_reference`.
        rows: shape (rows, columns), encoded as the reference's were.

    Raises:
        UsageError: the rows have another number of columns.
    """
    if rows.ndim != 2 or rows.shape[1] != reference.columns:
        raise UsageError(
            f"{rows.shape} rows and columns for a reference of {reference.columns} columns",
            "give the columns that the reference has",
        )
    if len(rows) < LEAST_ROWS:
        return None
    upper = np.triu_indices(reference.columns, 1)
    z = _standard(rows)
    now = (z.T @ z / len(rows))[upper]
    before, variance = np.array(reference.correlations), np.array(reference.variances)
    spread = np.abs(z).max(axis=0) > 0.0
    told = (variance > 0.0) & spread[upper[0]] & spread[upper[1]]
    if not told.any():
        return None
    error = np.sqrt(variance * (1.0 / len(rows) + 1.0 / reference.rows))
    distance = np.where(told, np.abs(now - before) / np.where(told, error, 1.0), 0.0)
    worst = int(np.argmax(distance))
    p_value = two_sided_normal(float(distance[worst])) * int(told.sum())
    return RelationChange(
        pair=(int(upper[0][worst]), int(upper[1][worst])),
        before=float(before[worst]),
        now=float(now[worst]),
        p_value=min(1.0, p_value),
    )


def _standard(rows: Floats) -> Floats:
    """Return columns of mean 0 and variance 1; those without spread are 0."""
    off = rows - rows.mean(axis=0)
    spread = np.sqrt((off**2).mean(axis=0))
    flat = spread <= 1e-12 * (math.sqrt(float((rows**2).mean())) + 1e-300)
    return np.where(flat, 0.0, off / np.where(flat, 1.0, spread))
