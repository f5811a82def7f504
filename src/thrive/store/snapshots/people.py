"""An index of the people in stored tables: by it one is found without reading rows.

For each file and column: a keyed hash of each different value, sorted, and how many rows have it.
It is made when a version is added or first searched, lies in the home's cache, and can go at any
time. A million rows of two hundred thousand people take 0.12 s of processor time where they are in
memory anyway, 0.17 s otherwise, and 2.4 MB of disk; looking one up in it takes no library. The hash
is quick and no cipher: the index never leaves the home, tells nothing that the file beside it does
not, and goes with an erasure and with a clean-up.
"""

import mmap
import os
import struct
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from thrive.store.signing import secret_key
from thrive.store.snapshots.matching import Person, Wanted, count_rows
from thrive.store.snapshots.tables import scan_files, suffix_of
from thrive.store.snapshots.text_hashes import hash_of, hashes_of

if TYPE_CHECKING:
    import polars as pl

KEY_FILE = "people.key"
FOLDER = "people"
LEAST_BYTES = 1 << 14
"""Smaller files are read as fast as an index of them, once the reader is imported."""
MOST_BYTES = 1 << 30
"""Larger files are searched row by row: all their hashes lie in memory while an index is made."""
_HEAD = struct.Struct("<4sB3xQ")
_MAGIC = b"TPI2"
_TEXT, _NUMBER = 0, 1
_TOGETHER = 4
"""Files that are indexed at a time: their columns lie in memory meanwhile."""


class PeopleIndex:
    """The index of a home.

    Args:
        home_folder: the home's folder on this host.
    """

    def __init__(self, home_folder: Path) -> None:
        self._home = home_folder
        self._folder = home_folder / "cache" / FOLDER

    def count(self, files: Iterable[Wanted], person: Person) -> dict[str, int]:
        """Return by digest how many rows of each file name a person; 0 where none does.

        What has no index and can have one gets it. Arguments as of `matching.count_rows`.
        """
        found: dict[str, int] = {}
        lacking: list[Wanted] = []
        for each in files:
            rows = self._look_up(each, person)
            if rows is None:
                lacking.append(each)
            else:
                found[each.entry.digest] = rows
        self._make_all(each for each in lacking if _may_index(each))
        for each in lacking:
            rows = self._look_up(each, person)
            if rows is not None:
                found[each.entry.digest] = rows
        left = [each for each in lacking if each.entry.digest not in found]
        return found | count_rows(left, person) if left else found

    def known(self, files: Iterable[Wanted], person: Person) -> dict[str, int]:
        """Return the same of those files that have an index: their bytes are not looked at."""
        looked = ((each.entry.digest, self._look_up(each, person)) for each in files)
        return {digest: rows for digest, rows in looked if rows is not None}

    def make(self, files: Sequence[Wanted]) -> None:
        """Index files that can be: those of some size, by one column of texts or whole numbers."""
        self._make_all(each for each in files if _may_index(each) and not self.has(each))

    def has(self, file: Wanted) -> bool:
        """Tell whether a file is indexed by its one column; its bytes are not looked at."""
        return self._path(file).exists()

    def counted(self, size: int, values: "pl.Series") -> bytes:
        """Return the index of a file whose column is in memory; empty where it can have none.

        Args:
            size: bytes of the file.
            values: its column.
        """
        import polars as pl

        kind = _kind_of(values.dtype)
        if kind is None or not _is_worth_it(size):
            return b""
        return self._counts(kind, values.cast(pl.String).drop_nulls())

    def take(self, file: Wanted, counts: bytes) -> None:
        """Keep what was `counted` of a file and its one column, unless there is an index."""
        if not self.has(file):
            self._keep(file, counts)

    def _make_all(self, files: Iterable[Wanted]) -> None:
        able = list(files)
        for first in range(0, len(able), _TOGETHER):
            self._make(able[first : first + _TOGETHER])

    def forget(self) -> None:
        """Remove the whole index: what it is of may be gone."""
        import shutil

        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, file: Wanted) -> Path:
        (column,) = file.columns
        own = suffix_of(file.entry.path) == "parquet"  # which says its types itself
        said = [] if own else [each.dtype for each in file.types if each.name == column]
        kind = "".join(said)
        name = blake3(f"{column}\0{kind}".encode()).hexdigest()
        return self._folder / file.entry.digest / name

    @cached_property
    def _key(self) -> int:
        return int.from_bytes(secret_key(self._home, KEY_FILE)[:8], "little")

    def _look_up(self, file: Wanted, person: Person) -> int | None:
        if not _may_index(file):
            return None
        data = _mapped(self._path(file))
        if data is None:
            return None
        magic, kind, count = _HEAD.unpack(data[: _HEAD.size])
        if magic != _MAGIC or len(data) != _HEAD.size + 12 * count:
            return None
        texts = [_spelled(value) if kind == _NUMBER else value for value in person]
        known = dict.fromkeys(text for text in texts if text is not None)
        ends = _HEAD.size + 8 * count
        hashes, rows = data[_HEAD.size : ends].cast("Q"), data[ends:].cast("I")
        wanted = [hash_of(text, self._key) for text in known]
        found = ((bisect_left(hashes, sought), sought) for sought in wanted)
        return sum(rows[at] for at, sought in found if at < count and hashes[at] == sought)

    def _make(self, files: Sequence[Wanted]) -> None:
        import polars as pl

        scans: list[pl.LazyFrame] = []
        kinds: list[int] = []
        chosen: list[Wanted] = []
        for each in files:
            scan = scan_files([each.entry], [each.path], each.types)
            (column,) = each.columns
            dtype = scan.collect_schema().get(column, pl.String())
            kind = _kind_of(dtype)
            if kind is None:
                continue
            held = pl.col(column) if column in scan.collect_schema() else pl.lit(None, pl.String)
            scans.append(scan.select(held.cast(pl.String).alias("text")).drop_nulls())
            kinds.append(kind)
            chosen.append(each)
        for each, kind, frame in zip(chosen, kinds, pl.collect_all(scans), strict=True):
            self._keep(each, self._counts(kind, frame.to_series()))

    def _counts(self, kind: int, texts: "pl.Series") -> bytes:
        """Return each different hash with its rows; sorting alone is quicker than grouping."""
        import numpy as np

        hashes = np.sort(hashes_of(texts, self._key))
        changes = np.flatnonzero(hashes[1:] != hashes[:-1]) + 1
        first = np.concatenate(([0], changes)) if len(hashes) else changes
        rows = np.diff(np.append(first, len(hashes))).astype(np.uint32)
        head = _HEAD.pack(_MAGIC, kind, len(first))
        return b"".join((head, hashes[first].tobytes(), rows.tobytes()))

    def _keep(self, file: Wanted, counts: bytes) -> None:
        path = self._path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_bytes(counts)
        draft.replace(path)


def _mapped(path: Path) -> memoryview | None:
    """Return a file's bytes as memory, None where there is no file or nothing in it."""
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):
        return None


def _may_index(file: Wanted) -> bool:
    return len(file.columns) == 1 and _is_worth_it(file.entry.size)


def _is_worth_it(size: int) -> bool:
    return LEAST_BYTES <= size <= MOST_BYTES


def _kind_of(dtype: "pl.DataType") -> int | None:
    """Return how a column's values are compared, None where they are not by their text."""
    import polars as pl

    if dtype.is_integer():
        return _NUMBER
    other = dtype.is_nested() or dtype.is_float() or dtype.is_decimal() or dtype == pl.Binary
    return None if other else _TEXT


def _spelled(value: str) -> str | None:
    try:
        return str(int(value))
    except ValueError:
        return None
