"""Each duty judged on one version: met, missing or excepted; who owes it and what it blocks."""

from enum import StrEnum

import msgspec

from thrive.contract.lines import line_of
from thrive.contract.schema import Risk
from thrive.domain.clock import format_time
from thrive.domain.duty import DutyException
from thrive.governance.applies import is_about
from thrive.governance.checks import (
    ANSWER_OPTION,
    CHECKS,
    Problem,
    unanswered,
)
from thrive.governance.evidence import QUERIES
from thrive.governance.facts import Fact
from thrive.governance.law import Blocks, Duty, duties, short_name
from thrive.governance.records import Records

ANSWERS_FILE = "governance.toml"
TOLD = 3
"""So many of the problems of one duty are told; the rest are counted."""


class Standing(StrEnum):
    """How a version stands to a duty."""

    MISSING = "missing"
    EXCEPTED = "excepted"
    MET = "met"
    NOT_ASKED = "not asked"


class DutyState(msgspec.Struct, frozen=True, kw_only=True):
    """One duty on one version.

    Attributes:
        id: the duty.
        law: its law.
        article: where it stands there.
        cited: both in short, e.g. "GDPR art. 16".
        title: what it is about.
        applies: ISO date from which the law asks for it.
        standing: met, missing, excepted or not asked of a version like this.
        blocks: the step that is refused while it is missing, "nothing" if it only warns.
        owner: who owes it.
        where: the file and line that are about it, "" where none is.
        what: what is missing, in words; for an exception who gave it, why and until when.
        fix: what to type.
    """

    id: str
    law: str
    article: str
    cited: str
    title: str
    applies: str
    standing: Standing
    blocks: Blocks
    owner: str = ""
    where: str = ""
    what: str = ""
    fix: str = ""

    @property
    def line(self) -> str:
        """What is missing in one line: where, its law, what, who owes it, what to type."""
        where = f"{self.where}: " if self.where else ""
        return f"{where}{self.cited}: {self.what} (owed by {self.owner}): {self.fix}"


def judge(records: Records) -> list[DutyState]:
    """Return how a version stands to every duty, in the order of the laws."""
    return [judge_duty(records, duty) for duty in duties()]


def refusing(states: list[DutyState], *steps: Blocks) -> list[DutyState]:
    """Return the duties that are missing and block one of some steps."""
    return [each for each in states if each.standing is Standing.MISSING and each.blocks in steps]


def blocking(states: list[DutyState]) -> list[DutyState]:
    """Return the duties for which a release is refused."""
    return refusing(states, Blocks.TRAINING, Blocks.PRODUCTION, Blocks.SERVING)


def blocking_ahead(records: Records) -> list[DutyState]:
    """Return the duties that will block a release even when gates passed and people approved."""
    return blocking([judge_duty(records, duty, ahead=True) for duty in duties()])


def judge_duty(records: Records, duty: Duty, *, ahead: bool = False) -> DutyState:
    """Return how a version stands to one duty.

    Args:
        records: what is recorded of the version.
        duty: the duty.
        ahead: as if the version had what it gets on its way: a verdict, approvals.
    """
    in_force = records.risk in {*duty.refuses, *duty.warns}
    if records.risk in {Risk.UNDECIDED, Risk.PROHIBITED}:
        in_force = Risk.MINIMAL in {*duty.refuses, *duty.warns}
    if not in_force or not is_about(records, duty.when):
        return _state(duty, Standing.NOT_ASKED)
    problems = CHECKS[duty.check](records, duty)
    found = [each for each in problems if not (ahead and each.on_its_way)]
    known = {_field(each) for each in found} - {""}
    unsaid = [
        each
        for each in unanswered(records, duty)
        if each not in found and _field(each) not in known
    ]
    if not found and not unsaid:
        return _state(duty, Standing.MET)
    first = (found or unsaid)[0]
    excepted = next(
        (one for one in records.exceptions if one.duty == duty.id and one.good(records.now)), None
    )
    if excepted is not None:
        return _excepted(duty, excepted, first)
    blocks = duty.blocks if _refuses(records, duty, found) else Blocks.NOTHING
    return _missing(records, duty, [*found, *unsaid], blocks)


