"""`governance.toml`: what people write, in the project's folder and under its git.

A table [model.NAME] holds what is said of a model; [project] what is asked once, for all of them.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import blake3
import msgspec

from thrive.contract.answer import with_answer
from thrive.domain.duty import DutyAnswers, RiskEntry
from thrive.domain.errors import ContractError, UsageError
from thrive.governance.checks.registry import ill_formed
from thrive.governance.law import questions

ANSWERS_FILE = "governance.toml"
ANSWERS_FORMAT = 1
PROJECT = "project"
"""The table of what is asked once."""
_MOVED = {"log_retention": 'write log = { retention = "1 year" } in thrive.toml, which is kept to'}
"""What was an answer once, and what to write now."""
SEVERITIES = ("low", "medium", "high")
_HEAD = (
    "# What people say of each model; `thrive duties list MODEL` names what is still to be said.\n"
    f"governance = {ANSWERS_FORMAT}\n"
)


def read_answers(folder: Path, model: str) -> DutyAnswers:
    """Return what `governance.toml` in a folder says of a model; nothing where there is none.

    Raises:
        ContractError: the file cannot be read, or a key or an answer has another form.
    """
    text = _text(folder)
    return parse_answers(text, model)


def parse_answers(text: str, model: str) -> DutyAnswers:
    """Return what the text of `governance.toml` says of a model; raises as `read_answers`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ContractError(
            f"{ANSWERS_FILE}: not TOML: {error}.", "see the line it names"
        ) from None
    number = raw.get("governance", ANSWERS_FORMAT)
    if number != ANSWERS_FORMAT:
        raise ContractError(
            f"{ANSWERS_FILE}: governance = {number!r} is a format this Thrive does not read.",
            f"write governance = {ANSWERS_FORMAT}",
        )
    models: Any = raw.get("model", {})
    said: Any = models.get(model, {}) if isinstance(models, dict) else {}
    if not isinstance(said, dict):
        raise ContractError(f"{ANSWERS_FILE}: model.{model} is no table.", f"write [model.{model}]")
    shared = raw.get(PROJECT, {})
    if not isinstance(shared, dict):
        raise ContractError(f"{ANSWERS_FILE}: {PROJECT} is no table.", f"write [{PROJECT}]")
    for name in shared:
        if name in questions().field and not questions().field[name].once:
            cure = f"write it in [model.{model}]"
            raise ContractError(f"{ANSWERS_FILE}: {PROJECT}.{name} is asked of each model.", cure)
    return checked_answers(model, {**shared, **said})


def checked_answers(model: str, said: Mapping[str, Any]) -> DutyAnswers:
    """Return the answers in a table, with their digest.

    Raises:
        ContractError: a key is unknown or an answer has not the form that is wanted.
    """
    rest = dict(said)
    risks = _risks(model, rest.pop("risks", {}))
    population = _population(model, rest.pop("population", {}))
    fields: dict[str, str] = {}
    for name, value in rest.items():
        fields[name] = _checked(model, name, value)
    all_of_it: dict[str, Any] = {"fields": fields, "risks": risks}
    if population:
        all_of_it["population"] = population
    words = msgspec.json.encode(all_of_it, order="deterministic")
    digest = blake3.blake3(words).hexdigest()
    return DutyAnswers(
        model=model, digest=digest, fields=fields, risks=risks, population=population
    )


def _checked(model: str, name: str, value: object) -> str:
    question = questions().field.get(name)
    if question is None:
        if name in _MOVED:
            raise ContractError(f"{ANSWERS_FILE}: model.{model}.{name} is no answer.", _MOVED[name])
        near = difflib.get_close_matches(name, questions().field, n=1)
        hint = f"did you mean {near[0]}?" if near else f"thrive duties list {model}"
        raise ContractError(f"{ANSWERS_FILE}: nothing asks for model.{model}.{name}.", hint)
    text = value.isoformat() if hasattr(value, "isoformat") else value  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - a TOML date
    if not isinstance(text, str):
        raise ContractError(
            f"{ANSWERS_FILE}: model.{model}.{name} is no text.", f'write {name} = "..."'
        )
    wrong = ill_formed(question, text) if text else ""
    if wrong:
        raise ContractError(f"{ANSWERS_FILE}: model.{model}.{name}: {wrong}.", question.ask)
    return text


def _risks(model: str, raw: object) -> dict[str, RiskEntry]:
    try:
        risks = msgspec.convert(raw, dict[str, RiskEntry], strict=True)
    except msgspec.ValidationError as error:
        raise ContractError(
            f"{ANSWERS_FILE}: model.{model}.risks: {error}.",
            f'write [model.{model}.risks.NAME] with what = "..." and severity = "high"',
        ) from None
    for name, risk in risks.items():
        if risk.severity not in SEVERITIES:
            raise ContractError(
                f"{ANSWERS_FILE}: model.{model}.risks.{name}: severity {risk.severity!r}.",
                f"write one of {', '.join(SEVERITIES)}",
            )
        date_question = questions().field["review_date"]
        wrong = ill_formed(date_question, risk.review_by) if risk.review_by else ""
        if wrong:
            raise ContractError(f"{ANSWERS_FILE}: model.{model}.risks.{name}: {wrong}.", "a date")
    return risks


def _population(model: str, raw: object) -> dict[str, dict[str, float]]:
    """Return the shares of the population by column and group; each column's make at most 1."""
    at, cure = (
        f"{ANSWERS_FILE}: model.{model}.population",
        f"write [model.{model}.population.COLUMN] with GROUP = 0.25",
    )
    try:
        shares = msgspec.convert(raw, dict[str, dict[str, float]], strict=True)
    except msgspec.ValidationError as error:
        raise ContractError(f"{at}: {error}.", cure) from None
    for column, groups in shares.items():
        for group, share in groups.items():
            if not 0 < share <= 1:
                raise ContractError(f"{at}.{column}.{group}: {share!r} is no share.", cure)
        if sum(groups.values()) > 1 + 1e-6:
            raise ContractError(f"{at}.{column}: the shares make more than 1.", cure)
    return shares


def parse_given(given: list[str]) -> dict[str, str]:
    """Return answers that were given as NAME=TEXT.

    Raises:
        UsageError: one has another form.
    """
    found: dict[str, str] = {}
    for each in given:
        name, mark, text = each.partition("=")
        if not mark or not text.strip():
            raise UsageError(f"{each[:60]!r} is no NAME=TEXT.", '--field contact="..."')
        found[name.strip()] = text.strip()
    return found


def write_answers(folder: Path, model: str, given: Mapping[str, str]) -> None:
    """Write answers into `governance.toml`, keeping its comments; all of them or none.

    Raises:
        ContractError: one is not asked for, or has not the form that is wanted.
    """
    text = _text(folder) or _HEAD
    for name, value in given.items():
        checked = _checked(model, name, value)
        text = with_answer(text, _place(text, model, name), checked)
    parse_answers(text, model)
    path = folder / ANSWERS_FILE
    draft = path.with_suffix(".toml.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _place(text: str, model: str, name: str) -> tuple[str, ...]:
    """Return where an answer is written: of a model, or what is asked once of the project."""
    own = tomllib.loads(text).get("model", {}).get(model, {})
    is_shared = questions().field[name].once and name not in own
    return (PROJECT, name) if is_shared else ("model", model, name)


def _text(folder: Path) -> str:
    try:
        return (folder / ANSWERS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise ContractError(f"{ANSWERS_FILE} is not UTF-8.", "save it as UTF-8") from None
