"""Tokens: keys to a project for people and machines that call its server."""

import hmac
import secrets

import msgspec
from blake3 import blake3

from thrive.domain.actor import CONTROLLER, KEEPERS, Role, Token
from thrive.domain.clock import machine_now, parse_duration
from thrive.domain.errors import Conflict, UsageError
from thrive.domain.identifiers import checked_name, is_id, new_id
from thrive.operations import Context, operation
from thrive.store import tokens
from thrive.store.database import Tx

PREFIX = "thrive"


class TokenLine(msgspec.Struct, frozen=True, kw_only=True):
    """A token as lists show it: all but its secret."""

    token_id: str
    name: str
    roles: list[Role]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    good: bool


class CreatedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token with its secret, which is shown this once and stored nowhere."""

    token_id: str
    name: str
    roles: list[Role]
    expires_at: int | None
    secret: str


@operation("tokens create", role=KEEPERS, writes=True, next_hint="give the secret as THRIVE_TOKEN")
def tokens_create(ctx: Context, name: str, *, role: list[str], expires: str = "") -> CreatedToken:
    """Create a token for a person or a machine; its secret is shown this once.

    Args:
        name: whom the audit chain names.
        role: what its holder is: data-engineer, data-scientist, ml-engineer, platform, auditor,
            ci or serve.
        expires: after how long it is refused, e.g. "90 days"; never when empty.

    Raises:
        UsageError: the name, a role or the duration is not one.
        Conflict: another token of that name is not revoked.

    Examples:
        thrive tokens create ci-runner --role ci --expires "90 days"
    """
    roles = _roles(role)
    now = machine_now()
    secret = secrets.token_urlsafe(32)
    token = Token(
        project_id=ctx.project_id,
        token_id=new_id(),
        name=_actor_name(name),
        roles=roles,
        digest=digest_of(secret),
        created_at=now,
        expires_at=now + parse_duration(expires) if expires else None,
    )
    with ctx.write(f"token:{token.token_id}", name=token.name, roles=roles) as tx:
        _refuse_second(tx, ctx.project_id, token.name)
        tokens.add(tx, token)
    return CreatedToken(
        token_id=token.token_id,
        name=token.name,
        roles=roles,
        expires_at=token.expires_at,
        secret=f"{PREFIX}_{token.token_id}_{secret}",
    )


@operation("tokens list", role=KEEPERS)
def tokens_list(ctx: Context) -> list[TokenLine]:
    """List the tokens of the project, newest first, revoked ones too.

    Examples:
        thrive tokens list
    """
    with ctx.read() as tx:
        return [_line(token) for token in tokens.every(tx, ctx.project_id)]


@operation("tokens revoke", role=KEEPERS, writes=True, next_hint="thrive tokens list")
def tokens_revoke(ctx: Context, token_id: str) -> TokenLine:
    """Refuse a token from now on.

    Args:
        token_id: the token, as `thrive tokens list` names it.

    Raises:
        NotFound: there is none of that id.

    Examples:
        thrive tokens revoke 01928374aabb7ccd8ee0112233445566
    """
    with ctx.write(f"token:{token_id[:64]}") as tx:
        return _line(tokens.revoke(tx, ctx.project_id, token_id, machine_now()))


def digest_of(secret: str) -> str:
    """Return what is stored of a secret; 256 random bits need no salt and no slow hash."""
    return blake3(secret.encode()).hexdigest()


def verified(tx: Tx, text: str) -> Token | None:
    """Return the good token that `text` proves, or None.

    Args:
        tx: a transaction on the database of all projects.
        text: `thrive_<token id>_<secret>`, as `tokens create` returned it.
    """
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    if prefix != PREFIX or not is_id(token_id) or not secret.isascii():
        return None
    token = tokens.find(tx, token_id)
    known = token.digest if token else "0" * 64
    if not hmac.compare_digest(digest_of(secret), known) or token is None:
        return None
    return token if token.good(machine_now()) else None


def _roles(words: list[str]) -> list[Role]:
    known = ", ".join(Role)
    if not words:
        raise UsageError("A token needs a role.", f"one of: {known}")
    try:
        return sorted({Role(word) for word in words})
    except ValueError as error:
        raise UsageError(f"There is no role: {error}.", f"one of: {known}") from None


def _actor_name(name: str) -> str:
    if name == CONTROLLER.name:
        raise UsageError(f"{name!r} is the name of Thrive itself.", "choose another name")
    return checked_name(name, "token")


def _refuse_second(tx: Tx, project_id: str, name: str) -> None:
    known = tokens.unrevoked(tx, project_id, name)
    if known is not None:
        raise Conflict(
            f"The token {known.token_id} is named {name!r} already.",
            f"thrive tokens revoke {known.token_id}, or choose another name",
        )


def _line(token: Token) -> TokenLine:
    return TokenLine(
        token_id=token.token_id,
        name=token.name,
        roles=token.roles,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        good=token.good(machine_now()),
    )
