"""The addresses of the pages: each as HTML and, under the same name, as `.json`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from thrive.domain.errors import NotFound, Refused, ThriveError, UsageError
from thrive.operations import Context
from thrive.ui.pages import (
    alert,
    alerts,
    audit,
    dataset,
    datasets,
    model,
    models,
    release,
    releases,
    run,
    runs,
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
Words = Mapping[str, str]


class PageRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One page: where it is, what loads it, and what shows it."""

    path: str
    json_path: str
    template: str
    load: Callable[[Context, Words], Any]


def _page(path: str, template: str, load: Callable[[Context, Words], Any]) -> PageRoute:
    json_path = "/today.json" if path == "/" else f"{path}.json"
    return PageRoute(path=path, json_path=json_path, template=template, load=load)


PAGES: tuple[PageRoute, ...] = (
    _page("/", "today.html", lambda ctx, _: today.load(ctx)),
    _page("/models", "models.html", lambda ctx, _: models.load(ctx)),
    _page("/models/{name}", "model.html", lambda ctx, q: model.load(ctx, q["name"])),
    _page(
        "/alerts",
        "alerts.html",
        lambda ctx, q: alerts.load(ctx, q.get("state", ""), q.get("model", "")),
    ),
    _page("/alerts/{id}", "alert.html", lambda ctx, q: alert.load(ctx, q["id"])),
    _page("/releases", "releases.html", lambda ctx, _: releases.load(ctx)),
    _page("/releases/{id}", "release.html", lambda ctx, q: release.load(ctx, q["id"])),
    _page(
        "/runs",
        "runs.html",
        lambda ctx, q: runs.load(ctx, q.get("experiment", ""), q.get("after", "")),
    ),
    _page("/runs/{id}", "run.html", lambda ctx, q: run.load(ctx, q["id"])),
    _page("/data", "datasets.html", lambda ctx, _: datasets.load(ctx)),
    _page(
        "/data/{name}",
        "dataset.html",
        lambda ctx, q: dataset.load(ctx, q["name"], q.get("version", "")),
    ),
    _page("/gates/{id}", "verdict.html", lambda ctx, q: verdict.load(ctx, q["id"])),
    _page("/audit", "audit.html", lambda ctx, q: audit.load(ctx, q.get("before", ""))),
)
"""Every page; navigation, tests and the browser walk this table."""

_STATUS: tuple[tuple[type[ThriveError], int], ...] = (
    (NotFound, 404),
    (Refused, 403),
    (UsageError, 400),
)


def routes(context_for: ContextFor) -> "list[BaseRoute]":
    """Return the routes of all pages and of the stylesheet, for any server to mount at its root.

    Args:
        context_for: returns the context of a request.
    """
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    made: list[BaseRoute] = [Mount("/static", StaticFiles(directory=STATIC), name="static")]
    for page in PAGES:  # the .json first: `{name}` would take its dot for a part of the name
        made.append(Route(page.json_path, _json_endpoint(page, context_for), methods=["GET"]))
        made.append(Route(page.path, _html_endpoint(page, context_for), methods=["GET"]))
    return made


def _words(request: "Request") -> dict[str, str]:
    return {**request.query_params, **request.path_params}


def _html_endpoint(page: PageRoute, context_for: ContextFor) -> "Callable[[Request], Response]":
    from starlette.responses import HTMLResponse

    def answer(request: "Request") -> "Response":
        frame = None
        try:
            context = context_for(request)
            frame = frame_of(context, request.url.path, _json_address(request))
            loaded = page.load(context, _words(request))
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
            body = {"error": error.code, "what": error.what, "next": error.hint}
            status = _status(error)
        return Response(msgspec.json.encode(body), status, media_type="application/json")

    return answer


def _json_address(request: "Request") -> str:
    path = request.url.path
    query = f"?{urlencode(list(request.query_params.items()))}" if request.query_params else ""
    return ("/today.json" if path == "/" else f"{path}.json") + query


def _status(error: ThriveError) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 503)


def told(error: ThriveError, frame: Frame | None) -> "Response":
    """Return the page that tells of an error: what happened, and what to type next."""
    from starlette.responses import HTMLResponse

    status = _status(error)
    return HTMLResponse(
        render("error.html", frame, None, status=status, what=error.what, hint=error.hint), status
    )
