"""The ASGI application of a home: guard, probes, API, sign-in and pages."""

import functools
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from thrive.client.wire import PREFIX
from thrive.domain.actor import Actor
from thrive.domain.errors import ThriveError
from thrive.operations import Context, Operation
from thrive.server.api import THREADS, Api, run_in
from thrive.server.guard import Guard
from thrive.server.health import Health
from thrive.server.keys import Identity, Keys, Run
from thrive.server.metrics import Metrics
from thrive.server.mlflow.door import MlflowDoor, is_mlflow
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
from thrive.settings import read_settings
from thrive.store.home import Home
from thrive.ui.routes import routes as page_routes

if TYPE_CHECKING:
    from thrive.server.provider_sign_in import ProviderSignIn
    from thrive.server.traces import Traces

_logger = logging.getLogger("thrive.server")

STATIC = "/static/"
Answer = TypeVar("Answer", Response, Response | None)


class AppOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the application is reached.

    Attributes:
        local_token: the secret that stands for the owner of the folder.
        local_actor: that owner.
        hosts: names beside those of the loopback that requests may be sent to.
        open_metrics: whether `/metrics` needs no token.
    """

    local_token: str
    local_actor: Actor
    hosts: tuple[str, ...] = ()
    open_metrics: bool = True


class App:
    """Everything inside the guard: one `await` from a path to its answer.

    Args:
        home: the home the server was started with.
        operations: what to offer, by name.
        options: how it is reached.
        counters: returns further counters for `/metrics`.
        traces: makes a span of each request; None for none.
    """

    def __init__(
        self,
        home: Home,
        operations: Mapping[str, Operation],
        options: AppOptions,
        counters: Callable[[], Mapping[str, float]] = dict,
        traces: "Traces | None" = None,
    ) -> None:
        self._traces = traces
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="operation")
        self.writers = ThreadPoolExecutor(THREADS, thread_name_prefix="write")
        run = functools.partial(run_in, self.pool)
        homes = Homes(home)
        metrics = Metrics()
        keys = Keys(home, options.local_token, options.local_actor, run)
        self.api = Api(homes, operations, keys, self.pool, self.writers)
        self.mlflow = MlflowDoor(homes, keys, self.pool)
        self.health = Health(home, metrics, counters, run)
        self.guard = Guard(self._answer, metrics, options.hosts, traces)
        self._options = options
        self._homes = homes
        self._keys = keys
        self._sessions = Sessions(home, keys, run)
        self._provider = _provider(home, self._sessions, run)
        self._sign_in = SignIn(keys, self._sessions, PROVIDER if self._provider else "")
        self._pages = Starlette(routes=page_routes(self._context_of, _secret_of, self._live))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self.guard(scope, receive, send)

    def drain(self) -> None:
        """Tell callers to close their connections, end streams, and answer probes with no."""
        self.guard.draining = self.health.draining = True
        self.api.feed.stopping.set()

    def close(self) -> None:
        """Wait for the operations at work, and send the traces that wait."""
        if self._traces:
            self._traces.close()
        self.pool.shutdown(wait=True)
        self.writers.shutdown(wait=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
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
        elif path in {"/health", "/ready", "/metrics"}:
            answer = await self._problems_told(self._probe, request)
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

    async def _probe(self, request: Request) -> Response:
        path = request.url.path
        request.scope["thrive.route"] = path
        if request.method not in {"GET", "HEAD"}:
            raise Problem(405, "UsageError", f"{path} is read.", headers={"Allow": "GET, HEAD"})
        if path == "/health":
            return self.health.alive()
        if path == "/ready":
            return await self.health.ready()
        if not self._options.open_metrics:
            header = request.headers.get("authorization", "")
            await self._keys.identify(header, request.client.host if request.client else "")
        return await self.health.metrics()

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
        """Tell an open page of changes; it asks for those that come, not for those that were."""
        identity: Identity = request.scope["thrive.identity"]
        after = await self.api.feed.head(identity.project_id)
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


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_names(host: str, allowed: Iterable[str]) -> tuple[str, ...]:
    """Return the names a server bound to `host` answers to, beside those of the loopback."""
    wildcard = host in {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not bound
    bracketed = f"[{host}]" if ":" in host else host
    return (*allowed, *(() if wildcard else (bracketed,)))
