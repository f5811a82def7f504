"""Time: UTC microseconds as int64, and the spellings people use for times and durations.

The clock of a project is a row in its store (`real` or `replay`); this module holds its form
and the arithmetic. Leases and time-outs never use it: they read the machine's monotonic clock.
"""

import re
import time
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from thrive.domain.errors import UsageError

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LONGEST = 365_000 * DAY
"""The longest duration, a thousand years: what is added to now stays a time."""

_UNITS = {
    "ms": SECOND // 1000,
    "s": SECOND,
    "sec": SECOND,
    "second": SECOND,
    "m": MINUTE,
    "min": MINUTE,
    "minute": MINUTE,
    "h": HOUR,
    "hour": HOUR,
    "d": DAY,
    "day": DAY,
    "w": 7 * DAY,
    "week": 7 * DAY,
    "month": 30 * DAY,
    "year": 365 * DAY,
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
_RATE = re.compile(r"(\d+)\s*(?:a|an|per|/)\s*(.+)")


class ClockMode(StrEnum):
    """Where a project's time comes from."""

    REAL = "real"
    REPLAY = "replay"


class ClockState(msgspec.Struct, frozen=True, kw_only=True):
    """The clock row of a project: its mode and, in replay, the present moment."""

    mode: ClockMode = ClockMode.REAL
    replay_now: int = 0

    def now(self) -> int:
        """Return the project's present moment in UTC microseconds."""
        return self.replay_now if self.mode is ClockMode.REPLAY else machine_now()


def machine_now() -> int:
    """Return the machine's time in UTC microseconds since 1970."""
    return time.time_ns() // 1000


def parse_duration(text: str) -> int:
    """Return the microseconds in a duration such as `90 days`, `1h` or `4 hours`.

    A month counts 30 days and a year 365: windows and retention need fixed lengths.

    Raises:
        UsageError: the text is not a number and a unit, or is over a thousand years.
    """
    match = _DURATION.fullmatch(text)
    word = match[2].lower() if match else ""
    unit = _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))
    if not match or not unit:
        raise UsageError(f"{text!r} is not a duration.", 'write e.g. "1h", "90 days", "2 weeks"')
    length = round(float(match[1]) * unit)
    if length > LONGEST:
        raise UsageError(f"{text!r} is longer than a thousand years.", 'write e.g. "10 years"')
    return length


def parse_rate(text: str) -> tuple[int, int]:
    """Return how often, and in how many microseconds: `1 a day`, `3 per week`, `2/12h`.

    Raises:
        UsageError: the text is not a count and a stretch of time.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None or int(match[1]) < 1:
        raise UsageError(f"{text!r} is no budget.", 'write "1 a day" or "3 per week"')
    words = match[2] if match[2][0].isdigit() else f"1 {match[2]}"
    return int(match[1]), parse_duration(words)


def format_duration(microseconds: int) -> str:
    """Return a duration as people say it: the two largest units, e.g. `1 day 4 h`."""
    parts: list[str] = []
    rest = abs(microseconds)
    for name, size in (("day", DAY), ("h", HOUR), ("min", MINUTE), ("s", SECOND)):
        count, rest = divmod(rest, size)
        if count:
            plural = "s" if name == "day" and count > 1 else ""
            parts.append(f"{count} {name}{plural}")
    return " ".join(parts[:2]) or f"{abs(microseconds) / 1000:g} ms"


def parse_time(text: str) -> int:
    """Return UTC microseconds of an ISO 8601 date or time; one without a zone is UTC.

    Raises:
        UsageError: the text is no ISO 8601 time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a time.", "write ISO 8601, e.g. 2013-05-01 or 2013-05-01T06:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * SECOND)


def format_moment(microseconds: int) -> str:
    """Return UTC microseconds for a title: the day, and the minute where it is not midnight."""
    text = format_time(microseconds)
    return text[:10] if text.endswith("T00:00:00Z") else text[:16].replace("T", " ")


def format_time(microseconds: int) -> str:
    """Return UTC microseconds as ISO 8601 with seconds, e.g. `2013-05-01T06:00:00Z`."""
    moment = datetime.fromtimestamp(microseconds / SECOND, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
