"""Sign-in for browsers: a token, sent once in a form, becomes a cookie for the pages.

The cookie opens pages alone, never the API, and pages only read: there is nothing to forge. A
token in a URL would stand in histories and logs, so it is taken from a form's body only. Sessions
live in memory: a restart signs everybody out, and each server has its own.
"""

import html
import secrets
import time
from collections import OrderedDict
from urllib.parse import parse_qs, quote

from blake3 import blake3
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from thrive.server.api import read_body
from thrive.server.keys import Identity, Keys
from thrive.server.problems import Problem

COOKIE = "thrive_session"
SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
SESSION_S = 12 * 3600
MOST_SESSIONS = 1000

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sign in - Thrive</title></head>
<body><main>
<h1>Sign in</h1>
<p>{words}</p>
<form method="post" action="{action}">
<label>Token <input type="password" name="token" autocomplete="off" required autofocus></label>
<button>Sign in</button>
</form>
<form method="post" action="/sign-out"><button>Sign out</button></form>
</main></body>
</html>
"""
_WORDS = "Paste a token of this project: `thrive tokens create` makes one."


class Sessions:
    """Who is signed in. A session keeps its token, so a revoked one ends it at the next page.

    Args:
        keys: tells who holds a token.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._open: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    def begin(self, token: str) -> str:
        """Return the secret of a new session."""
        secret = secrets.token_urlsafe(32)
        self._open[_key(secret)] = (time.monotonic() + SESSION_S, token)
        if len(self._open) > MOST_SESSIONS:
            self._open.popitem(last=False)
        return secret

    def end(self, secret: str) -> None:
        """Forget a session."""
        self._open.pop(_key(secret), None)

    async def identify(self, secret: str, address: str) -> Identity | None:
        """Return who signed in, None for an unknown, old or revoked session."""
        until, token = self._open.get(_key(secret), (0.0, ""))
        if time.monotonic() >= until:
            self.end(secret)
            return None
        try:
            return await self._keys.prove(token, address)
        except Problem:
            self.end(secret)
            return None


class SignIn:
    """The two forms: in and out.

    Args:
        keys: tells who holds a token.
        sessions: who is signed in.
    """

    def __init__(self, keys: Keys, sessions: Sessions) -> None:
        self._keys = keys
        self._sessions = sessions

    async def answer(self, request: Request) -> Response:
        """Show the form, or take it."""
        request.scope["thrive.route"] = request.url.path
        if request.url.path == SIGN_OUT:
            return self._out(request)
        target = local_target(request.query_params.get("next", "/"))
        if request.method != "POST":
            return _form(target, _WORDS, 200)
        token = parse_qs((await read_body(request)).decode("latin-1")).get("token", [""])[0].strip()
        try:
            identity = await self._keys.prove(token, request.client.host if request.client else "")
        except Problem as problem:
            return _form(target, f"{problem.what} {problem.hint}", problem.status)
        request.scope["thrive.actor"] = identity.actor.name
        answer = RedirectResponse(target, 303)
        self._set(request, answer, self._sessions.begin(token), SESSION_S)
        return answer

    def _out(self, request: Request) -> Response:
        if request.method != "POST":
            return RedirectResponse(SIGN_IN, 303)
        self._sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse(SIGN_IN, 303)
        self._set(request, answer, "", 0)
        return answer

    def _set(self, request: Request, answer: Response, value: str, seconds: int) -> None:
        secure = request.headers.get("origin", "").startswith("https://")
        answer.set_cookie(
            COOKIE, value, max_age=seconds, httponly=True, samesite="strict", secure=secure
        )


def local_target(target: str) -> str:
    """Return a path of this server to go on to; anything else is the first page."""
    printable = target.isascii() and target.isprintable()
    if not printable or not target.startswith("/") or target.startswith("//") or "\\" in target:
        return "/"
    return target


def sign_in_for(request: Request) -> Response:
    """Send a browser to the form, and back afterwards."""
    path = request.url.path
    if path.endswith(".json"):
        return Problem(401, "Refused", "This page needs a session or a token.", SIGN_IN).response()
    return RedirectResponse(f"{SIGN_IN}?next={quote(path)}", 303)


def _form(target: str, words: str, status: int) -> Response:
    action = f"{SIGN_IN}?next={quote(target)}"
    page = _PAGE.format(words=html.escape(words), action=html.escape(action))
    return HTMLResponse(page, status)


def _key(secret: str) -> bytes:
    return blake3(secret.encode("utf-8", "surrogateescape")).digest()
