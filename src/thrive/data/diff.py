"""What differs between two versions of a dataset: columns, rows and the profile of each column."""

from typing import Any

import msgspec

from thrive.domain.dataset import Column, DatasetVersion

COMPARED = ("missing", "distinct", "min", "max", "mean", "std")
"""The statistics of a profile that are compared."""


class ColumnChange(msgspec.Struct, frozen=True, kw_only=True):
    """One difference of a column: added, removed, retyped, or another value of a statistic."""

    column: str
    change: str
    before: Any
    after: Any


class VersionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two versions of a dataset."""

    dataset: str
    before: int
    after: int
    same: bool
    rows_before: int
    rows_after: int
    size_before: int
    size_after: int
    files_added: int
    files_removed: int
    columns: list[ColumnChange]


def diff_versions(before: DatasetVersion, after: DatasetVersion) -> VersionDiff:
    """Return what differs from one version to another."""
    old = {(entry.path, entry.digest) for entry in before.files}
    new = {(entry.path, entry.digest) for entry in after.files}
    return VersionDiff(
        dataset=after.dataset,
        before=before.version,
        after=after.version,
        same=before.digest == after.digest,
        rows_before=before.rows,
        rows_after=after.rows,
        size_before=before.size,
        size_after=after.size,
        files_added=len(new - old),
        files_removed=len(old - new),
        columns=_column_changes(before, after),
    )


def _column_changes(before: DatasetVersion, after: DatasetVersion) -> list[ColumnChange]:
    old = {column.name: column for column in before.columns}
    new = {column.name: column for column in after.columns}
    changes: list[ColumnChange] = []
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            changes.append(_change(name, "removed", old[name].dtype, None))
        elif name not in old:
            changes.append(_change(name, "added", None, new[name].dtype))
        else:
            changes.extend(_inside(old[name], new[name], before, after))
    return changes


def _inside(
    old: Column, new: Column, before: DatasetVersion, after: DatasetVersion
) -> list[ColumnChange]:
    if old.dtype != new.dtype:
        return [_change(old.name, "type", old.dtype, new.dtype)]
    first, second = _statistics(before, old.name), _statistics(after, new.name)
    return [
        _change(old.name, key, first.get(key), second.get(key))
        for key in COMPARED
        if first.get(key) != second.get(key)
    ]


def _statistics(version: DatasetVersion, column: str) -> dict[str, Any]:
    return version.profile.get("columns", {}).get(column, {})


def _change(column: str, change: str, before: Any, after: Any) -> ColumnChange:
    return ColumnChange(column=column, change=change, before=before, after=after)
