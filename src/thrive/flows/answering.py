"""What people write of a model: from `governance.toml` in the project's git into its records."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from thrive.contract.lines import path_of
from thrive.contract.parse import load
from thrive.domain.actor import AUTHORS
from thrive.domain.duty import DutyAnswers
from thrive.domain.errors import NotFound
from thrive.domain.identifiers import checked_name
from thrive.governance.answers import (
    ANSWERS_FILE,
    checked_answers,
    parse_given,
    read_answers,
    write_answers,
)
from thrive.governance.checks.registry import asked
from thrive.governance.evaluate import blocking_fields
from thrive.governance.law import Blocks, questions
from thrive.governance.records import Records, read_records
from thrive.operations import Context, Kind, operation
from thrive.store import duties, models
from thrive.tracking.code import commit_of


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """A question that has no answer: its field, with an example.

    `blocks` is the step that is refused until it is answered, "nothing" where it is only told;
    `once` says that it is asked once of the project, for all of its models.
    """

    field: str
    blocks: Blocks
    ask: str
    example: str
    once: bool = False


class AnswersTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken in of a model, and what is still asked.

    `revision` counts what was taken in; the same words again leave it as it is.
    """

    model: str
    revision: int
    answered: int
    risks: int
    unanswered: list[Unanswered]
    file: str = ANSWERS_FILE


@operation("duties answer", kind=Kind.CLIENT, role=AUTHORS, writes=True)
def duties_answer(ctx: Context, model: str, *, field: list[str] | None = None) -> AnswersTaken:
    """Write what people say of a model into governance.toml, and take the file in.

    Without --field the file is taken in as it is: commit it, it is part of the project. What is
    still asked is returned with an example each, what blocks a release first; a model of minimal
    risk is asked twelve things. What is asked once, where there is personal data, stands in
    [project] for all models.

    Args:
        model: the model's name.
        field: answers as NAME=TEXT; written into the file with its comments kept.

    Raises:
        NotFound: neither the contract nor the registry has such a model.
        ContractError: the file cannot be read, or an answer has not the form that is wanted.
        UsageError: an answer is no NAME=TEXT.

    Examples:
        thrive duties answer flight-delay
        thrive duties answer flight-delay --field contact="flights-ml@example.org"
    """
    name = checked_name(model, "model")
    folder = ctx.local_folder()
    _refuse_unknown(ctx, folder, name)
    if field:
        write_answers(folder, name, parse_given(field))
    answers = read_answers(folder, name)
    return take_in(ctx, answers, commit_of(folder))


def _refuse_unknown(ctx: Context, folder: Path, model: str) -> None:
    """Refuse answers about a model that is none: they would stand in the file unread."""
    with ctx.read() as tx:
        known = {each.name for each in models.find(tx, ctx.project_id)}
    if model not in known:
        known |= set(load(folder).contract.model)
    if model not in known:
        near = f"; there are {', '.join(sorted(known))}" if known else ""
        raise NotFound(f"There is no model {model!r}{near}.", f"add [{path_of('model', model)}]")


@operation("duties commit", role=AUTHORS, writes=True)
def duties_commit(
    ctx: Context,
    model: str,
    *,
    fields: dict[str, Any] | None = None,
    risks: dict[str, Any] | None = None,
    population: dict[str, Any] | None = None,
    commit: str = "",
) -> AnswersTaken:
    """Take in what was read from a governance.toml elsewhere: the second half of `duties answer`.

    Args:
        model: the model's name.
        fields: the answers, by field.
        risks: the risk register, by name.
        population: the shares of the population, by column and group.
        commit: of the project the file belongs to.

    Examples:
        thrive duties commit flight-delay
    """
    name = checked_name(model, "model")
    said = {**(fields or {}), "risks": risks or {}, "population": population or {}}
    return take_in(ctx, checked_answers(name, said), commit)


def take_in(ctx: Context, answers: DutyAnswers, commit: str) -> AnswersTaken:
    """Keep answers as a revision of their own, and say what is still asked."""
    with ctx.read() as tx:
        kept = duties.find_answers(tx, ctx.project_id, answers.model)
    said = answers.fields or answers.risks or answers.population
    if kept.digest != answers.digest and (said or kept.revision):
        signed = msgspec.structs.replace(
            answers, commit=commit[:64], actor=ctx.actor.name, at=ctx.now()
        )
        detail = {"digest": answers.digest, "fields": sorted(answers.fields)}
        with ctx.write(f"answers:{answers.model}", **detail) as tx:
            kept = duties.add_answers(tx, ctx.project_id, signed)
    return AnswersTaken(
        model=answers.model,
        revision=kept.revision,
        answered=len(answers.fields),
        risks=len(answers.risks),
        unanswered=still_asked(ctx, answers),
    )


def still_asked(ctx: Context, answers: DutyAnswers) -> list[Unanswered]:
    """Return what is asked of a model and has no answer, as its newest version has it."""
    try:
        records = read_records(ctx, answers.model)
    except NotFound:  # nothing is registered yet: what every model is asked
        known = questions().field
        names = [name for name, each in known.items() if each.when == "always"]
        minimal = [name for name in names if "minimal" in known[name].risk]
        return _without_answer(minimal, answers, {})
    return asked_of(msgspec.structs.replace(records, answers=answers))


def asked_of(records: Records) -> list[Unanswered]:
    """Return what is asked of the version of some records, what blocks first, and unanswered."""
    names = [name for name in questions().field if asked(records, name)]
    blocking = blocking_fields(records)
    return _without_answer(
        sorted(names, key=lambda name: name not in blocking), records.answers, blocking
    )


def _without_answer(
    names: list[str], answers: DutyAnswers, blocking: Mapping[str, Blocks]
) -> list[Unanswered]:
    known = questions().field
    return [
        Unanswered(
            field=name,
            blocks=blocking.get(name, Blocks.NOTHING),
            ask=known[name].ask,
            example=known[name].example,
            once=known[name].once,
        )
        for name in names
        if not answers.fields.get(name)
    ]
