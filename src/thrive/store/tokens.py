"""Tokens: who may call a server, for one project each."""

import msgspec
import sqlalchemy as sa

from thrive.domain.actor import Token
from thrive.domain.errors import NotFound
from thrive.store.database import Tx
from thrive.store.rows import insert, many, mine, one, replace
from thrive.store.tables.project import tokens


def add(tx: Tx, token: Token) -> None:
    """Add a token to its project."""
    insert(tx, token.project_id, tokens, token)


def find(tx: Tx, token_id: str) -> Token | None:
    """Return the token of an id, whatever its project: its holder does not say which."""
    return one(tx, Token, sa.select(tokens).where(tokens.c.token_id == token_id))


def every(tx: Tx, project_id: str) -> list[Token]:
    """Return all tokens of a project, newest first, revoked ones too."""
    return many(tx, Token, mine(tokens, project_id).order_by(tokens.c.token_id.desc()))


def named(tx: Tx, project_id: str, name: str) -> list[Token]:
    """Return all tokens that a name ever had, newest first."""
    query = mine(tokens, project_id).where(tokens.c.name == name)
    return many(tx, Token, query.order_by(tokens.c.token_id.desc()))


def unrevoked(tx: Tx, project_id: str, name: str) -> Token | None:
    """Return the unrevoked token of a name, or None."""
    query = mine(tokens, project_id).where(tokens.c.name == name, tokens.c.revoked_at.is_(None))
    return one(tx, Token, query.order_by(tokens.c.token_id.desc()))


def revoke(tx: Tx, project_id: str, token_id: str, at: int) -> Token:
    """Refuse a token from now on; one that is revoked already stays as it is.

    Raises:
        NotFound: the project has no such token.
    """
    token = one(tx, Token, mine(tokens, project_id).where(tokens.c.token_id == token_id))
    if token is None:
        raise NotFound(f"There is no token {token_id}.", "thrive tokens list")
    if token.revoked_at is not None:
        return token
    revoked = msgspec.structs.replace(token, revoked_at=at)
    replace(tx, project_id, tokens, revoked)
    return revoked
