"""The little of HTTP that serving needs, on bare ASGI: bodies with limits, answers, errors."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from thrive.domain.errors import ThriveError
from thrive.serving.limits import Limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = b"application/json"


class HttpError(Exception):
    """A refusal with its HTTP status.

    Args:
        status: the HTTP status.
        code: a stable name for programs.
        message: what is wrong, with the value.
        hint: what to send instead.
        details: further fields of the error body.
        headers: further headers.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        *,
        details: dict[str, Any] | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details or {}
        self.headers = list(headers)

    def body(self) -> bytes:
        """Return the JSON body: `error` for our clients, two flat fields for MLflow's."""
        error = {"code": self.code, "message": self.message, "hint": self.hint, **self.details}
        flat = {"error": error, "error_code": self.code, "message": self.message}
        return msgspec.json.encode(flat)


def from_error(error: ThriveError, status: int, details: dict[str, Any] | None = None) -> HttpError:
    """Return one of our errors as a refusal."""
    return HttpError(status, error.code, error.what, error.hint, details=details)


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of a lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


Headers = dict[bytes, bytes]
"""The headers of a request by lower-case name; of one that was sent twice, the last."""


def headers_of(scope: Scope) -> Headers:
    """Return a request's headers."""
    return dict(scope["headers"])


async def read_body(
    headers: Headers,
    receive: Receive,
    limits: Limits,
    *,
    content_types: tuple[bytes, ...] = (JSON,),
) -> bytes:
    """Return the body of a request.

    Raises:
        HttpError: 415 for another content type, 413 for too large a body, 408 for too slow a one.
    """
    kind = headers.get(b"content-type", JSON)
    if kind not in content_types:
        _check_kind(kind, content_types)
    if b"content-encoding" in headers and headers[b"content-encoding"] != b"identity":
        raise HttpError(
            415,
            "UnsupportedMediaType",
            "Compressed bodies are not read here.",
            "send the body without Content-Encoding",
        )
    return await _read_body(headers, receive, limits)


def _check_kind(kind: bytes, content_types: tuple[bytes, ...]) -> None:
    plain = kind.partition(b";")[0].strip().lower()
    if plain not in content_types and not plain.endswith(b"+json"):
        raise HttpError(
            415,
            "UnsupportedMediaType",
            f"The content type {kind[:80].decode('latin-1')!r} is not read here.",
            "send JSON with `Content-Type: application/json`",
        )


def decode_json(body: bytes) -> Any:
    """Return what a JSON body says.

    Raises:
        HttpError: 400, it is broken.
    """
    try:
        return msgspec.json.decode(body)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise HttpError(
            400, "BadJson", f"The body is not JSON: {error}.", 'send e.g. {"rows": [{...}]}'
        ) from None


async def _read_body(headers: Headers, receive: Receive, limits: Limits) -> bytes:
    declared = headers.get(b"content-length", b"0")
    if len(declared) > 6 and declared.isdigit() and int(declared) > limits.body_bytes:
        raise _too_large(limits)
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limits.body_bytes:
            raise _too_large(limits)
        return body
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read_rest(body, receive, limits)
    except TimeoutError:
        raise HttpError(
            408, "TooSlow", f"The body did not arrive within {limits.body_seconds:g} s."
        ) from None


async def _read_rest(first: bytes, receive: Receive, limits: Limits) -> bytes:
    parts, size = [first], len(first)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, "Disconnected", "The caller left before the body was sent.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limits.body_bytes:
            raise _too_large(limits)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limits: Limits) -> HttpError:
    return HttpError(
        413,
        "TooLarge",
        f"The body is larger than {limits.body_bytes:,} bytes.",
        "send fewer rows at a time",
        headers=[(b"connection", b"close")],
    )


async def respond(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes = JSON,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Send a whole response."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
