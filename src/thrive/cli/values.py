"""One value as text: times, digests, sizes and numbers as people or as programs read them."""

import re
from enum import Enum
from pathlib import Path
from typing import Any

from thrive.cli.safe import printable
from thrive.domain.clock import SECOND, format_duration, format_time
from thrive.domain.identifiers import is_digest, is_id
from thrive.domain.numbers import read_number

SHORT = 12
TIMES = frozenset(
    {"at", "now", "start", "end", "since", "until", "deadline", "time", "first_bad", "last_bad"}
)
LENGTHS = frozenset(
    {
        "bake",
        "took",
        "delay",
        "delay_p90",
        "median_delay",
        "silent_for",
        "ttl",
        "debounce",
        "budget_window",
    }
)
"""Fields that hold a length of time in microseconds."""
NONE_AT_ZERO = frozenset({"bake", "budget", "budget_window", "debounce"})
"""Fields of which zero means that there is none."""
_SIGNATURE = re.compile("[0-9a-f]{128}")
_TYPE_OF_TIME = re.compile(
    r"(?:Datetime|Duration)\(time_unit='(\w+)'(?:, time_zone=(?:None|'([^']+)'))?\)"
)


def plain(value: Any) -> Any:
    """Return a value JSON has no word for as one it has: paths as text."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def scalar(value: Any) -> bool:
    """Tell whether a value fits into one cell."""
    return value is None or isinstance(value, str | int | float | bool | Enum | Path)


def cell(name: str, value: Any, *, people: bool) -> str:
    """Return a field's value as one cell.

    Args:
        name: the field: `*_at` and its like hold UTC microseconds, `size` bytes.
        value: a scalar.
        people: shorten and round for reading; otherwise whole values for programs.
    """
    if value is None:
        return "-" if people else ""
    if isinstance(value, bool):
        return ("yes" if value else "no") if people else str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, int):
        return _whole(name, value, people=people)
    if isinstance(value, float):
        return read_number(value) if people else repr(value)
    text = printable(str(value))
    return _readable(text) if people else text


def _readable(text: str) -> str:
    """Return a text for people: ids and digests by their beginning, types of times in short."""
    if is_id(text) or is_digest(text) or _SIGNATURE.fullmatch(text):
        return text[:SHORT]
    return _TYPE_OF_TIME.sub(_type_of_time, text)


def _type_of_time(found: re.Match[str]) -> str:
    """Return a type of times as people say it: `Datetime(us, UTC)`."""
    words = [each for each in found.groups() if each]
    return f"{found[0].partition('(')[0]}({', '.join(words)})"


def _whole(name: str, value: int, *, people: bool) -> str:
    last = name.rpartition(".")[2]
    if (last.endswith("_at") or last in TIMES) and value > 0:
        return format_time(value)
    if people and last in NONE_AT_ZERO and not value:
        return "-"
    if last in LENGTHS:
        return format_duration(value) if people else f"{value / SECOND:.10g} s"
    if people and (last == "size" or last.startswith("size_")):
        return human_size(value)
    return f"{value:,}" if people and abs(value) >= 10_000 else str(value)


def human_size(size: float) -> str:
    """Return bytes as people say it, e.g. `8.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
