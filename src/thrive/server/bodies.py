"""The bodies of requests: read whole, within a size and a time."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from thrive.server.problems import Problem

BODY_BYTES = 16 << 20
BODY_SECONDS = 30.0
ARRIVED = "thrive.arrived"
"""In a request's scope once its whole body is here."""


async def read_body(request: Request) -> bytes:
    """Return the whole body of a request.

    Raises:
        Problem: 413 for too large a body, 408 for too slow a one.
    """
    if request.scope.get(ARRIVED):
        return await _arrived(request)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _awaited(request)
    except TimeoutError:
        raise Problem(
            408, "UsageError", f"The body did not arrive within {BODY_SECONDS:g} s."
        ) from None


async def _arrived(request: Request) -> bytes:
    """Return a body that is here already, in one piece."""
    message = await request.receive()
    body: bytes = message.get("body", b"")
    if message["type"] != "http.request":
        raise ClientDisconnect
    if len(body) > BODY_BYTES:
        raise too_large()
    return body


async def _awaited(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES:
            raise too_large()
        parts.append(part)
    return b"".join(parts)


def too_large() -> Problem:
    """Return the refusal of a body over the limit."""
    return Problem(
        413,
        "UsageError",
        f"The body is larger than {BODY_BYTES:,} bytes.",
        "bytes go to the blob store by digest, not through operations",
        {"Connection": "close"},
    )
