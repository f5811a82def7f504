"""A table in slices of equal size, read piece by piece: memory does not grow with its rows."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from thrive.domain.errors import UsageError
from thrive.store.snapshots.tables import unquoted

if TYPE_CHECKING:
    import polars as pl


def slices_of(table: "pl.LazyFrame", size: int) -> Iterator["pl.DataFrame"]:
    """Yield the rows in order, `size` at a time, whatever the files' own pieces are.

    Raises:
        UsageError: a row cannot be read with the types that the first rows have; the message holds
            none of its values.
    """
    import polars as pl

    kept: list[pl.DataFrame] = []
    height = 0
    for piece in _pieces(table, size):
        kept.append(piece)
        height += piece.height
        while height >= size:
            whole = pl.concat(kept)
            yield whole.head(size)
            kept, height = [whole.slice(size)], height - size
    if height:
        yield pl.concat(kept)


def _pieces(table: "pl.LazyFrame", size: int) -> Iterator["pl.DataFrame"]:
    """Yield the rows as they are read."""
    import polars as pl

    try:
        yield from table.collect_batches(chunk_size=size, maintain_order=True)
    except pl.exceptions.PolarsError as error:
        raise UsageError(
            f"The table cannot be read to its end: {unquoted(error)}.",
            "write it as Parquet, or its columns of text with one type each",
        ) from None
