"""Which columns of a dataset a run really reads: told by the engine as it reads them.

A lazy frame leaves out what its query does not need; the scan given here says what is left. A
frame that is read whole says nothing: what its reader does with it cannot be seen.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

Told = Callable[[list[str] | None], None]
"""Called with the columns of each reading; None when all of them are read."""
_BATCH = 100_000


def watched(frame: "pl.LazyFrame", tell: Told) -> "pl.LazyFrame":
    """Return the same rows; whenever they are read, `tell` is called with the columns read."""
    from polars.io.plugins import register_io_source

    schema = frame.collect_schema()
    names = schema.names()

    def read(
        wanted: list[str] | None,
        predicate: "pl.Expr | None",
        rows: int | None,
        batch: int | None,
    ) -> "Iterator[pl.DataFrame]":
        whole = wanted is None or len(wanted) == len(names)
        tell(None if whole else wanted)
        query = frame if predicate is None else frame.filter(predicate)
        query = query if wanted is None else query.select(wanted or names[:1])
        query = query if rows is None else query.head(rows)
        yield from query.collect_batches(chunk_size=batch or _BATCH, maintain_order=True)

    return register_io_source(read, schema=schema)
