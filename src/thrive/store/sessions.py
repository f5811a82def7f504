"""Who is signed in: sessions of browsers, which every server on one database knows."""

import sqlalchemy as sa

from thrive.domain.actor import Session
from thrive.store.database import Tx
from thrive.store.rows import insert, many, mine, one
from thrive.store.tables.project import sessions


def begin(tx: Tx, session: Session, now: int) -> None:
    """Add a session, and forget all whose time is over at the machine time `now`."""
    tx.execute(sa.delete(sessions).where(sessions.c.until <= now))
    insert(tx, session.project_id, sessions, session)


def find(tx: Tx, digest: str) -> Session | None:
    """Return the session of a digest, whatever its project: its holder does not say which."""
    return one(tx, Session, sa.select(sessions).where(sessions.c.session == digest))


def good(tx: Tx, project_id: str, now: int) -> list[Session]:
    """Return the sessions of a project whose time is not over at the machine time `now`."""
    query = mine(sessions, project_id).where(sessions.c.until > now)
    return many(tx, Session, query.order_by(sessions.c.until.desc()))


def end(tx: Tx, digest: str) -> None:
    """Forget a session."""
    tx.execute(sa.delete(sessions).where(sessions.c.session == digest))
