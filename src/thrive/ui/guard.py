"""What every answer carries and every request must: security headers, and a name of this machine.

A page on the internet can make a browser ask `http://evil.example:8200` and point that name at
127.0.0.1; so only the names of the machine itself are answered (DNS rebinding).
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""The names under which a browser on this machine reaches it."""

_POLICY = (
    b"default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        _POLICY,
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def host_name(header: str) -> str:
    """Return the name in a Host header, without its port and its brackets, in lower case."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


class Guard:
    """An ASGI application around another: it checks the host and adds the headers.

    Args:
        app: the application to guard.
        hosts: the names that are answered.
    """

    def __init__(self, app: "ASGIApp", hosts: Collection[str] = LOOPBACK) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: "Message") -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), *SECURITY_HEADERS]
                if not str(scope["path"]).startswith("/static/"):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
            await send(message)

        if not self._knows(scope):
            await _refuse(guarded)
            return
        if scope["method"] not in SAFE_METHODS and not _is_own(scope):
            await _refuse(guarded, 403, b"Pages of another origin send no forms here.\n")
            return
        await self._app(scope, receive, guarded)

    def _knows(self, scope: "Scope") -> bool:
        named = [value for name, value in scope["headers"] if name == b"host"]
        return len(named) == 1 and host_name(named[0].decode("latin-1")) in self._hosts


def _is_own(scope: "Scope") -> bool:
    """Tell whether a form was sent by a page of this very address, as browsers say it."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    host = headers.get(b"host", b"").decode("latin-1").lower()
    site = headers.get(b"sec-fetch-site", b"same-origin")
    return origin in {"", f"http://{host}"} and site in {b"same-origin", b"none"}


async def _refuse(
    send: "Send",
    status: int = 421,
    body: bytes = b"This address answers only under the names of its own machine.\n",
) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
