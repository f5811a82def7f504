"""Which version was live when, and the windows that cut that time."""

from collections.abc import Sequence

import msgspec

from thrive.domain.release import RoutingTable


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time in which a version answered users; `end` is now for one that still does."""

    version: int
    start: int
    end: int
    main: bool


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
            Span(version=item.version, start=table.at, end=end, main=item == main)
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


def ended_windows(found: Sequence[Span], length: int, until: int) -> list[tuple[int, int]]:
    """Return (version, start) of every window that ended by `until`, oldest first.

    Windows are aligned to UTC: each starts at a multiple of its length.
    """
    starts = {
        (start, span.version)
        for span in found
        for start in range(span.start // length * length, span.end, length)
        if start + length <= until
    }
    return [(version, start) for start, version in sorted(starts)]
