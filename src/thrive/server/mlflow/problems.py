"""What an MLflow client is told when the answer is no: `{"error_code", "message"}`.

Clients raise by `error_code` and retry by status, so an error of the caller is never a 5xx here.
"""

from collections.abc import Mapping

from starlette.responses import Response

from thrive.domain.errors import (
    Conflict,
    InfrastructureError,
    NotFound,
    Refused,
    ThriveError,
    UsageError,
)
from thrive.server.problems import Problem, json_response, problem_of

STATUSES = {
    "INVALID_PARAMETER_VALUE": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "BAD_REQUEST": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "INVALID_STATE": 500,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
}
_CODES: tuple[tuple[type[ThriveError], str], ...] = (
    (UsageError, "INVALID_PARAMETER_VALUE"),
    (NotFound, "RESOURCE_DOES_NOT_EXIST"),
    (Refused, "PERMISSION_DENIED"),
    (Conflict, "RESOURCE_ALREADY_EXISTS"),
)
_OF_STATUS = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}


class MlflowError(Exception):
    """A refusal in the words of the protocol.

    Args:
        code: one of `STATUSES`.
        message: what is wrong, with the value.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> MlflowError:
    """Return the refusal of a value."""
    return MlflowError("INVALID_PARAMETER_VALUE", message)


def refusal(
    code: str, message: str, status: int = 0, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as an answer."""
    body = {"error_code": code, "message": message}
    return json_response(body, status or STATUSES[code], headers)


def refusal_of(error: Exception, request_id: str) -> Response:
    """Return an error of a handler, or of the server's own doors, as an answer."""
    if isinstance(error, MlflowError):
        return refusal(error.code, error.message)
    if isinstance(error, ThriveError) and not isinstance(error, InfrastructureError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), "BAD_REQUEST")
        hint = f" ({error.hint})" if error.hint else ""
        return refusal(code, error.what + hint)
    problem = problem_of(error, request_id) if isinstance(error, ThriveError) else error
    assert isinstance(problem, Problem)
    code = _OF_STATUS.get(problem.status, "BAD_REQUEST")
    return refusal(code, problem.what, problem.status, problem.headers)
