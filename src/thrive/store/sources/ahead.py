"""A table read while its files are being stored: one waits for the disk, the other computes."""

from collections.abc import Generator
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
    if sum(state[1] for state in found.states) > IN_MEMORY_BYTES:
        return None
    import polars as pl

    from thrive.store.snapshots.tables import SAMPLE_ROWS, TORN, scan_files

    entries = [FileEntry(path=state[0], digest="", size=state[1]) for state in found.states]
    paths = [Path(found.locate(entry.path)) for entry in entries]
    try:
        return scan_files(entries, paths, sample=SAMPLE_ROWS).collect()
    except (pl.exceptions.PolarsError, *TORN):
        return None
