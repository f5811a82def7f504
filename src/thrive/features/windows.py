"""Aggregates over sliding windows of events, right at every moment and not only at events.

A window changes when an event enters it and when one leaves. A row stands at each of these moments,
so that the last row before any moment holds the aggregate over exactly the window that ends there:
events later than its beginning and not later than its end. Training joins such rows like those of
any view, and materializing takes the last one.

Where events are written down later than they happen, a moment has a row for what was known then,
and one more for each later time at which an event of its window became known.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from thrive.domain.clock import HOUR, parse_duration
from thrive.domain.errors import UsageError

if TYPE_CHECKING:
    import polars as pl


_EVENT, _KNOWN, _SHOWN = "_event", "_known", "_shown"
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
    recorded: str = "",
    **aggregates: tuple[str, str],
) -> "pl.LazyFrame":
    """Return aggregates of each key over the last `period`: a row at each moment they change.

    Args:
        events: one row an event.
        by: the column, or columns, of the key.
        time: the column of the event's time, a Datetime; of events at one time the last in the
            frame comes last.
        period: the length of the window, e.g. "3h"; an event that is exactly so old is out.
        recorded: the column that says when an event was written down, a Datetime like `time`. The
            result has it as well: name it as the view's `recorded_time`.
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
    _check(events.collect_schema(), [time, *([recorded] if recorded else [])], keys, aggregates)
    columns = list(dict.fromkeys(column for column, _ in aggregates.values()))
    inputs = [pl.col(column).alias(f"_of_{column}") for column in columns]
    known = pl.max_horizontal(time, recorded or time).alias(_KNOWN)
    entering = events.filter(pl.col(time).is_not_null() & known.is_not_null())
    entering = entering.select(*keys, time, known, *inputs)
    leaving = entering.select(*keys, pl.col(time) + timedelta(microseconds=length))
    changes = pl.concat(
        [entering.with_columns(pl.lit(True).alias(_EVENT)), leaving],
        how="diagonal",
    ).sort(time, maintain_order=True)
    if not recorded:
        return _rolled(changes, keys, time, length, _made(aggregates, length, pl.col(_EVENT)))
    seen = pl.col(_EVENT) & (pl.col(_KNOWN) <= pl.col(time).max())
    first = entering.group_by(keys).agg(pl.col(_KNOWN).min().alias("_first"))
    at_once = (
        _rolled(changes, keys, time, length, _made(aggregates, length, seen))
        .join(first, on=keys, how="left", nulls_equal=True)
        .filter(pl.col("_first") <= pl.col(time))
        .select(*keys, time, pl.col(time).alias(recorded), *aggregates.keys())
    )
    later = _later(changes, keys, time, length, _made(aggregates, length, pl.lit(True)))
    return pl.concat(
        [at_once, later.rename({_SHOWN: recorded}).select(at_once.collect_schema().names())]
    )


def _rolled(
    changes: "pl.LazyFrame", keys: list[str], time: str, length: int, made: "list[pl.Expr]"
) -> "pl.LazyFrame":
    """Return expressions over the window that ends at each moment of change, a row for each."""
    return (
        changes.rolling(time, period=f"{length}us", closed="right", group_by=keys)
        .agg(*made)
        .unique([*keys, time], keep="last", maintain_order=True)
    )


def _later(
    changes: "pl.LazyFrame", keys: list[str], time: str, length: int, made: "list[pl.Expr]"
) -> "pl.LazyFrame":
    """Return the aggregates as they became known after their moment, `_shown` says when."""
    import polars as pl

    names = [name for name in changes.collect_schema() if name not in {*keys, time, _EVENT}]
    is_late = pl.col(_EVENT) & (pl.col(_KNOWN) > pl.col(time).max())
    lists = [pl.col(name).filter(pl.col(_EVENT)) for name in names]
    shown = pl.col(_KNOWN).filter(is_late).unique().alias(_SHOWN)
    return (
        _rolled(changes, keys, time, length, [shown, *lists])
        .filter(pl.col(_SHOWN).list.len() > 0)
        .explode(_SHOWN)
        .explode(names)
        .filter(pl.col(_KNOWN) <= pl.col(_SHOWN))
        .group_by(*keys, time, _SHOWN, maintain_order=True)
        .agg(*made)
    )


def _made(aggregates: dict[str, tuple[str, str]], length: int, inside: "pl.Expr") -> Any:
    """Return the aggregates over the events that an expression holds for."""
    return [
        _aggregate(column, kind, length, inside).alias(name)
        for name, (column, kind) in aggregates.items()
    ]


def _aggregate(column: str, kind: str, length: int, inside: "pl.Expr") -> "pl.Expr":
    import polars as pl

    values = pl.col(f"_of_{column}").filter(inside).drop_nulls()
    if kind == "per_hour":
        return values.len() * (HOUR / length)
    return _KINDS[kind](values)


def _integer() -> Any:
    import polars as pl

    return pl.Int64


def _check(
    schema: Any, times: list[str], keys: list[str], aggregates: dict[str, tuple[str, str]]
) -> None:
    import polars as pl

    names = [*keys, *times, *(column for column, _ in aggregates.values())]
    missing = [name for name in names if name not in schema]
    if missing:
        raise UsageError(
            f"The events have no column {missing[0]!r}.", f"they have {', '.join(schema.names())}"
        )
    for time in times:
        if schema[time] != pl.Datetime:
            raise UsageError(f"{time!r} is {schema[time]}, which is no time.", "make it a Datetime")
    if schema[times[0]] != schema[times[-1]]:
        raise UsageError(
            f"{times[0]!r} is {schema[times[0]]} and {times[-1]!r} is {schema[times[-1]]}.",
            "give both one unit and zone",
        )
    kinds = [*_KINDS, "per_hour"]
    for name, (_, kind) in aggregates.items():
        if kind not in kinds:
            raise UsageError(f"{name} = {kind!r} is no aggregate.", f"one of {', '.join(kinds)}")
