"""The routes of a worker, as one ASGI application."""

import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from thrive.domain.clock import machine_now, parse_time
from thrive.domain.errors import UsageError
from thrive.packaging.rows import InvalidRows
from thrive.serving import bodies, counters, openapi
from thrive.serving.answering import Answerer, Asked, NobodyAnswers
from thrive.serving.answers import Part
from thrive.serving.asgi import (
    Headers,
    HttpError,
    Limits,
    Receive,
    Scope,
    Send,
    decode_json,
    from_error,
    header,
    headers_of,
    read_body,
    respond,
)
from thrive.serving.bodies import Form
from thrive.serving.counters import WorkerState
from thrive.serving.live import LiveModel, LiveModels
from thrive.serving.routes import Routes, checked_at
from thrive.store.eventlog.prediction_id import MAX_ROWS, MAX_TIME

_logger = logging.getLogger(__name__)
_CLOSE = (b"connection", b"close")
_PREDICT = "/predict/"


class App:
    """Answers HTTP requests from what the worker has loaded.

    Args:
        live: the models.
        answerer: how they answer.
        state: what is counted.
        cache: the cache folder of the home.
        limits: what is taken.
    """

    def __init__(
        self,
        live: LiveModels,
        answerer: Answerer,
        state: WorkerState,
        cache: Path,
        limits: Limits,
    ) -> None:
        self.routes: Routes | None = None
        self.draining = False
        self._live = live
        self._answerer = answerer
        self._state = state
        self._cache = cache
        self._limits = limits
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the lifespan belongs to the worker."""
        if scope["type"] != "http":
            return
        self._in_flight += 1
        try:
            await self._route(scope, receive, send)
        except HttpError as error:
            await self._send(send, error.status, error.body(), headers=error.headers)
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope["path"])
            error = HttpError(500, "InternalError", "The server failed; its log says why.")
            await self._send(send, 500, error.body())
        finally:
            self._in_flight -= 1

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(_PREDICT):
            _require(scope, "POST")
            live = self._model(path[len(_PREDICT) :])
            await self._predict(scope, receive, send, live, bodies.NATIVE)
        elif path == "/invocations":
            _require(scope, "POST")
            live = self._model(self._only_model(scope))
            await self._predict(scope, receive, send, live, bodies.MLFLOW)
        else:
            await self._page(scope, path, send)

    async def _page(self, scope: Scope, path: str, send: Send) -> None:
        page = self.PAGES.get(path)
        if page is None:
            raise HttpError(
                404, "NotFound", f"There is nothing at {path[:200]}.", "see GET /openapi.json"
            )
        _require(scope, "GET")
        status, content_type, body = page(self)
        await self._send(send, status, body, content_type=content_type)

    async def _predict(
        self, scope: Scope, receive: Receive, send: Send, live: LiveModel, form: Form
    ) -> None:
        if self._in_flight > self._limits.in_flight:
            raise _too_many(self._limits)
        headers = headers_of(scope)
        body = await read_body(headers, receive, self._limits)
        began = time.perf_counter_ns()
        at = self._event_time(headers)
        quick = live.quick
        read = quick.read(body, form.quick) if quick is not None else None
        if read is not None:
            self._check_rows(read.rows)
            asked = Asked(rows=[], count=read.rows, at=at, began=began)
            parts = await self._answer(self._answerer.answer_rows(live, asked, read))
        else:
            rows = form.rows(decode_json(body))
            self._check_rows(len(rows))
            key = headers.get(b"x-route-key")
            asked = Asked(
                rows=rows,
                count=len(rows),
                at=at,
                key=None if key is None else key.decode("latin-1"),
                began=began,
            )
            parts = await self._answer(self._answerer.answer(live, asked))
        self._state.answered += 1
        await self._send(send, 200, form.render(parts), headers=_said(parts))
        if live.shadows:
            if read is not None:
                rows = form.rows(decode_json(body))
                parts = [msgspec.structs.replace(parts[0], rows=rows)]
            self._answerer.copy_to_shadows(live, asked, parts)

    async def _answer(self, answers: Awaitable[list[Part]]) -> list[Part]:
        try:
            return await answers
        except InvalidRows as error:
            raise from_error(error, 422, error.details) from None
        except UsageError as error:
            raise from_error(error, 422) from None
        except NobodyAnswers as error:
            raise from_error(error, 503) from None

    def _check_rows(self, rows: int) -> None:
        most = min(self._limits.rows, MAX_ROWS)
        if rows > most:
            raise HttpError(
                413, "TooLarge", f"The request has {rows:,} rows.", f"send at most {most:,}"
            )

    def _event_time(self, headers: Headers) -> int:
        sent = headers.get(b"x-thrive-time")
        routes = self.routes
        replayed = routes is not None and routes.replay
        if sent is None:
            return routes.now if routes is not None and replayed else machine_now()
        said = sent.decode("latin-1")
        if not replayed:
            raise HttpError(
                400,
                "NotReplayed",
                "X-Thrive-Time is read only while the project's clock is replayed.",
                "leave the header out",
            )
        try:
            at = int(said) if said.isdecimal() else parse_time(said)
        except UsageError as error:
            raise from_error(error, 400) from None
        if not 0 <= at < MAX_TIME:
            raise HttpError(400, "BadTime", f"{said[:40]} is no time.", "send UTC microseconds")
        return at

    def _model(self, name: str) -> LiveModel:
        live = self._live.models.get(name)
        if live is None:
            known = ", ".join(sorted(self._live.models)) or "none yet"
            raise HttpError(
                404, "NotFound", f"There is no model {name[:80]!r} here.", f"models: {known}"
            )
        return live

    def _only_model(self, scope: Scope) -> str:
        name = header(scope, b"x-thrive-model")
        if name is not None:
            return name
        known = sorted(self._live.models)
        if len(known) != 1:
            raise HttpError(
                400,
                "WhichModel",
                f"{len(known)} models are served here.",
                f"name one in the header X-Thrive-Model: {', '.join(known)}",
            )
        return known[0]

    async def _send(
        self,
        send: Send,
        status: int,
        body: bytes,
        *,
        content_type: bytes = b"application/json",
        headers: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        self._state.count_response(status)
        extra = [*(headers or []), *([_CLOSE] if self.draining else [])]
        await respond(send, status, body, content_type=content_type, headers=extra)

    def _states(self) -> list[WorkerState]:
        others = counters.read_states(self._cache)
        found = [self._state, *(each for each in others if each.worker != self._state.worker)]
        return sorted(found, key=lambda state: state.worker)

    def _age_s(self) -> float:
        return time.time() - checked_at(self._cache)

    def _health(self) -> tuple[int, bytes, bytes]:
        """Tell whether it is ready, what each model serves, and how old its routing is."""
        ready = self.routes is not None and not self.draining
        errors = self._live.errors
        states = self._states()
        body = {
            "status": "draining" if self.draining else ("degraded" if errors else "ok"),
            "ready": ready,
            "routing_age_s": round(self._age_s(), 3),
            "revisions": counters.common_revisions(states),
            "models": {name: _described(live) for name, live in self._live.models.items()},
            "errors": errors,
            "counters": {
                name: sum(getattr(each, name) for each in states)
                for name in ("answered", "failed", "dropped", "shadow_dropped")
            },
            "worker": self._state.worker,
            "workers": [{"worker": each.worker, "pid": each.pid} for each in states],
        }
        return 200 if ready else 503, b"application/json", msgspec.json.encode(body)

    def _ping(self) -> tuple[int, bytes, bytes]:
        """Answer 200 once requests can be answered, else 503."""
        ready = self.routes is not None and not self.draining
        return 200 if ready else 503, b"text/plain", b"\n"

    def _metrics(self) -> tuple[int, bytes, bytes]:
        """Count for Prometheus."""
        text = counters.prometheus(self._states(), self._age_s())
        return 200, b"text/plain; version=0.0.4; charset=utf-8", text.encode()

    def _openapi(self) -> tuple[int, bytes, bytes]:
        """Describe the models' requests and answers as OpenAPI 3.1."""
        document = openapi.describe(self._live.models)
        return 200, b"application/json", msgspec.json.encode(document)

    def _home(self) -> tuple[int, bytes, bytes]:
        """List the models and the routes as text."""
        lines = ["Thrive model server", ""]
        for name, live in sorted(self._live.models.items()):
            who = f"version {live.production.variant.version}" if live.production else "fallback"
            lines.append(f"POST /predict/{name}  ({who}, routing {live.served.revision})")
        lines += ["GET /openapi.json  GET /health  GET /metrics  POST /invocations  GET /ping", ""]
        return 200, b"text/plain; charset=utf-8", "\n".join(lines).encode()

    PAGES: ClassVar[dict[str, Callable[["App"], tuple[int, bytes, bytes]]]] = {
        "/": _home,
        "/health": _health,
        "/metrics": _metrics,
        "/openapi.json": _openapi,
        "/ping": _ping,
    }
    """What is answered to GET, by path."""


