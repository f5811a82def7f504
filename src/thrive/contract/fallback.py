"""What is answered when no version can: rules on the request's own fields, the first that fits.

`0.9 if dep_delay >= 15`, `"late" if origin = "EWR" and wind is missing`. A rule is read here, when
the contract is, and again where it answers; nothing of it is evaluated as code.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from thrive.domain.errors import UsageError

_EXAMPLES = 'write e.g. "0.9 if dep_delay >= 15 and origin = \'EWR\'" or "0.2 if wind is missing"'
_VALUE = r"""-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|'[^']*'|"[^"]*\""""
_RULE = re.compile(rf"\s*(?P<answer>{_VALUE})\s+if\s+(?P<conditions>\S.*?)\s*", re.DOTALL)
_CONDITION = re.compile(
    rf"\s*(?P<field>[^\W\d][\w.-]*)\s*"
    rf"(?:(?P<sign>>=|<=|!=|=|>|<)\s*(?P<value>{_VALUE})|\s(?P<missing>is\s+missing))\s*"
)
_AND = re.compile(r"and\s")
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "!=": operator.ne,
}
_ORDERED = frozenset({">=", "<=", ">", "<"})


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule asks of one field; `sign` is "" where it asks that the field is missing."""

    field: str
    sign: str = ""
    value: float | str | bool = 0.0

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row meets it; a missing value, or one of another kind, meets none."""
        sent = row.get(self.field)
        if not self.sign or sent is None:
            return not self.sign and sent is None
        return _kind(sent) is _kind(self.value) and _SIGNS[self.sign](sent, self.value)


class FallbackRule(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for rows that meet every condition."""

    answer: float | str
    conditions: tuple[Condition, ...]

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row is one of them."""
        return all(each.holds(row) for each in self.conditions)


def parse_rule(text: str) -> FallbackRule:
    """Return the rule that `text` spells: `ANSWER if FIELD SIGN VALUE [and ...]`.

    Raises:
        UsageError: it is none, or compares by size with something that has none.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text[:80]!r} is no rule.", _EXAMPLES)
    answer = _value(match["answer"])
    if isinstance(answer, bool):
        raise UsageError(
            f"{text[:80]!r} answers {match['answer']}.", "answer a probability, a number or a class"
        )
    return FallbackRule(answer=answer, conditions=tuple(_conditions(text, match["conditions"])))


def answer_by_rules(
    rules: Sequence[FallbackRule], rows: Sequence[Mapping[str, Any]], otherwise: float | str | None
) -> list[float | str | None]:
    """Return the answer to each row: of the first rule that fits, else `otherwise`."""
    return [next((rule.answer for rule in rules if rule.fits(row)), otherwise) for row in rows]


def _conditions(text: str, said: str) -> list[Condition]:
    found: list[Condition] = []
    place = 0
    while True:
        match = _CONDITION.match(said, place)
        if match is None:
            raise UsageError(f"{said[place:][:40]!r} in {text[:80]!r} is no condition.", _EXAMPLES)
        found.append(_condition(text, match))
        place = match.end()
        if place == len(said):
            return found
        joined = _AND.match(said, place)
        if joined is None:
            raise UsageError(f"{said[place:][:40]!r} in {text[:80]!r} is not read.", _EXAMPLES)
        place = joined.end()


def _condition(text: str, match: "re.Match[str]") -> Condition:
    if match["missing"]:
        return Condition(field=match["field"])
    value = _value(match["value"])
    if match["sign"] in _ORDERED and not isinstance(value, float):
        raise UsageError(f"{match['value']} in {text[:80]!r} has no size.", "compare it by = or !=")
    return Condition(field=match["field"], sign=match["sign"], value=value)


def _kind(value: object) -> type:
    """Return the kind of a JSON value; numbers are of one kind, whole or not."""
    return float if type(value) is int else type(value)


def _value(text: str) -> float | str | bool:
    if text in {"true", "false"}:
        return text == "true"
    return text[1:-1] if text[0] in "'\"" else float(text)
