"""The change feed: one row for each thing that is new or different, in commit order."""

from collections.abc import Collection, Iterable

import sqlalchemy as sa

from thrive.domain.project import Change
from thrive.store.database import Tx
from thrive.store.group_commit import at_end
from thrive.store.postgresql import lock_changes
from thrive.store.rows import change_many, many
from thrive.store.tables.project import changes

_append = changes.insert().inline()


def append(tx: Tx, project_id: str, kind: str, subject_id: str) -> None:
    """Say that the `kind` named `subject_id` is new or different; part of the same transaction.

    Where writers do not share a transaction, say it last: on PostgreSQL the other writers of the
    project wait from here to the commit.
    """
    append_many(tx, project_id, [(kind, subject_id)])


def append_many(tx: Tx, project_id: str, subjects: Iterable[tuple[str, str]]) -> None:
    """Say that several things, each a kind and an id, are new or different."""
    for kind, one in subjects:
        at_end(tx, _append_all, {"project_id": project_id, "kind": kind, "id": one})


def _append_all(tx: Tx, rows: list[dict[str, str]]) -> None:
    if tx.dialect.name == "postgresql":
        for project_id in sorted({row["project_id"] for row in rows}):
            lock_changes(tx, project_id)
    change_many(tx, _append, rows, ("project_id", "kind", "id"))


def after(tx: Tx, project_id: str, seq: int, limit: int = 1000) -> list[Change]:
    """Return up to `limit` changes that came after `seq`, oldest first."""
    query = (
        sa.select(changes)
        .where(changes.c.project_id == project_id, changes.c.seq > seq)
        .order_by(changes.c.seq)
        .limit(limit)
    )
    return many(tx, Change, query)


def subjects_after(
    tx: Tx, project_id: str, seq: int, kinds: Collection[str]
) -> dict[str, set[str]]:
    """Return what changed after `seq`, of some kinds: the ids by kind, each once."""
    query = sa.select(changes.c.kind, changes.c.id).where(
        changes.c.project_id == project_id, changes.c.seq > seq, changes.c.kind.in_(kinds)
    )
    found: dict[str, set[str]] = {}
    for kind, subject in tx.execute(query.distinct()):
        found.setdefault(kind, set()).add(subject)
    return found


def kinds_after(tx: Tx, project_id: str, seq: int) -> set[str]:
    """Return of what kinds something changed after `seq`."""
    query = sa.select(changes.c.kind).where(changes.c.project_id == project_id, changes.c.seq > seq)
    return set(tx.execute(query.distinct()).scalars())


def head(tx: Tx, project_id: str) -> int:
    """Return the newest seq of a project, 0 when nothing has happened yet."""
    query = sa.select(sa.func.max(changes.c.seq)).where(changes.c.project_id == project_id)
    return tx.execute(query).scalar() or 0
