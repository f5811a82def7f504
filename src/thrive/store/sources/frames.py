"""Tables of other libraries as Polars frames; Polars is imported when one comes."""

from typing import TYPE_CHECKING, Any

from thrive.domain.errors import UsageError

if TYPE_CHECKING:
    import polars as pl


def as_polars(table: Any) -> "pl.DataFrame":
    """Return a table of another library as a Polars frame.

    Raises:
        UsageError: it is none that is known.
    """
    import polars as pl

    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if isinstance(table, pl.DataFrame):
        return table
    module = type(table).__module__.partition(".")[0]
    try:
        if module == "pandas":
            return _from_pandas(table)
        if hasattr(table, "__arrow_c_stream__"):
            return pl.DataFrame(table)
    except (TypeError, ImportError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"This {module} frame cannot be read: {error}.", "") from None
    raise UsageError(
        f"A {type(table).__name__} is no table that is known.",
        "give a frame of Polars, pandas or Arrow, or a path",
    )


def _from_pandas(table: Any) -> "pl.DataFrame":
    """Return a pandas frame without its index."""
    import polars as pl

    return pl.DataFrame([_series(str(name), column) for name, column in table.items()])


def _series(name: str, column: Any) -> "pl.Series":
    """Return a column of pandas: times with a zone in UTC, objects by way of Python values."""
    import polars as pl

    if column.dtype.kind == "M" and getattr(column.dtype, "tz", None) is not None:
        moments = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        return pl.Series(name, moments).dt.replace_time_zone("UTC")
    if column.dtype.kind in "biufM":
        return pl.Series(name, column.to_numpy())
    values = [None if value is None or value != value else value for value in column]  # noqa: PLR0124 - only NaN and NaT differ from themselves
    return pl.Series(name, values)
