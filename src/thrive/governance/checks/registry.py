"""The registry of checks, and the check of what people wrote."""

import shlex
from collections.abc import Callable, Iterator
from datetime import date

import msgspec

from thrive.contract.levels import parse_level
from thrive.domain.errors import UsageError
from thrive.governance.applies import is_about
from thrive.governance.law import Duty, Question, questions
from thrive.governance.records import Records


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What stands against a version: in words, what to type, and where in the contract.

    `path` is the key of thrive.toml that is about it, empty where none is; `on_its_way` says that
    a version gets what is missing on its way to production: a verdict of the gates, an approval.
    """

    what: str
    fix: str
    path: tuple[str, ...] = ()
    on_its_way: bool = False


Check = Callable[[Records, Duty], Iterator[Problem]]
CHECKS: dict[str, Check] = {}
"""Every check by its name."""
ANSWER_OPTION = " --field "


def check(name: str) -> Callable[[Check], Check]:
    """Register a function as the check `name`."""

    def register(function: Check) -> Check:
        assert name not in CHECKS, f"the check {name!r} is declared twice"
        CHECKS[name] = function
        return function

    return register


def ill_formed(question: Question, text: str) -> str:
    """Return why an answer has not the form that its question wants, "" if it has."""
    if question.choices and text not in question.choices:
        return f"{text!r} is none of {', '.join(question.choices)}"
    try:
        if question.kind == "date":
            date.fromisoformat(text)
        if question.kind == "level" and parse_level(text) is None:
            return f"{text!r} begins with no METRIC >= NUMBER, e.g. {question.example}"
    except (ValueError, UsageError):
        return f"{text!r} is no {question.kind}, e.g. {question.example}"
    return ""


def asked(records: Records, name: str) -> bool:
    """Tell whether a field is asked of a version: by its risk class, and what it is about."""
    question = questions().field[name]
    return records.risk in question.risk and is_about(records, question.when)


def unanswered(records: Records, duty: Duty) -> Iterator[Problem]:
    """Yield one problem for each field of a duty that is asked and has no answer."""
    model = records.version.model
    for name in duty.fields:
        if asked(records, name) and not records.answers.fields.get(name, "").strip():
            question = questions().field[name]
            yield Problem(
                what=f"nobody wrote `{name}` of {model}: {question.ask}",
                fix=f"thrive duties answer {model}{ANSWER_OPTION}{name}={_typed(question.example)}",
            )


def _typed(text: str) -> str:
    """Return a text as a shell takes it, in double quotes where nothing in it means more there."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


@check("answered")
def answered(records: Records, duty: Duty) -> Iterator[Problem]:
    """Every field of the duty that is asked has an answer."""
    yield from unanswered(records, duty)
