"""Aggregates over sliding windows of events, right at every moment and not only at events.

A window changes when an event enters it and when one leaves. A row stands at each of these moments,
so that the last row before any moment holds the aggregate over exactly the window that ends there:
events later than its beginning and not later than its end. Training joins such rows like those of
any view, and materializing takes the last one.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from thrive.domain.clock import HOUR, parse_duration
from thrive.domain.errors import UsageError

if TYPE_CHECKING:
    import polars as pl


_EVENT = "_event"
_KINDS: "dict[str, Callable[[pl.Expr], pl.Expr]]" = {
    "count": lambda values: values.len().cast(_integer()),
    "sum": lambda values: values.sum(),
    "mean": lambda values: values.mean(),
    "min": lambda values: values.min(),
    "max": lambda values: values.max(),
    "std": lambda values: values.std(),
    "first": lambda values: values.first(),
    "last": lambda values: values.last(),
    "distinct": lambda values: values.n_unique().cast(_integer()),
}


def windowed(
    events: "pl.LazyFrame",
    *,
    by: str | list[str],
    time: str,
    period: str,
    **aggregates: tuple[str, str],
) -> "pl.LazyFrame":
    """Return aggregates of each key over the last `period`: a row at each moment they change.

    Args:
        events: one row an event.
        by: the column, or columns, of the key.
        time: the column of the event's time, a Datetime; of events at one time the last in the
            frame comes last.
        period: the length of the window, e.g. "3h"; an event that is exactly so old is out.
        aggregates: name = (column, kind): count, sum, mean, min, max, std, first, last, distinct,
            or per_hour for a rate. Missing values do not count. An empty window has the count 0,
            the sum 0 and no mean.

    Raises:
        UsageError: a column or a kind is not known, or the time is none.

    Examples:
        >>> windowed(  # doctest: +SKIP
        ...     flights, by="origin", time="left", period="3h", recent_delay=("dep_delay", "mean")
        ... )
    """
    import polars as pl

    length = parse_duration(period)
    keys = [by] if isinstance(by, str) else list(by)
    _check(events.collect_schema(), time, keys, aggregates)
    columns = list(dict.fromkeys(column for column, _ in aggregates.values()))
    inputs = [pl.col(column).alias(f"_of_{column}") for column in columns]
    entering = events.filter(pl.col(time).is_not_null()).select(*keys, time, *inputs)
    leaving = entering.select(*keys, pl.col(time) + timedelta(microseconds=length))
    changes = pl.concat(
        [entering.with_columns(pl.lit(True).alias(_EVENT)), leaving],
        how="diagonal",
    )
    made = [_aggregate(column, kind, length).alias(n) for n, (column, kind) in aggregates.items()]
    return (
        changes.sort(time, maintain_order=True)
        .rolling(time, period=f"{length}us", closed="right", group_by=keys)
        .agg(*made)
        .unique([*keys, time], keep="last", maintain_order=True)
    )


def _aggregate(column: str, kind: str, length: int) -> "pl.Expr":
    """Return an aggregate over the events of a window; rows that mark a leaving are none."""
    import polars as pl

    values = pl.col(f"_of_{column}").filter(pl.col(_EVENT)).drop_nulls()
    if kind == "per_hour":
        return values.len() * (HOUR / length)
    return _KINDS[kind](values)


def _integer() -> Any:
    import polars as pl

    return pl.Int64


def _check(schema: Any, time: str, keys: list[str], aggregates: dict[str, tuple[str, str]]) -> None:
    import polars as pl

    names = [*keys, time, *(column for column, _ in aggregates.values())]
    missing = [name for name in names if name not in schema]
    if missing:
        raise UsageError(
            f"The events have no column {missing[0]!r}.", f"they have {', '.join(schema.names())}"
        )
    if schema[time] != pl.Datetime:
        raise UsageError(f"{time!r} is {schema[time]}, which is no time.", "make it a Datetime")
    kinds = [*_KINDS, "per_hour"]
    for name, (_, kind) in aggregates.items():
        if kind not in kinds:
            raise UsageError(f"{name} = {kind!r} is no aggregate.", f"one of {', '.join(kinds)}")
