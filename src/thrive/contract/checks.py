"""The checks of a dataset as they are spelled in `checks = [...]`, parsed into typed values.

Spellings: `unique(a, b)`, `not_null(a)`, `fresh(2 days)`, `fresh(event_time, 2 days)`,
`volume(100, 1000000)`, `a between -60 and 2000`. They are evaluated where data is, not here.
"""

import math
import re

import msgspec

from thrive.domain.clock import parse_duration
from thrive.domain.errors import UsageError

_CALL = re.compile(r"(?P<name>[a-z_]+)\s*\((?P<arguments>[^()]*)\)")
_BETWEEN = re.compile(r"(?P<column>\S.*?)\s+between\s+(?P<low>\S+)\s+and\s+(?P<high>\S+)")
_EXAMPLES = (
    'write e.g. "unique(id)", "not_null(id)", "fresh(2 days)", "volume(100, 1000000)" '
    'or "delay between -60 and 2000"'
)


class Unique(msgspec.Struct, frozen=True, kw_only=True, tag="unique"):
    """No two rows have the same values in `columns`."""

    columns: tuple[str, ...]


class NotNull(msgspec.Struct, frozen=True, kw_only=True, tag="not_null"):
    """No row lacks a value in any of `columns`."""

    columns: tuple[str, ...]


class Fresh(msgspec.Struct, frozen=True, kw_only=True, tag="fresh"):
    """The newest row is at most `within_us` old; by `column`, or by the data's own time if ''."""

    within_us: int
    column: str = ""


class Volume(msgspec.Struct, frozen=True, kw_only=True, tag="volume"):
    """There are at least `low` and at most `high` rows."""

    low: int
    high: int


class Between(msgspec.Struct, frozen=True, kw_only=True, tag="between"):
    """Each value in `column` that is there lies between `low` and `high`, both included."""

    column: str
    low: float
    high: float


Check = Unique | NotNull | Fresh | Volume | Between


def parse_check(text: str) -> Check:
    """Return the check that `text` spells.

    Raises:
        UsageError: the check is unknown or an argument is wrong.
    """
    stripped = text.strip()
    between = _BETWEEN.fullmatch(stripped)
    if between is not None:
        low, high = _ordered(text, between["low"], between["high"])
        return Between(column=_column(between["column"]), low=low, high=high)
    call = _CALL.fullmatch(stripped)
    arguments = [part.strip() for part in call["arguments"].split(",")] if call else []
    if call is None or not all(arguments):
        raise UsageError(f"{text!r} is not a check.", _EXAMPLES)
    match call["name"]:
        case "unique":
            return Unique(columns=tuple(_column(part) for part in arguments))
        case "not_null":
            return NotNull(columns=tuple(_column(part) for part in arguments))
        case "fresh" if len(arguments) <= 2:
            column = _column(arguments[0]) if len(arguments) == 2 else ""
            return Fresh(within_us=parse_duration(arguments[-1]), column=column)
        case "volume" if len(arguments) == 2:
            low, high = _ordered(text, *arguments)
            return Volume(low=math.ceil(low), high=math.floor(high))
        case _:
            raise UsageError(f"{text!r} is not a check.", _EXAMPLES)


def _column(text: str) -> str:
    quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "'\"`"
    return text[1:-1] if quoted else text


def _ordered(text: str, low: str, high: str) -> tuple[float, float]:
    first, last = _number(text, low), _number(text, high)
    if first > last:
        raise UsageError(f"{text!r} can never hold: {low} is above {high}.", _EXAMPLES)
    return first, last


def _number(text: str, part: str) -> float:
    try:
        number = float(part)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{part!r} in {text!r} is not a number.", _EXAMPLES)
    return number
