"""Features as plain values: what SQLite, PostgreSQL and Redis all hold.

Booleans are 0 and 1, times are UTC microseconds (a date is that of its midnight), categories are
texts. A reader gets booleans back as such and times as microseconds.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from thrive.domain.features import FeatureColumn

if TYPE_CHECKING:
    import polars as pl

INTEGER, REAL, TEXT = "INTEGER", "REAL", "TEXT"


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

    if dtype == pl.Date:
        return column.cast(pl.Datetime("us")).cast(pl.Int64)
    if dtype == pl.Datetime:
        return column.dt.cast_time_unit("us").cast(pl.Int64)
    if dtype == pl.Duration:
        return column.dt.cast_time_unit("us").cast(pl.Int64)
    if dtype == pl.Time:
        return column.cast(pl.Int64) // 1000
    if dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if dtype == pl.Boolean or dtype.is_integer():
        return column.cast(pl.Int64)
    return column if dtype == pl.String else column.cast(pl.Float64)


def booleans(columns: Sequence[FeatureColumn]) -> list[int]:
    """Return the places of the columns whose values are booleans."""
    return [place for place, column in enumerate(columns) if column.dtype == "Boolean"]


def as_booleans(values: Sequence[Any]) -> list[Any]:
    """Return 0, 1 and None as booleans and None."""
    return [None if value is None else bool(value) for value in values]