def _too_many(limits: Limits) -> HttpError:
    return HttpError(
        429,
        "TooManyRequests",
        f"{limits.in_flight} requests are at work.",
        "come back in a second",
        headers=[(b"retry-after", b"1")],
    )


def _require(scope: Scope, method: str) -> None:
    allowed = (method, "HEAD") if method == "GET" else (method,)
    if scope["method"] not in allowed:
        raise HttpError(
            405,
            "MethodNotAllowed",
            f"{scope['method'][:20]} is not answered here.",
            f"use {method}",
            headers=[(b"allow", method.encode())],
        )


def _said(parts: list[Part]) -> list[tuple[bytes, bytes]]:
    if len(parts) > 1:
        return [(b"x-variant", b"mixed")]
    answer = parts[0].answer
    return [
        (b"x-model-version", b"%d" % answer.version),
        (b"x-variant", answer.variant.encode()),
        (b"x-prediction-id", answer.record_id.encode()),
    ]


def _described(live: LiveModel) -> dict[str, Any]:
    beside = [(each.variant, each.process) for each in (*live.candidates, *live.shadows)]
    return {
        "revision": live.served.revision,
        "production": live.production.variant.version if live.production else None,
        "format": live.production.predictor.describe() if live.production else None,
        "beside": [
            {
                "version": variant.version,
                "share": variant.share,
                "shadow": variant.shadow,
                "restarts": process.restarts,
            }
            for variant, process in beside
        ],
    }
