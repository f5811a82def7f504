"""What every request passes before anything else: names, origins, sizes, kinds of body.

A browser on the same machine can be made to send requests here, so a page of another origin, a
host name that is not ours (DNS rebinding) and a form's body are refused. Every answer leaves with
the headers that keep a browser from guessing, framing or caching, and as one log line.
"""

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thrive.client.wire import BLOBS
from thrive.domain.identifiers import new_id
from thrive.server.bodies import BODY_BYTES, too_large
from thrive.server.logs import RequestLog
from thrive.server.metrics import Metrics
from thrive.server.mlflow.paths import is_artifact, is_mlflow
from thrive.server.mlflow.problems import refusal_of
from thrive.server.pace import Pace, whole_seconds
from thrive.server.problems import Problem, unexpected

if TYPE_CHECKING:
    from thrive.server.traces import Traces

_logger = logging.getLogger("thrive.server")

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
OPEN_PATHS = frozenset({"/health", "/ready"})
"""Answer under any host name: a probe knows an address, not a name."""
FORMS = frozenset({"/sign-in", "/sign-out"})
ACTS = "/act/"
"""Forms are taken here and below `ACTS`. What is PUT are the bytes of blobs; all else is JSON."""
TARGET_BYTES = 8 << 10
HEADER_BYTES = 32 << 10
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}
_OWN = SAFE_METHODS | {"POST"}
"""What every path takes; the protocol of MLflow takes them all, blobs are PUT."""
REMEMBERED = 256
"""Kinds of requests whose judgement is kept: by method, path and the headers it looks at."""
_TELLING = {
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"host",
    b"origin",
    b"sec-fetch-mode",
    b"sec-fetch-site",
    b"transfer-encoding",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; font-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
}
"""Sent with every answer that does not say otherwise."""
_ENCODED = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_NAMES = frozenset(name for name, _ in _ENCODED)


class Guard:
    """The outermost layer of the server.

    Args:
        app: what answers a request that may pass.
        metrics: counts each answer.
        hosts: the names this server is reached by, beside those of the loopback.
        traces: makes a span of each request; None for none.
        rate: requests a second that one token, or one address without any, may send; 0 for no
            limit.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        hosts: Iterable[str],
        traces: "Traces | None" = None,
        rate: float = 0.0,
    ) -> None:
        self._traces = traces
        self._pace = Pace(rate) if rate else None
        self.draining = False
        self._app = app
        self._metrics = metrics
        self._log = RequestLog(_logger)
        self._hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}
        self._judged = lru_cache(maxsize=REMEMBERED)(self._judge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            return  # no lifespan is needed, and there is no WebSocket here
        began = time.perf_counter()
        request_id = scope["thrive.id"] = new_id()
        span = self._traces.begin(scope) if self._traces else None
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._finish(message, request_id)
            await send(message)

        try:
            problem = self._refusal(scope) or self._hurry(scope, began)
            await (_told(scope, problem) if problem else self._app)(scope, receive, sending)
        except Exception:
            _logger.exception("unexpected", extra={"id": request_id})
            if not status:
                await unexpected(request_id).response()(scope, receive, sending)
        finally:
            self._note(scope, status or 500, time.perf_counter() - began)
            if self._traces:
                self._traces.end(span, scope, _method(scope), status or 500)

    def _refusal(self, scope: Scope) -> Problem | None:
        if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > TARGET_BYTES:
            return Problem(414, "UsageError", f"The URL is longer than {TARGET_BYTES:,} bytes.")
        size, told = 0, []
        for pair in scope["headers"]:
            size += len(pair[0]) + len(pair[1])
            if pair[0] in _TELLING:
                told.append(pair)
        if size > HEADER_BYTES:
            return Problem(431, "UsageError", f"The headers exceed {HEADER_BYTES:,} bytes.")
        return self._judged(scope["method"], scope["path"], *told)

    def _hurry(self, scope: Scope, now: float) -> Problem | None:
        """Refuse a caller that asks more often than one may."""
        if self._pace is None:
            return None
        wait = self._pace.wait(_caller(scope), now)
        if not wait or scope["path"] in OPEN_PATHS:
            return None
        seconds = whole_seconds(wait)
        return Problem(
            429,
            "StoreBusy",
            "These requests come faster than one caller may send them.",
            f"try again in {seconds} s, or send more with each request",
            {"Retry-After": str(seconds)},
        )

    def _judge(self, method: str, path: str, *told: tuple[bytes, bytes]) -> Problem | None:
        """Tell what is wrong with a request; the same ones come again and again."""
        scope = {"method": method, "path": path, "headers": told}
        if method not in _methods(path):
            allow = {"Allow": ", ".join(sorted(_OWN))}
            return Problem(405, "UsageError", "No route takes this method.", headers=allow)
        headers = _first_of(scope)
        return self._foreign(scope, headers) or _wrong_body(scope, headers)

    def _foreign(self, scope: Scope, headers: Mapping[str, str]) -> Problem | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if scope["path"] not in OPEN_PATHS and (
            len(hosts) != 1 or _name(hosts[0]) not in self._hosts
        ):
            return Problem(
                403,
                "Refused",
                "This server is not reached by that host name.",
                "start it with `--allow-host NAME`",
            )
        origin = headers.get("origin")
        foreign = origin is not None and not _same(origin, hosts)
        site = headers.get("sec-fetch-site", "none")
        crossing = site not in {"none", "same-origin"}
        if foreign or (crossing and not _is_navigation(scope, headers)):
            return Problem(403, "Refused", "Pages of another origin may not call this server.")
        return None

    def _finish(self, message: Message, request_id: str) -> None:
        sent: list[tuple[bytes, bytes]] = message["headers"]
        known = {name.lower() for name, _ in sent}
        headers = _ENCODED if known.isdisjoint(_NAMES) else _without(known)
        headers = [*headers, *sent]
        headers.append((b"x-request-id", request_id.encode()))
        if self.draining:
            headers.append((b"connection", b"close"))
        message["headers"] = headers

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = _method(scope)
        route = scope.get("thrive.route", "none")
        self._metrics.record(method, route, status, seconds)
        self._log.note(
            {
                "id": scope["thrive.id"],
                "method": method,
                "route": route,
                "status": status,
                "ms": round(seconds * 1000, 3),
                "actor": scope.get("thrive.actor", ""),
                "address": scope["client"][0] if scope.get("client") else "",
            }
        )


def _caller(scope: Scope) -> int:
    """Return whose bucket a request takes from, its token's or its address's; no secret is kept."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return hash(value)
    client = scope.get("client")
    return hash(client[0]) if client else 0


