"""Outcomes that name keys nobody was asked about, as far as is known yet."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from thrive.domain.prediction import ParkedOutcome
from thrive.store.database import Tx
from thrive.store.references import MOST_ASKED
from thrive.store.rows import many, mine, upsert
from thrive.store.tables.predictions import parked_outcomes


def save(tx: Tx, project_id: str, *rows: ParkedOutcome) -> None:
    """Park outcomes; one that is parked already takes its newest value."""
    upsert(tx, project_id, parked_outcomes, *rows)


def find(
    tx: Tx, project_id: str, model: str | None = None, limit: int = 100_000
) -> list[ParkedOutcome]:
    """Return parked outcomes (of one model), the last recorded first."""
    query = mine(parked_outcomes, project_id)
    if model is not None:
        query = query.where(parked_outcomes.c.model == model)
    ordered = query.order_by(parked_outcomes.c.recorded_at.desc(), parked_outcomes.c.parked_id)
    return many(tx, ParkedOutcome, ordered.limit(limit))


def delete(tx: Tx, project_id: str, parked_ids: Sequence[str]) -> int:
    """Delete parked outcomes; return how many there were."""
    deleted = 0
    for first in range(0, len(parked_ids), MOST_ASKED):
        some = parked_ids[first : first + MOST_ASKED]
        gone = sa.delete(parked_outcomes).where(
            parked_outcomes.c.project_id == project_id, parked_outcomes.c.parked_id.in_(some)
        )
        deleted += tx.execute(gone).rowcount
    return deleted


def delete_of(tx: Tx, project_id: str, person: Collection[str]) -> int:
    """Delete the parked outcomes one of whose keys names a person; return how many there were."""
    named = [
        row.parked_id
        for row in find(tx, project_id)
        if any(str(value) in person for value in row.entity.values())
    ]
    return delete(tx, project_id, named)
