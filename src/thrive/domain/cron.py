"""Cron lines: five fields that name minutes."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from thrive.domain.clock import SECOND
from thrive.domain.errors import UsageError

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_DAYS = "sun mon tue wed thu fri sat"
NAMES = {
    **{name: number for number, name in enumerate(_MONTHS.split(), start=1)},
    **{name: number for number, name in enumerate(_DAYS.split())},
}
SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?")
_DAYS_AHEAD = 366 * 8
"""29 February on a given weekday may be that far away, and no line that is ever due is further."""


class Cron(msgspec.Struct, frozen=True):
    """A cron line: the sets of its fields; where both day fields are given, either counts."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def falls_on(self, day: datetime) -> bool:
        """Tell whether a day has minutes of this line."""
        if day.month not in self.months:
            return False
        by_date = day.day in self.days
        by_weekday = (day.weekday() + 1) % 7 in self.weekdays
        return by_date or by_weekday if self.either_day else by_date and by_weekday


def parse_cron(line: str) -> Cron:
    """Return a cron line such as `0 3 * * mon-fri`, `*/15 * * * *` or `@daily`.

    Raises:
        UsageError: it is none.
    """
    words = SHORT.get(line.strip(), line).split()
    if len(words) != len(FIELDS):
        raise UsageError(f"{line!r} is no cron line.", 'write five fields, e.g. "0 3 * * *"')
    sets = [_field(word, *field) for word, field in zip(words, FIELDS, strict=True)]
    weekdays = frozenset(day % 7 for day in sets[4])
    both = words[2] != "*" and words[4] != "*"
    return Cron(sets[0], sets[1], sets[2], sets[3], weekdays, both)


def _field(word: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in word.lower().split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise UsageError(f"{part!r} is no {name} of a cron line.", f"{low} to {high}, or *")
        every, first, last, stride = match.groups()
        start = low if every else _number(first, name, low, high)
        open_end = every or (stride and not last)
        end = high if open_end else _number(last or first, name, low, high)
        if end < start or stride == "0":
            raise UsageError(f"{part!r} is no {name} of a cron line.", f"{low} to {high}, or *")
        found.update(range(start, end + 1, int(stride or 1)))
    return frozenset(found)


def _number(word: str, name: str, low: int, high: int) -> int:
    value = NAMES.get(word, -1) if not word.isdigit() else int(word)
    if not low <= value <= high:
        raise UsageError(f"{word!r} is no {name} of a cron line.", f"{low} to {high}, or *")
    return value


def next_time(cron: Cron, after: int, zone: str = "UTC") -> int:
    """Return the first moment of a line after `after`, in UTC microseconds.

    A local time that a change of the clock leaves out comes as much later as the clock was moved;
    one that comes twice counts once.

    Raises:
        UsageError: no such day comes, e.g. 31 February.
    """
    place = ZoneInfo(zone)
    start = datetime.fromtimestamp(after / SECOND, place).replace(tzinfo=None, microsecond=0)
    day = start.replace(hour=0, minute=0, second=0)
    for _ in range(_DAYS_AHEAD):
        if cron.falls_on(day):
            for moment in _moments(cron, day):
                found = round(moment.replace(tzinfo=place).astimezone(UTC).timestamp() * SECOND)
                if found > after:
                    return found
        day += timedelta(days=1)
    raise UsageError("This cron line is never due.", "name a day that comes")


def _moments(cron: Cron, day: datetime) -> list[datetime]:
    return [
        day.replace(hour=hour, minute=minute)
        for hour in sorted(cron.hours)
        for minute in sorted(cron.minutes)
    ]
