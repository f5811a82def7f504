"""Aggregates over sliding windows of events, right at every moment and not only at events.

A window changes when an event enters it and when one leaves. A row stands at each of these moments,
so that the last row before any moment holds the aggregate over exactly the window that ends there:
events later than its beginning and not later than its end. Training joins such rows like those of
any view, and materializing takes the last one.

Where events are written down later than they happen, a moment has a row for what was known then,
and one more for each later time at which an event of its window became known. A moment of which
nothing was known yet has no row.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.domain.clock import HOUR, parse_duration
from thrive.domain.errors import UsageError

if TYPE_CHECKING:
    import polars as pl


_EVENT, _KNOWN, _SHOWN, _FIRST = "_event", "_known", "_shown", "_first"
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
_WATCH: "ContextVar[Callable[[Windows], pl.LazyFrame] | None]" = ContextVar("watch", default=None)


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
    length = parse_duration(period)
    keys = [by] if isinstance(by, str) else list(by)
    _check(events.collect_schema(), [time, *([recorded] if recorded else [])], keys, aggregates)
    asked = Windows(
        events=events,
        keys=keys,
        time=time,
        recorded=recorded,
        length=length,
        aggregates=aggregates,
    )
    watch = _WATCH.get()
    return watch(asked) if watch else asked.rows()


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of `windowed` asks for; `length` in microseconds."""

    events: "pl.LazyFrame"
    keys: list[str]
    time: str
    recorded: str
    length: int
    aggregates: dict[str, tuple[str, str]]

    def rows(self) -> "pl.LazyFrame":
        """Return a row for each moment at which the aggregates of a key change."""
        import polars as pl

        changes = self._changes()
        if not self.recorded:
            return self._rolled(changes, self._made(pl.col(_EVENT)))
        seen = pl.col(_EVENT) & (pl.col(_KNOWN) <= pl.col(self.time).max())
        at_once = (
            self._rolled(changes, [self._first(), *self._made(seen)])
            .filter(pl.col(_FIRST) <= pl.col(self.time))
            .select(*self.keys, self.time, pl.col(self.time).alias(self.recorded), *self.aggregates)
        )
        later = self._later(changes).rename({_SHOWN: self.recorded})
        return pl.concat([at_once, later.select(at_once.collect_schema().names())])

    def _changes(self) -> "pl.LazyFrame":
        """Return two rows an event: it enters the windows, and it leaves them."""
        import polars as pl

        columns = dict.fromkeys(column for column, _ in self.aggregates.values())
        inputs = [pl.col(column).alias(f"_of_{column}") for column in columns]
        known = pl.max_horizontal(self.time, self.recorded or self.time).alias(_KNOWN)
        events = self.events.filter(pl.col(self.time).is_not_null() & known.is_not_null())
        entering = events.select(*self.keys, self.time, known, *inputs)
        leaves = pl.col(self.time) + timedelta(microseconds=self.length)
        leaving = entering.select(*self.keys, leaves, _KNOWN)
        marked = entering.with_columns(pl.lit(True).alias(_EVENT))
        return pl.concat([marked, leaving], how="diagonal").sort(self.time, maintain_order=True)

    def _rolled(self, changes: "pl.LazyFrame", made: "list[pl.Expr]") -> "pl.LazyFrame":
        """Return expressions over the window that ends at each moment of change, a row for each."""
        period = f"{self.length}us"
        return (
            changes.rolling(self.time, period=period, closed="right", group_by=self.keys)
            .agg(*made)
            .unique([*self.keys, self.time], keep="last", maintain_order=True)
        )

    def _first(self) -> "pl.Expr":
        """Return when it first was known that something changed at the window's end."""
        import polars as pl

        changing = pl.col(self.time) == pl.col(self.time).max()
        return pl.col(_KNOWN).filter(changing).min().alias(_FIRST)

    def _later(self, changes: "pl.LazyFrame") -> "pl.LazyFrame":
        """Return the aggregates as they became known after their moment, `_shown` says when."""
        import polars as pl

        names = [name for name in changes.collect_schema() if name not in {*self.keys, self.time}]
        end = pl.col(self.time).max()
        counts = pl.col(_EVENT) | (pl.col(self.time) == end)
        shown = pl.col(_KNOWN).filter(counts & (pl.col(_KNOWN) > end)).unique().alias(_SHOWN)
        return (
            self._rolled(changes, [self._first(), shown, *map(pl.col, names)])
            .filter(pl.col(_SHOWN).list.len() > 0)
            .explode(_SHOWN)
            .filter(pl.col(_SHOWN) >= pl.col(_FIRST))
            .explode(names)
            .group_by(*self.keys, self.time, _SHOWN, maintain_order=True)
            .agg(*self._made(pl.col(_EVENT) & (pl.col(_KNOWN) <= pl.col(_SHOWN))))
        )

    def _made(self, inside: "pl.Expr") -> "list[pl.Expr]":
        """Return the aggregates over the events that an expression holds for."""
        return [
            _aggregate(column, kind, self.length, inside).alias(name)
            for name, (column, kind) in self.aggregates.items()
        ]


@contextmanager
def watched_windows(watch: "Callable[[Windows], pl.LazyFrame]") -> "Generator[None]":
    """Give what is asked of `windowed` inside to a function, and return what that returns."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def asked_windows(
    view: "Callable[[pl.LazyFrame], pl.LazyFrame]", source: "pl.LazyFrame"
) -> "tuple[list[Windows], pl.LazyFrame]":
    """Return what a view asks of `windowed`, and its rows over an empty table in its place."""
    import polars as pl

    seen: list[Windows] = []

    def watch(asked: Windows) -> pl.LazyFrame:
        seen.append(asked)
        return pl.LazyFrame(schema=asked.rows().collect_schema())

    with watched_windows(watch):
        return seen, view(source)


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
