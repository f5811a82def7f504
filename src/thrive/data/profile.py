"""The profile of a table: what each column holds, from one pass over the rows.

Counts, missing and distinct values, extremes, mean, standard deviation and quantiles of numbers,
the most frequent values of text. Of columns that hold personal data only counts are kept: values
never enter a report.
"""

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from thrive.domain.dataset import Column

if TYPE_CHECKING:
    import polars as pl

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP = 10
EXACT_CELLS = 20_000_000
"""Up to so many cells distinct values are counted exactly; beyond, by HyperLogLog."""
LONGEST_TEXT = 200
"""Characters kept of a text value."""


def profile_of(
    frame: "pl.LazyFrame", schema: Mapping[str, Any], personal: Mapping[str, str], *, exact: bool
) -> "pl.LazyFrame":
    """Return the query of a profile: one row, which `read_profile` reads.

    Args:
        frame: the table.
        schema: its columns and their polars types.
        personal: column -> kind of personal data, or "none".
        exact: count distinct values exactly rather than by HyperLogLog.
    """
    import polars as pl

    expressions: list[pl.Expr] = [pl.len().alias("rows")]
    for index, (name, kind) in enumerate(schema.items()):
        closed = personal.get(name, "none") != "none"
        for key, expression in _statistics(pl.col(name), kind, closed, exact).items():
            expressions.append(expression.alias(f"{index}.{key}"))
    return frame.select(expressions)


def _statistics(column: "pl.Expr", kind: Any, closed: bool, exact: bool) -> dict[str, "pl.Expr"]:
    import polars as pl

    present = column.fill_nan(None) if kind.is_float() else column
    found = {"missing": present.null_count()}
    if kind.is_nested() or kind in (pl.Object, pl.Binary):
        return found
    values = present.drop_nulls()
    found["distinct"] = values.n_unique() if exact else values.approx_n_unique()
    if closed:
        return found
    if kind.is_numeric() or kind.is_temporal():
        found |= {"min": values.min(), "max": values.max()}
    if kind.is_numeric():
        numbers = values.cast(pl.Float64)
        found |= {"mean": numbers.mean(), "std": numbers.std()}
        found["quantiles"] = numbers.quantile(list(QUANTILES)).implode()
    if kind in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        found["top"] = values.value_counts(sort=True, name="count").head(TOP).implode()
    return found


def read_profile(
    row: Mapping[str, Any], schema: Mapping[str, Any], *, exact: bool
) -> dict[str, Any]:
    """Return the result of a profile's query as JSON values, by column.

    Returns:
        `{"rows": n, "distinct_exact": bool, "columns": {name: {missing, distinct, min, max, mean,
        std, quantiles: {share: value}, top: [[value, count], ...]}}}`, as far as a column has it.
    """
    columns: dict[str, dict[str, Any]] = {name: {} for name in schema}
    names = list(schema)
    for key, value in row.items():
        index, dot, statistic = key.partition(".")
        if dot:
            columns[names[int(index)]][statistic] = _read(statistic, value)
    return {"rows": row["rows"], "distinct_exact": exact, "columns": columns}


def _read(statistic: str, value: Any) -> Any:
    if statistic == "quantiles":
        shares = [f"{share:g}" for share in QUANTILES]
        inner = value[0] if value and isinstance(value[0], list) else value
        return dict(zip(shares, map(_plain, inner), strict=True)) if inner else {}
    if statistic == "top":
        return [[_plain(next(iter(each.values()))), each["count"]] for each in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it: times as ISO 8601, numbers without a value as None."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value[:LONGEST_TEXT] if isinstance(value, str) else value


def columns_of(
    schema: Mapping[str, Any], profile: Mapping[str, Any], personal: Mapping[str, str]
) -> list[Column]:
    """Return the columns of a version: name, type, whether values are missing, personal kind."""
    return [
        Column(
            name=name,
            dtype=str(kind),
            nullable=profile["columns"][name]["missing"] > 0,
            personal=personal.get(name),
        )
        for name, kind in schema.items()
    ]
