"""The pages of one project as an application of their own."""

import functools
import hmac
from typing import TYPE_CHECKING

from thrive.operations import Context
from thrive.ui.guard import Guard
from thrive.ui.live import Follower
from thrive.ui.routes import Viewing, failures, routes

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

ENTER = "/enter/"
"""Below this stands the secret that lets a browser act, not only look."""


def pages_app(context: Context, secret: str = "") -> "ASGIApp":
    """Return an application that answers the pages of one project to this machine alone.

    Everybody on the machine may look; who opened `/enter/SECRET` acts as the context's actor.

    Args:
        context: the project, and who looks at it.
        secret: what lets a browser act; without one the pages only read.
    """
    from starlette.applications import Starlette
    from starlette.routing import Route

    viewing = Viewing(
        context_for=lambda _request: context, secret_of=functools.partial(_secret_of, secret)
    )
    enter = Route(ENTER + "{secret}", functools.partial(_enter, secret), methods=["GET"])
    application = Starlette(
        routes=[enter, *routes(viewing, Follower(context).answer)],
        exception_handlers=failures(viewing),  # pyright: ignore[reportArgumentType]
    )
    return Guard(application)


def _cookie(request: "Request") -> str:
    """Return the name of the cookie: servers on other ports of this machine share its names."""
    return f"thrive_ui_{request.url.port or 80}"


def _secret_of(secret: str, request: "Request") -> str:
    sent = request.cookies.get(_cookie(request), "")
    known = bool(secret) and hmac.compare_digest(sent.encode(), secret.encode())
    return secret if known else ""


def _enter(secret: str, request: "Request") -> "Response":
    from starlette.responses import RedirectResponse

    answer = RedirectResponse("/", 303)
    sent = str(request.path_params["secret"])
    if secret and hmac.compare_digest(sent.encode(), secret.encode()):
        answer.set_cookie(_cookie(request), secret, httponly=True, samesite="strict")
    return answer
