"""Saved views of pages."""

import sqlalchemy as sa

from thrive.domain.errors import NotFound
from thrive.domain.view import SavedView
from thrive.store.database import Tx
from thrive.store.rows import many, mine, one, upsert
from thrive.store.tables.runs import saved_views


def save(tx: Tx, project_id: str, view: SavedView) -> None:
    """Insert a view, or put it in the place of the one that has its name."""
    upsert(tx, project_id, saved_views, view)


def find(tx: Tx, project_id: str) -> list[SavedView]:
    """Return all views, by name."""
    return many(tx, SavedView, mine(saved_views, project_id).order_by(saved_views.c.name))


def get(tx: Tx, project_id: str, name: str) -> SavedView:
    """Return a view.

    Raises:
        NotFound: there is none of that name.
    """
    found = one(tx, SavedView, mine(saved_views, project_id).where(saved_views.c.name == name))
    if found is None:
        raise NotFound(f"There is no saved view {name!r}.", "thrive views list")
    return found


def remove(tx: Tx, project_id: str, name: str) -> None:
    """Delete a view."""
    where = (saved_views.c.project_id == project_id, saved_views.c.name == name)
    tx.execute(sa.delete(saved_views).where(*where))
