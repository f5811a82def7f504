"""The rows of one person: by which column a dataset names people, and which rows name this one.

A person is the value of a column. A dataset's own is `subject` in the contract; one that declares
none (it may have been derived by a run) is searched in the columns that other datasets declare.
The value goes into comparisons alone: never into an error, a log line or a row.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from thrive.contract.parse import load
from thrive.domain.dataset import Column, DatasetVersion, FileEntry
from thrive.domain.errors import NotFound
from thrive.domain.pseudonyms import PSEUDONYM
from thrive.operations import Context
from thrive.store import datasets
from thrive.store.blobs import BlobStore
from thrive.store.home import Home
from thrive.store.snapshots.bring import local_files
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.matching import Person, Wanted, count_rows
from thrive.store.snapshots.people import PeopleIndex
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.tables import suffix_of

PREFIXES = ("x.", "k.")
"""What the prediction log puts before the names of inputs and of request keys."""


Known = Mapping[str, Mapping[str, int]]
"""Rows of the person by dataset, then by the digest of a file."""


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
    return [
        column.name
        for column in version.columns
        if (column.name in wanted and not is_nested(column)) or _is_stand_in(column)
    ]


def is_nested(column: Column) -> bool:
    """Tell whether a column holds lists or structures: in those nobody is searched."""
    return column.dtype.startswith(("List(", "Array(", "Struct("))


def _is_stand_in(column: Column) -> bool:
    return PSEUDONYM in {column.personal, column.proposed}


def files_once(
    blobs: BlobStore, searched: Sequence[Searched], done: Collection[str] = ()
) -> Iterator[tuple[Searched, FileEntry, Path]]:
    """Yield each stored file of some versions once, with the first version that has it.

    Args:
        blobs: where they are.
        searched: the versions.
        done: digests of files to leave out.

    Yields:
        The version, the file, and where its bytes are on this host.
    """
    seen = {bytes.fromhex(digest) for digest in done}
    for each in searched:
        whole = each.snapshot
        fresh = [number for number, digest in enumerate(whole.digests) if digest not in seen]
        seen.update(whole.digests)
        part = whole.chosen(fresh)
        for entry, path in zip(part.entries(), local_files(blobs, part), strict=True):
            yield each, entry, path


def _named_once(searched: Sequence[Searched], done: Collection[str]) -> Iterator[Wanted]:
    """Yield the files of some versions as `files_once` does, by name alone."""
    seen = set(done)
    for each in searched:
        for entry in each.snapshot.entries():
            if entry.digest not in seen:
                seen.add(entry.digest)
                yield Wanted(entry, Path(), each.version.columns, each.columns)


def index_people(ctx: Context, version: DatasetVersion, column: str) -> None:
    """Index the people of a version by the column that names them, so that finding one is quick.

    Files of text are indexed when somebody is first searched in them: reading a column of one is
    reading all of it again.
    """
    if not version.is_table:
        return
    snapshot = read_snapshot(ctx.home.blobs, version.listed_in)
    index = PeopleIndex(ctx.home.folder)
    lacking = {
        entry.digest: number
        for number, entry in enumerate(snapshot.entries())
        if suffix_of(entry.path) == "parquet"
        and not index.has(Wanted(entry, Path(), version.columns, [column]))
    }
    part = snapshot.chosen(list(lacking.values()))
    files = zip(part.entries(), local_files(ctx.home.blobs, part), strict=True)
    index.make([Wanted(entry, path, version.columns, [column]) for entry, path in files])


def keep_index(ctx: Context, snapshot: Snapshot, subject: str, counts: bytes) -> None:
    """Keep the index of the people in a table of one file, counted when its rows were read.

    Args:
        ctx: the project.
        snapshot: the file.
        subject: the column that names people.
        counts: of `PeopleIndex.counted`.
    """
    (entry,) = snapshot.entries()
    PeopleIndex(ctx.home.folder).take(Wanted(entry, Path(), [], [subject]), counts)


def rows_in_files(
    home: Home,
    searched: Sequence[Searched],
    person: Person,
    known: Known | None = None,
    index: PeopleIndex | None = None,
) -> dict[str, int]:
    """Return how many rows of the person each stored file holds; files without any are left out.

    A file that several versions share is read once.

    Args:
        home: the project's home.
        searched: the versions.
        person: as tables may spell them.
        known: what somebody counted already, by dataset and then by digest.
        index: where rows are looked up instead of read; without one every row is read.
    """
    found: dict[str, int] = {}
    able = [each for each in searched if each.columns and each.version.is_table]
    for each in able:
        if any(_is_stand_in(column) for column in each.version.columns):
            continue  # whoever counted ahead knew the contract alone, and not of these columns
        told = (known or {}).get(each.version.dataset, {})
        names = {digest.hex() for digest in each.snapshot.digests}
        found |= {name: told[name] for name in names & told.keys()}
    if index is not None:
        found |= index.known(_named_once(able, found), person)
    lacking = [
        Wanted(entry, path, each.version.columns, each.columns)
        for each, entry, path in files_once(home.blobs, able, found)
    ]
    if lacking:
        found |= index.count(lacking, person) if index is not None else count_rows(lacking, person)
    return {digest: rows for digest, rows in found.items() if rows}
