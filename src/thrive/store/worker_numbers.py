"""Numbers of serving workers: one project never has two workers of one number.

A prediction id names the worker that answered by its number alone, and a manifest names a segment
by it. A number belongs to one log folder of one host for ever: a folder that was lost takes new
numbers, so that its segments never pass for older ones that are sealed already.
"""

import sqlalchemy as sa

from thrive.domain.errors import Refused
from thrive.store.database import Tx
from thrive.store.eventlog.prediction_id import MAX_WORKER
from thrive.store.rows import begins_with, insert_missing
from thrive.store.tables.project import leases

_PREFIX = "serving-worker/"


def take(tx: Tx, project_id: str, log_id: str, count: int) -> list[int]:
    """Return the numbers of a log folder's first `count` workers: the same at each call.

    Raises:
        Refused: every number is taken.
    """
    taken = _taken(tx, project_id)
    free = max(taken.values(), default=-1) + 1
    numbers: list[int] = []
    for slot in range(count):
        owner = f"{log_id}/{slot}"
        if owner not in taken:
            taken[owner] = _first_free(tx, project_id, owner, free)
            free = taken[owner] + 1
        numbers.append(taken[owner])
    return numbers


def taken_by(tx: Tx, project_id: str, log_id: str) -> set[int]:
    """Return the numbers that a log folder took."""
    return {
        number
        for owner, number in _taken(tx, project_id).items()
        if owner.rpartition("/")[0] == log_id
    }


def _taken(tx: Tx, project_id: str) -> dict[str, int]:
    """Return every number that is taken, by its owner."""
    query = sa.select(leases.c.owner, leases.c.name).where(
        leases.c.project_id == project_id, begins_with(leases.c.name, _PREFIX)
    )
    return {owner: int(name.removeprefix(_PREFIX), 16) for owner, name in tx.execute(query)}


def _first_free(tx: Tx, project_id: str, owner: str, number: int) -> int:
    """Take the first number from `number` on that no other host takes meanwhile."""
    while number <= MAX_WORKER:
        row = {"name": f"{_PREFIX}{number:04x}", "owner": owner, "fence": 1, "until": 0}
        if insert_missing(tx, leases, [{"project_id": project_id, **row}]):
            return number
        number += 1
    raise Refused(
        f"All {MAX_WORKER + 1} worker numbers of this project are taken.",
        "keep the log folders of serving hosts between restarts; begin a new project",
    )
