"""The words between a worker and a candidate's process: length-prefixed msgpack on a socket."""

import struct
from typing import Any

import msgspec

HEAD = struct.Struct("<I")
MAX_FRAME = 1 << 28


class Question(msgspec.Struct, array_like=True, gc=False):
    """Rows to answer, with a number that comes back."""

    number: int
    rows: list[dict[str, Any]]


class Reply(msgspec.Struct, array_like=True, gc=False):
    """The answer to a question; `error` says why there is none. Number 0 says "ready"."""

    number: int
    scores: list[float | None] = []
    decisions: list[Any] = []
    micros: int = 0
    error: str = ""


def frame(message: Question | Reply) -> bytes:
    """Return a message with its length before it."""
    body = msgspec.msgpack.encode(message)
    return HEAD.pack(len(body)) + body
