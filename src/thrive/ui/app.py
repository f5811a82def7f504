"""The pages of one project as an application of their own."""

from typing import TYPE_CHECKING

from thrive.operations import Context
from thrive.ui.guard import Guard
from thrive.ui.render import Frame, frame_of, render
from thrive.ui.routes import routes

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

_WORDS = {
    404: ("There is no such page.", "/"),
    405: ("Pages are only read.", "thrive --help"),
    500: ("The page could not be made; the log of `thrive ui` says why.", "thrive doctor"),
}


def pages_app(context: Context) -> "ASGIApp":
    """Return an application that answers the pages of one project to this machine alone.

    Args:
        context: the project, and who looks at it.
    """
    from starlette.applications import Starlette

    def failed(request: "Request", error: Exception) -> "Response":
        from starlette.responses import HTMLResponse

        status = int(getattr(error, "status_code", 500))
        what, hint = _WORDS.get(status, (f"The answer is {status}.", "/"))
        page = render(
            "error.html", _frame(context, request), None, status=status, what=what, hint=hint
        )
        return HTMLResponse(page, status)

    application = Starlette(
        routes=routes(lambda _request: context),
        exception_handlers={404: failed, 405: failed, 500: failed},
    )
    return Guard(application)


def _frame(context: Context, request: "Request") -> Frame | None:
    """Return the frame of an error page, None when even the project cannot be asked."""
    try:
        return frame_of(context, request.url.path, "")
    except Exception:  # noqa: BLE001 - whatever broke the page may break its frame as well
        return None
