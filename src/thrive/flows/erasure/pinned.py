"""The rows of a person in the versions that `thrive.lock` pins, counted without the database."""

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
        name: _count(project, pins[name], columns, person, index)
        for name in ([dataset] if dataset else pins)
        if name in pins and (columns := _columns(declared, name))
    }


def _count(
    project: Path, pin: str, columns: list[str], person: Person, index: PeopleIndex
) -> dict[str, int]:
    """Return the rows of a person in the Parquet files of a version that is its own list of files.

    Those say their types themselves. Of the ones that have an index no byte is read.
    """
    blobs = FolderBlobs(project / FOLDER / "blobs")
    try:
        snapshot = read_snapshot(blobs, pin)
        entries = list(snapshot.entries())
        if not all(suffix_of(entry.path) == "parquet" for entry in entries):
            return {}
        found = index.known((Wanted(each, Path(), (), columns) for each in entries), person)
        lacking = [n for n, entry in enumerate(entries) if entry.digest not in found]
        paths = local_files(blobs, snapshot.chosen(lacking))
        left = zip((entries[n] for n in lacking), paths, strict=True)
        return found | index.count((Wanted(*each, (), columns) for each in left), person)
    except ThriveError:
        return {}  # the command says what is wrong with it


def _declared(project: Path) -> dict[str, str]:
    terms = declared_data(project)
    subjects = {name: each.get("subject") for name, each in terms.items() if isinstance(each, dict)}
    return {name: each for name, each in subjects.items() if isinstance(each, str) and each}


def _columns(declared: dict[str, str], name: str) -> list[str]:
    """Return where a dataset names people: in its own column, else in those of all others."""
    return [declared[name]] if name in declared else sorted(set(declared.values()))
