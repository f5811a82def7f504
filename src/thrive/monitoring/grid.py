"""Which version was live when, and the windows that cut that time."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from thrive.contract.windows import WindowLength
from thrive.domain.release import RoutingTable


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time in which a version answered users, and its share of them.

    `end` is now for one that still does.
    """

    version: int
    start: int
    end: int
    main: bool
    share: float = 1.0


def spans(history: Sequence[RoutingTable], now: int) -> list[Span]:
    """Return when each version was live, oldest first; shadows answer nobody.

    Args:
        history: the routing tables of one model, newest first, as the store returns them.
        now: UTC microseconds.
    """
    found: list[Span] = []
    end = now
    for table in history:
        main = table.production()
        found += [
            Span(
                version=item.version,
                start=table.at,
                end=end,
                main=item == main,
                share=item.share,
            )
            for item in table.variants
            if not item.shadow and item.share > 0 and table.at < end
        ]
        end = min(end, table.at)
    return found[::-1]


def main_version(found: Sequence[Span], moment: int) -> int | None:
    """Return the version that carried a moment's traffic, or the next one after it."""
    for span in found:
        if span.main and moment < span.end:
            return span.version
    return None


def ended_windows(
    found: Sequence[Span], length: WindowLength, until: int, after: int, times: Any
) -> list[tuple[int, int]]:
    """Return (start, end) of the windows of one version that ended by `until`, oldest first.

    Windows by time are aligned to UTC: each starts at a multiple of its length. One by count
    begins where the one before it ended, and ends right after its last row; rows of the same
    microsecond stay together. Where its rows do not come in time, it ends with fewer.

    Args:
        found: when the version was live, oldest first.
        length: of a window.
        until: UTC microseconds.
        after: the end of the last closed window by count; 0 for none. Windows by time do not
            look at it.
        times: when the version answered from then on, in rising order; for windows by count.
    """
    if length.rows is not None:
        return _counted(found, length.lasts, length.rows, until, after, times)
    lasts = length.lasts
    starts = {
        start
        for span in found
        for start in range(span.start // lasts * lasts, span.end, lasts)
        if start + lasts <= until
    }
    return [(start, start + lasts) for start in sorted(starts)]


def _counted(
    found: Sequence[Span], lasts: int, rows: int, until: int, after: int, times: Any
) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for span in found:
        start = max(span.start, after)
        while start < span.end:
            last = int(np.searchsorted(times, start)) + rows - 1
            end = min(start + lasts, int(times[last]) + 1 if last < len(times) else start + lasts)
            if end > until:
                return made
            made.append((start, end))
            start = after = end
    return made
