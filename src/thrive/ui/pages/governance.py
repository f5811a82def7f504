"""Governance: what an auditor asks of the whole project, and where each answer stands."""

import msgspec

from thrive.domain.duty import (
    AuditSeal,
    DataGrant,
    DutyException,
    Incident,
    LegalHold,
    Restriction,
    StoredDocument,
)
from thrive.flows.facts import ModelFacts
from thrive.flows.fleet import every_model
from thrive.operations import Context
from thrive.store import duties, holds, oversight, restrictions

DOCUMENTS, SEALS = 50, 10


class ModelRisk(msgspec.Struct, frozen=True, kw_only=True):
    """One model: its risk class as the contract says, its owner, and what the contract leaves open.

    `production` is the version in production, None without one.
    """

    name: str
    owner: str
    risk: str
    production: int | None
    gaps: int


class GovernancePage(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded beside the models.

    Attributes:
        models: those in production first.
        incidents: newest first.
        holds: those that were not lifted.
        exceptions: those that hold now.
        grants: leave to read personal data that holds now.
        restrictions: people who are left out of what is used.
        documents: the newest.
        seals: signed heads of the audit chain, newest first.
    """

    now: int
    models: list[ModelRisk]
    incidents: list[Incident]
    holds: list[LegalHold]
    exceptions: list[DutyException]
    grants: list[DataGrant]
    restrictions: list[Restriction]
    documents: list[StoredDocument]
    seals: list[AuditSeal]


def load(ctx: Context) -> GovernancePage:
    """Return what is recorded beside the models."""
    now, project = ctx.now(), ctx.project_id
    with ctx.read() as tx:
        incidents = oversight.find_incidents(tx, project)
        held = holds.find_holds(tx, project)
        exceptions = duties.find_exceptions(tx, project)
        grants = oversight.find_grants(tx, project)
        left_out = restrictions.find(tx, project)
        documents = duties.find_documents(tx, project)
        seals = oversight.find_seals(tx, project)
    lines = [_line(facts) for facts in every_model(ctx)]
    return GovernancePage(
        now=now,
        models=sorted(lines, key=lambda each: (each.production is None, each.name)),
        incidents=incidents,
        holds=held,
        exceptions=[each for each in exceptions if each.good(now)],
        grants=[each for each in grants if each.good(now)],
        restrictions=left_out,
        documents=documents[:DOCUMENTS],
        seals=seals[:SEALS],
    )


def _line(facts: ModelFacts) -> ModelRisk:
    return ModelRisk(
        name=facts.model.name,
        owner=facts.terms.model.owner or facts.model.owner,
        risk=facts.terms.model.risk.value,
        production=facts.production.version if facts.production is not None else None,
        gaps=len(facts.gaps),
    )
