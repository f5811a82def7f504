"""Fingerprints of the rows a model was trained on, kept beside it: has it seen these rows?

A row is 64 bits over some columns, the same on every machine and in every version of a library;
no value can be read back from it. Of very many rows a fixed part of all possible fingerprints is
kept, so that the same row is in every sample or in none.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import InfrastructureError

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1
MOST = 200_000
"""Fingerprints that are kept at about the most: 1.6 MB."""
_FULL = 2**64
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
Fingerprints = NDArray[np.uint64]


class TrainedRows(msgspec.Struct, frozen=True, kw_only=True):
    """The fingerprints of the rows a model was trained on.

    Attributes:
        columns: over which a row's fingerprint is taken.
        rows: how many rows there were.
        below: only fingerprints smaller than this are kept; None for all.
        kept: them, sorted, as little-endian bytes.
    """

    columns: list[str]
    rows: int
    below: int | None
    kept: bytes
    format: int = FORMAT

    def seen(self, frame: "pl.DataFrame") -> tuple[int, int]:
        """Return how many rows of a frame were trained on, and of how many that could be told.

        Args:
            frame: has all `columns`.
        """
        asked = row_fingerprints(frame, self.columns)
        if self.below is not None:
            asked = asked[asked < np.uint64(self.below)]
        known = np.frombuffer(self.kept, dtype="<u8")
        return int(np.isin(asked, known).sum()), len(asked)

    def to_bytes(self) -> bytes:
        """Return what is kept as a blob."""
        return msgspec.msgpack.encode(self)


def trained_rows(frame: "pl.DataFrame", columns: Sequence[str], most: int = MOST) -> TrainedRows:
    """Return the fingerprints of a frame's rows over some columns.

    Args:
        frame: the rows a model was fitted on.
        columns: names of its columns.
        most: fingerprints that are kept, about; of more rows a sample.
    """
    found = np.unique(row_fingerprints(frame, columns))
    below = None
    if len(found) > most:
        below = int(_FULL * (most / len(found)))
        found = found[found < np.uint64(below)]
    kept = found.astype("<u8").tobytes()
    return TrainedRows(columns=list(columns), rows=frame.height, below=below, kept=kept)


def read_trained_rows(data: bytes) -> TrainedRows:
    """Return the fingerprints in a blob.

    Raises:
        InfrastructureError: a later Thrive wrote them, or they are none.
    """
    try:
        found = msgspec.msgpack.decode(data, type=TrainedRows)
    except msgspec.DecodeError as error:
        raise InfrastructureError(f"Fingerprints of rows cannot be read: {error}.", "") from None
    if found.format > FORMAT:
        raise InfrastructureError(
            f"Fingerprints of rows have layout {found.format}; this Thrive reads {FORMAT}.",
            "pip install --upgrade thrive",
        )
    return found


def row_fingerprints(frame: "pl.DataFrame", columns: Sequence[str]) -> Fingerprints:
    """Return 64 bits a row over some columns, whose order does not matter.

    Numbers of any type count as float64, times as microseconds, everything else as its text.
    """
    found = np.zeros(frame.height, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for name in sorted(columns):
            salt = np.uint64(int.from_bytes(_digest(name), "little"))
            found = _mixed(found + np.uint64(_GOLDEN) ^ _mixed(_bits(frame[name]) + salt))
    return found


def _bits(column: "pl.Series") -> Fingerprints:
    import polars as pl

    if column.dtype.is_temporal():
        column = column.cast(pl.Datetime("us")) if column.dtype == pl.Date else column
        return column.to_physical().cast(pl.Int64).fill_null(-1).to_numpy().view(np.uint64)
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy() + 0.0
        return np.where(np.isnan(values), np.nan, values).view(np.uint64)
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        column = pl.Series(column.name, [str(value) for value in column.to_list()])
    words = column.cast(pl.String).fill_null("")
    distinct = words.unique()
    digests = [int.from_bytes(_digest(word), "little") for word in distinct]
    known = pl.DataFrame([distinct.alias("w"), pl.Series("d", digests, dtype=pl.UInt64)])
    placed = words.alias("w").to_frame().join(known, on="w", how="left", maintain_order="left")
    return placed["d"].to_numpy()


def _digest(word: str) -> bytes:
    return hashlib.blake2b(word.encode(), digest_size=8).digest()


def _mixed(values: Fingerprints) -> Fingerprints:
    """Spread bits (the finalizer of splitmix64, Steele 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_FIRST)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_SECOND)
    return values ^ (values >> np.uint64(31))
