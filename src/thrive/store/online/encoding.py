"""Features as plain values: what SQLite, PostgreSQL and Redis all hold.

Booleans are 0 and 1, times are UTC microseconds (a date is that of its midnight), categories are
texts. A reader gets booleans back as such and times as microseconds.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from thrive.domain.features import FeatureColumn

if TYPE_CHECKING:
    import polars as pl

INTEGER, REAL, TEXT = "INTEGER", "REAL", "TEXT"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""What no text of a store holds: the end mark of PostgreSQL, halves of characters."""


def kind_of(dtype: str) -> str:
    """Return the plain kind of a polars type, by its name."""
    if dtype.startswith(("Float", "Decimal")):
        return REAL
    if dtype.startswith(("String", "Categorical", "Enum")):
        return TEXT
    return INTEGER


def plain(frame: "pl.DataFrame", names: Sequence[str]) -> "pl.DataFrame":
    """Return columns of a frame as plain values."""
    import polars as pl

    return frame.select(_plain(pl.col(name), frame.schema[name]) for name in names)


def _plain(column: "pl.Expr", dtype: Any) -> "pl.Expr":
    import polars as pl

    match kind_of(str(dtype)):
        case "TEXT":
            return column.cast(pl.String)
        case "REAL":
            return column.cast(pl.Float64)
        case _:
            return _whole(column, dtype)


def _whole(column: "pl.Expr", dtype: Any) -> "pl.Expr":
    import polars as pl

    if dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    elif dtype in (pl.Datetime, pl.Duration):
        column = column.dt.cast_time_unit("us")
    elif dtype == pl.Time:
        column = column.cast(pl.Int64) // 1000
    return column.cast(pl.Int64)


def booleans(tables: Iterable[Sequence[FeatureColumn]]) -> list[int]:
    """Return the places of the columns whose values are booleans, counted over all tables."""
    columns = [column for table in tables for column in table]
    return [place for place, column in enumerate(columns) if column.dtype == "Boolean"]


def as_booleans(values: Sequence[Any]) -> list[Any]:
    """Return 0, 1 and None as booleans and None."""
    return [None if value is None else bool(value) for value in values]


def holdable(value: Any, dtype: str) -> Any:
    """Return a key of a request in the plain type of its column; None if no row can have it."""
    if value is None or (isinstance(value, float) and not value.is_integer()):
        return None
    if kind_of(dtype) != INTEGER:
        return value if isinstance(value, str) and not _UNSTORABLE.search(value) else None
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    return number if -(1 << 63) <= number < 1 << 63 else None
