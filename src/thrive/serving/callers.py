"""Who may ask a model server: holders of one of its tokens, by a name that it was told.

A worker knows the digests of the tokens alone, and looks a caller's up by digest, which tells
nothing by the time it takes. Without tokens the server is of its own machine, and a page elsewhere
could call it there by a name that it lets point to this machine (DNS rebinding): so only known
names are answered. A token is nothing that such a page has.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

from blake3 import blake3

from thrive.domain.errors import NotFound, UsageError

SHORTEST = 20
"""Characters a token has at least: fewer could be guessed."""
OPEN = frozenset({"/ping", "/v2/health/live", "/v2/health/ready"})
"""Paths that tell nothing but whether the server lives: probes have no token."""


def read_callers(file: Path) -> list[str]:
    """Return the digests of the tokens in a file, one a line; empty lines and # are left out.

    Raises:
        NotFound: there is no such file.
        UsageError: it holds no token, or one that is too short.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError:
        raise NotFound(f"{file} cannot be read.", "write a token a line into it") from None
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not tokens or any(len(token) < SHORTEST for token in tokens):
        raise UsageError(
            f"{file} holds no token of {SHORTEST} characters or more, or a shorter one beside.",
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return [digest_of_token(token.encode()) for token in tokens]


def digest_of_token(token: bytes) -> str:
    """Return what a worker knows of a token."""
    return blake3(token).hexdigest()


LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def known_hosts(host: str, allowed: Iterable[str], *, tokens: bool) -> list[str]:
    """Return the names that requests may be sent to, lower-case; none where every name will do.

    Args:
        host: the address that is bound.
        allowed: further names, of a gateway before this server for instance.
        tokens: whether callers show tokens.
    """
    named = [each.lower() for each in allowed]
    if tokens and not named:
        return []
    bound = f"[{host}]" if ":" in host else host
    return [*LOOPBACK_NAMES, bound.lower(), *named]


def name_of_host(sent: bytes) -> str:
    """Return the name in a `Host` header, without its port, lower-case."""
    host = sent.decode("latin-1").lower()
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def may_ask(path: str, authorization: bytes, callers: Collection[str]) -> bool:
    """Tell whether a request is answered.

    Args:
        path: what is asked.
        authorization: the header, b"" if there is none.
        callers: the digests of the tokens; empty where nobody else reaches the server.
    """
    if not callers or path in OPEN:
        return True
    kind, _, token = authorization.partition(b" ")
    return kind.lower() == b"bearer" and digest_of_token(token.strip()) in callers
