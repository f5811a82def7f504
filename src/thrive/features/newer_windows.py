"""Windows of a source that grew: what is new is computed from the last windows and the new events.

A key's newest row changes where an event was added to it, where one became known, and where one
left its window. What stands in a window is not older than its length, and what last left it not
older than twice that; a row from before is either online already or replaced by a later one. So
events from before the last reading are read back over two windows, and only the keys that something
happened to are computed.
"""

from typing import TYPE_CHECKING

import msgspec

from thrive.features.declare import View
from thrive.features.rows import NormalRows, microseconds, normal_rows
from thrive.features.windows import Windows, asked_windows, watched_windows

if TYPE_CHECKING:
    import polars as pl


class NewerWindows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of windows that may be newer than what is online.

    Those of them that are newest by key take the place of rows with no later event time.

    Attributes:
        rows: in normal form, not yet computed.
        last: when the last change becomes known; None without events.
    """

    rows: NormalRows
    last: int | None


def newer_windows(
    view: View, old: "pl.LazyFrame", added: "pl.LazyFrame | None", *, since: int, until: int
) -> NewerWindows:
    """Return what may have changed in a view that `is_windows`.

    Args:
        view: the view.
        old: the rows of its source that were read before.
        added: those that stand behind them now.
        since: what could be known up to this moment was read, in UTC microseconds.
        until: the moment of this reading, not earlier.
    """
    import polars as pl

    (asked,), _ = asked_windows(view, old)
    before = _recent(asked, since, view.definition.delay).collect()
    more = before.clear()
    if added is not None:
        (grown,), _ = asked_windows(view, added)
        more = grown.events.collect()
    changed = before.filter(_changes(asked, since, until, view.definition.delay))
    keys = pl.concat([changed.select(asked.keys), more.select(asked.keys)]).unique()
    events = pl.concat([before, more])
    some = events.join(keys, on=asked.keys, how="semi", nulls_equal=True, maintain_order="left")

    def narrowed(asked: Windows) -> pl.LazyFrame:
        return msgspec.structs.replace(asked, events=some.lazy()).rows()

    with watched_windows(narrowed):
        rows = normal_rows(view, [old])
    return NewerWindows(rows=rows, last=_last(asked, events, view.definition.delay))


def _recent(asked: Windows, since: int, delay: int) -> "pl.LazyFrame":
    """Return the old events that a window may still hold, or that were not known yet."""
    import polars as pl

    events = asked.events
    kept = pl.col(asked.time) > _moment(asked, since - delay - 2 * asked.length)
    if asked.recorded:
        kept |= pl.col(asked.recorded) > _moment(asked, since)
    return events.filter(kept)


def _changes(asked: Windows, since: int, until: int, delay: int) -> "pl.Expr":
    """Return whether an old event entered or left its window since, or became known."""
    import polars as pl

    at = pl.col(asked.time)
    entered = at > _moment(asked, since - delay)
    left = at.is_between(
        _moment(asked, since - delay - asked.length),
        _moment(asked, until - delay - asked.length),
        closed="right",
    )
    told = pl.col(asked.recorded) > _moment(asked, since) if asked.recorded else pl.lit(value=False)
    return entered | left | told


def _moment(asked: Windows, microseconds: int) -> "pl.Expr":
    """Return a moment in the type of the events' time, rounded down."""
    import polars as pl

    dtype = asked.events.collect_schema()[asked.time]
    assert isinstance(dtype, pl.Datetime)
    finest = pl.lit(microseconds, pl.Int64).cast(pl.Datetime("us", dtype.time_zone))
    return finest.cast(dtype)


def _last(asked: Windows, events: "pl.DataFrame", delay: int) -> int | None:
    """Return when the last of some events has left its window, and all of them are known."""
    import polars as pl

    ends = {asked.time: asked.length + delay}
    if asked.recorded:
        ends[asked.recorded] = 0
    latest = [
        (microseconds(pl.col(name), events.schema[name], name, up=True) + more).max().alias(name)
        for name, more in ends.items()
    ]
    return max((each for each in events.select(latest).row(0) if each is not None), default=None)
