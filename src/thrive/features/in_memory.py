"""The as-of join of tables that fit into memory: sort, search, gather.

Key and time of a row become one whole number, so that each side is sorted once and matched by one
binary search; the columns of a view are then gathered by place. (The lookup is that of a sorted
merge join; numpy.searchsorted on sorted needles walks the haystack once.)
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thrive.domain.features import ValueStatus
from thrive.features.rows import AT, KNOWN, RECORDED, ROW, STATUS, NormalRows

if TYPE_CHECKING:
    import polars as pl

_Int = NDArray[np.int64]
_BITS = 62
SIDE_BY_SIDE = 2
"""Views at a time: searching one keeps a core busy, gathering another the rest."""


def join_in_memory(
    entities: "pl.DataFrame", time: _Int, views: Sequence[NormalRows], *, status: bool
) -> "pl.DataFrame":
    """Return the rows of `entities`, in their order, with the columns of all views.

    Args:
        entities: the rows.
        time: the moment of each, in UTC microseconds; the least number for none.
        views: the views' rows.
        status: add `VIEW_status` for each view.
    """
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        parts = pool.map(partial(_columns, entities, time, status=status), views)
        return entities.hstack([column for part in parts for column in part])


def _columns(
    entities: "pl.DataFrame", time: _Int, view: NormalRows, *, status: bool
) -> "list[pl.Series]":
    """Return the columns of one view for the rows of `entities`."""
    import polars as pl

    rows = _eligible(view)
    places, fresh = _matched(entities, time, rows, view)
    chosen = pl.Series(np.where(fresh, places, -1)).cast(pl.Int64)
    taken = pl.select(pl.when(chosen >= 0).then(chosen).cast(pl.UInt32)).to_series()
    names = [column.name for column in view.columns]
    columns = rows.select(pl.col(names).gather(taken)).get_columns()
    if status:
        columns.append(_states(places, fresh).alias(view.definition.name + STATUS))
    return columns


def _eligible(view: NormalRows) -> "pl.DataFrame":
    """Return a view's rows of which, at any moment, the last known one is the right one.

    Of rows with the same key and times the last stands. Where rows say when they were recorded, a
    row that became known after a newer one was known is never the newest, and is left out.
    """
    import polars as pl

    keys = view.definition.entity
    rows = view.frame.filter(pl.all_horizontal(pl.col(keys).is_not_null())).collect()
    if not view.timed:
        return rows.unique(keys, keep="last", maintain_order=True)
    if not view.revised:
        return rows  # sorted with their place: of equal times the search finds the last
    ranked = rows.sort(AT, RECORDED, ROW).with_row_index("_rank").sort(KNOWN, "_rank")
    newest = pl.col("_rank") == pl.col("_rank").cum_max().over(keys)
    return ranked.filter(newest)


def _matched(
    entities: "pl.DataFrame", time: _Int, rows: "pl.DataFrame", view: NormalRows
) -> tuple[_Int, NDArray[np.bool_]]:
    """Return the place of each row's match, -1 for none, and whether its value may be used."""
    given, known = _codes(entities, rows, view.definition.entity)
    count = len(given)
    if not rows.height or not count:
        return np.full(count, -1, np.int64), np.zeros(count, np.bool_)
    moments = rows[KNOWN].to_numpy() if view.timed else np.zeros(rows.height, np.int64)
    asked = time if view.timed else np.zeros(count, np.int64)
    needles, haystack = _numbers(given, asked, known, moments)
    order = _order(haystack)
    asking = _order(needles)
    found = np.searchsorted(haystack[order], needles[asking], side="right") - 1
    places = np.empty(count, np.int64)
    places[asking] = np.where(found >= 0, order[np.maximum(found, 0)], -1)
    inside = np.maximum(places, 0)
    places[(known[inside] != given) | (given < 0)] = -1
    fresh = places >= 0
    if view.definition.ttl:
        fresh &= time - rows[AT].to_numpy()[inside] <= view.definition.ttl
    return places, fresh


def _order(numbers: _Int) -> _Int:
    """Return the places of numbers in ascending order; equal ones stay in theirs."""
    import polars as pl

    table = pl.DataFrame({"number": numbers, "place": np.arange(len(numbers))})
    return table.sort("number", maintain_order=True)["place"].to_numpy()


def _codes(entities: "pl.DataFrame", rows: "pl.DataFrame", keys: list[str]) -> tuple[_Int, _Int]:
    """Return keys as whole numbers from 0, the same on both sides; -1 for a missing one."""
    import polars as pl

    if len(keys) == 1 and entities.schema[keys[0]].is_integer():
        given = _whole(entities[keys[0]])
        known = _whole(rows[keys[0]])
        low, high = _range(given, known)
        if high - low < 1 << 31:
            present = entities[keys[0]].is_not_null().to_numpy()
            return np.where(present, given - low, -1), known - low
    both = pl.concat([_comparable(entities, keys), _comparable(rows, keys)])
    distinct = both.drop_nulls().unique().with_row_index("_code")
    coded = both.join(distinct, on=keys, how="left", maintain_order="left")
    numbers = coded["_code"].cast(pl.Int64).fill_null(-1).to_numpy()
    return numbers[: entities.height], numbers[entities.height :]


def _whole(column: "pl.Series") -> _Int:
    import polars as pl

    return column.cast(pl.Int64).fill_null(0).to_numpy()


def _range(given: _Int, known: _Int) -> tuple[int, int]:
    parts = [each for each in (given, known) if len(each)]
    lows = [int(each.min()) for each in parts] or [0]
    highs = [int(each.max()) for each in parts] or [0]
    return min(lows), max(highs)


def _comparable(table: "pl.DataFrame", keys: list[str]) -> "pl.DataFrame":
    """Return keys in types that both sides share: whole numbers of 64 bits, and texts."""
    return table.select(_shared(key, table.schema[key]) for key in keys)


def _shared(key: str, dtype: Any) -> "pl.Expr":
    import polars as pl

    if dtype.is_integer():
        return pl.col(key).cast(pl.Int64)
    texts = (pl.Categorical, pl.Enum)
    return pl.col(key).cast(pl.String) if dtype in texts else pl.col(key)


def _numbers(given: _Int, asked: _Int, known: _Int, moments: _Int) -> tuple[_Int, _Int]:
    """Return key and time of both sides as one number each, in the order of key, then time.

    A moment before all that is known finds nothing, so it needs no number of its own.
    """
    low, high = int(moments.min()) - 1, int(moments.max())
    width = int(high - low).bit_length()
    codes = int(max(given.max(), known.max())).bit_length()
    if width + codes > _BITS:
        return _ranked(given, asked, known, moments)
    needles = np.clip(asked, low, high) - low
    return (given << width) + needles, (known << width) + (moments - low)


def _ranked(given: _Int, asked: _Int, known: _Int, moments: _Int) -> tuple[_Int, _Int]:
    """Return the same for times that are too far apart: by their ranks."""
    times = np.unique(moments)
    width = len(times).bit_length() + 1
    before = np.searchsorted(times, asked, side="right")
    return (given << width) + before, (known << width) + np.searchsorted(times, moments) + 1


def _states(places: _Int, fresh: NDArray[np.bool_]) -> Any:
    import polars as pl

    found = pl.Series(places >= 0)
    usable = pl.Series(fresh)
    state = (
        pl.when(~found)
        .then(pl.lit(ValueStatus.MISSING.value))
        .when(usable)
        .then(pl.lit(ValueStatus.PRESENT.value))
        .otherwise(pl.lit(ValueStatus.STALE.value))
    )
    return pl.select(state).to_series()
