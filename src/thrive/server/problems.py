"""What the server answers when the answer is no: one JSON shape, one HTTP status for each error.

`{"error": {"code", "what", "hint"}}`, where `code` is the name of the error's class. A `NotRight`
or `CannotTell` is 424: the call was understood and carried out, and its outcome is not yes; a
client that reads only statuses must not take it for success. Of an infrastructure error only its
kind is told: its words may hold paths, addresses or SQL, and stand in the log under the id given.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from thrive.domain.errors import (
    CannotTell,
    Conflict,
    DiskFull,
    InfrastructureError,
    Interrupted,
    NotFound,
    NotRight,
    Refused,
    ThriveError,
    UsageError,
)

RETRY_AFTER_S = 1
_STATUSES: tuple[tuple[type[ThriveError], int], ...] = (
    (UsageError, 422),
    (NotRight, 424),
    (CannotTell, 424),
    (DiskFull, 507),
    (InfrastructureError, 500),
    (NotFound, 404),
    (Refused, 403),
    (Conflict, 409),
    (Interrupted, 503),
)


class Problem(Exception):
    """A refusal of the server itself, with its HTTP status.

    Args:
        status: the HTTP status.
        code: the stable name for programs: that of an error class where one fits.
        what: what is wrong, with the value.
        hint: what to send instead.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        what: str,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what)
        self.status = status
        self.code = code
        self.what = what
        self.hint = hint
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer that says so."""
        body = {"error": {"code": self.code, "what": self.what, "hint": self.hint}}
        return json_response(body, self.status, self.headers)


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a value as a JSON answer."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def status_of(error: ThriveError) -> int:
    """Return the HTTP status of an error."""
    if error.transient:
        return 503
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem_of(error: ThriveError, request_id: str) -> Problem:
    """Return an error of an operation as an answer; infrastructure shows its kind alone."""
    status = status_of(error)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    if not isinstance(error, InfrastructureError):
        return Problem(status, error.code, error.what, error.hint, headers)
    what = inspect.cleandoc(type(error).__doc__ or "The machine failed.")
    hint = "try again" if error.transient else f"look for {request_id} in the server's log"
    return Problem(status, error.code, what, hint, headers)


def unexpected(request_id: str) -> Problem:
    """Return the answer to an error nobody foresaw: its id, and nothing of its inside."""
    return Problem(
        500,
        "UnexpectedError",
        "The server failed in a way that was not foreseen.",
        f"look for {request_id} in the server's log, and report it",
    )
