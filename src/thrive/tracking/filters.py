"""The filter language of searches: `metrics.auc > 0.9 and params.model = 'gbm'`.

    filter     := comparison (AND comparison)*
    comparison := field operator value | field [NOT] IN (text, ...) | field IS [NOT] NULL
    field      := [kind .] key          kind: metrics, params, tags, attributes, datasets
    key        := word | `quoted` | "quoted"

It is the one MLflow's clients send. There is no OR, and a text stands in quotes.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from thrive.domain.errors import UsageError

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^'\\]|\\.|'')*')
    |(?P<quoted>"[^"]*"|`[^`]*`)
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<sign><=|>=|!=|=|<|>|\(|\)|,|\.)
    |(?P<word>[^\s'"`<>=!(),.]+)
    )""",
    re.VERBOSE,
)
SIGNS = ("=", "!=", ">", ">=", "<", "<=")
_TEXT_OPERATORS = frozenset({"=", "!=", "LIKE", "ILIKE", "IN", "NOT IN"})


class Kind(StrEnum):
    """What a field of a filter is of."""

    METRIC = "metric"
    PARAM = "param"
    TAG = "tag"
    ATTRIBUTE = "attribute"
    DATASET = "dataset"


_KINDS = {
    **dict.fromkeys(("metric", "metrics"), Kind.METRIC),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), Kind.PARAM),
    **dict.fromkeys(("tag", "tags"), Kind.TAG),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), Kind.ATTRIBUTE),
    **dict.fromkeys(("dataset", "datasets"), Kind.DATASET),
}


class Comparison(msgspec.Struct, frozen=True):
    """One condition; `value` is a number, a text, a tuple of texts, or None for IS [NOT] NULL."""

    kind: Kind
    key: str
    operator: str
    value: float | str | tuple[str, ...] | None


class Order(msgspec.Struct, frozen=True):
    """One key to sort by."""

    kind: Kind
    key: str
    descending: bool


class Fields(msgspec.Struct, frozen=True):
    """What can be asked of one noun.

    Attributes:
        attributes: `number` or `text` by name.
        kinds: the kinds beside attributes.
        aliases: other names of attributes.
    """

    attributes: Mapping[str, str]
    kinds: frozenset[Kind] = frozenset(Kind)
    aliases: Mapping[str, str] = {}

    def attribute(self, name: str) -> str:
        """Return the name of an attribute.

        Raises:
            UsageError: there is none of that name.
        """
        found = self.aliases.get(name, name)
        if found not in self.attributes:
            known = ", ".join(sorted(self.attributes))
            raise UsageError(f"Invalid attribute key '{name}' specified.", f"use one of: {known}")
        return found


