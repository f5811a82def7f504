"""The rows of one person: by which column a dataset names people, and which rows name this one.

A person is the value of a column. A dataset's own is `subject` in the contract; one that declares
none (it may have been derived by a run) is searched in the columns that other datasets declare.
The value goes into comparisons alone: never into an error, a log line or a row.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thrive.contract.parse import load
from thrive.domain.dataset import DatasetVersion, FileEntry
from thrive.domain.errors import NotFound
from thrive.operations import Context
from thrive.store import datasets
from thrive.store.blobs import BlobStore
from thrive.store.home import Home
from thrive.store.snapshots.bring import local_files
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.tables import scan_files

if TYPE_CHECKING:
    import polars as pl

PREFIXES = ("x.", "k.")
"""What the prediction log puts before the names of inputs and of request keys."""


class Searched(NamedTuple):
    """One version of a dataset with its files, and the columns in which it may name a person."""

    version: DatasetVersion
    snapshot: Snapshot
    columns: list[str]

    @property
    def label(self) -> str:
        """The version as people say it."""
        return f"{self.version.dataset}@{self.version.version}"


def declared_columns(folder: Path | None) -> dict[str, str]:
    """Return the subject column of each dataset that the folder's contract gives one."""
    if folder is None:
        return {}
    try:
        terms = load(folder).contract.data
    except NotFound:
        return {}
    return {name: each.subject for name, each in terms.items() if each.subject}


def searched_versions(ctx: Context, declared: Mapping[str, str], dataset: str) -> list[Searched]:
    """Return every version, oldest first, with the columns to search in it.

    Args:
        ctx: the project.
        declared: the subject column of each dataset that has one.
        dataset: only this one; "" for all.

    Raises:
        NotFound: there is no such dataset.
    """
    with ctx.read() as tx:
        known = datasets.find(tx, ctx.project_id)
        named = [datasets.get(tx, ctx.project_id, dataset)] if dataset else known
        versions = [
            each
            for one in named
            for each in reversed(datasets.versions(tx, ctx.project_id, one.name))
        ]
    return [
        Searched(each, read_snapshot(ctx.home.blobs, each.listed_in), _columns_in(each, declared))
        for each in versions
    ]


def _columns_in(version: DatasetVersion, declared: Mapping[str, str]) -> list[str]:
    own = declared.get(version.dataset)
    wanted = {own} if own else set(declared.values())
    return [column.name for column in version.columns if column.name in wanted]


def names_person(
    schema: "Mapping[str, pl.DataType]", columns: Sequence[str], value: str
) -> "pl.Expr | None":
    """Return which rows have the value in one of the columns; None if none can.

    Args:
        schema: the types of the table's columns.
        columns: where to look; those that the table lacks are passed over.
        value: the person, as text; numbers are compared as numbers.
    """
    import polars as pl

    parts = [
        part
        for name in columns
        if name in schema and (part := _equals(pl.col(name), schema[name], value)) is not None
    ]
    return pl.any_horizontal(parts).fill_null(value=False) if parts else None


def _equals(column: "pl.Expr", kind: "pl.DataType", value: str) -> "pl.Expr | None":
    import polars as pl

    if kind == pl.String:
        return column == value
    if kind.is_nested():
        return None
    if kind.is_integer() or kind.is_float() or kind.is_decimal():
        return _equals_number(column, kind, value)
    if kind == pl.Binary:
        return column == value.encode()
    return column.cast(pl.String) == value


def _equals_number(column: "pl.Expr", kind: "pl.DataType", value: str) -> "pl.Expr | None":
    import polars as pl

    try:
        if kind.is_integer():
            number = int(value)
            fits = -(1 << 63) <= number < 1 << 64
            return column == pl.lit(number) if fits else None
        return column == float(value)
    except ValueError:
        return None


def files_once(
    blobs: BlobStore, searched: Sequence[Searched]
) -> Iterator[tuple[Searched, FileEntry, Path]]:
    """Yield each stored file of some versions once, with the first version that has it.

    Yields:
        The version, the file, and where its bytes are on this host.
    """
    seen: set[bytes] = set()
    for each in searched:
        whole = each.snapshot
        fresh = [number for number, digest in enumerate(whole.digests) if digest not in seen]
        seen.update(whole.digests)
        part = Snapshot(
            [whole.paths[number] for number in fresh],
            [whole.sizes[number] for number in fresh],
            [whole.digests[number] for number in fresh],
            [whole.places[number] for number in fresh],
        )
        for entry, path in zip(part.entries(), local_files(blobs, part), strict=True):
            yield each, entry, path


def rows_in_files(home: Home, searched: Sequence[Searched], value: str) -> dict[str, int]:
    """Return how many rows of the person each stored file holds; files without any are left out.

    A file that several versions share is read once.
    """
    import polars as pl

    able = [each for each in searched if each.columns and each.version.is_table]
    scans: dict[str, pl.LazyFrame] = {}
    for each, entry, path in files_once(home.blobs, able):
        scan = _counting(entry, each, path, value)
        if scan is not None:
            scans[entry.digest] = scan
    frames = pl.collect_all(list(scans.values()))
    counted = zip(scans, (int(frame.item()) for frame in frames), strict=True)
    return {digest: rows for digest, rows in counted if rows}


def _counting(
    entry: FileEntry, searched: Searched, path: Path, value: str
) -> "pl.LazyFrame | None":
    import polars as pl

    scan = scan_files([entry], [path], searched.version.columns)
    wanted = names_person(scan.collect_schema(), searched.columns, value)
    return None if wanted is None else scan.select(wanted.sum().cast(pl.Int64))
