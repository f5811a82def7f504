"""Rows of two tables: which came, which went, which changed, by key or as a multiset.

Rows are compared by a 64-bit hash of their cells, made within one call and never stored: two rows
that differ share one once in 2e19 pairs.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from thrive.data.profile import BATCH_ROWS
from thrive.domain.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

_HASH = "_thrive_row"


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


def diff_rows(before: "pl.LazyFrame", after: "pl.LazyFrame", key: Sequence[str] = ()) -> RowDiff:
    """Compare the rows of two tables in the columns that both have with one type.

    Without such a column every row of the one went and every row of the other came.

    Args:
        before: the first table.
        after: the second.
        key: columns that name a row; without, rows are compared as a whole.

    Raises:
        UsageError: a column of the key is missing, or two rows have one key.
    """
    shared = _shared(before, after)
    missing = [name for name in key if name not in shared]
    if missing:
        raise UsageError(
            f"{missing[0]!r} cannot be a key: both versions must have it, with one type.",
            "--key COLUMN[,COLUMN]",
        )
    if not shared:
        return RowDiff(
            key=[], added=_height(after), removed=_height(before), changed=0, same=0, cells={}
        )
    if not key:
        return _as_multisets(before, after, shared)
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


def _by_key(
    before: "pl.LazyFrame", after: "pl.LazyFrame", key: list[str], rest: list[str]
) -> RowDiff:
    import polars as pl

    old, new = _hashed(before, key, rest), _hashed(after, key, rest)
    for rows in (old, new):
        distinct = rows.select(
            pl.struct(key).n_unique() if len(key) > 1 else pl.col(key[0]).n_unique()
        )
        repeated = rows.height - int(distinct.item())
        if repeated:
            raise UsageError(
                f"{', '.join(key)} is no key: {_repeating(repeated)}.",
                "--key COLUMN[,COLUMN]",
            )
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
    paired = old.join(new, on=key, how="inner", nulls_equal=True, suffix="\x00after")
    counted = paired.select(
        pl.col(name).ne_missing(pl.col(f"{name}\x00after")).sum().alias(name) for name in rest
    ).row(0, named=True)
    ranked = sorted(counted.items(), key=lambda item: -item[1])
    return {name: rows for name, rows in ranked if rows}


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
