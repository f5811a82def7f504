"""Sign-in for browsers: a token, sent once in a form, becomes a cookie for the pages.

The cookie opens pages alone, never the API, and pages only read: there is nothing to forge. A
token in a URL would stand in histories and logs, so it is taken from a form's body only. Sessions
are rows of the database: whichever server is asked next knows them.
"""

import secrets
from urllib.parse import parse_qs, quote

from blake3 import blake3
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from thrive.domain.actor import Session
from thrive.domain.clock import machine_now
from thrive.server.bodies import read_body
from thrive.server.keys import Identity, Keys
from thrive.server.problems import Problem
from thrive.server.threads import Run
from thrive.store import sessions
from thrive.store.home import Home
from thrive.ui.forms import local_target
from thrive.ui.render import render

COOKIE = "thrive_session"
SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
PROVIDER = SIGN_IN + "/provider"
RETURN = SIGN_IN + "/callback"
"""The way to an identity provider, and back from there."""
SESSION_S = 12 * 3600

_WORDS = "Paste a token of this project: `thrive tokens create` makes one."


class Sessions:
    """Who is signed in. A session names its token, so a revoked one ends it at the next page.

    Args:
        home: a home on the database of all projects.
        keys: tells who holds a token.
        run: calls a function in a thread.
    """

    def __init__(self, home: Home, keys: Keys, run: Run) -> None:
        self._home = home
        self._keys = keys
        self._run = run

    async def begin(self, identity: Identity, *, provided: bool = False) -> str:
        """Return the secret of a new session.

        Args:
            identity: who proved a token, or came back from the identity provider.
            provided: whether it is the latter.
        """
        secret = secrets.token_urlsafe(32)
        await self._run(self._begin, _key(secret), identity, provided)
        return secret

    async def end(self, secret: str) -> None:
        """Forget a session."""
        if secret:
            await self._run(self._end, _key(secret))

    async def identify(self, secret: str) -> Identity | None:
        """Return who signed in, None for an unknown, old or revoked session."""
        return await self._run(self._find, _key(secret)) if secret else None

    def set_cookie(self, answer: Response, secret: str, *, secure: bool) -> None:
        """Have a browser keep the secret of its session; without one, forget it."""
        answer.set_cookie(
            COOKIE,
            secret,
            max_age=SESSION_S if secret else 0,
            httponly=True,
            samesite="strict",
            secure=secure,
        )

    def _begin(self, key: str, identity: Identity, provided: bool) -> None:
        now = machine_now()
        session = Session(
            project_id=identity.project_id,
            session=key,
            token_id=identity.token_id,
            server="" if identity.token_id or provided else self._keys.server,
            actor=identity.actor if provided else None,
            until=now + SESSION_S * 1_000_000,
        )
        with self._home.write() as tx:
            sessions.begin(tx, session, now)

    def _end(self, key: str) -> None:
        with self._home.write() as tx:
            sessions.end(tx, key)

    def _find(self, key: str) -> Identity | None:
        with self._home.read() as tx:
            session = sessions.find(tx, key)
            if session is None or machine_now() >= session.until:
                return None
            return self._keys.holder(tx, session)


class SignIn:
    """The two forms: in and out.

    Args:
        keys: tells who holds a token.
        sessions: who is signed in.
        provider: the page that leads to an identity provider, empty for none.
    """

    def __init__(self, keys: Keys, sessions: Sessions, provider: str = "") -> None:
        self._keys = keys
        self._sessions = sessions
        self._provider = provider

    async def answer(self, request: Request) -> Response:
        """Show the form, or take it."""
        request.scope["thrive.route"] = request.url.path
        if request.url.path == SIGN_OUT:
            return await self._out(request)
        target = local_target(request.query_params.get("next", "/"))
        if request.method != "POST":
            return self._form(target, _WORDS, 200)
        token = parse_qs((await read_body(request)).decode("latin-1")).get("token", [""])[0].strip()
        try:
            identity = await self._keys.prove(token, request.client.host if request.client else "")
        except Problem as problem:
            return self._form(target, f"{problem.what} {problem.hint}", problem.status)
        request.scope["thrive.actor"] = identity.actor.name
        answer = RedirectResponse(target, 303)
        self._set(request, answer, await self._sessions.begin(identity))
        return answer

    async def _out(self, request: Request) -> Response:
        if request.method != "POST":
            return RedirectResponse(SIGN_IN, 303)
        await self._sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse(SIGN_IN, 303)
        self._set(request, answer, "")
        return answer

    def _set(self, request: Request, answer: Response, secret: str) -> None:
        secure = request.headers.get("origin", "").startswith("https://")
        self._sessions.set_cookie(answer, secret, secure=secure)

    def _form(self, target: str, words: str, status: int) -> Response:
        provider = f"{self._provider}?next={quote(target)}" if self._provider else ""
        action = f"{SIGN_IN}?next={quote(target)}"
        page = render("sign_in.html", None, None, words=words, action=action, provider=provider)
        return HTMLResponse(page, status)


def sign_in_for(request: Request) -> Response:
    """Send a browser to the form, and back afterwards."""
    path = request.url.path
    target = f"{path}?{request.url.query}" if request.url.query else path
    if path.endswith(".json"):
        return Problem(401, "Refused", "This page needs a session or a token.", SIGN_IN).response()
    return RedirectResponse(f"{SIGN_IN}?next={quote(target)}", 303)


def _key(secret: str) -> str:
    return blake3(secret.encode("utf-8", "surrogateescape")).hexdigest()
