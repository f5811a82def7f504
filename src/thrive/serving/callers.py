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
from thrive.serving.limits import Consumer

SHORTEST = 20
"""Characters a token has at least: fewer could be guessed."""
OPEN = frozenset({"/ping", "/v2/health/live", "/v2/health/ready"})
"""Paths that tell nothing but whether the server lives: probes have no token."""


def read_callers(file: Path) -> dict[str, Consumer | None]:
    """Return the digests of the tokens in a file, one a line; empty lines and # are left out.

    A token alone may ask for everything. One with a name and purposes behind it, separated by
    spaces (`TOKEN board delay-warning,planning`), is of a consumer who may ask models of these
    purposes alone (AI Act art. 26, GDPR art. 5(1)(b)).

    Raises:
        NotFound: there is no such file.
        UsageError: it holds no token, one that is too short, or a name without a purpose.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError:
        raise NotFound(f"{file} cannot be read.", "write a token a line into it") from None
    entries = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if not entries or any(len(entry[0]) < SHORTEST for entry in entries):
        raise UsageError(
            f"{file} holds no token of {SHORTEST} characters or more, or a shorter one beside.",
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return {digest_of_token(entry[0].encode()): _consumer(file, entry[1:]) for entry in entries}


def _consumer(file: Path, words: list[str]) -> Consumer | None:
    """Return who stands behind a token in the file; None if nothing does."""
    if not words:
        return None
    name, *purposes = words
    allowed = [part.casefold() for word in purposes for part in word.split(",") if part]
    if not allowed:
        raise UsageError(
            f"{file} names {name[:40]!r} and no purpose.", "TOKEN NAME PURPOSE, or TOKEN alone"
        )
    return Consumer(name=name, purposes=allowed)


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
    digest = shown_digest(authorization)
    return digest is not None and digest in callers


def shown_digest(authorization: bytes) -> str | None:
    """Return the digest of the token that a header shows, None if it shows none."""
    kind, _, token = authorization.partition(b" ")
    return digest_of_token(token.strip()) if kind.lower() == b"bearer" else None
