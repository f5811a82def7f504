"""What differs between two versions of a dataset: columns, rows and how values are distributed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.contract.checks import Unique, parse_check
from thrive.data.distributions import Distribution, alike, compare, sketched_like
from thrive.data.profile import Sketch, profile, unpack_sketches
from thrive.data.questions import is_closed
from thrive.data.rowdiff import RowDiff, diff_rows
from thrive.domain.dataset import Column, DatasetVersion
from thrive.domain.errors import UsageError
from thrive.store.blobs import BlobStore
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.sources.ahead import may_be_held

if TYPE_CHECKING:
    import polars as pl

_NAMED = 100
"""Files that are named of those that differ."""
COMPARED = ("missing", "distinct", "min", "max", "mean", "std")
"""The statistics of a profile that are compared."""
_NAMING = 0.9
"""A text column with so many different values names rows: how they lie says nothing."""
_LEAST_SHARE = 0.01
"""What the share of a category must change by to be told."""


class ColumnChange(msgspec.Struct, frozen=True, kw_only=True):
    """One difference of a column: added, removed, retyped, or another value of a statistic."""

    column: str
    change: str
    before: Any
    after: Any


class VersionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two versions of a dataset.

    Attributes:
        dataset: its name.
        before: the number of the first version.
        after: the number of the second.
        same: the content is the same.
        is_table: rows were compared; of folders that are no tables the files were.
        rows_before: rows of the first version.
        rows_after: rows of the second.
        size_before: bytes of the first version.
        size_after: bytes of the second.
        files_added: files that only the second has.
        files_removed: files that only the first has.
        files_changed: files that both have, with another content.
        key: the columns that named a row; empty where rows were compared as a whole.
        rows_added: rows that came; the rows of folders that are no tables are their files.
        rows_removed: rows that went.
        rows_changed: rows with the same key and another cell.
        moved: columns whose values are distributed differently.
        cells: how many rows changed in each column.
        columns: columns that came, went, or have another type or statistic.
        distributions: each column that both have and whose values may be shown, except those that
            name rows.
        files: the first of the files that differ, by name; empty for a table in one file.
    """

    dataset: str
    before: int
    after: int
    same: bool
    is_table: bool
    rows_before: int
    rows_after: int
    size_before: int
    size_after: int
    files_added: int
    files_removed: int
    files_changed: int
    key: list[str]
    rows_added: int
    rows_removed: int
    rows_changed: int
    moved: list[str]
    cells: list["ChangedCells"]
    columns: list[ColumnChange]
    distributions: list[Distribution]
    files: list["FileChange"]


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was added, removed or changed."""

    path: str
    change: str


class ChangedCells(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows changed in one column."""

    column: str
    rows: int


def key_of(version: DatasetVersion) -> list[str]:
    """Return the columns that its contract says are unique, none if it says so of none."""
    names = {column.name for column in version.columns}
    for each in version.checks:
        try:
            check = parse_check(str(each["check"]))
        except UsageError:  # a decision, the schema
            continue
        if isinstance(check, Unique) and each["state"] == "pass" and set(check.columns) <= names:
            return list(check.columns)
    return []


def diff_tables(
    before: DatasetVersion,
    after: DatasetVersion,
    scan: "tuple[pl.LazyFrame, pl.LazyFrame]",
    blobs: BlobStore,
    key: Sequence[str] = (),
) -> VersionDiff:
    """Return what differs from one version to another, their rows read.

    Args:
        before: the first version.
        after: the second.
        scan: the rows of both.
        blobs: where the sketches of the first are kept.
        key: the columns that name a row; those the contract calls unique, if there are such.

    Raises:
        UsageError: a column of the key is missing, or two rows have one key.
    """
    if before.digest == after.digest:
        same = RowDiff(key=list(key), added=0, removed=0, changed=0, same=after.rows, cells={})
        return _assembled(before, after, _snapshots(before, after, blobs), same, [])
    tables: Sequence[pl.LazyFrame | pl.DataFrame] = scan
    if may_be_held(before.rows + after.rows, len(after.columns)):
        tables = [each.collect() for each in scan]  # read once instead of once a question
    lazy = tables[0].lazy(), tables[1].lazy()
    known = set(key_of(before)) & set(key_of(after))
    named = list(key) or [name for name in key_of(after) if name in known]
    with ThreadPoolExecutor(1) as pool:
        moved = pool.submit(_distributions, before, after, lazy, blobs, named)
        rows = diff_rows(tables[0], tables[1], named)
        return _assembled(before, after, _snapshots(before, after, blobs), rows, moved.result())


def diff_files(
    before: DatasetVersion, after: DatasetVersion, blobs: BlobStore, key: Sequence[str] = ()
) -> VersionDiff:
    """Return what differs where one version or both are folders that are no tables.

    Raises:
        UsageError: a key is given: files are matched by their names.
    """
    if key:
        label = f"{after.dataset}@{(before if after.is_table else after).version}"
        raise UsageError(f"{label} is no table: it has no column {key[0]!r}.", "leave --key out")
    snapshots = _snapshots(before, after, blobs)
    files = _files(*snapshots)
    added, removed, changed = (_count(files, each) for each in ("added", "removed", "changed"))
    same = len(snapshots[1]) - added - changed
    rows = RowDiff(key=[], added=added, removed=removed, changed=changed, same=same, cells={})
    return _assembled(before, after, snapshots, rows, [])