def blocking_fields(records: Records) -> dict[str, Blocks]:
    """Return the step that each answer blocks while it is missing, by its field."""
    found: dict[str, Blocks] = {}
    for duty in duties():
        if duty.blocks is Blocks.NOTHING or judge_duty(records, duty).blocks is Blocks.NOTHING:
            continue
        problems = list(CHECKS[duty.check](records, duty))
        unsaid = unanswered(records, duty) if records.risk is Risk.HIGH else ()
        asked = {_field(each) for each in (*problems, *unsaid)} - {""}
        found |= dict.fromkeys(asked, duty.blocks)
    return found


def _refuses(records: Records, duty: Duty, found: list[Problem]) -> bool:
    """Tell whether what is missing blocks: words alone do so for high risk only."""
    binding = {*duty.refuses}
    if Risk.MINIMAL in binding:
        binding |= {Risk.UNDECIDED, Risk.PROHIBITED}
    return records.risk in binding and (bool(found) or records.risk is Risk.HIGH)


def _state(duty: Duty, standing: Standing) -> DutyState:
    return DutyState(
        id=duty.id,
        law=duty.law,
        article=duty.article,
        cited=_cited(duty),
        title=duty.title,
        applies=duty.applies.isoformat(),
        standing=standing,
        blocks=Blocks.NOTHING,
    )


def _excepted(duty: Duty, given: DutyException, problem: Problem) -> DutyState:
    own = ", of their own work" if given.own_work else ""
    until = f"until {format_time(given.expires_at)}"
    words = f"{problem.what}; excepted {until} by {given.actor} ({given.role}{own}): {given.reason}"
    return msgspec.structs.replace(
        _state(duty, Standing.EXCEPTED),
        owner=given.actor,
        where=f"exception:{given.exception_id}",
        what=words,
        fix=problem.fix,
    )


def _missing(records: Records, duty: Duty, problems: list[Problem], blocks: Blocks) -> DutyState:
    first, more = problems[0], len(problems) - TOLD
    told = "; ".join(each.what for each in problems[:TOLD])
    rest = f" ({more} more)" if more > 0 else ""
    return msgspec.structs.replace(
        _state(duty, Standing.MISSING),
        blocks=blocks,
        owner=_owner(records, first),
        where=_where(records, first),
        what=f"{told}{rest}",
        fix=_fix(problems),
    )


def _field(problem: Problem) -> str:
    """Return the field of `duties answer` that mends a problem, "" for one that it does not."""
    return problem.fix.partition(ANSWER_OPTION)[2].partition("=")[0]


def _fix(problems: list[Problem]) -> str:
    """Return what to type: one command for all that is to be answered, else the first cure."""
    command, mark, _ = problems[0].fix.partition(ANSWER_OPTION)
    if not mark:
        return problems[0].fix
    same = (each.fix.partition(ANSWER_OPTION) for each in problems)
    answers = dict.fromkeys(each for start, _, each in same if start == command)
    return command + "".join(f"{ANSWER_OPTION}{each}" for each in answers)


def _cited(duty: Duty) -> str:
    short = short_name(duty.law)
    return duty.article if short == duty.law else f"{short} {duty.article}"


def _owner(records: Records, problem: Problem) -> str:
    """Return who owes it: the owner of the dataset it is about, else the model's."""
    if problem.path[:1] == ("data",):
        owner = records.data_terms(problem.path[1]).owner
        if owner:
            return owner
    return (records.terms.owner if records.terms else "") or records.version.actor


def _where(records: Records, problem: Problem) -> str:
    if problem.path and records.parsed is not None:
        return f"{records.parsed.filename}:{line_of(records.parsed.lines, *problem.path)}"
    return ANSWERS_FILE if "duties answer" in problem.fix else ""


def evidence_of(records: Records, duty: Duty) -> list[Fact]:
    """Return the facts that answer a duty, each once."""
    found = [fact for name in duty.queries for fact in QUERIES[name](records)]
    return list({(fact.what, fact.source, fact.value): fact for fact in found}.values())
