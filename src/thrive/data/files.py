"""The files of a dataset version: their canonical list, and the profile of what is no table."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
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
    tails = [path[path.rfind(".") :] for path in snapshot.paths]  # Path(...).suffix: 20 times this
    spelled = Counter(tails)
    sizes = _sizes_by(tails, snapshot.sizes, spelled)
    found: dict[str, dict[str, int]] = {}
    for tail, count in spelled.items():
        kind = found.setdefault(_ending_of(tail), {"files": 0, "size": 0})
        kind["files"] += count
        kind["size"] += sizes[tail]
    most = sorted(found.items(), key=lambda each: -each[1]["files"])
    return {"rows": len(snapshot), "columns": {}, "kinds": dict(most[:_KINDS_SHOWN])}


def _sizes_by(
    tails: Sequence[str], sizes: Sequence[int], different: Collection[str]
) -> dict[str, int]:
    if len(different) == 1:
        return {tails[0]: sum(sizes)}
    summed = dict.fromkeys(different, 0)
    for tail, size in zip(tails, sizes, strict=True):
        summed[tail] += size
    return summed


def _ending_of(tail: str) -> str:
    """Return the ending that the part of a path from its last dot on is, if it is one."""
    return tail.lower() if tail.startswith(".") and "/" not in tail else ""
