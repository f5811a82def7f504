"""The duties as data: `*.toml` beside this file, one table a duty, and what people are asked.

A change of law is a change of these files: the article, the date it applies, which records answer
it, what a person writes, which check judges it, for whom it is in force, and what it blocks.
"""

import re
import tomllib
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from thrive.contract.schema import Risk

LAWS = ("ai-act", "gdpr", "house")
LAW_FORMAT = 1


class When(StrEnum):
    """What a duty or a question is about, where it is not about every model."""

    ALWAYS = "always"
    PERSONAL = "personal"
    """The model learned from columns that hold personal data."""
    SENSITIVE = "sensitive"
    """Some of these are special categories (GDPR art. 9)."""
    EMBEDDED = "embedded"
    """The model is part of a physical product."""
    PUBLIC_BODY = "public_body"
    """A public body uses it, or it decides on credit, insurance or essential services."""
    AUTOMATIC = "automatic"
    """It decides without a person, with legal effects."""
    IMPACT = "impact"
    """An impact assessment is due (GDPR art. 35)."""


class Blocks(StrEnum):
    """The step that is refused while a duty is not met."""

    NOTHING = "nothing"
    TRAINING = "training"
    PRODUCTION = "production"
    SERVING = "serving"
    DELETION = "deletion"


class Duty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One duty.

    Attributes:
        id: its name in commands and exceptions.
        article: where it stands in its law.
        title: what it is about, in a few words.
        applies: the day from which the law asks for it; Thrive asks before that day.
        queries: names of the evidence that the records give.
        fields: what a person writes.
        check: the name of the check that judges it.
        refuses: risk classes for which it blocks its step while it is not met.
        warns: risk classes for which it is only told.
        when: what a model must be for the duty to be in force.
        blocks: the step it blocks.
        documents: in which documents it stands.
        section: under which heading.
        law: the name of its law.
    """

    id: str
    article: str
    title: str
    applies: date
    queries: list[str]
    check: str
    blocks: Blocks
    documents: list[str]
    section: str
    fields: list[str] = []
    refuses: list[Risk] = []
    warns: list[Risk] = []
    when: When = When.ALWAYS
    law: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person is asked to write of a model.

    Attributes:
        ask: the question.
        example: an answer of the form that is wanted.
        risk: the risk classes that are asked.
        when: what a model must be to be asked.
        kind: the form of the answer.
        choices: the only answers there are, where there are only some.
        once: asked once of the project, for all of its models; a model may say it otherwise.
    """

    ask: str
    example: str
    risk: list[Risk]
    when: When = When.ALWAYS
    kind: Literal["text", "date", "level"] = "text"
    choices: list[str] = []
    once: bool = False


class _Law(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    law: int
    name: str
    duty: list[Duty]


class Questions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people are asked, and the two words of the law that data alone can say.

    Attributes:
        law: the number of this format.
        field: the questions by the name of their field.
        special_categories: kinds of personal data of GDPR art. 9.
        many_persons: from how many persons on processing counts as large.
    """

    law: int
    field: dict[str, Question]
    special_categories: frozenset[str]
    many_persons: int


@cache
def duties() -> tuple[Duty, ...]:
    """Return every duty, in the order of its law."""
    found: list[Duty] = []
    for name in LAWS:
        law = msgspec.convert(_read(name), _Law)
        found += [msgspec.structs.replace(duty, law=law.name) for duty in law.duty]
    return tuple(found)


@cache
def questions() -> Questions:
    """Return what people are asked."""
    return msgspec.convert(_read("fields"), Questions)


def find_duty(name: str) -> Duty | None:
    """Return the duty of an id, or None."""
    return next((duty for duty in duties() if duty.id == name), None)


def short_name(law: str) -> str:
    """Return the short name of a law, which stands in brackets in its full one."""
    found = re.findall(r"\(([^)]+)\)", law)
    return found[-1] if found else law


def _read(name: str) -> dict[str, object]:
    return tomllib.loads(
        files("thrive.governance.law").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    )
