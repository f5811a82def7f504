"""The documents an auditor asks for, folded from the duties and the records."""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from itertools import zip_longest

import msgspec

from thrive.governance.checks.registry import asked
from thrive.governance.evaluate import Standing, evidence_of, judge_duty
from thrive.governance.evidence.building import answers_source
from thrive.governance.facts import MISSING, Fact, Section, stated
from thrive.governance.law import Duty, duties, questions
from thrive.governance.records import Records

DOCUMENT_FORMAT = 1
NOTICE = (
    "This document repeats what was recorded; each statement names its record, and what nobody "
    "recorded is shown as missing. It is no legal advice and no proof of conformity."
)


class DocumentKind(StrEnum):
    """A document that can be rendered."""

    TECHNICAL_FILE = "technical-file"
    """AI Act annex IV."""
    PROCESSING_RECORD = "processing-record"
    """GDPR art. 30."""
    IMPACT_ASSESSMENT = "impact-assessment"
    """GDPR art. 35: a draft, and whether it is due."""
    INSTRUCTIONS = "instructions"
    """AI Act art. 13."""


TITLES = {
    DocumentKind.TECHNICAL_FILE: "Technical file (AI Act, annex IV)",
    DocumentKind.PROCESSING_RECORD: "Record of processing (GDPR, art. 30)",
    DocumentKind.IMPACT_ASSESSMENT: "Data protection impact assessment, draft (GDPR, art. 35)",
    DocumentKind.INSTRUCTIONS: "Instructions for use (AI Act, art. 13)",
}


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document about a version, or about a project; the same records give the same document.

    `subject` is MODEL@VERSION, or the name of the project.
    """

    kind: DocumentKind
    subject: str
    sections: list[Section]
    notice: str = NOTICE
    format: int = DOCUMENT_FORMAT

    @property
    def title(self) -> str:
        """What it is, and of what."""
        return f"{TITLES[self.kind]}: {self.subject}"

    @property
    def missing(self) -> int:
        """How many facts nobody recorded."""
        return sum(fact.value is None for section in self.sections for fact in section.facts)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that differs between two documents; None where one does not make it.

    What a document shows as missing is "missing".
    """

    section: str
    what: str
    before: str | None
    after: str | None


def make_document(records: Records, kind: DocumentKind) -> Document:
    """Return a document about a version, from its records alone."""
    return Document(kind=kind, subject=records.label, sections=_sections(records, kind))


def make_project_record(project: str, live: list[Records]) -> Document:
    """Return the record of processing of a project: every live version with its own headings."""
    kind = DocumentKind.PROCESSING_RECORD
    sections = [
        msgspec.structs.replace(each, title=f"{records.label}: {each.title}")
        for records in live
        for each in _sections(records, kind)
    ]
    return Document(kind=kind, subject=project, sections=sections)


def _sections(records: Records, kind: DocumentKind) -> list[Section]:
    found: dict[str, dict[tuple[str, str, str | None], Fact]] = {}
    for duty in duties():
        if kind.value not in duty.documents:
            continue
        facts = found.setdefault(_heading(duty, kind), {})
        for fact in _statements(records, duty):
            facts.setdefault((fact.what, fact.source, fact.value), fact)
    return [Section(title=title, facts=list(facts.values())) for title, facts in found.items()]


def _heading(duty: Duty, kind: DocumentKind) -> str:
    """Return the heading of a duty; the numbers of annex IV belong to the technical file alone."""
    number, _, rest = duty.section.partition(". ")
    numbered = number.isdigit() and kind is not DocumentKind.TECHNICAL_FILE
    return rest if numbered else duty.section


def _statements(records: Records, duty: Duty) -> list[Fact]:
    """Return what is stated of one duty: facts, the words of people, what its check found.

    That a check found nothing is said as that: whether a duty is met is for people to judge.
    """
    found = evidence_of(records, duty)
    source = answers_source(records)
    for name in duty.fields:
        said = records.answers.fields.get(name)
        if said or asked(records, name):
            found.append(stated(questions().field[name].ask, said, f"{source}.{name}"))
    state = judge_duty(records, duty)
    if state.standing is not Standing.NOT_ASKED:
        met = state.standing is Standing.MET
        words = "checked: nothing is missing" if met else f"missing: {state.what}"
        if state.standing is Standing.EXCEPTED:
            words = f"excepted: {state.what}"
        found.append(stated(f"{duty.title} ({duty.article})", words, f"duty:{duty.id}"))
    return found


def read_document(data: bytes) -> Document:
    """Return the document in stored bytes."""
    return msgspec.json.decode(data, type=Document)


def differences(before: Document, after: Document) -> list[Change]:
    """Return the statements in which two documents differ, in the order of the second."""
    old, new = _said(before), _said(after)
    return [
        Change(section=section, what=what, before=gone, after=come)
        for section, what in {**new, **old}
        for gone, come in _moved(old.get((section, what), []), new.get((section, what), []))
    ]


def _moved(old: list[str], new: list[str]) -> Iterator[tuple[str | None, str | None]]:
    """Pair what one heading says no more with what it says now, in order."""
    gone, come = Counter(old) - Counter(new), Counter(new) - Counter(old)
    return zip_longest(gone.elements(), come.elements())


def _said(document: Document) -> dict[tuple[str, str], list[str]]:
    """Return what stands under each heading; several decisions, say, stand under one."""
    found: dict[tuple[str, str], list[str]] = {}
    for section in document.sections:
        for fact in section.facts:
            said = MISSING if fact.value is None else fact.value
            found.setdefault((section.title, fact.what), []).append(said)
    return found
