"""What a project owes and how it answers: words, exceptions, documents, holds, reviews."""

from enum import StrEnum
from typing import Any

import msgspec

from thrive.domain.clock import DAY

KEPT_FOR = 3653 * DAY
"""AI Act art. 18: documentation is kept for ten years."""


class RiskEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a model's risk register (AI Act art. 9).

    Attributes:
        what: what could go wrong, for whom.
        severity: low, medium or high.
        measure: what is done against it.
        evidence: the check or monitor that watches it, as `check:NAME` or `monitor:CAUSE`.
        accepted_by: who accepts what remains, "" while nobody does.
        review_by: ISO date by which it is looked at again, "" if not said.
    """

    what: str
    severity: str = "medium"
    measure: str = ""
    evidence: str = ""
    accepted_by: str = ""
    review_by: str = ""


class DutyAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """What people wrote of a model in `governance.toml`, as it was taken in.

    `digest` is that of the model's part of the file; `revision` counts what was taken in.
    `population` is, by column, the share that each group has of those the model is about.
    """

    model: str
    revision: int = 0
    digest: str = ""
    fields: dict[str, str] = {}
    risks: dict[str, RiskEntry] = {}
    population: dict[str, dict[str, float]] = {}
    commit: str = ""
    actor: str = ""
    at: int = 0


class DutyException(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to pass without a duty until a day: who gave it, in which role, why."""

    exception_id: str
    model: str
    duty: str
    role: str
    actor: str
    reason: str
    given_at: int
    expires_at: int
    own_work: bool = False
    revoked_at: int | None = None

    def good(self, now: int) -> bool:
        """Tell whether it holds at a moment (UTC microseconds)."""
        return self.revoked_at is None and now < self.expires_at


class StoredDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered document by the digests of its three forms; `digest` is that of its JSON.

    `subject` is MODEL@VERSION, or the project's name; `missing` counts facts nobody recorded.
    """

    kind: str
    subject: str
    digest: str
    html: str
    markdown: str
    missing: int
    actor: str
    at: int
    release_id: str = ""

    @property
    def kept_until(self) -> int:
        """The moment until which it is kept, UTC microseconds."""
        return self.at + KEPT_FOR


class IncidentKind(StrEnum):
    """What happened, by the reporting time it has (AI Act art. 73; GDPR art. 33)."""

    SERIOUS = "serious"
    DEATH = "death"
    WIDESPREAD = "widespread"
    BREACH = "breach"


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A serious incident with its clock; while it is open its evidence is held.

    Attributes:
        aware_at: when somebody became aware: the clock runs from here.
        due_at: when the report is due.
        evidence: alerts, windows and releases of the time, and how many predictions.
        reported_at: when it was reported, None before.
        authority: whom it was reported to.
        cause: the causal link, as people found it.
        report: digest of the report.
    """

    incident_id: str
    model: str
    version: int
    kind: IncidentKind
    what: str
    actor: str
    aware_at: int
    opened_at: int
    due_at: int
    evidence: dict[str, Any] = {}
    reported_at: int | None = None
    authority: str = ""
    cause: str = ""
    report: str = ""
    reported_by: str = ""


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """A trial of the stop button: microseconds until every host followed, None if one did not."""

    drill_id: str
    model: str
    actor: str
    at: int
    hosts: int
    took: int | None
    words: str = ""


class ExplanationTrial(msgspec.Struct, frozen=True, kw_only=True):
    """A past answer that was reproduced and explained, for a trial (AI Act art. 86).

    `reproduced` says that the stored version answers the record's inputs as it did then; `words`
    is what was found, or why it could not be explained.
    """

    trial_id: str
    model: str
    version: int
    prediction_id: str
    at: int
    reproduced: bool
    words: str = ""


class AuditSeal(msgspec.Struct, frozen=True, kw_only=True):
    """The signed head of the audit chain: entry `seq` had `digest`; Ed25519 over `statement`."""

    seq: int
    digest: str
    at: int
    signature: str = ""
    signed_by: str = ""

    def statement(self, project_id: str) -> bytes:
        """Return what is signed."""
        return f"thrive audit 1\n{project_id} {self.seq} {self.digest} {self.at}".encode()


class LegalHold(msgspec.Struct, frozen=True, kw_only=True):
    """An order not to delete; `subject` is `dataset:NAME`, `model:NAME[@VERSION]` or `project`."""

    hold_id: str
    subject: str
    reason: str
    actor: str
    placed_at: int
    lifted_by: str = ""
    lifted_for: str = ""
    lifted_at: int | None = None


class RestrictionKind(StrEnum):
    """Why a person's data is left out."""

    RESTRICTION = "restriction"
    """GDPR art. 18: it is stored, and used for nothing else."""
    OBJECTION = "objection"
    """GDPR art. 7(3), 21: consent was withdrawn, or the person objects."""


class Restriction(msgspec.Struct, frozen=True, kw_only=True):
    """An order to leave a person out of whatever is read to be used; the rows stay stored.

    Attributes:
        restriction_id: its id.
        kind: why.
        person: a keyed digest: it says of a value that it is the person, and of nobody who it is.
        columns: those that named people when it was placed.
        reason: in words, e.g. the number of the request.
        actor: who placed it.
        placed_at: UTC microseconds.
        held: the versions of datasets that held rows of the person then, as NAME@VERSION.
        digests: of the content of these.
        rows: how many rows, over all of them.
        asked: digests by which model servers know the person, of the value and of its pseudonym.
        asked_key: their key, which servers are given.
        lifted_by: who ended it, "" while it holds.
        lifted_for: why.
        lifted_at: when.
    """

    restriction_id: str
    kind: RestrictionKind
    person: str
    columns: list[str]
    reason: str
    actor: str
    placed_at: int
    held: list[str] = []
    digests: list[str] = []
    rows: int = 0
    asked: str = ""
    asked_key: str = ""
    lifted_by: str = ""
    lifted_for: str = ""
    lifted_at: int | None = None


class DataGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to read labelled columns of a dataset in the clear, for one purpose, until a day."""

    grant_id: str
    dataset: str
    columns: list[str]
    reader: str
    purpose: str
    reason: str
    actor: str
    given_at: int
    expires_at: int
    revoked_at: int | None = None

    def good(self, now: int) -> bool:
        """Tell whether it holds at a moment (UTC microseconds)."""
        return self.revoked_at is None and now < self.expires_at


SUBJECT_ACCESS = "subject access"
"""For what a person's own data is read when they ask for it: the law allows that of any data."""


class DataRead(msgspec.Struct, frozen=True, kw_only=True):
    """Who read which columns of a version that hold personal data, for what, under which grant."""

    read_id: str
    dataset: str
    version: int
    columns: list[str]
    pseudonymised: list[str]
    reader: str
    purpose: str
    rows: int
    at: int
    grant_id: str = ""


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that a person looks at: kept as it was, or overridden by another value."""

    prediction_id: str
    model: str
    version: int
    why: str
    asked_by: str
    asked_at: int
    decision: str = ""
    value: Any = None
    reason: str = ""
    reviewer: str = ""
    decided_at: int | None = None