def _files(before: Snapshot, after: Snapshot) -> list[FileChange]:
    """Return each file that differs, by name."""
    old, new = (dict(zip(each.paths, each.digests, strict=True)) for each in (before, after))
    changes = dict.fromkeys(new.keys() - old.keys(), "added")
    changes |= dict.fromkeys(old.keys() - new.keys(), "removed")
    changes |= {path: "changed" for path in old.keys() & new.keys() if old[path] != new[path]}
    return [FileChange(path=path, change=changes[path]) for path in sorted(changes)]


def _count(files: Sequence[FileChange], change: str) -> int:
    return sum(each.change == change for each in files)


def _snapshots(
    before: DatasetVersion, after: DatasetVersion, blobs: BlobStore
) -> tuple[Snapshot, Snapshot]:
    return read_snapshot(blobs, before.listed_in), read_snapshot(blobs, after.listed_in)


def _distributions(
    before: DatasetVersion,
    after: DatasetVersion,
    scan: "tuple[pl.LazyFrame, pl.LazyFrame]",
    blobs: BlobStore,
    key: Sequence[str],
) -> list[Distribution]:
    hidden = {each.name for each in (*before.columns, *after.columns) if is_closed(each)}
    hidden |= {*key, *_naming(before), *_naming(after)}
    kept = _kept_sketches(before, scan[0], blobs)
    baseline = {name: sketch for name, sketch in kept.items() if name not in hidden}
    counted = alike(baseline, _stored_sketches(after, blobs) or {})
    rest = {name: sketch for name, sketch in baseline.items() if name not in counted}
    if rest:
        counted |= sketched_like(scan[1], rest)
    return [compare(baseline[name], counted[name], name) for name in baseline if name in counted]


def _naming(version: DatasetVersion) -> list[str]:
    """Return the text columns in which nearly every row has a value of its own."""
    found = version.profile.get("columns", {})
    present = {name: version.rows - each["missing"] for name, each in found.items()}
    return [
        each.name
        for each in version.columns
        if each.dtype == "String"
        and found.get(each.name, {}).get("distinct", 0) > max(_NAMING * present[each.name], 1)
    ]


def _kept_sketches(
    version: DatasetVersion, frame: "pl.LazyFrame", blobs: BlobStore
) -> dict[str, Sketch]:
    """Return a version's sketches; one that was added before there were such is read again."""
    stored = _stored_sketches(version, blobs)
    return profile(frame).sketches if stored is None else stored


def _stored_sketches(version: DatasetVersion, blobs: BlobStore) -> dict[str, Sketch] | None:
    if "sketches" not in version.profile:
        return None
    digest = str(version.profile["sketches"])
    return unpack_sketches(blobs.get(digest)) if digest else {}


def _assembled(
    before: DatasetVersion,
    after: DatasetVersion,
    snapshots: tuple[Snapshot, Snapshot],
    rows: RowDiff,
    distributions: list[Distribution],
) -> VersionDiff:
    files = _files(*snapshots)
    is_table = before.is_table and after.is_table
    return VersionDiff(
        dataset=after.dataset,
        before=before.version,
        after=after.version,
        same=before.digest == after.digest,
        is_table=is_table,
        rows_before=before.rows,
        rows_after=after.rows,
        size_before=before.size,
        size_after=after.size,
        files_added=_count(files, "added"),
        files_removed=_count(files, "removed"),
        files_changed=_count(files, "changed"),
        key=rows.key,
        rows_added=rows.added,
        rows_removed=rows.removed,
        rows_changed=rows.changed,
        moved=[each.column for each in distributions if each.moved],
        cells=[ChangedCells(column=name, rows=count) for name, count in rows.cells.items()],
        columns=column_changes(before, after),
        distributions=distributions,
        files=files[:_NAMED] if not is_table or len(snapshots[1]) > 1 else [],
    )


def column_changes(before: DatasetVersion, after: DatasetVersion) -> list[ColumnChange]:
    """Return what differs in the columns of two versions, by their profiles alone."""
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
    changes = [
        _change(old.name, key, first.get(key), second.get(key))
        for key in COMPARED
        if first.get(key) != second.get(key)
    ]
    return [*changes, *_shares(old.name, first, second, before.rows, after.rows)]


def _shares(
    column: str, first: dict[str, Any], second: dict[str, Any], *rows: int
) -> list[ColumnChange]:
    """Return the categories whose share of all rows changed, of columns that have few."""
    counts = [
        {str(value): count for value, count in each.get("top", ())} for each in (first, second)
    ]
    if any(
        len(top) != each.get("distinct") for top, each in zip(counts, (first, second), strict=True)
    ):
        return []
    changes: list[ColumnChange] = []
    for name in dict.fromkeys([*counts[0], *counts[1]]):
        old, new = (
            top.get(name, 0) / max(all_of, 1) for top, all_of in zip(counts, rows, strict=True)
        )
        if abs(old - new) >= _LEAST_SHARE:
            changes.append(_change(column, f"share of {name}", round(old, 4), round(new, 4)))
    return changes


def _statistics(version: DatasetVersion, column: str) -> dict[str, Any]:
    return version.profile.get("columns", {}).get(column, {})


def _change(column: str, change: str, before: Any, after: Any) -> ColumnChange:
    return ColumnChange(column=column, change=change, before=before, after=after)
