"""The duties of a model: what is owed, what people answered, and the papers that follow from it."""

from collections.abc import Mapping

import msgspec

from thrive.domain.duty import (
    Drill,
    DutyAnswers,
    DutyException,
    Incident,
    LegalHold,
    StoredDocument,
)
from thrive.domain.errors import ThriveError
from thrive.domain.reference import format_reference
from thrive.flows.answering import Unanswered, asked_of
from thrive.flows.facts import one_model
from thrive.governance.document import DocumentKind
from thrive.governance.evaluate import DutyState, Standing
from thrive.governance.evidence import QUERIES
from thrive.governance.facts import Fact
from thrive.governance.operations import owed
from thrive.governance.records import read_records
from thrive.operations import Context
from thrive.registry.stages import champion
from thrive.store import duties, holds, oversight
from thrive.ui.pages.model import ModelHead, head_of

OVERSIGHT = ("automated-share", "reviews", "overrides")
"""The evidence of what people had a hand in."""
OWED = (Standing.MISSING, Standing.EXCEPTED)


class DutiesPage(msgspec.Struct, frozen=True, kw_only=True):
    """What is owed for the live version, or for the newest without one.

    Attributes:
        version: 0 for a model that has none yet.
        label: the version as it is named, the model without one.
        owed: duties that are missing or excepted, what blocks first.
        met: those that are met; the rest is not asked of a version like this.
        not_asked: how many those are.
        why_not: why nothing could be judged, "" if it was.
        answers: what people wrote, as it was taken in last.
        asked: what is still asked.
        exceptions: newest first, those that are over too.
        documents: of any version, newest first.
        kinds: the documents that can be rendered.
        incidents: newest first.
        holds: those that keep this model, or all, from deletion.
        drills: trials of the stop button, newest first.
        oversight: how much people looked at, and the share that was decided without one.
    """

    now: int
    tab: str
    name: str
    head: ModelHead
    version: int
    label: str
    owed: list[DutyState]
    met: list[DutyState]
    not_asked: int
    why_not: str
    answers: DutyAnswers
    asked: list[Unanswered]
    exceptions: list[DutyException]
    documents: list[StoredDocument]
    kinds: list[str]
    incidents: list[Incident]
    holds: list[LegalHold]
    drills: list[Drill]
    oversight: list[Fact]


def load(ctx: Context, words: Mapping[str, str]) -> DutiesPage:
    """Return what is owed for a model.

    Raises:
        NotFound: there is no such model.
    """
    name, project = words["name"], ctx.project_id
    facts = one_model(ctx, name)
    version = champion(facts.history) or next((each.version for each in facts.versions), 0)
    with ctx.read() as tx:
        answers = duties.find_answers(tx, project, name)
        papers = duties.find_documents(tx, project)
        held = holds.find_holds(tx, project)
        incidents = oversight.find_incidents(tx, project, name)
        drills = oversight.find_drills(tx, project, name)
        exceptions = duties.find_exceptions(tx, project, name)
    label = format_reference(name, version) if version else name
    states, asked, overseen, why_not = _judged(ctx, label, answers)
    return DutiesPage(
        now=ctx.now(),
        tab="duties",
        name=name,
        head=head_of(facts),
        version=version,
        label=label,
        owed=[each for each in states if each.standing in OWED],
        met=[each for each in states if each.standing is Standing.MET],
        not_asked=sum(each.standing is Standing.NOT_ASKED for each in states),
        why_not=why_not,
        answers=answers,
        asked=asked,
        exceptions=exceptions,
        documents=[each for each in papers if each.subject.partition("@")[0] == name],
        kinds=[kind.value for kind in DocumentKind],
        incidents=incidents,
        holds=[each for each in held if _holds(each.subject, name)],
        drills=drills,
        oversight=overseen,
    )


def _judged(
    ctx: Context, label: str, answers: DutyAnswers
) -> tuple[list[DutyState], list[Unanswered], list[Fact], str]:
    try:
        records = msgspec.structs.replace(read_records(ctx, label), answers=answers)
        overseen = [fact for name in OVERSIGHT for fact in QUERIES[name](records)]
        return owed(records, met=True), asked_of(records), overseen, ""
    except ThriveError as error:  # its package is gone; the page shows the rest
        return [], [], [], error.what


def _holds(subject: str, model: str) -> bool:
    kind, _, held = subject.partition(":")
    return kind == "project" or (kind == "model" and held.partition("@")[0] == model)
