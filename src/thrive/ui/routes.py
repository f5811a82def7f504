"""The addresses of the pages: each as HTML and, under its name, as `.json`; and their forms."""

import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from thrive.domain.errors import (
    Conflict,
    InfrastructureError,
    NotFound,
    Refused,
    ThriveError,
    UsageError,
)
from thrive.operations import Context
from thrive.ui import acts
from thrive.ui.forms import check_key, read_form
from thrive.ui.live import Live
from thrive.ui.pages import (
    admin,
    alert,
    alerts,
    artifact,
    audit,
    compare,
    dataset,
    dataset_diff,
    datasets,
    document,
    document_diff,
    drift,
    duties,
    gates,
    governance,
    kit,
    lineage,
    model,
    model_card,
    models,
    release,
    releases,
    run,
    runs,
    search,
    series,
    today,
    verdict,
)
from thrive.ui.render import STATIC, Frame, frame_of, render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

ContextFor = Callable[["Request"], Context]
"""Returns the context of a request: whose project, and who asks."""
SecretOf = Callable[["Request"], str]
"""Returns what only the viewer of a request has; "" for one who only reads."""
Words = Mapping[str, str]
_logger = logging.getLogger("thrive.ui")


class PageRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One page: where it is, what loads it, and what shows it."""

    path: str
    json_path: str
    template: str
    load: Callable[[Context, Words], Any]


def _page(path: str, template: str, load: Callable[[Context, Words], Any]) -> PageRoute:
    json_path = "/today.json" if path == "/" else f"{path}.json"
    return PageRoute(path=path, json_path=json_path, template=template, load=load)


def _of_model(tab: str) -> Callable[[Context, Words], Any]:
    return lambda ctx, q: model.load(ctx, q["name"], tab)


PAGES: tuple[PageRoute, ...] = (
    _page("/", "today.html", lambda ctx, q: today.load(ctx, everything=bool(q.get("all")))),
    _page("/search", "search.html", lambda ctx, q: search.load(ctx, q.get("q", ""))),
    _page("/models", "models.html", lambda ctx, _: models.load(ctx)),
    _page("/models/{name}", "model.html", _of_model("health")),
    _page("/models/{name}/versions", "model.html", _of_model("versions")),
    _page("/models/{name}/release", "model.html", _of_model("release")),
    _page("/models/{name}/feedback", "model.html", _of_model("feedback")),
    _page("/models/{name}/drift", "drift.html", drift.load),
    _page("/models/{name}/card", "model_card.html", model_card.load),
    _page("/models/{name}/duties", "duties.html", duties.load),
    _page(
        "/alerts",
        "alerts.html",
        lambda ctx, q: alerts.load(ctx, q.get("state", ""), q.get("model", ""), q.get("owner", "")),
    ),
    _page("/alerts/{id}", "alert.html", lambda ctx, q: alert.load(ctx, q["id"])),
    _page("/releases", "releases.html", lambda ctx, _: releases.load(ctx)),
    _page("/releases/{id}", "release.html", lambda ctx, q: release.load(ctx, q["id"])),
    _page("/runs", "runs.html", runs.load),
    _page("/compare", "compare.html", compare.load),
    _page("/runs/{id}", "run.html", lambda ctx, q: run.load(ctx, q["id"])),
    _page("/gates", "gates.html", gates.load),
    _page("/gates/{id}", "verdict.html", lambda ctx, q: verdict.load(ctx, q["id"])),
    _page("/data", "datasets.html", lambda ctx, _: datasets.load(ctx)),
    _page(
        "/data/{name}",
        "dataset.html",
        lambda ctx, q: dataset.load(ctx, q["name"], q.get("version", "")),
    ),
    _page("/data/{name}/diff", "dataset_diff.html", dataset_diff.load),
    _page("/lineage", "lineage.html", lineage.load),
    _page("/governance", "governance.html", lambda ctx, _: governance.load(ctx)),
    _page("/documents/{digest}", "document.html", lambda ctx, q: document.load(ctx, q["digest"])),
    _page("/documents/{digest}/diff", "document_diff.html", document_diff.load),
    _page("/audit", "audit.html", lambda ctx, q: audit.load(ctx, q.get("before", ""))),
    _page("/admin", "admin.html", lambda ctx, _: admin.load(ctx)),
    _page("/kit", "kit.html", lambda ctx, _: kit.load(ctx)),
    _page("/act/{act}", "act.html", acts.load),
)
"""Every page; navigation, tests and the browser walk this table."""

_STATUS: tuple[tuple[type[ThriveError], int], ...] = (
    (NotFound, 404),
    (Refused, 403),
    (UsageError, 400),
    (Conflict, 409),
)


class Viewing(msgspec.Struct, frozen=True, kw_only=True):
    """How a server knows who looks at a page.

    Attributes:
        context_for: returns the context of a request.
        secret_of: returns the secret of its session.
        leave: where a form signs the viewer out, "" where nobody signs in.
    """

    context_for: ContextFor
    secret_of: SecretOf
    leave: str = ""

    def frame(self, request: "Request", json_path: str = "", done: str = "") -> Frame:
        """Return what stands around a page."""
        return frame_of(
            self.context_for(request),
            request.url.path,
            json_path,
            secret=self.secret_of(request),
            done=done,
            leave=self.leave,
        )


def routes(viewing: Viewing, live: Live) -> "list[BaseRoute]":
    """Return the routes of all pages and of what they load, for any server to mount at its root.

    Args:
        viewing: who looks.
        live: tells an open page of changes.
    """
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    files = GZipMiddleware(StaticFiles(directory=STATIC), minimum_size=1000, compresslevel=6)
    made: list[BaseRoute] = [Mount("/static", files, name="static")]
    made.append(Route("/live", live, methods=["GET"]))
    asking = viewing.context_for
    made.append(Route("/artifacts/{run}", _artifact_endpoint(asking), methods=["GET"]))
    made.append(Route("/series/{run}", _series_endpoint(asking), methods=["GET"]))
    for page in PAGES:  # the .json first: `{name}` would take its dot for a part of the name
        made.append(Route(page.json_path, _json_endpoint(page, asking), methods=["GET"]))
        made.append(Route(page.path, _html_endpoint(page, viewing), methods=["GET"]))
    made.append(Route("/act/{act}", _form_endpoint(viewing), methods=["POST"]))
    return made


_FAILURES = {
    404: ("There is no such page.", "/"),
    405: ("This is only read.", "thrive --help"),
    500: ("The page could not be made; the log of the server says why.", "thrive doctor"),
}


def failures(viewing: Viewing) -> "dict[int, Callable[[Request, Exception], Response]]":
    """Return what answers where no page does: none of that name, one only read, one that broke."""

    def failed(request: "Request", error: Exception) -> "Response":
        from starlette.responses import HTMLResponse

        status = int(getattr(error, "status_code", 500))
        what, hint = _FAILURES.get(status, (f"The answer is {status}.", "/"))
        try:
            frame = viewing.frame(request)
        except Exception:  # noqa: BLE001 - whatever broke the page may break its frame as well
            frame = None
        page = render("error.html", frame, None, status=status, what=what, hint=hint)
        return HTMLResponse(page, status)

    return dict.fromkeys(_FAILURES, failed)


def _words(request: "Request") -> dict[str, str]:
    """Return the words of an address; one that stands several times is joined by commas.

    Raises:
        UsageError: one holds what no name does.
    """
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        found[name] = f"{found[name]},{value}" if name in found else value
    found |= request.path_params
    if any("\0" in value for value in found.values()):
        raise UsageError("A word of this address holds a NUL, as no name does.", "take it out")
    return found


def _html_endpoint(page: PageRoute, viewing: Viewing) -> "Callable[[Request], Response]":
    from starlette.responses import HTMLResponse

    def answer(request: "Request") -> "Response":
        frame = None
        try:
            done = request.query_params.get("done", "")
            frame = viewing.frame(request, _json_address(request), done)
            loaded = page.load(viewing.context_for(request), _words(request))
        except ThriveError as error:
            return told(error, frame)
        return HTMLResponse(render(page.template, frame, loaded))

    return answer


def _json_endpoint(page: PageRoute, context_for: ContextFor) -> "Callable[[Request], Response]":
    from starlette.responses import Response

    def answer(request: "Request") -> "Response":
        status = 200
        try:
            body: Any = page.load(context_for(request), _words(request))
        except ThriveError as error:
            what, hint = _spoken(error)
            body, status = {"error": error.code, "what": what, "next": hint}, _status(error)
        return Response(msgspec.json.encode(body), status, media_type="application/json")

    return answer


def _series_endpoint(context_for: ContextFor) -> "Callable[[Request], Response]":
    from starlette.responses import Response

    def answer(request: "Request") -> "Response":
        try:
            data = series.load(context_for(request), _words(request))
        except ThriveError as error:
            return Response(_spoken(error)[0], _status(error), media_type="text/plain")
        return Response(data, media_type="application/octet-stream")

    return answer


def _artifact_endpoint(context_for: ContextFor) -> "Callable[[Request], Response]":
    from starlette.responses import Response

    def answer(request: "Request") -> "Response":
        try:
            found = artifact.load(context_for(request), _words(request))
        except ThriveError as error:
            return Response(_spoken(error)[0], _status(error), media_type="text/plain")
        return Response(found.data, media_type=found.media_type, headers=found.headers)

    return answer


def _form_endpoint(viewing: Viewing) -> "Callable[[Request], Coroutine[Any, Any, Response]]":
    from starlette.concurrency import run_in_threadpool

    async def answer(request: "Request") -> "Response":
        try:
            form = await read_form(request)
        except ThriveError as error:
            return told(error, None)
        words = {**form, "act": request.path_params["act"]}
        return await run_in_threadpool(_acted, request, words)

    def _acted(request: "Request", words: dict[str, str]) -> "Response":
        from starlette.responses import RedirectResponse

        frame = None
        try:
            frame = viewing.frame(request)
            check_key(words.get("form", ""), viewing.secret_of(request))
            target = acts.perform(viewing.context_for(request), words)
        except ThriveError as error:
            return told(error, frame)
        return RedirectResponse(_told_so(target, words["act"]), 303)

    return answer


def _told_so(target: str, act: str) -> str:
    """Return the address of a page that says what was done on the way to it."""
    parts = urlsplit(target)
    kept = [each for each in parts.query.split("&") if each and not each.startswith("done=")]
    return parts._replace(query="&".join([*kept, f"done={act}"])).geturl()


def _json_address(request: "Request") -> str:
    path = request.url.path
    query = f"?{urlencode(list(request.query_params.items()))}" if request.query_params else ""
    return ("/today.json" if path == "/" else f"{path}.json") + query


def _status(error: ThriveError) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 503)


def told(error: ThriveError, frame: Frame | None) -> "Response":
    """Return the page that tells of an error: what happened, and what to type next."""
    from starlette.responses import HTMLResponse

    status, (what, hint) = _status(error), _spoken(error)
    return HTMLResponse(
        render("error.html", frame, None, status=status, what=what, hint=hint), status
    )


def _spoken(error: ThriveError) -> tuple[str, str]:
    """Return what a page says of an error, and what to type next.

    Of the machine only what kind of failure it was: its words may hold paths, addresses or SQL,
    and stand in the log.
    """
    if not isinstance(error, InfrastructureError):
        return error.what, error.hint
    _logger.warning("%s: %.500s", error.code, error.what)
    return inspect.cleandoc(type(error).__doc__ or error.code), "thrive doctor"
