"""Schedules, and each time that one fired."""

import sqlalchemy as sa

from thrive.domain.errors import Conflict, NotFound
from thrive.domain.schedule import Firing, Schedule
from thrive.store import references
from thrive.store.database import Tx
from thrive.store.rows import insert_missing, many, mine, one, to_row, upsert
from thrive.store.tables.schedules import firings, schedules


def add(tx: Tx, project_id: str, schedule: Schedule) -> None:
    """Insert a schedule, and keep its code.

    Raises:
        Conflict: there is one of that name.
    """
    if not insert_missing(tx, schedules, [to_row(project_id, schedule, schedules)]):
        name = schedule.name
        raise Conflict(f"There is a schedule {name!r}.", f"thrive schedules remove {name}")
    references.add(tx, project_id, "schedule", schedule.name, schedule.code.bundle)


def get(tx: Tx, project_id: str, name: str) -> Schedule:
    """Return a schedule.

    Raises:
        NotFound: there is none of that name.
    """
    found = one(tx, Schedule, mine(schedules, project_id).where(schedules.c.name == name))
    if found is None:
        raise NotFound(f"There is no schedule {name!r}.", "thrive schedules list")
    return found


def find(tx: Tx, project_id: str) -> list[Schedule]:
    """Return all schedules, by name."""
    return many(tx, Schedule, mine(schedules, project_id).order_by(schedules.c.name))


def change(tx: Tx, project_id: str, schedule: Schedule) -> bool:
    """Write a schedule whose revision grew by one; False when another writer was first."""
    row = to_row(project_id, schedule, schedules)
    changed = (
        sa.update(schedules)
        .where(
            schedules.c.project_id == project_id,
            schedules.c.name == schedule.name,
            schedules.c.revision == schedule.revision - 1,
        )
        .values({key: row[key] for key in row if key not in {"project_id", "name"}})
    )
    return tx.execute(changed).rowcount == 1


def remove(tx: Tx, project_id: str, name: str) -> None:
    """Delete a schedule; what it fired stays known."""
    where = (schedules.c.project_id == project_id, schedules.c.name == name)
    tx.execute(sa.delete(schedules).where(*where))


def save_firing(tx: Tx, project_id: str, firing: Firing) -> None:
    """Insert a firing, or write its present state."""
    upsert(tx, project_id, firings, firing)


def get_firing(tx: Tx, project_id: str, firing_id: str) -> Firing:
    """Return one firing.

    Raises:
        NotFound: there is none of that id.
    """
    found = one(tx, Firing, mine(firings, project_id).where(firings.c.firing_id == firing_id))
    if found is None:
        raise NotFound(f"There is no firing {firing_id!r}.", "thrive schedules list")
    return found


def find_firings(
    tx: Tx, project_id: str, schedule: str, *, since: int = 0, limit: int = 20
) -> list[Firing]:
    """Return how often a schedule fired, newest first."""
    query = mine(firings, project_id).where(
        firings.c.schedule == schedule, firings.c.fired_at >= since
    )
    return many(tx, Firing, query.order_by(firings.c.firing_id.desc()).limit(limit))
