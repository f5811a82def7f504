"""What kinds of file a snapshot holds: the profile of what is no table."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from thrive.store.snapshots.snapshot import Snapshot

_KINDS_SHOWN = 20
"""Kinds of file that the profile of a folder tells of."""


def profile_of_files(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a folder of files holds: by kind of file how many, and their bytes."""
    tails, spelled = _tails(snapshot.paths)
    sizes = _sizes_by(tails, snapshot.sizes, spelled)
    found: dict[str, dict[str, int]] = {}
    for tail, count in spelled.items():
        kind = found.setdefault(_ending_of(tail), {"files": 0, "size": 0})
        kind["files"] += count
        kind["size"] += sizes[tail]
    most = sorted(found.items(), key=lambda each: -each[1]["files"])
    return {"rows": len(snapshot), "columns": {}, "kinds": dict(most[:_KINDS_SHOWN])}


def _tails(paths: Sequence[str]) -> tuple[Sequence[str], Mapping[str, int]]:
    """Return each path from its last dot on (of one kind one will do), and how many end so."""
    first = paths[0][paths[0].rfind(".") :] if paths else ""
    if first.startswith(".") and "\0".join([*paths, ""]).count(f"{first}\0") == len(paths):
        return [first], {first: len(paths)}
    tails = [path[path.rfind(".") :] for path in paths]  # Path(...).suffix: 20 times this
    return tails, Counter(tails)


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
