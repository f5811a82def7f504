"""What answers behind the guard: the API, the protocol of MLflow, sign-in and the pages.

Most of what a server imports hangs from here. So it is imported beside the event loop, which
answers probes meanwhile, and whoever asks for more waits for it.
"""

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from thrive.client.wire import PREFIX
from thrive.domain.errors import ThriveError
from thrive.operations import Context, Operation
from thrive.server.api import Api
from thrive.server.health import METRICS, Health, refuse_writing
from thrive.server.keys import Identity, Keys
from thrive.server.mlflow.door import MlflowDoor
from thrive.server.mlflow.paths import is_mlflow
from thrive.server.options import AppOptions
from thrive.server.problems import Problem, problem_of
from thrive.server.projects import Homes
from thrive.server.sign_in import (
    COOKIE,
    PROVIDER,
    RETURN,
    SIGN_IN,
    SIGN_OUT,
    Sessions,
    SignIn,
    sign_in_for,
)
from thrive.server.threads import THREADS, Run, run_in
from thrive.settings import read_settings
from thrive.store.home import Home
from thrive.tracking.search import index_of
from thrive.ui.live import begin_after
from thrive.ui.routes import Viewing, failures
from thrive.ui.routes import routes as page_routes

if TYPE_CHECKING:
    from thrive.server.provider_sign_in import ProviderSignIn

_logger = logging.getLogger("thrive.server")

STATIC = "/static/"
Answer = TypeVar("Answer", Response, Response | None)


class Rooms:
    """Everything that a path may lead to, one `await` from its answer.

    Args:
        home: the home the server was started with.
        operations: what to offer, by name.
        options: how it is reached.
        health: answers `/metrics`.
        pool: where operations run.
    """

    def __init__(
        self,
        home: Home,
        operations: Mapping[str, Operation],
        options: AppOptions,
        health: Health,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.writers = ThreadPoolExecutor(THREADS, thread_name_prefix="write")
        run = functools.partial(run_in, pool)
        homes = Homes(home)
        keys = Keys(home, options.local_token, options.local_actor, run)
        self.api = Api(homes, operations, keys, pool, self.writers)
        self.mlflow = MlflowDoor(homes, keys, pool)
        self._health = health
        self._options = options
        self._homes = homes
        self._keys = keys
        self._sessions = Sessions(home, keys, run)
        self._provider = _provider(home, self._sessions, run)
        self._sign_in = SignIn(keys, self._sessions, PROVIDER if self._provider else "")
        viewing = Viewing(context_for=self._context_of, secret_of=_secret_of, leave=SIGN_OUT)
        self._pages = Starlette(
            routes=page_routes(viewing, self._live),
            exception_handlers=failures(viewing),  # pyright: ignore[reportArgumentType]
        )

    def warm(self) -> None:
        """Read what searches of runs need, so that the first of them does not wait for it."""
        try:
            for home in self._homes.every():
                with home.read() as tx:
                    index_of(home).warm(tx)
        except ThriveError as error:
            _logger.warning("searches wait for what they need: %s: %s", error.code, error.what)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        path: str = scope["path"]
        if is_mlflow(path):
            answer = await self.mlflow.answer(request)
        elif path.startswith(PREFIX):
            answer = await self.api.answer(request)
        elif path in {SIGN_IN, SIGN_OUT}:
            answer = await self._problems_told(self._sign_in.answer, request)
        elif self._provider is not None and path in {PROVIDER, RETURN}:
            answer = await self._problems_told(self._provider.answer, request)
        elif path == METRICS:
            answer = await self._problems_told(self._metrics, request)
        else:
            refused = await self._problems_told(self._page_refusal, request)
            if refused is None:
                await self._pages(scope, receive, send)
                return
            answer = refused
        await answer(scope, receive, send)

    async def _problems_told(
        self, handler: Callable[[Request], Awaitable[Answer]], request: Request
    ) -> Answer | Response:
        try:
            return await handler(request)
        except Problem as problem:
            return problem.response()
        except ThriveError as error:
            _logger.warning("%s: %.500s", error.code, error.what)
            return problem_of(error, request.scope["thrive.id"]).response()

    async def _metrics(self, request: Request) -> Response:
        request.scope["thrive.route"] = METRICS
        refuse_writing(request)
        if not self._options.open_metrics:
            header = request.headers.get("authorization", "")
            await self._keys.identify(header, request.client.host if request.client else "")
        return await self._health.metrics()

    async def _page_refusal(self, request: Request) -> Response | None:
        """Let a page through for whoever signed in; the stylesheet is for everybody."""
        request.scope["thrive.route"] = "page"
        if request.url.path.startswith(STATIC):
            return None
        identity = await self._viewer(request)
        if identity is None:
            return sign_in_for(request)
        request.scope["thrive.actor"] = identity.actor.name
        request.scope["thrive.identity"] = identity
        return None

    async def _viewer(self, request: Request) -> Identity | None:
        address = request.client.host if request.client else ""
        header = request.headers.get("authorization")
        if header is None:
            return await self._sessions.identify(request.cookies.get(COOKIE, ""))
        try:
            return await self._keys.identify(header, address)
        except Problem:
            return None

    async def _live(self, request: Request) -> Response:
        """Tell an open page of changes, from what it says it knows."""
        identity: Identity = request.scope["thrive.identity"]
        head = await self.api.feed.head(identity.project_id)
        after = begin_after(request.query_params.get("after", ""), head)
        try:
            return await self.api.feed.answer(request, identity.project_id, after)
        except Problem as problem:
            return problem.response()

    def _context_of(self, request: Request) -> Context:
        identity: Identity = request.scope["thrive.identity"]
        return Context(self._homes.of(identity.project_id), identity.actor, operation="page")


def _provider(home: Home, sessions: Sessions, run: Run) -> "ProviderSignIn | None":
    """Return the sign-in with an identity provider, if the settings name one."""
    settings = read_settings()
    if not settings.oidc_issuer:
        return None
    from thrive.server.provider_sign_in import ProviderSignIn  # who has none does not pay for it

    return ProviderSignIn(home, settings, sessions, run)


def _secret_of(request: Request) -> str:
    """Return what only this viewer has: the secret of the session, or the token that was sent."""
    return request.headers.get("authorization") or request.cookies.get(COOKIE, "")