class _Tokens:
    """The words of a filter, one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise UsageError(f"Invalid filter: {text[at:].strip()[:60]!r} cannot be read.")
            self._tokens.append((str(found.lastgroup), found.group(str(found.lastgroup))))
            at = found.end()
        self._at = 0

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        """Return a coming token; empty behind the end."""
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("", "")

    def take(self) -> tuple[str, str]:
        """Return the next token and go on."""
        token = self.peek()
        if not token[0]:
            raise self.wrong("it ends too early")
        self._at += 1
        return token

    def take_word(self, word: str) -> bool:
        """Go on if the next token is a keyword or a sign."""
        kind, text = self.peek()
        if kind not in {"word", "sign"} or text.upper() != word:
            return False
        self._at += 1
        return True

    def wrong(self, what: str) -> UsageError:
        """Return the refusal of the whole filter."""
        return UsageError(
            f"Invalid clause(s) in filter string: {self._text[:200]!r}: {what}.",
            "write e.g. metrics.auc > 0.9 and params.model = 'gbm'",
        )


def parse_filter(text: str, fields: Fields) -> list[Comparison]:
    """Return the conditions of a filter; an empty one has none.

    Raises:
        UsageError: it cannot be read, or asks what cannot be asked of this noun.
    """
    tokens = _Tokens(text or "")
    found: list[Comparison] = []
    while tokens.peek()[0]:
        if found and not tokens.take_word("AND"):
            raise tokens.wrong("conditions are joined by AND")
        kind, key = _field(tokens, fields)
        found.append(_checked(_comparison(tokens, kind, key), fields))
    return found


def parse_order(texts: list[str], fields: Fields) -> list[Order]:
    """Return the keys to sort by, each written as `metrics.auc DESC`.

    Raises:
        UsageError: one cannot be read, or stands twice.
    """
    found: list[Order] = []
    for text in texts:
        tokens = _Tokens(text)
        kind, key = _field(tokens, fields)
        descending = tokens.take_word("DESC")
        if not descending:
            tokens.take_word("ASC")
        if tokens.peek()[0]:
            raise UsageError(f"Invalid order_by clause '{text}'.", "write e.g. metrics.auc DESC")
        if any((each.kind, each.key) == (kind, key) for each in found):
            raise UsageError(f"`order_by` contains duplicate fields: {texts}.")
        found.append(Order(kind, key, descending))
    return found


def _field(tokens: _Tokens, fields: Fields) -> tuple[Kind, str]:
    sort, word = tokens.take()
    if sort not in {"word", "quoted"}:
        raise tokens.wrong(f"{word!r} is no field")
    name = _bare(sort, word)
    if sort == "word" and tokens.peek() == ("sign", "."):
        kind = _KINDS.get(name.lower())
        if kind is None or (kind is not Kind.ATTRIBUTE and kind not in fields.kinds):
            raise UsageError(f"Invalid entity type '{name}'.", "use metrics, params, tags, ...")
        tokens.take()
        key = _key(tokens)
        return kind, fields.attribute(key) if kind is Kind.ATTRIBUTE else key
    return Kind.ATTRIBUTE, fields.attribute(name)


def _key(tokens: _Tokens) -> str:
    """Return a key; one without quotes may hold dots."""
    sort, word = tokens.take()
    if sort not in {"word", "quoted", "number"}:
        raise tokens.wrong(f"{word!r} is no key")
    key = _bare(sort, word)
    while sort != "quoted" and tokens.peek() == ("sign", "."):
        tokens.take()
        key += "." + tokens.take()[1]
    return key


def _bare(sort: str, word: str) -> str:
    return word[1:-1] if sort in {"quoted", "text"} else word


def _comparison(tokens: _Tokens, kind: Kind, key: str) -> Comparison:
    if tokens.take_word("IS"):
        operator = "IS NOT NULL" if tokens.take_word("NOT") else "IS NULL"
        if not tokens.take_word("NULL"):
            raise tokens.wrong("IS is followed by NULL or NOT NULL")
        return Comparison(kind, key, operator, None)
    negated = tokens.take_word("NOT")
    if tokens.take_word("IN"):
        return Comparison(kind, key, "NOT IN" if negated else "IN", _texts(tokens))
    _, sign = tokens.take()
    operator = sign.upper()
    if negated or operator not in {*SIGNS, "LIKE", "ILIKE"}:
        raise tokens.wrong(f"{sign!r} is no operator")
    sort, word = tokens.take()
    if sort == "number":
        return Comparison(kind, key, operator, float(word))
    if sort in {"text", "quoted"}:
        return Comparison(kind, key, operator, _bare(sort, word).replace("''", "'"))
    raise tokens.wrong(f"{word!r} is no value; a text stands in quotes")


def _texts(tokens: _Tokens) -> tuple[str, ...]:
    found: list[str] = []
    closed = not tokens.take_word("(")
    while not closed:
        sort, word = tokens.take()
        if sort not in {"text", "quoted"}:
            raise tokens.wrong(f"{word!r} in a list is no text")
        found.append(_bare(sort, word))
        closed = tokens.take_word(")")
        if not closed and not tokens.take_word(","):
            raise tokens.wrong("a list is written ('a', 'b')")
    if not found:
        raise tokens.wrong("a list is written ('a', 'b')")
    return tuple(found)


def _checked(condition: Comparison, fields: Fields) -> Comparison:
    """Return a condition whose operator and value fit its field."""
    numeric = condition.kind is Kind.METRIC or (
        condition.kind is Kind.ATTRIBUTE and fields.attributes[condition.key] == "number"
    )
    label = f"{condition.kind} '{condition.key}'"
    if condition.value is None:
        if condition.kind in {Kind.PARAM, Kind.TAG}:
            return condition
        raise UsageError(f"Invalid comparator '{condition.operator}' for {label}.")
    if numeric:
        if condition.operator not in SIGNS or not isinstance(condition.value, float):
            raise UsageError(
                f"Expected numeric value type for {label}, compared by one of {SIGNS}. "
                f"Found {condition.value!r}.",
            )
    elif condition.operator not in _TEXT_OPERATORS or isinstance(condition.value, float):
        raise UsageError(
            f"Expected a quoted string value for {label}, compared by one of "
            f"{sorted(_TEXT_OPERATORS)}. Found {condition.value!r}.",
        )
    return condition


def text_test(condition: Comparison) -> Callable[[str], bool]:
    """Return the test that a condition on a text makes of one that is there."""
    operator, value = condition.operator, condition.value
    if operator in {"LIKE", "ILIKE"}:
        return _like_test(str(value), case=operator == "LIKE")
    if isinstance(value, tuple):
        chosen, wanted = frozenset(value), operator == "IN"
        return lambda text: (text in chosen) == wanted
    if operator == "=":
        return lambda text: text == value
    if operator == "!=":
        return lambda text: text != value
    return lambda _text: True


def number_test(condition: Comparison) -> Callable[[Any], Any]:
    """Return the test that a condition on a number makes, of one number or an array of them."""
    wanted = condition.value
    tests: dict[str, Callable[[Any], Any]] = {
        "=": lambda found: found == wanted,
        "!=": lambda found: found != wanted,
        ">": lambda found: found > wanted,
        ">=": lambda found: found >= wanted,
        "<": lambda found: found < wanted,
        "<=": lambda found: found <= wanted,
    }
    return tests[condition.operator]


def holds(condition: Comparison, value: str | float | None) -> bool:
    """Tell whether a condition holds of one value, None for one that is missing."""
    if condition.operator == "IS NULL":
        return value is None
    if value is None:
        return False
    if isinstance(value, str):
        return text_test(condition)(value)
    return bool(number_test(condition)(value))


def _like_test(pattern: str, *, case: bool) -> Callable[[str], bool]:
    """Return the test of a pattern; `%words%`, the most asked for, is looked up without one."""
    words = pattern[1:-1]
    if pattern == f"%{words}%" and words.isascii() and not {"%", "_"} & set(words):
        low = words.lower()
        return (lambda text: words in text) if case else (lambda text: low in text.lower())
    compiled = _like(pattern, case=case)
    return lambda text: compiled.fullmatch(text) is not None


def _like(pattern: str, *, case: bool) -> re.Pattern[str]:
    parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.compile("".join(parts), re.DOTALL if case else re.DOTALL | re.IGNORECASE)
