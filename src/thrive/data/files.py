"""The files of a dataset version as their canonical list."""

from collections.abc import Iterable

import msgspec

from thrive.domain.dataset import FileEntry
from thrive.domain.errors import UsageError
from thrive.store.snapshots.checkout import safe_name
from thrive.store.snapshots.snapshot import NAME_FORMAT, Snapshot


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    files: list[FileEntry]


def manifest(entries: Iterable[FileEntry]) -> bytes:
    """Return the canonical list of a version's files: its BLAKE3 is the version's digest."""
    return Snapshot.of_entries(entries).listing()


def read_manifest(data: bytes) -> list[FileEntry]:
    """Return the files that a canonical list names.

    Raises:
        UsageError: it is none, or of another format.
        Damaged: a name in it leaves its folder.
    """
    try:
        listed = msgspec.json.decode(data, type=_Manifest)
    except msgspec.MsgspecError as error:
        raise UsageError(f"The list of files cannot be read: {error}.", "send it anew") from None
    if listed.format != NAME_FORMAT:
        raise UsageError(f"The list of files has format {listed.format}.", "update this Thrive")
    for entry in listed.files:
        safe_name(entry.path)
    if not listed.files:
        raise UsageError("The list of files is empty.", "name a source with files")
    return sorted(listed.files, key=lambda entry: entry.path)
