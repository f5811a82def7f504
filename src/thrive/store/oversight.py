"""Incidents, drills, grants of data, reads under them, and reviews of answers."""

from typing import Any

import msgspec
import sqlalchemy as sa

from thrive.domain.duty import (
    AuditSeal,
    DataGrant,
    DataRead,
    Drill,
    ExplanationTrial,
    Incident,
    Review,
)
from thrive.store.database import Tx
from thrive.store.rows import (
    insert,
    insert_missing,
    many,
    mine,
    named,
    replace,
    to_row,
    upsert,
)
from thrive.store.tables.governance import (
    audit_seals,
    data_grants,
    data_reads,
    drills,
    explanation_trials,
    incidents,
)
from thrive.store.tables.predictions import reviews


def _newest(table: sa.Table, project_id: str, key: str, **equal: Any) -> sa.Select[Any]:
    query = mine(table, project_id)
    for name, value in equal.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    return query.order_by(table.c[key].desc())


def add_incident(tx: Tx, project_id: str, incident: Incident) -> None:
    """Insert an incident."""
    insert(tx, project_id, incidents, incident)


def save_incident(tx: Tx, project_id: str, incident: Incident) -> None:
    """Write an incident anew."""
    replace(tx, project_id, incidents, incident)


def find_incidents(tx: Tx, project_id: str, model: str | None = None) -> list[Incident]:
    """Return incidents (of a model), newest first."""
    return many(tx, Incident, _newest(incidents, project_id, "incident_id", model=model))


def get_incident(tx: Tx, project_id: str, incident_id: str) -> Incident:
    """Return an incident by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    return named(tx, project_id, Incident, incidents.c.incident_id, incident_id, "incident")


def add_drill(tx: Tx, project_id: str, drill: Drill) -> None:
    """Insert a drill."""
    insert(tx, project_id, drills, drill)


def find_drills(tx: Tx, project_id: str, model: str | None = None) -> list[Drill]:
    """Return drills (of a model), newest first."""
    return many(tx, Drill, _newest(drills, project_id, "drill_id", model=model))


def add_trial(tx: Tx, project_id: str, trial: ExplanationTrial) -> None:
    """Insert the trial of an explanation."""
    insert(tx, project_id, explanation_trials, trial)


def find_trials(
    tx: Tx, project_id: str, model: str | None = None, limit: int = 100
) -> list[ExplanationTrial]:
    """Return the newest trials of explanations (of a model), newest first."""
    query = _newest(explanation_trials, project_id, "trial_id", model=model)
    return many(tx, ExplanationTrial, query.limit(limit))


def add_seal(tx: Tx, project_id: str, seal: AuditSeal) -> None:
    """Keep the signed head of the audit chain."""
    insert_missing(tx, audit_seals, [to_row(project_id, seal, audit_seals)])


def find_seals(tx: Tx, project_id: str) -> list[AuditSeal]:
    """Return every signed head, newest first."""
    return many(tx, AuditSeal, _newest(audit_seals, project_id, "seq"))


def add_grant(tx: Tx, project_id: str, grant: DataGrant) -> None:
    """Insert a grant."""
    insert(tx, project_id, data_grants, grant)


def find_grants(tx: Tx, project_id: str, dataset: str | None = None) -> list[DataGrant]:
    """Return grants (of a dataset), newest first, those that are over too."""
    return many(tx, DataGrant, _newest(data_grants, project_id, "grant_id", dataset=dataset))


def get_grant(tx: Tx, project_id: str, grant_id: str) -> DataGrant:
    """Return a grant by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    return named(tx, project_id, DataGrant, data_grants.c.grant_id, grant_id, "grant")


def revoke_grant(tx: Tx, project_id: str, grant_id: str, at: int) -> DataGrant:
    """End a grant; one that is revoked already stays as it is.

    Raises:
        NotFound: there is none of that id.
    """
    found = get_grant(tx, project_id, grant_id)
    if found.revoked_at is None:
        found = msgspec.structs.replace(found, revoked_at=at)
        replace(tx, project_id, data_grants, found)
    return found


def add_read(tx: Tx, project_id: str, read: DataRead) -> None:
    """Log that somebody read columns that hold personal data."""
    insert(tx, project_id, data_reads, read)


def find_reads(
    tx: Tx, project_id: str, dataset: str | None = None, limit: int | None = 1000
) -> list[DataRead]:
    """Return who read what (of a dataset), newest first; all of it for a limit of None."""
    query = _newest(data_reads, project_id, "read_id", dataset=dataset)
    return many(tx, DataRead, query.limit(limit))


def save_review(tx: Tx, project_id: str, review: Review) -> None:
    """Write what a person said of an answer; what was said before of the same one is replaced."""
    upsert(tx, project_id, reviews, review)


def count_reviews(tx: Tx, project_id: str, model: str, version: int) -> dict[str, int]:
    """Return how many answers of a version wait for a person (""), were kept, were overridden."""
    query = (
        sa.select(reviews.c.decision, sa.func.count())
        .where(
            reviews.c.project_id == project_id,
            reviews.c.model == model,
            reviews.c.version == version,
        )
        .group_by(reviews.c.decision)
    )
    return {str(row[0]): int(row[1]) for row in tx.execute(query)}
