"""Rows that we write ourselves: as one Parquet file, or as many whose cuts their content decides.

A Parquet file changes in every byte when a row comes; cut into many, only the files around a change
are new and all others are stored already. As with chunks of bytes (FastCDC), a cut stands after a
row whose hash says so, and not too near the last one: so rows that come or go move no other cut.
Each file is plain Parquet, which other programs read where it lies.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

WHOLE_BYTES = 32 << 20
"""Tables up to about this size in memory stay one file."""
SLICE_BYTES = 8 << 20
"""About so many bytes in memory make one file of a larger one."""
BATCH_ROWS = 200_000
"""Rows of a lazy table that are taken at a time."""
_SAMPLE = 10_000
_SEED = 0
WHOLE = "rows.parquet"


def write_rows(rows: "pl.DataFrame | pl.LazyFrame", folder: Path) -> Path:
    """Write a table into an empty folder; return the file, or the folder of files in order.

    Args:
        rows: the table; a lazy one is streamed.
        folder: where to.
    """
    import polars as pl

    if isinstance(rows, pl.DataFrame):
        batches: Iterator[pl.DataFrame] = iter([rows])
    else:
        batches = rows.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
    rest = rows.head(0).lazy().collect()
    length = count = 0
    for batch in batches:
        rest = pl.concat([rest, batch]) if rest.height else batch
        if not count:
            length = _rows_of(rest, SLICE_BYTES)
            if rest.height <= length * (WHOLE_BYTES // SLICE_BYTES):
                continue
        begin = 0
        for end in _ends(rest, length):
            rest[begin:end].write_parquet(_name(folder, count))
            begin, count = end, count + 1
        rest = rest[begin:]
    if not count:
        rest.write_parquet(folder / WHOLE)
        return folder / WHOLE
    if rest.height:
        rest.write_parquet(_name(folder, count))
    return folder


def _name(folder: Path, number: int) -> Path:
    return folder / f"rows-{number:05}.parquet"


def _rows_of(frame: "pl.DataFrame", size: int) -> int:
    """Return how many rows are about so many bytes: a power of two, by the first rows alone.

    So a table that grows is cut as before.
    """
    import polars as pl

    sample = frame.head(_SAMPLE)
    width = 1.0
    for name, kind in sample.schema.items():
        width += 8
        if isinstance(kind, pl.String | pl.Binary):
            column = sample[name]
            is_text = isinstance(kind, pl.String)
            length = column.str.len_bytes() if is_text else column.bin.size()
            width += float(length.sum()) / max(1, sample.height)
    return 1 << round(size / width).bit_length() - 1


def _ends(frame: "pl.DataFrame", length: int) -> Iterator[int]:
    """Yield where the files of a table end, as far as rows that follow cannot change it."""
    import numpy as np

    marked = _marked(frame, length)
    begin = 0
    while True:
        number = int(np.searchsorted(marked, begin + length // 2))
        most = begin + 4 * length
        end = int(marked[number]) if number < len(marked) else most
        if min(end, most) > frame.height:
            return
        begin = min(end, most)
        yield begin


def _marked(frame: "pl.DataFrame", length: int) -> "np.ndarray":
    """Return the ends of the rows after which a cut may be; columns of lists have no say."""
    import numpy as np
    import polars as pl

    plain = [
        name for name, kind in frame.schema.items() if not kind.is_nested() and kind != pl.Object
    ]
    if not plain:
        return np.empty(0, dtype=np.int64)
    hashes = frame.select(plain).hash_rows(seed=_SEED).to_numpy()
    return np.flatnonzero(hashes % np.uint64(max(1, length // 2)) == 0) + 1
