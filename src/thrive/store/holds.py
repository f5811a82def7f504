"""Legal holds: orders not to delete, looked at by whatever takes a record away, in its transaction.

A hold is on a dataset, a model, one version of a model, or the whole project.
"""

from collections.abc import Iterator

import msgspec
import sqlalchemy as sa

from thrive.domain.duty import LegalHold
from thrive.domain.errors import Refused
from thrive.domain.identifiers import is_id
from thrive.store.database import Tx
from thrive.store.rows import insert, many, mine, named, replace
from thrive.store.tables.data import dataset_versions
from thrive.store.tables.holds import legal_holds
from thrive.store.tables.models import model_versions
from thrive.store.tables.runs import uses

PROJECT = "project"
"""The subject of a hold on all of a project."""
_INCIDENT = "incident "


def add_hold(tx: Tx, project_id: str, hold: LegalHold) -> None:
    """Insert a hold."""
    insert(tx, project_id, legal_holds, hold)


def find_holds(tx: Tx, project_id: str, *, present: bool = True) -> list[LegalHold]:
    """Return holds, newest first; only those that were not lifted unless all are asked for."""
    query = mine(legal_holds, project_id).order_by(legal_holds.c.hold_id.desc())
    if present:
        query = query.where(legal_holds.c.lifted_at.is_(None))
    return many(tx, LegalHold, query)


def get_hold(tx: Tx, project_id: str, hold_id: str) -> LegalHold:
    """Return a hold by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    return named(tx, project_id, LegalHold, legal_holds.c.hold_id, hold_id, "hold")


def lift_hold(tx: Tx, project_id: str, hold_id: str, *, by: str, reason: str, at: int) -> LegalHold:
    """Lift a hold; one that is lifted already stays as it is.

    Raises:
        NotFound: there is none of that id.
    """
    found = get_hold(tx, project_id, hold_id)
    if found.lifted_at is None:
        found = msgspec.structs.replace(found, lifted_at=at, lifted_by=by, lifted_for=reason)
        replace(tx, project_id, legal_holds, found)
    return found


def of_dataset(name: str) -> str:
    """Return the subject of a hold on a dataset."""
    return f"dataset:{name}"


def of_model(name: str, version: int | None = None) -> str:
    """Return the subject of a hold on a model, or on one version of it."""
    return f"model:{name}" if version is None else f"model:{name}@{version}"


def for_incident(incident_id: str) -> str:
    """Return the reason of the hold that an open incident places."""
    return f"{_INCIDENT}{incident_id}"


def incident_of(hold: LegalHold) -> str:
    """Return the incident that placed a hold, "" if none did."""
    found = hold.reason.removeprefix(_INCIDENT)
    return found if found != hold.reason and is_id(found) else ""


def cure_of(hold: LegalHold) -> str:
    """Return what ends a hold."""
    incident = incident_of(hold)
    if incident:
        return f'thrive incidents report {incident} --authority "..." --cause "..."'
    return f'thrive holds lift {hold.hold_id} --reason "..."'


def refuse_held(tx: Tx, project_id: str, *subjects: str) -> None:
    """Refuse to delete what a hold is on: the project, or one of some subjects.

    Args:
        tx: the transaction that is about to delete.
        project_id: the project.
        subjects: as `of_dataset` and `of_model` name them.

    Raises:
        Refused: there is a hold; it says who placed it and why.
    """
    wanted = {PROJECT, *subjects}
    for hold in find_holds(tx, project_id):
        if hold.subject in wanted:
            raise Refused(
                f"{hold.actor} placed a hold on {hold.subject}: {hold.reason}.",
                cure_of(hold),
            )


def refuse_held_run(tx: Tx, project_id: str, run_id: str) -> None:
    """Refuse to take away a run while a hold is on what it read or on a model it made.

    Raises:
        Refused: there is a hold.
    """
    refuse_held(tx, project_id, *_subjects_of_run(tx, project_id, run_id))


def _subjects_of_run(tx: Tx, project_id: str, run_id: str) -> Iterator[str]:
    made = sa.select(model_versions.c.model, model_versions.c.version).where(
        model_versions.c.project_id == project_id, model_versions.c.run_id == run_id
    )
    for row in tx.execute(made):
        yield from (of_model(row.model), of_model(row.model, row.version))
    written = sa.select(dataset_versions.c.dataset).where(
        dataset_versions.c.project_id == project_id, dataset_versions.c.made_by == run_id
    )
    read = sa.select(uses.c.name).where(
        uses.c.project_id == project_id, uses.c.run_id == run_id, uses.c.kind == "dataset"
    )
    for query in (written, read):
        yield from (of_dataset(row[0]) for row in tx.execute(query))


def refuse_clean_up(tx: Tx, project_id: str) -> None:
    """Refuse to delete stored bytes that nothing uses while a whole project is held.

    Projects of a team share one store, and nobody can tell whose such bytes were: a hold on
    another project counts as well, without a word of what it is about.

    Raises:
        Refused: there is a hold on this project or on another one of the store.
    """
    refuse_held(tx, project_id)
    other = sa.select(legal_holds.c.hold_id).where(
        legal_holds.c.subject == PROJECT, legal_holds.c.lifted_at.is_(None)
    )
    if tx.execute(other.limit(1)).first() is not None:
        raise Refused(
            "Another project of this store is under a legal hold: no bytes are deleted.",
            "ask the platform team",
        )
