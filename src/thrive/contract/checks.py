"""The checks of a dataset as they are spelled in `checks = [...]`, parsed into typed values.

Spellings: `unique(a, b)`, `not_null(a)`, `fresh(2 days)`, `fresh(event_time, 2 days)`,
`volume(100, 1000000)`, `a between -60 and 2000`, `expect(arrival >= departure)`. They are evaluated
where data is, not here.
"""

import math
import re
from collections.abc import Sequence

import msgspec

from thrive.domain.clock import parse_duration
from thrive.domain.errors import UsageError

_CALL = re.compile(r"(?P<name>[a-z_]+)\s*\((?P<arguments>[^()]*)\)")
_BETWEEN = re.compile(r"(?P<column>\S.*?)\s+between\s+(?P<low>\S+)\s+and\s+(?P<high>\S+)")
_EXAMPLES = (
    'write e.g. "unique(id)", "not_null(id)", "fresh(2 days)", "volume(100, 1000000)", '
    '"delay between -60 and 2000" or "expect(arrival >= departure)"'
)
_EXPECT = re.compile(r"expect\s*\((?P<expression>.+)\)", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<quoted>\"[^\"]+\")|(?P<text>'(?:[^']|'')*')"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<sign><=|>=|<>|!=|\|\||[=<>+*/%(),-]))"
)
_WORDS = frozenset(("and", "or", "not", "in", "between", "is", "null", "like", "true", "false"))
FUNCTIONS = frozenset(
    ("abs", "ceil", "coalesce", "floor", "length", "lower", "round", "starts_with", "upper")
)
"""What an expression may call; none reads anything but the row."""
_LONGEST = 500


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


class Expect(msgspec.Struct, frozen=True, kw_only=True, tag="expect"):
    """No row makes the SQL expression false; a row for which it is not known passes.

    Attributes:
        expression: of columns, texts, numbers, comparisons, and, or, not, in, between, is null,
            like, + - * / %, and `FUNCTIONS`.
        columns: those it names.
    """

    expression: str
    columns: tuple[str, ...]


Check = Unique | NotNull | Fresh | Volume | Between | Expect


def parse_check(text: str) -> Check:
    """Return the check that `text` spells.

    Raises:
        UsageError: the check is unknown or an argument is wrong.
    """
    stripped = text.strip()
    expect = _EXPECT.fullmatch(stripped)
    if expect is not None:
        return _expect(expect["expression"].strip())
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
            return Unique(columns=_different(text, arguments))
        case "not_null":
            return NotNull(columns=_different(text, arguments))
        case "fresh" if len(arguments) <= 2:
            column = _column(arguments[0]) if len(arguments) == 2 else ""
            return Fresh(within_us=parse_duration(arguments[-1]), column=column)
        case "volume" if len(arguments) == 2:
            low, high = _ordered(text, *arguments)
            return Volume(low=math.ceil(low), high=math.floor(high))
        case _:
            raise UsageError(f"{text!r} is not a check.", _EXAMPLES)


def _expect(expression: str) -> Expect:
    """Return a checked expression: only what stands in the grammar reaches the engine.

    Raises:
        UsageError: a sign or a function is none that is known, or brackets do not match.
    """
    columns: dict[str, None] = {}
    depth = place = 0
    if len(expression) > _LONGEST:
        raise UsageError(
            f"An expression has {len(expression)} characters.", f"use at most {_LONGEST}"
        )
    while place < len(expression):
        token = _TOKEN.match(expression, place)
        if token is None:
            raise UsageError(f"{expression[place:][:20]!r} is not read here.", _EXAMPLES)
        place = token.end()
        called = expression[place:].lstrip().startswith("(")
        word = token["word"]
        if word and called and word.lower() not in FUNCTIONS | _WORDS:
            known = ", ".join(sorted(FUNCTIONS))
            raise UsageError(f"There is no function {word!r} in expressions.", f"use {known}")
        if token["quoted"] or (word and not called and word.lower() not in _WORDS):
            columns[(token["quoted"] or word).strip('"')] = None
        depth += {"(": 1, ")": -1}.get(token["sign"] or "", 0)
        if depth < 0:
            break
    if depth or not columns:
        what = "brackets that do not match" if depth else "no column"
        raise UsageError(f"The expression {expression!r} has {what}.", _EXAMPLES)
    return Expect(expression=expression, columns=tuple(columns))


def _column(text: str) -> str:
    quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "'\"`"
    return text[1:-1] if quoted else text


def _different(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a check, each of which it may name once."""
    columns = tuple(_column(name) for name in names)
    twice = next((each for each in columns if columns.count(each) > 1), None)
    if twice is not None:
        raise UsageError(f"{text!r} names {twice!r} twice.", _EXAMPLES)
    return columns


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
