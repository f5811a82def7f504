"""A table read while its files are being stored: one waits for the disk, the other computes."""

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from thrive.domain.dataset import FileEntry
from thrive.store.sources.found import Found

if TYPE_CHECKING:
    import polars as pl

IN_MEMORY_BYTES = 512 << 20
"""Sources up to this size are read into memory once; larger ones are streamed."""
_MOST_PACKED = 16
"""Times that a packed file (Parquet, gzip) is larger in memory than on disk, at most."""


def fits_in_memory(paths: Sequence[str], size: int, frame: "pl.LazyFrame") -> bool:
    """Tell whether a table may be read into memory as a whole.

    Args:
        paths: its files, which say by their names whether they are packed.
        size: bytes of the files.
        frame: the table; the rows of packed files are counted where it matters.
    """
    import polars as pl

    packed = any(path.lower().endswith((".parquet", ".pq", ".gz")) for path in paths)
    if size > IN_MEMORY_BYTES or not packed or size * _MOST_PACKED <= IN_MEMORY_BYTES:
        return size <= IN_MEMORY_BYTES
    rows = frame.select(pl.len()).collect().item()
    return may_be_held(rows, len(frame.collect_schema()))


def may_be_held(rows: int, columns: int) -> bool:
    """Tell whether so many cells, eight bytes each, may be held in memory."""
    return rows * columns * 8 <= IN_MEMORY_BYTES


class ReadAhead:
    """Reads one table, if it fits into memory, in a thread of its own.

    Args:
        pool: where it is read.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._reading: Future[pl.DataFrame | None] | None = None

    def begin(self, found: Found) -> None:
        """Begin to read the files of a source as one table, unless that has begun."""
        if self._reading is None:
            self._reading = self._pool.submit(_read, found)

    def table(self) -> "pl.DataFrame | None":
        """Return the table, None if it was too large or could not be read: others say why."""
        return self._reading.result() if self._reading is not None else None


@contextmanager
def reading_ahead() -> Generator[ReadAhead]:
    """Give a reader; leaving waits for it, so that no thread reads what nobody wants."""
    with ThreadPoolExecutor(1) as pool:
        yield ReadAhead(pool)


def _read(found: Found) -> "pl.DataFrame | None":
    size = sum(state[1] for state in found.states)
    if size > IN_MEMORY_BYTES:
        return None
    import polars as pl

    from thrive.store.snapshots.tables import SAMPLE_ROWS, TORN, scan_files

    entries = [FileEntry(path=state[0], digest="", size=state[1]) for state in found.states]
    paths = [Path(found.locate(entry.path)) for entry in entries]
    try:
        table = scan_files(entries, paths, sample=SAMPLE_ROWS)
        fits = fits_in_memory([entry.path for entry in entries], size, table)
        return table.collect() if fits else None
    except (pl.exceptions.PolarsError, *TORN):
        return None
