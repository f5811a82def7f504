"""The files of a dataset version: from a source into the blob store, and back into a folder."""

import glob
import os
import shutil
import zipfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import msgspec
from blake3 import blake3

from thrive.domain.dataset import FileEntry
from thrive.domain.errors import Conflict, Damaged, UsageError
from thrive.domain.identifiers import new_id
from thrive.operations import Progress
from thrive.store.blobs import BlobReader, BlobStore
from thrive.store.sources import file_kind, resolve

MANIFEST_FORMAT = 1
FETCHED = 64
"""Files that are brought from a distant store at a time, before they are written."""


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    files: list[FileEntry]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a source: the name it gets in the version, and where it is now."""

    name: str
    path: Path


@contextmanager
def found_files(source: str, base: Path, temporary: Path) -> Generator[list[Found]]:
    """Resolve a source to files; archives are unpacked for as long as the context is open.

    Names are relative to the source's folder, so moving the whole of it changes no version.

    Args:
        source: a path, a folder or a glob.
        base: what a relative source starts at.
        temporary: where archives may be unpacked.

    Raises:
        NotFound: nothing is there.
        UsageError: the source cannot be read as a table, or its files are of different kinds.
    """
    paths = resolve(source, base)
    root = _root(source, base)
    kinds = {file_kind(path) for path in paths}
    if len(kinds) > 1:
        shown = ", ".join(sorted(kinds))
        raise UsageError(f"{source} holds different kinds of file: {shown}.", "name one kind")
    with TemporaryDirectory(dir=temporary, prefix="unpack-") as folder:
        yield [
            _unpacked(path, name, Path(folder))
            if name.endswith(".zip")
            else Found(name=name, path=path)
            for path in paths
            for name in [path.relative_to(root).as_posix()]
        ]


def _root(source: str, base: Path) -> Path:
    """Return the folder that names start at: the source, the plain part of a glob, or a parent."""
    path = Path(os.path.normpath(base / Path(source).expanduser()))
    while not path.exists() and glob.has_magic(str(path)):
        path = path.parent
    return path if path.is_dir() else path.parent


def _unpacked(path: Path, name: str, folder: Path) -> Found:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                each
                for each in archive.infolist()
                if not each.is_dir() and not each.filename.startswith("__MACOSX/")
            ]
            if len(members) != 1:
                raise UsageError(
                    f"{path} holds {len(members)} files; one is read.", "unpack it into a folder"
                )
            target = folder / new_id()
            with archive.open(members[0]) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
    except zipfile.BadZipFile:
        raise UsageError(f"{path} is named .zip but is no zip file.", "rename it") from None
    return Found(name=name.removesuffix(".zip"), path=target)


def store_files(
    found: Sequence[Found], blobs: BlobStore, progress: Progress, share: float
) -> list[FileEntry]:
    """Keep a copy of each file in the blob store, durably, and return their entries by name.

    Args:
        found: the files.
        blobs: where they are kept.
        progress: told after each file.
        share: the share of the whole work that this is.
    """
    entries: list[FileEntry] = []
    for number, file in enumerate(found, 1):
        digest = blobs.put_file(file.path)
        entries.append(FileEntry(path=file.name, digest=digest, size=blobs.size(digest)))
        progress(share * number / len(found), f"storing {file.name}")
    return sorted(entries, key=lambda entry: entry.path)


def manifest(entries: Sequence[FileEntry]) -> bytes:
    """Return the canonical list of a version's files: its BLAKE3 is the version's digest."""
    return msgspec.json.encode(
        {"format": MANIFEST_FORMAT, "files": sorted(entries, key=lambda entry: entry.path)},
        order="sorted",
    )


def read_manifest(data: bytes) -> list[FileEntry]:
    """Return the files that a manifest lists.

    Raises:
        UsageError: it is none, or of another format; or a name in it leaves its folder.
    """
    try:
        listed = msgspec.json.decode(data, type=_Manifest)
    except msgspec.MsgspecError as error:
        raise UsageError(f"The list of files cannot be read: {error}.", "send it anew") from None
    if listed.format != MANIFEST_FORMAT:
        raise UsageError(f"The list of files has format {listed.format}.", "update this Thrive")
    for entry in listed.files:
        safe_name(entry.path)
    if not listed.files:
        raise UsageError("The list of files is empty.", "name a source with files")
    return sorted(listed.files, key=lambda entry: entry.path)


def write_files(
    entries: Sequence[FileEntry], blobs: BlobReader, folder: Path, progress: Progress
) -> int:
    """Write a version's files into a folder, touching only what differs; return files written.

    Raises:
        Conflict: a file is there with other content; nothing was written.
    """
    targets = [(entry, folder / safe_name(entry.path)) for entry in entries]
    missing = [(entry, target) for entry, target in targets if not _holds(target, entry)]
    blocked = [target for _, target in missing if target.exists()]
    if blocked:
        raise Conflict(
            f"{blocked[0]} holds something else ({len(blocked)} such files).",
            "check out into an empty folder",
        )
    for number, (entry, target) in enumerate(missing, 1):
        if number % FETCHED == 1:
            blobs.fetch(*{each.digest for each, _ in missing[number - 1 : number - 1 + FETCHED]})
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{new_id()}")
        with blobs.open(entry.digest) as source, partial.open("xb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        partial.rename(target)
        progress(number / len(missing), f"writing {entry.path}")
    return len(missing)


def _holds(path: Path, entry: FileEntry) -> bool:
    if not path.is_file() or path.stat().st_size != entry.size:
        return False
    return blake3(max_threads=1).update_mmap(path).hexdigest() == entry.digest


def safe_name(name: str) -> PurePosixPath:
    """Return a stored name as a relative path that cannot leave its folder.

    Raises:
        Damaged: it could; no version that Thrive wrote holds such a name.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise Damaged(f"A dataset version holds the file name {name!r}.", "thrive doctor")
    return path
