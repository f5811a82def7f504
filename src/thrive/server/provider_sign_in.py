"""Sign-in with an identity provider: a browser goes there, and comes back with a code.

What was asked is kept in a cookie of that browser alone, so that any server takes the answer, and
an answer that this browser did not ask for is refused. Whoever comes back gets a session of the
project in which the provider's groups give a role; the rights are those of that moment, and end
with the session.
"""

import base64
import hmac

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from thrive.domain.errors import NotFound, Refused
from thrive.server.keys import Failures, Identity
from thrive.server.problems import Problem
from thrive.server.provider import Asked, Provider
from thrive.server.sign_in import PROVIDER, RETURN, SIGN_IN, Sessions
from thrive.server.threads import Run
from thrive.settings import Settings
from thrive.store import projects
from thrive.store.home import Home
from thrive.ui.forms import local_target
from thrive.ui.render import render

COOKIE = "thrive_sign_in"
ASKED_S = 600
"""How long somebody may take at the provider."""


class ProviderSignIn:
    """The way to the provider and back.

    Args:
        home: a home on the database of all projects.
        settings: of this process; they name the provider.
        sessions: who is signed in.
        run: calls a function in a thread.

    Raises:
        UsageError: a setting of the provider is missing or has another form.
    """

    def __init__(self, home: Home, settings: Settings, sessions: Sessions, run: Run) -> None:
        self._home = home
        self._provider = Provider(settings)
        self._sessions = sessions
        self._run = run
        self._failures = Failures()
        self._public = settings.public_url.rstrip("/")

    async def answer(self, request: Request) -> Response:
        """Send a browser to the provider, or take it back."""
        request.scope["thrive.route"] = request.url.path
        if request.method != "GET":
            raise Problem(405, "UsageError", "Sign-in is a page.", headers={"Allow": "GET"})
        if request.url.path == PROVIDER:
            return await self._begin(request)
        address = request.client.host if request.client else ""
        wait = self._failures.wait(address)
        if wait:
            headers = {"Retry-After": str(wait)}
            raise Problem(429, "Refused", "Too many sign-ins failed.", f"wait {wait} s", headers)
        try:
            return await self._return(request)
        except (Refused, NotFound) as error:
            self._failures.add(address)
            page = render("error.html", None, None, status=403, what=error.what, hint=error.hint)
            return HTMLResponse(page, 403)

    async def _begin(self, request: Request) -> Response:
        target = local_target(request.query_params.get("next", "/"))
        asked = self._provider.ask(target, request.query_params.get("project", "")[:200])
        where = await self._run(self._provider.address, asked, self._redirect(request))
        answer = RedirectResponse(where, 303)
        kept = base64.urlsafe_b64encode(msgspec.json.encode(asked)).decode()
        # Lax: the provider's page leads back here, and a strict cookie would stay behind
        answer.set_cookie(
            COOKIE,
            kept,
            max_age=ASKED_S,
            path=SIGN_IN,
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )
        return answer

    async def _return(self, request: Request) -> Response:
        asked = _asked(request.cookies.get(COOKIE, ""))
        given = request.query_params
        if asked is None or not hmac.compare_digest(
            given.get("state", "").encode("utf-8", "replace"), asked.state.encode()
        ):
            raise Refused("This browser did not ask to sign in.", "/")
        if "code" not in given:
            why = given.get("error_description") or given.get("error") or "no code"
            raise Refused(f"The identity provider says: {why[:200]}.", "/")
        redirect = self._redirect(request)
        identity = await self._run(self._redeemed, given["code"][:4096], asked, redirect)
        request.scope["thrive.actor"] = identity.actor.name
        secret = await self._sessions.begin(identity, provided=True)
        # A page of our own leads on: a strict cookie does not follow a redirect from elsewhere
        page = render("signed_in.html", None, None, target=asked.target, name=identity.actor.name)
        answer = HTMLResponse(page, headers={"Refresh": f"0; url={asked.target}"})
        self._sessions.set_cookie(answer, secret, secure=self._secure)
        answer.delete_cookie(COOKIE, path=SIGN_IN)
        return answer

    def _redeemed(self, code: str, asked: Asked, redirect: str) -> Identity:
        """Return who came back, in the project that was asked for or the first with a role."""
        claims = self._provider.redeem(code, asked, redirect)
        rights = self._provider.rights(claims)
        own = self._home.project
        held = {place or own.name: actor for place, actor in rights.items()}
        if not held:
            raise Refused("None of your groups has a role here.", "ask who keeps this server")
        wanted = asked.project or (own.name if own.name in held else min(held))
        if wanted not in held:
            raise Refused(f"None of your groups has a role in {wanted[:80]!r}.", "/")
        with self._home.read() as tx:
            project = projects.find(tx, wanted)
        if project is None:
            raise NotFound(f"There is no project {wanted[:80]!r} here.", "/")
        return Identity(actor=held[wanted], project_id=project.project_id)

    def _redirect(self, request: Request) -> str:
        return (self._public or f"http://{request.headers['host']}") + RETURN

    @property
    def _secure(self) -> bool:
        return self._public.startswith("https://")


def _asked(kept: str) -> Asked | None:
    try:
        asked = msgspec.json.decode(base64.urlsafe_b64decode(kept.encode()), type=Asked)
    except (ValueError, msgspec.MsgspecError):
        return None
    return msgspec.structs.replace(asked, target=local_target(asked.target))
