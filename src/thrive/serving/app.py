"""The routes of a worker, as one ASGI application."""

import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from thrive.domain.clock import machine_now, parse_time
from thrive.domain.errors import Refused, UsageError
from thrive.packaging.rows import InvalidRows
from thrive.serving import bodies, counters, inference_v2
from thrive.serving.answering import Answerer, NobodyAnswers, NotLogged
from thrive.serving.answers import Part
from thrive.serving.asgi import (
    JSON,
    Headers,
    HttpError,
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
from thrive.serving.asked import Asked
from thrive.serving.bodies import Form
from thrive.serving.callers import OPEN, may_ask, name_of_host, shown_digest
from thrive.serving.counters import WorkerState
from thrive.serving.explainer import Explainer
from thrive.serving.limits import Limits
from thrive.serving.live import LiveModel, LiveModels
from thrive.serving.routes import Routes, checked_at
from thrive.serving.tracing import own_span, trace_of
from thrive.store.eventlog.prediction_id import MAX_ROWS, MAX_TIME

_logger = logging.getLogger(__name__)
_CLOSE = (b"connection", b"close")
_MOST_SPELLINGS = 64
"""Spellings of known hosts, with their ports, that are remembered as good."""
PREDICT = "/predict/"
_V2 = "/v2"
_EXPLAIN = "/explain/"
_TENSORS = (JSON, inference_v2.OCTETS)
_DIGITS = 20
"""Digits of a number in a header from which on it can be no time: Python reads no endless ones."""
_MLFLOW = re.compile(r"/v1/models/([^/]+):predict|/(?:gateway|endpoints)/([^/]+)/invocations")


class App:
    """Answers HTTP requests from what the worker has loaded.

    Args:
        live: the models.
        answerer: how they answer.
        state: what is counted.
        cache: the cache folder of the home.
        log: the folder of the prediction log.
        limits: what is taken.
    """

    def __init__(
        self,
        live: LiveModels,
        answerer: Answerer,
        state: WorkerState,
        cache: Path,
        log: Path,
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
        self._bytes_in_flight = 0
        self._explainer = Explainer(cache, log)
        self._hosts = frozenset(limits.hosts)
        self._hosts_sent: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the lifespan belongs to the worker."""
        if scope["type"] != "http":
            return
        self._in_flight += 1
        try:
            if self._hosts:
                self._require_known_host(scope)
            if self._limits.callers:
                self.require_caller(scope["path"], headers_of(scope))
            await self._route(scope, receive, send)
        except HttpError as error:
            await self._send(send, error.status, error.body(), headers=error.headers)
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope["path"])
            error = HttpError(500, "InternalError", "The server failed; its log says why.")
            await self._send(send, 500, error.body())
        finally:
            self._in_flight -= 1

    def _require_known_host(self, scope: Scope) -> None:
        sent = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if sent in self._hosts_sent or scope["path"] in OPEN:
            return
        if name_of_host(sent) not in self._hosts:
            raise HttpError(
                403,
                "ForeignHost",
                "This server is not reached by that host name.",
                "start it with --allow-host NAME",
            )
        if len(self._hosts_sent) < _MOST_SPELLINGS:
            self._hosts_sent.add(sent)

    def takes_at_once(self, headers: Headers) -> bool:
        """Tell whether nothing stands against a request; what does, only the long way says."""
        limits = self._limits
        return (
            self.ready
            and self._in_flight < limits.in_flight
            and (not self._hosts or headers.get(b"host", b"") in self._hosts_sent)
            and (
                not limits.callers
                or may_ask(PREDICT, headers.get(b"authorization", b""), limits.callers)
            )
            and not limits.consumers
            and b"x-thrive-time" not in headers
        )

    def asked(self, headers: Headers, count: int, began: int, *, sync: bool = False) -> Asked:
        """Return a request of `count` rows that were read the quick way."""
        return Asked(
            rows=[],
            count=count,
            at=self._event_time(headers),
            trace=trace_of(headers),
            sync=sync,
            began=began,
        )

    def note_answered(self, requests: int) -> None:
        """Count requests that were answered at once."""
        self._state.answered += requests
        self._state.count_response(200, requests)

    def require_caller(self, path: str, headers: Headers) -> None:
        """Refuse a caller who shows no token, where one is asked for.

        Raises:
            HttpError: 401.
        """
        sent = headers.get(b"authorization", b"")
        if not may_ask(path, sent, self._limits.callers):
            raise HttpError(
                401,
                "NoToken",
                "The request shows no token of this server.",
                "send Authorization: Bearer TOKEN",
                headers=[(b"www-authenticate", b"Bearer")],
            )

    def _require_purpose(self, live: LiveModel, headers: Headers) -> None:
        """Refuse a consumer who may ask for other purposes than those of the model.

        Raises:
            HttpError: 403.
        """
        consumers = self._limits.consumers
        if not consumers:
            return
        consumer = consumers.get(shown_digest(headers.get(b"authorization", b"")) or "")
        served = live.served
        if consumer is not None and not {*consumer.purposes} & {*served.purposes}:
            raise HttpError(
                403,
                "OtherPurpose",
                f"{consumer.name} may ask for {', '.join(consumer.purposes)}, and {served.model} "
                f"is for {', '.join(served.purposes)}.",
                "ask a model of your purpose, or have the purpose registered with the token",
            )

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(PREDICT):
            _require(scope, "POST")
            await self._predict(scope, receive, send, path[len(PREDICT) :], bodies.NATIVE)
        elif path.startswith(_V2):
            await self._inference(scope, receive, send, path)
        elif path.startswith(_EXPLAIN):
            _require(scope, "GET")
            await self._send(send, 200, await self._explainer.explain(path[len(_EXPLAIN) :]))
        else:
            name = _mlflow_model(path)
            if name is None:
                await self._page(scope, path, send)
                return
            _require(scope, "POST")
            name = name or self._only_model(scope)
            await self._predict(scope, receive, send, name, bodies.MLFLOW)

    async def _inference(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        """Answer the Open Inference Protocol, errors included in its own form."""
        try:
            await self._v2(scope, receive, send, path)
        except HttpError as error:
            body = inference_v2.error_body(error)
            await self._send(send, error.status, body, headers=error.headers)

    async def _v2(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        place = inference_v2.find_place(path)
        live = self.model(place.model) if place.model else None
        if live is not None:
            inference_v2.check_version(live, place.version)
        if live is not None and place.action == "infer":
            _require(scope, "POST")
            await self._infer(scope, receive, send, live)
            return
        _require(scope, "POST" if place.action == "index" else "GET")
        status, found = 200, None
        if place.action == "server":
            found = inference_v2.server_metadata()
        elif place.action == "index":
            found = inference_v2.index(self._live.models)
        elif live is not None and place.action == "metadata":
            found = inference_v2.model_metadata(place.model, live)
        elif place.action == "ready":
            status = 200 if self.ready and (live is None or live.production) else 503
        await self._send(send, status, b"" if found is None else msgspec.json.encode(found))

    async def _infer(self, scope: Scope, receive: Receive, send: Send, live: LiveModel) -> None:
        self._refuse_too_many()
        headers = headers_of(scope)
        self._require_purpose(live, headers)
        with self._room_for(headers):
            body = await read_body(headers, receive, self._limits, content_types=_TENSORS)
            began = time.perf_counter_ns()
            request, rows = inference_v2.read_request(body, headers, live)
            asked, parts = await self._answer_objects(live, rows, headers, began, sync=_sync(scope))
            found, kind, more = inference_v2.write_answer(request, parts, live)
            more += _said(parts, asked)
            await self._send(send, 200, found, content_type=kind, headers=more)
        if asked.variant is None:
            self._answerer.shadows.copy(live, asked, parts, len(body))

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
        self, scope: Scope, receive: Receive, send: Send, name: str, form: Form
    ) -> None:
        live = self.model(name)
        self._refuse_too_many()
        headers = headers_of(scope)
        self._require_purpose(live, headers)
        with self._room_for(headers):
            body = await read_body(headers, receive, self._limits, content_types=form.content_types)
            await self._predict_body(scope, send, live, headers, body, form)

    async def _predict_body(
        self, scope: Scope, send: Send, live: LiveModel, headers: Headers, body: bytes, form: Form
    ) -> None:
        began = time.perf_counter_ns()
        quick = live.quick
        read = quick.read(body, form.quick) if quick is not None else None
        if read is not None and b"x-variant" not in headers:
            self._check_rows(read.rows)
            asked = self.asked(headers, read.rows, began, sync=_sync(scope))
            parts = await self._answer(self._answerer.answer_rows(live, asked, read), asked)
        else:
            rows = form.rows(form.decode(body, headers))
            asked, parts = await self._answer_objects(live, rows, headers, began, sync=_sync(scope))
        await self._send(send, 200, form.render(parts), headers=_said(parts, asked))
        if live.shadows and asked.variant is None:
            if not asked.rows:
                rows = form.rows(decode_json(body))
                parts = [msgspec.structs.replace(parts[0], rows=rows)]
            self._answerer.shadows.copy(live, asked, parts, len(body))

    async def answer(
        self,
        live: LiveModel,
        rows: list[dict[str, Any]],
        headers: Headers,
        size: int,
        *,
        sync: bool,
    ) -> list[Part]:
        """Return the answer to rows that came otherwise than over HTTP; shadows get a copy.

        Args:
            live: the model.
            rows: row objects.
            headers: what HTTP would have sent as headers, by lower-case name.
            size: bytes of the request.
            sync: whether the answer is to be on the disk first.

        Raises:
            HttpError: as the same rows over HTTP are refused.
        """
        self._in_flight += 1
        try:
            self._refuse_too_many()
            self._require_purpose(live, headers)
            began = time.perf_counter_ns()
            asked, parts = await self._answer_objects(live, rows, headers, began, sync=sync)
        finally:
            self._in_flight -= 1
        if asked.variant is None:
            self._answerer.shadows.copy(live, asked, parts, size)
        return parts

    def _refuse_too_many(self) -> None:
        if self._in_flight > self._limits.in_flight:
            raise HttpError(
                429,
                "TooManyRequests",
                f"{self._limits.in_flight} requests are at work.",
                "come back in a second",
                headers=[(b"retry-after", b"1")],
            )

    @contextlib.contextmanager
    def _room_for(self, headers: Headers) -> Generator[None]:
        """Hold the memory of a request's body; one whose size is not said may have the largest.

        Raises:
            HttpError: 429, the bodies of others leave no room for it.
        """
        limits, said = self._limits, headers.get(b"content-length", b"")
        size = min(int(said), limits.body_bytes) if said.isdigit() else limits.body_bytes
        if self._bytes_in_flight and self._bytes_in_flight + size > limits.bytes_in_flight:
            raise HttpError(
                429,
                "TooManyRequests",
                f"Requests of {self._bytes_in_flight:,} bytes are at work.",
                "come back in a second",
                headers=[(b"retry-after", b"1")],
            )
        self._bytes_in_flight += size
        try:
            yield
        finally:
            self._bytes_in_flight -= size

    async def _answer_objects(
        self,
        live: LiveModel,
        rows: list[dict[str, Any]],
        headers: Headers,
        began: int,
        *,
        sync: bool,
    ) -> tuple[Asked, list[Part]]:
        """Answer rows that are objects, in any of the forms of requests."""
        self._check_rows(len(rows))
        asked = Asked(
            rows=rows,
            count=len(rows),
            at=self._event_time(headers),
            key=_text(headers, b"x-route-key"),
            variant=_text(headers, b"x-variant"),
            trace=trace_of(headers),
            sync=sync,
            began=began,
        )
        return asked, await self._answer(self._answerer.answer(live, asked), asked)

    async def _answer(self, answers: Awaitable[list[Part]], asked: Asked) -> list[Part]:
        try:
            parts = await answers
            if asked.sync:
                await self._answerer.make_durable(parts)
        except InvalidRows as error:
            raise from_error(error, 422, error.details) from None
        except UsageError as error:
            raise from_error(error, 422) from None
        except Refused as error:
            raise from_error(error, 403) from None
        except (NobodyAnswers, NotLogged) as error:
            raise from_error(error, 503) from None
        self._state.answered += 1
        return parts

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
            at = int(said) if said.isdecimal() and len(said) < _DIGITS else parse_time(said)
        except UsageError as error:
            raise from_error(error, 400) from None
        if not 0 <= at < MAX_TIME:
            raise HttpError(400, "BadTime", f"{said[:40]} is no time.", "send UTC microseconds")
        return at

    @property
    def models(self) -> dict[str, LiveModel]:
        """The models by name."""
        return self._live.models

    def model(self, name: str) -> LiveModel:
        """Return a model.

        Raises:
            HttpError: 404, there is none of that name.
        """
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
        return max(0.0, time.time() - checked_at(self._cache))  # a clock may be set back

    def _health(self) -> tuple[int, bytes, bytes]:
        """Tell whether it is ready, what each model serves, and how old its routing is."""
        ready = self.ready
        errors = self._live.errors
        states = self._states()
        body = {
            "status": "draining" if self.draining else ("degraded" if errors else "ok"),
            "ready": ready,
            "routing_age_s": round(self._age_s(), 3),
            "revisions": counters.common_revisions(states),
            "models": {name: live.described() for name, live in self._live.models.items()},
            "errors": errors,
            "counters": {
                name: sum(getattr(each, name) for each in states)
                for name in ("answered", "failed", "dropped", "shadow_dropped")
            },
            "worker": self._state.worker,
            "workers": [{"worker": each.worker, "pid": each.pid} for each in states],
        }
        return 200 if ready else 503, b"application/json", msgspec.json.encode(body)

    @property
    def ready(self) -> bool:
        """Whether requests can be answered."""
        return self.routes is not None and not self.draining

    def _ping(self) -> tuple[int, bytes, bytes]:
        """Answer 200 once requests can be answered, else 503."""
        ready = self.ready
        return 200 if ready else 503, b"text/plain", b"\n"

    def _metrics(self) -> tuple[int, bytes, bytes]:
        """Count for Prometheus."""
        text = counters.prometheus(self._states(), self._age_s())
        return 200, b"text/plain; version=0.0.4; charset=utf-8", text.encode()

    def _openapi(self) -> tuple[int, bytes, bytes]:
        """Describe the models' requests and answers as OpenAPI 3.1."""
        from thrive.serving import openapi  # few ask

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


def _mlflow_model(path: str) -> str | None:
    """Return the model that a path of MLflow or KServe v1 names, "" for the only one, or None."""
    if path == "/invocations":
        return ""
    match = _MLFLOW.fullmatch(path)
    return match and (match[1] or match[2])


def _sync(scope: Scope) -> bool:
    """Tell whether the caller asked by `?logged=sync` that the answer is on the disk first."""
    query: bytes = scope["query_string"]
    return query != b"" and b"logged=sync" in query.split(b"&")


def _text(headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _said(parts: list[Part], asked: Asked) -> list[tuple[bytes, bytes]]:
    if len(parts) > 1:
        said = [(b"x-variant", b"mixed")]
    else:
        answer = parts[0].answer
        said = [
            (b"x-model-version", b"%d" % answer.version),
            (b"x-variant", answer.variant.encode()),
            (b"x-prediction-id", answer.record_id.encode()),
        ]
    if asked.trace:
        said.append((b"traceparent", own_span(asked)))
    return said
