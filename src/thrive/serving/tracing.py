"""W3C Trace Context: the trace that a request belongs to, and our part of it."""

import re

from thrive.serving.asgi import Headers
from thrive.serving.asked import Asked

_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_SPAN = (1 << 64) - 1


def trace_of(headers: Headers) -> str:
    """Return the trace id of a `traceparent`, "" if there is none that is one."""
    sent = headers.get(b"traceparent")
    match = _TRACE.fullmatch(sent) if sent is not None else None
    return "" if match is None or not match[1].strip(b"0") else match[1].decode()


def own_span(asked: Asked) -> bytes:
    """Return the `traceparent` of our own part of the caller's trace."""
    span = (asked.began & _SPAN or 1).to_bytes(8, "big").hex()
    return f"00-{asked.trace}-{span}-01".encode()
