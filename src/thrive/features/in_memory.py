"""The as-of join of tables that fit into memory: sort, search, gather.

Key and time of a row become one whole number, so that each side is sorted once and matched by one
binary search; the columns of a view are then gathered by place. (The lookup is that of a sorted
merge join; numpy.searchsorted on sorted needles walks the haystack once.)
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.features import ValueStatus
from thrive.features.rows import AT, KNOWN, RECORDED, ROW, STATUS, NormalRows

if TYPE_CHECKING:
    import polars as pl

_Int = NDArray[np.int64]
_BITS = 62
_NEVER = np.iinfo(np.int64).min
SIDE_BY_SIDE = 2
"""Views at a time: searching one keeps a core busy, gathering another the rest."""


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The rows' keys and times, sorted once for all views about the same entity.

    Attributes:
        keys: the distinct keys, `_code` beside them; None where a key is a number that serves.
        low: the least of such numbers.
        order: the places of the rows, by key, then time.
        codes: the key of each row, from 0, in that order; -1 for a missing one.
        times: the moment of each, in that order.
    """

    keys: Any
    low: int
    order: _Int
    codes: _Int
    times: _Int


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
    names = {tuple(view.definition.entity) for view in views}
    asked = {keys: _asked(entities, time, list(keys)) for keys in names}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        parts = pool.map(partial(_columns, asked, time, status=status), views)
        return entities.hstack([column for part in parts for column in part])


def _columns(
    asked: Mapping[tuple[str, ...], _Asked], time: _Int, view: NormalRows, *, status: bool
) -> "list[pl.Series]":
    """Return the columns of one view for the rows."""
    rows = _eligible(view)
    places = _matched(asked[tuple(view.definition.entity)], rows, view)
    fresh = places >= 0
    if view.definition.ttl and rows.height:
        at = rows[AT].to_numpy()[np.maximum(places, 0)]
        fresh &= time - at <= view.definition.ttl
    columns = _gathered(rows, [column.name for column in view.columns], places, fresh)
    if status:
        columns.append(_states(places, fresh).alias(view.definition.name + STATUS))
    return columns


def _gathered(
    rows: "pl.DataFrame", names: list[str], places: _Int, fresh: NDArray[np.bool_]
) -> "list[pl.Series]":
    """Return the cells at `places`, missing where they are not fresh.

    Gathered by whole places out of whole columns, and masked afterwards: places that may be
    missing, and columns in pieces, take four times as long.
    """
    import polars as pl

    chosen = rows.select(names)
    if not rows.height:
        return chosen.clear(len(places)).get_columns()
    taken = pl.Series(np.maximum(places, 0).astype(np.uint32))
    found = chosen.rechunk().select(pl.all().gather(taken))
    if not fresh.all():
        found = found.select(pl.when(pl.Series(fresh)).then(pl.all()))
    return found.get_columns()


def _eligible(view: NormalRows) -> "pl.DataFrame":
    """Return a view's rows of which, at any moment, the last known one is the right one.

    Of rows with the same key and times the last stands. Where rows say when they were recorded, a
    row that became known after a newer one was known is never the newest, and is left out.
    """
    import polars as pl

    keys = view.definition.entity
    keyed = view.frame.filter(pl.all_horizontal(pl.col(keys).is_not_null()))
    needed = [*keys, *(column.name for column in view.columns)]
    needed += [AT, KNOWN] if view.timed else []
    rows = keyed.select(*needed, *((RECORDED, ROW) if view.revised else ())).collect()
    if not view.timed:
        return rows.unique(keys, keep="last", maintain_order=True)
    if not view.revised:
        return rows  # sorted with their place: of equal times the search finds the last
    ranked = rows.sort(AT, RECORDED, ROW).with_row_index("_rank").sort(KNOWN, "_rank")
    newest = pl.col("_rank") == pl.col("_rank").cum_max().over(keys)
    return ranked.filter(newest)


def _matched(asked: _Asked, rows: "pl.DataFrame", view: NormalRows) -> _Int:
    """Return the place of each row's match, -1 for none."""
    places = np.full(len(asked.order), -1, np.int64)
    if not rows.height or not len(places):
        return places
    known = _codes_of(rows, view.definition.entity, asked)
    moments = rows[KNOWN].to_numpy() if view.timed else np.zeros(rows.height, np.int64)
    times = asked.times if view.timed else np.zeros(len(places), np.int64)
    needles, haystack = _numbers(asked.codes, times, known, moments)
    order = _order(haystack)
    found = np.searchsorted(haystack[order], needles, side="right") - 1
    sought = np.where(found >= 0, order[np.maximum(found, 0)], -1)
    sought[(known[np.maximum(sought, 0)] != asked.codes) | (asked.codes < 0)] = -1
    places[asked.order] = sought
    return places


def _order(numbers: _Int) -> _Int:
    """Return the places of numbers in ascending order; equal ones stay in theirs.

    NumPy sorts three times as fast where it need not keep equal numbers in order; whether there
    are any is seen afterwards.
    """
    order = np.argsort(numbers)
    found = numbers[order]
    if (found[1:] == found[:-1]).any():
        return np.argsort(numbers, kind="stable")
    return order


def _asked(entities: "pl.DataFrame", time: _Int, keys: list[str]) -> _Asked:
    """Return keys and times of the rows, sorted.

    The order only makes the search walk forward: where key and time do not fit one number, the last
    digits of the time are left out of it.
    """
    distinct, low, codes = _distinct(entities, keys)
    least = int(time.min(initial=np.iinfo(np.int64).max, where=time > _NEVER))
    since = np.maximum(time, least) - least
    bits = int(since.max(initial=0)).bit_length()
    spare = _BITS - int(codes.max(initial=0)).bit_length()
    order = np.argsort((codes << min(bits, spare)) + (since >> max(bits - spare, 0)))
    return _Asked(keys=distinct, low=low, order=order, codes=codes[order], times=time[order])


def _distinct(entities: "pl.DataFrame", keys: list[str]) -> tuple[Any, int, _Int]:
    """Return the distinct keys with their codes, the least number, and the code of each row."""
    import polars as pl

    if len(keys) == 1 and entities.schema[keys[0]].is_integer() and entities.height:
        column = entities[keys[0]]
        numbers = column.cast(pl.Int64).fill_null(0).to_numpy()
        low, high = int(numbers.min()), int(numbers.max())
        if high - low < 1 << 31:
            return None, low, np.where(column.is_not_null().to_numpy(), numbers - low, -1)
    comparable = _comparable(entities, keys)
    distinct = comparable.drop_nulls().unique().with_row_index("_code")
    return distinct, 0, _coded(comparable, keys, distinct)


def _codes_of(rows: "pl.DataFrame", keys: list[str], asked: _Asked) -> _Int:
    """Return the codes of a view's keys; -2 for one that no row asks for."""
    import polars as pl

    if asked.keys is not None:
        codes = _coded(_comparable(rows, keys), keys, asked.keys)
        return np.where(codes < 0, -2, codes)
    codes = rows[keys[0]].cast(pl.Int64).to_numpy() - asked.low
    return np.where((codes < 0) | (codes >= 1 << 31), -2, codes)


def _coded(table: "pl.DataFrame", keys: list[str], distinct: "pl.DataFrame") -> _Int:
    import polars as pl

    coded = table.join(distinct, on=keys, how="left", maintain_order="left")
    return coded["_code"].cast(pl.Int64).fill_null(-1).to_numpy()


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
