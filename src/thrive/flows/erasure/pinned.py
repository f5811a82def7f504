"""The rows of a person in the versions that `thrive.lock` pins, counted without the database."""

from collections.abc import Iterator
from pathlib import Path

from thrive.contract.declared import declared_data
from thrive.domain.errors import ThriveError
from thrive.store.blobs import FolderBlobs
from thrive.store.pins import read_lock
from thrive.store.place import FOLDER
from thrive.store.snapshots.bring import local_files
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.matching import Person, Wanted
from thrive.store.snapshots.people import PeopleIndex
from thrive.store.snapshots.tables import suffix_of

Counts = dict[str, dict[str, int]]
"""Rows of the person by dataset, then by the digest of a file."""


def count_pinned(project: Path, person: Person, dataset: str, column: str) -> Counts:
    """Return the rows of a person in what is pinned, as far as files alone can tell.

    Args:
        project: the folder of an embedded project.
        person: as tables may spell them.
        dataset: only this one; "" for all.
        column: what names a person there, instead of what the contract says.
    """
    declared = {dataset: column} if column else _declared(project)
    pins = read_lock(project)
    index = PeopleIndex(project / FOLDER)
    return {
        name: index.count(_tables(project, pins[name], columns), person)
        for name in ([dataset] if dataset else pins)
        if name in pins and (columns := _columns(declared, name))
    }


def _declared(project: Path) -> dict[str, str]:
    terms = declared_data(project)
    subjects = {name: each.get("subject") for name, each in terms.items() if isinstance(each, dict)}
    return {name: each for name, each in subjects.items() if isinstance(each, str) and each}


def _columns(declared: dict[str, str], name: str) -> list[str]:
    """Return where a dataset names people: in its own column, else in those of all others."""
    return [declared[name]] if name in declared else sorted(set(declared.values()))


def _tables(project: Path, pin: str, columns: list[str]) -> Iterator[Wanted]:
    """Yield the Parquet files of a version that is its own list of files: those say their types."""
    blobs = FolderBlobs(project / FOLDER / "blobs")
    try:
        snapshot = read_snapshot(blobs, pin)
        entries = list(snapshot.entries())
        if all(suffix_of(entry.path) == "parquet" for entry in entries):
            for entry, path in zip(entries, local_files(blobs, snapshot), strict=True):
                yield Wanted(entry, path, (), columns)
    except ThriveError:
        return  # the command says what is wrong with it
