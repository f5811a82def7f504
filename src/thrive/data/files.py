"""The files of a dataset version: their canonical list, and the profile of what is no table."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from thrive.domain.dataset import FileEntry
from thrive.domain.errors import UsageError
from thrive.store.snapshots.checkout import safe_name
from thrive.store.snapshots.snapshot import NAME_FORMAT, Snapshot

_KINDS_SHOWN = 20
"""Kinds of file that the profile of a folder tells of."""


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


def profile_of_files(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a folder of files holds: by kind of file how many, and their bytes."""
    endings = [
        path[dot:] if (dot := path.rfind(".")) > path.rfind("/") + 1 else ""
        for path in snapshot.paths  # Path(...).suffix takes twenty times as long
    ]
    spelled: Counter[str] = Counter()
    for ending, size in zip(endings, snapshot.sizes, strict=True):
        spelled[ending] += size
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for ending, count in Counter(endings).items():
        counts[ending.lower()] += count
        sizes[ending.lower()] += spelled[ending]
    kinds = {
        kind: {"files": count, "size": sizes[kind]}
        for kind, count in counts.most_common(_KINDS_SHOWN)
    }
    return {"rows": len(snapshot), "columns": {}, "kinds": kinds}
