"""Reading a version: by name, inside a run and outside of one."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.data.lockfile import read_lock
from thrive.data.tables import scan_files
from thrive.domain.actor import local_actor
from thrive.domain.dataset import DatasetVersion, FileEntry
from thrive.domain.errors import InfrastructureError, NotFound, Refused, UsageError
from thrive.engines import channel
from thrive.operations import Context
from thrive.store import datasets
from thrive.store.blobs import BlobStore, open_blobs
from thrive.store.home import Home, find_project_folder, open_home

if TYPE_CHECKING:
    import polars as pl


def split_name(text: str) -> tuple[str, int | None]:
    """Return the dataset and the version of `flights@3`; None for the version of `flights`.

    Raises:
        UsageError: what follows the `@` is no number.
    """
    name, at, number = text.partition("@")
    if at and not number.isdecimal():
        raise UsageError(f"{text!r} names no version.", f"write {name}@1")
    return name, int(number) if at else None


def find_version(ctx: Context, name: str, version: int | None = None) -> DatasetVersion:
    """Return a version: the one given, else the one `thrive.lock` pins, else the newest.

    Args:
        ctx: the project.
        name: the dataset, also as `name@version`.
        version: the version's number.

    Raises:
        NotFound: there is no such version, or the pinned one is not in this home.
    """
    name, inside = split_name(name)
    number = version if version is not None else inside
    with ctx.read() as tx:
        pinned = read_lock(ctx.folder).get(name) if number is None and ctx.folder else None
        if pinned is None:
            return datasets.get_version(tx, ctx.project_id, name, number)
        for found in datasets.find_by_digest(tx, ctx.project_id, pinned):
            if found.dataset == name:
                return found
    raise NotFound(
        f"thrive.lock pins {name} to {pinned[:12]}, which is not in this home.",
        f"thrive data add --name {name}",
    )


def resolve(ctx: Context, name: str, version: int | None = None) -> DatasetVersion:
    """Return the version that training may read.

    Raises:
        NotFound: there is no such version.
        Refused: it failed a check and nobody decided that it may be trained on.
    """
    found = find_version(ctx, name, version)
    if not found.trainable:
        failed = [check for check in found.checks if check["state"] == "fail"]
        why = "; ".join(f"{check['check']}: {check['found']}" for check in failed)
        label = f"{found.dataset}@{found.version}"
        raise Refused(
            f"{label} may not be trained on: {why or 'a person decided so'}.",
            f'correct the data, or: thrive data decide {label} --trainable --reason "..."',
        )
    return found


def load(name: str, version: int | None = None) -> "pl.DataFrame":
    """Return a dataset's rows, inside a run as well as outside of one.

    Inside a run the version becomes part of the run's lineage.

    Args:
        name: the dataset, also as `name@version`.
        version: the version's number; without one, what `thrive.lock` pins, else the newest.

    Raises:
        NotFound: there is no such version.
        Refused: it failed a check and nobody decided that it may be trained on.

    Examples:
        >>> flights = thrive.data.load("flights")  # doctest: +SKIP
    """
    return scan(name, version).collect()


def scan(name: str, version: int | None = None) -> "pl.LazyFrame":
    """Return a dataset's rows without reading them yet; like `load` in all else."""
    run = channel.current()
    if run is not None:
        asked, number = split_name(name)
        reply = run.request("dataset", name=asked, version=version or number)
        found = msgspec.convert(reply, DatasetVersion)
        return scan_version(found, open_blobs(run.facts["blobs"]))
    folder = find_project_folder(Path.cwd())
    home = open_home(folder)
    try:
        found = resolve(Context(home, local_actor("reader"), folder=folder), name, version)
    finally:
        home.close()
    return scan_version(found, home.blobs)


def scan_version(version: DatasetVersion, blobs: BlobStore) -> "pl.LazyFrame":
    """Return the rows of a version from a blob store that has local files.

    Raises:
        NotFound: a blob is missing.
        Damaged: a blob's bytes are not what they were.
        InfrastructureError: the store keeps no local files.
    """
    paths = [blobs.local_path(entry.digest) for entry in version.files]
    local = [path for path in paths if path is not None]
    if len(local) != len(paths):
        raise InfrastructureError(
            f"The files of {version.dataset}@{version.version} are not on this machine.",
            f"thrive data checkout {version.dataset}@{version.version} --to FOLDER",
        )
    return scan_files(version.files, local, version.columns)


@contextmanager
def local_paths(entries: Sequence[FileEntry], home: Home) -> Generator[list[Path]]:
    """Give the path of each file's bytes on this machine, verified.

    A store without local files has them copied into the home's temporary folder meanwhile.
    """
    copies: list[Path] = []
    try:
        yield [_local_path(entry, home, copies) for entry in entries]
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)


def _local_path(entry: FileEntry, home: Home, copies: list[Path]) -> Path:
    path = home.blobs.local_path(entry.digest)
    if path is None:
        path = home.temporary_folder / entry.digest
        path.write_bytes(home.blobs.get(entry.digest))
        copies.append(path)
    return path
