"""Restrictions: whose rows are left out of whatever is read to be used."""

import msgspec

from thrive.domain.duty import Restriction
from thrive.domain.left_out import LeftOut
from thrive.store.database import Tx
from thrive.store.rows import insert, many, mine, named, replace
from thrive.store.tables.governance import restrictions


def add(tx: Tx, project_id: str, restriction: Restriction) -> None:
    """Insert a restriction."""
    insert(tx, project_id, restrictions, restriction)


def find(tx: Tx, project_id: str, *, present: bool = True) -> list[Restriction]:
    """Return restrictions, newest first; only those that hold unless all are asked for."""
    query = mine(restrictions, project_id).order_by(restrictions.c.restriction_id.desc())
    if present:
        query = query.where(restrictions.c.lifted_at.is_(None))
    return many(tx, Restriction, query)


def asked_about(tx: Tx, project_id: str) -> list[LeftOut]:
    """Return whom model servers do not answer about."""
    orders = find(tx, project_id)
    return LeftOut.of((each.asked_key, each.columns, each.asked) for each in orders)


def get(tx: Tx, project_id: str, restriction_id: str) -> Restriction:
    """Return a restriction by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    column = restrictions.c.restriction_id
    return named(tx, project_id, Restriction, column, restriction_id, "restriction")


def lift(
    tx: Tx, project_id: str, restriction_id: str, *, by: str, reason: str, at: int
) -> Restriction:
    """End a restriction; one that has ended already stays as it is.

    Raises:
        NotFound: there is none of that id.
    """
    found = get(tx, project_id, restriction_id)
    if found.lifted_at is None:
        found = msgspec.structs.replace(found, lifted_at=at, lifted_by=by, lifted_for=reason)
        replace(tx, project_id, restrictions, found)
    return found