def _told(scope: Scope, problem: Problem) -> ASGIApp:
    """Return a refusal; one that clients of MLflow come back after, as their protocol says it."""
    if problem.status == 429 and is_mlflow(scope["path"]):
        return refusal_of(problem, scope["thrive.id"])
    return problem.response()


def _without(known: Collection[bytes]) -> list[tuple[bytes, bytes]]:
    return [pair for pair in _ENCODED if pair[0] not in known]


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else "other"


def _first_of(scope: Scope) -> dict[str, str]:
    """Return the headers by name, of those that came twice the first: looked up many times."""
    raw: list[tuple[bytes, bytes]] = scope["headers"]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(raw)}


def _methods(path: str) -> frozenset[str]:
    if is_mlflow(path):
        return METHODS
    return _OWN | {"PUT"} if path.startswith(BLOBS) else _OWN


def _name(host: str) -> str:
    """Return a `Host` header without its port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _same(origin: str, hosts: list[str]) -> bool:
    scheme, _, place = origin.lower().partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme)
    if default is None or len(hosts) != 1:
        return False
    return place.removesuffix(default) == hosts[0].lower().removesuffix(default)


def _is_navigation(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Tell a followed link from a request of a script: a link may lead to a page from anywhere."""
    mode = headers.get("sec-fetch-mode")
    return (
        scope["method"] in {"GET", "HEAD"}
        and mode == "navigate"
        and not scope["path"].startswith("/api/")
    )


def _is_empty(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Tell whether a client of MLflow sends no body, and so does not say of which kind it is."""
    sent = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    return is_mlflow(scope["path"]) and not sent and "content-type" not in headers


def _wrong_body(scope: Scope, headers: Mapping[str, str]) -> Problem | None:
    declared = headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdecimal()):
        return Problem(400, "UsageError", "The Content-Length is not a number.")
    sends_artifact = scope["method"] == "PUT" and is_artifact(scope["path"])
    if int(declared) > BODY_BYTES and not sends_artifact:
        return too_large()
    if scope["method"] in SAFE_METHODS or sends_artifact or _is_empty(scope, headers):
        return None
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = scope["path"] in FORMS or scope["path"].startswith(ACTS)
    wanted = "application/x-www-form-urlencoded" if is_form else "application/json"
    if scope["method"] == "PUT":
        wanted = "application/octet-stream"
    if kind != wanted:
        return Problem(
            415, "UsageError", f"The content type {kind[:80]!r} is not read here.", f"send {wanted}"
        )
    if headers.get("content-encoding", "identity").lower() != "identity":
        return Problem(415, "UsageError", "Compressed bodies are not read here.")
    return None
