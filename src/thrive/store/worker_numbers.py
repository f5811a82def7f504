"""Numbers of serving workers: one project never has two workers of one number.

A prediction id names the worker that answered by its number alone, and a manifest names a segment
by it. A number belongs to one log folder of one host for ever: a folder that was lost takes new
numbers, so that its segments never pass for older ones that are sealed already.
"""

import sqlalchemy as sa

from thrive.store.database import Tx
from thrive.store.eventlog import numbering
from thrive.store.rows import insert_missing
from thrive.store.tables.project import leases


def take(tx: Tx, project_id: str, log_id: str, count: int) -> list[int]:
    """Return the numbers of a log folder's first `count` workers: the same at each call.

    Raises:
        Refused: every number is taken.
    """

    def claim(number: int, owner: str) -> bool:
        row = {"name": numbering.row_of(number), "owner": owner, "fence": 1, "until": 0}
        return insert_missing(tx, leases, [{"project_id": project_id, **row}]) == 1

    return numbering.assign(_taken(tx, project_id), claim, log_id, count)


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
        leases.c.project_id == project_id,
        leases.c.name.between(numbering.FIRST_ROW, numbering.LAST_ROW),
    )
    return {owner: numbering.number_in(name) for owner, name in tx.execute(query)}
