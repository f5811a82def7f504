"""Who calls: a token becomes a name, roles and a project, or the request is refused.

Two kinds of token open the door: the one in `server.json`, which the owner of the folder alone
can read and which holds every role in it; and those of `thrive tokens create`. Both are compared
in constant time. An address that sends wrong tokens is told to wait; tokens that were good a
moment ago still pass from there, so nobody locks out a colleague behind the same proxy.
"""

import base64
import hmac
import time
from collections import OrderedDict
from typing import Any

import msgspec
from blake3 import blake3

from thrive.domain.actor import Actor, Session, Token
from thrive.domain.clock import machine_now
from thrive.flows.tokens import verified
from thrive.server.problems import Problem
from thrive.server.threads import Run
from thrive.store import tokens
from thrive.store.database import Tx
from thrive.store.home import Home

FAILURES = 10
WINDOW_S = 60.0
REMEMBERED = 10_000


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, for which project, and with which token: none for the server's own."""

    actor: Actor
    project_id: str
    token_id: str = ""


class Keys:
    """Tells who holds a token.

    Args:
        home: a home on the database of all projects.
        local_token: the secret of `server.json`.
        local_actor: whom that secret stands for.
        run: calls a function in a thread.

    Attributes:
        server: BLAKE3 of the local token.
    """

    def __init__(self, home: Home, local_token: str, local_actor: Actor, run: Run) -> None:
        self._home = home
        self._local_token = local_token.encode()
        self._local = Identity(actor=local_actor, project_id=home.project_id)
        self.server = blake3(self._local_token).hexdigest()
        self._run = run
        self._failures = Failures()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    async def identify(self, authorization: str, address: str) -> Identity:
        """Return who sent an `Authorization` header: a bearer, or a token for a password.

        Raises:
            Problem: 401 without a good token, 429 after too many wrong ones.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "basic":
            token = _password(token.strip())
        elif scheme.lower() != "bearer":
            token = ""
        if not token:
            raise _unknown("This needs a token.")
        return await self.prove(token.strip(), address)

    async def prove(self, token: str, address: str) -> Identity:
        """Return who holds a token.

        Raises:
            Problem: 401 when nobody does, 429 after too many wrong ones.
        """
        if hmac.compare_digest(token.encode(), self._local_token):
            return self._local
        fingerprint = blake3(token.encode()).digest()
        wait = self._failures.wait(address)
        if wait and fingerprint not in self._good:
            raise Problem(
                429,
                "Refused",
                "Too many wrong tokens came from this address.",
                f"try again in {wait} s",
                {"Retry-After": str(wait)},
            )
        identity = await self._run(self._look_up, token)
        if identity is None:
            self._good.pop(fingerprint, None)
            self._failures.add(address)
            raise _unknown("The token is unknown, expired or revoked.")
        _remember(self._good, fingerprint, None)
        return identity

    def _look_up(self, token: str) -> Identity | None:
        with self._home.read() as tx:
            return _identity(verified(tx, token))

    def holder(self, tx: Tx, session: Session) -> Identity | None:
        """Return who signed in, None once the token is refused or is another server's own."""
        if session.actor is not None:
            return Identity(actor=session.actor, project_id=session.project_id)
        if not session.token_id:
            ours = hmac.compare_digest(session.server, self.server)
            return self._local if ours else None
        token = tokens.find(tx, session.token_id)
        return _identity(token if token and token.good(machine_now()) else None)


class Failures:
    """Counts wrong tokens by address over the last minute."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, address: str) -> None:
        """Note a wrong token."""
        began, count = self._seen.get(address, (time.monotonic(), 0))
        if time.monotonic() - began > WINDOW_S:
            began, count = time.monotonic(), 0
        _remember(self._seen, address, (began, count + 1))

    def wait(self, address: str) -> int:
        """Return for how many seconds an address must wait; 0 when it need not."""
        began, count = self._seen.get(address, (0.0, 0))
        left = began + WINDOW_S - time.monotonic()
        return int(left) + 1 if count >= FAILURES and left > 0 else 0


def _identity(token: Token | None) -> Identity | None:
    return token and Identity(
        actor=token.actor(), project_id=token.project_id, token_id=token.token_id
    )


def _remember(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)


def _password(encoded: str) -> str:
    """Return the password of basic authentication; the user's name is not looked at.

    It is how a client sends what stands in an address, as `http://token:SECRET@host`.
    """
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _unknown(what: str) -> Problem:
    return Problem(
        401,
        "Refused",
        what,
        "send `Authorization: Bearer TOKEN`; `thrive tokens create` makes one",
        {"WWW-Authenticate": "Bearer"},
    )
