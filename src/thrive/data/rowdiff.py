"""Rows of two tables: which came, which went, which changed, by key or as a multiset.

Rows are compared by a 64-bit hash of their cells, made within one call and never stored: two rows
that differ share one once in 2e19 pairs.
"""

import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from thrive.data.profile import BATCH_ROWS
from thrive.domain.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

_HASH = "_thrive_row"
_AFTER = "\x00after"
_Table: TypeAlias = "pl.LazyFrame | pl.DataFrame"


class RowDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows of two tables differ.

    Attributes:
        key: the columns that name a row; empty where rows were compared as a whole: then a
            changed row counts as one that went and one that came.
        added: rows that came.
        removed: rows that went.
        changed: rows with the same key and another cell.
        same: rows that stayed as they were.
        cells: how many rows changed in each column, most first.
    """

    key: list[str]
    added: int
    removed: int
    changed: int
    same: int
    cells: dict[str, int]


def diff_rows(before: _Table, after: _Table, key: Sequence[str] = ()) -> RowDiff:
    """Compare the rows of two tables in the columns that both have with one type.

    Without such a column every row of the one went and every row of the other came.

    Args:
        before: the first table; quickest in memory.
        after: the second.
        key: columns that name a row; without, rows are compared as a whole.

    Raises:
        UsageError: a column of the key is missing, or two rows have one key.
    """
    old, new = before.lazy(), after.lazy()
    shared = _shared(old, new)
    missing = [name for name in key if name not in shared]
    if missing:
        raise UsageError(
            f"{missing[0]!r} cannot be a key: both versions must have it, with one type.",
            "--key COLUMN[,COLUMN]",
        )
    if not shared:
        return RowDiff(
            key=[], added=_height(new), removed=_height(old), changed=0, same=0, cells={}
        )
    if not key:
        return _as_multisets(old, new, shared)
    rest = [name for name in shared if name not in key]
    return _by_key(before, after, list(key), rest)


def _height(frame: "pl.LazyFrame") -> int:
    import polars as pl

    return int(frame.select(pl.len()).collect(engine="streaming").item())


def _shared(before: "pl.LazyFrame", after: "pl.LazyFrame") -> list[str]:
    old, new = before.collect_schema(), after.collect_schema()
    return [name for name, kind in old.items() if new.get(name) == kind]


def _hashed(frame: "pl.LazyFrame", key: Sequence[str], rest: Sequence[str]) -> "pl.DataFrame":
    """Return the key of each row with the hash of its other cells, batch by batch."""
    import polars as pl

    parts: list[pl.DataFrame] = []
    for batch in _batches(frame.select(*key, *rest)):
        hashes = batch.select(rest).hash_rows() if rest else pl.Series([0] * batch.height)
        named = batch.select(key).get_columns()
        parts.append(pl.DataFrame([*named, hashes.cast(pl.UInt64).alias(_HASH)]))
    return pl.concat(parts)


def _batches(frame: "pl.LazyFrame") -> "Iterator[pl.DataFrame]":
    found = False
    for batch in frame.collect_batches(chunk_size=BATCH_ROWS):
        found = True
        yield batch
    if not found:
        yield frame.head(0).collect()


def _by_key(before: _Table, after: _Table, key: list[str], rest: list[str]) -> RowDiff:
    import polars as pl

    if isinstance(before, pl.DataFrame) and isinstance(after, pl.DataFrame):
        return _held_by_key(before, after, key, rest)
    return _hashed_by_key(before.lazy(), after.lazy(), key, rest)


def _held_by_key(
    before: "pl.DataFrame", after: "pl.DataFrame", key: list[str], rest: list[str]
) -> RowDiff:
    """Compare rows in memory: those at both ends that stand beside each other need no join."""
    for rows in (before, after):
        _refuse_repeated(rows, key)
    head = _alike(before, after, key)
    old, new = before.slice(head), after.slice(head)
    tail = _alike(old, new, key, at_end=True)
    found = [
        _beside(before.head(head), after.head(head), key, rest),
        _beside(old.tail(tail), new.tail(tail), key, rest),
    ]
    middle = old.head(old.height - tail), new.head(new.height - tail)
    if any(each.height for each in middle):
        found.append(_hashed_by_key(middle[0].lazy(), middle[1].lazy(), key, rest))
    cells = sum((Counter(each.cells) for each in found), Counter[str]())
    return RowDiff(
        key=key,
        added=sum(each.added for each in found),
        removed=sum(each.removed for each in found),
        changed=sum(each.changed for each in found),
        same=sum(each.same for each in found),
        cells=_ranked(cells),
    )


def _refuse_repeated(rows: "pl.DataFrame", key: list[str]) -> None:
    import polars as pl

    distinct = pl.struct(key).n_unique() if len(key) > 1 else pl.col(key[0]).n_unique()
    repeated = rows.height - int(rows.select(distinct).item())
    if repeated:
        raise UsageError(
            f"{', '.join(key)} is no key: {_repeating(repeated)}.", "--key COLUMN[,COLUMN]"
        )


def _alike(
    old: "pl.DataFrame", new: "pl.DataFrame", key: list[str], *, at_end: bool = False
) -> int:
    """Return how many rows have the same keys one after another, from one end on."""
    rows = min(old.height, new.height)
    first, second = (
        each.select(key).tail(rows) if at_end else each.select(key).head(rows)
        for each in (old, new)
    )
    if not rows:
        return 0
    pairs = zip(first.get_columns(), second.get_columns(), strict=True)
    differ = reduce(operator.or_, (one.ne_missing(other) for one, other in pairs))
    places = differ.arg_true()
    if not len(places):
        return rows
    return rows - 1 - int(places[-1]) if at_end else int(places[0])


def _beside(old: "pl.DataFrame", new: "pl.DataFrame", key: list[str], rest: list[str]) -> RowDiff:
    """Compare rows that have the same keys, one after another."""
    import polars as pl

    changed, cells = 0, dict[str, int]()
    if rest and old.height:
        both = old.select(rest).hstack(new.select(pl.col(rest).name.suffix(_AFTER)))
        differ = both.select(
            pl.col(name).ne_missing(pl.col(f"{name}{_AFTER}")).alias(name) for name in rest
        )
        changed = int(differ.select(pl.any_horizontal(pl.all()).sum()).item())
        cells = _ranked(differ.sum().row(0, named=True))
    same = old.height - changed
    return RowDiff(key=key, added=0, removed=0, changed=changed, same=same, cells=cells)


def _ranked(cells: Mapping[str, int]) -> dict[str, int]:
    ranked = sorted(cells.items(), key=lambda item: -item[1])
    return {name: rows for name, rows in ranked if rows}


def _hashed_by_key(
    before: "pl.LazyFrame", after: "pl.LazyFrame", key: list[str], rest: list[str]
) -> RowDiff:
    import polars as pl

    old, new = _hashed(before, key, rest), _hashed(after, key, rest)
    for rows in (old, new):
        _refuse_repeated(rows, key)
    both = old.join(new, on=key, how="inner", nulls_equal=True)
    changed = both.filter(pl.col(_HASH) != pl.col(f"{_HASH}_right")).select(key)
    return RowDiff(
        key=key,
        added=new.height - both.height,
        removed=old.height - both.height,
        changed=changed.height,
        same=both.height - changed.height,
        cells=_changed_cells(before, after, changed, key, rest) if changed.height else {},
    )


def _repeating(rows: int) -> str:
    return "a row repeats another's" if rows == 1 else f"{rows:,} rows repeat another's"


def _changed_cells(
    before: "pl.LazyFrame",
    after: "pl.LazyFrame",
    changed: "pl.DataFrame",
    key: list[str],
    rest: list[str],
) -> dict[str, int]:
    import polars as pl

    sides = [
        frame.select(*key, *rest).join(changed.lazy(), on=key, how="semi", nulls_equal=True)
        for frame in (before, after)
    ]
    old, new = (side.collect(engine="streaming") for side in sides)
    paired = old.join(new, on=key, how="inner", nulls_equal=True, suffix=_AFTER)
    counted = paired.select(
        pl.col(name).ne_missing(pl.col(f"{name}{_AFTER}")).sum().alias(name) for name in rest
    ).row(0, named=True)
    return _ranked(counted)


def _as_multisets(before: "pl.LazyFrame", after: "pl.LazyFrame", shared: list[str]) -> RowDiff:
    import polars as pl

    old, new = (
        _hashed(frame, [], shared).group_by(_HASH).len(name="rows") for frame in (before, after)
    )
    both = old.join(new, on=_HASH, how="inner")
    same = int(both.select(pl.min_horizontal("rows", "rows_right").sum()).item())
    return RowDiff(
        key=[],
        added=int(new["rows"].sum()) - same,
        removed=int(old["rows"].sum()) - same,
        changed=0,
        same=same,
        cells={},
    )
