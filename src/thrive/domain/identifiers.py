"""Names that need no central counter: ids are UUIDv7, contents are named by BLAKE3."""

import os
import re
import time

from thrive.domain.errors import UsageError

ID_PATTERN = re.compile(r"[0-9a-f]{32}")
DIGEST_PATTERN = re.compile(r"[0-9a-f]{64}")
NAME_PATTERN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


def new_id() -> str:
    """Return a new id: a UUIDv7 (RFC 9562) as 32 hex digits, ordered by creation time."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (
        (milliseconds & ((1 << 48) - 1)) << 80
        | 0x7 << 76
        | (random >> 68 & 0xFFF) << 64
        | 0b10 << 62
        | (random & ((1 << 62) - 1))
    )
    return f"{value:032x}"


def is_id(text: str) -> bool:
    """Tell whether `text` has the form of an id."""
    return ID_PATTERN.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Tell whether `text` has the form of a content digest: 64 hex digits."""
    return DIGEST_PATTERN.fullmatch(text) is not None


def checked_name(text: str, noun: str) -> str:
    """Return `text` if it may name a `noun` (a model, a dataset, ...).

    Names are lower-case letters, digits, dot, underscore and dash, at most 64 characters,
    starting and ending with a letter or digit.

    Raises:
        UsageError: the name has another form.
    """
    if NAME_PATTERN.fullmatch(text) is None or ".." in text:
        raise UsageError(
            f"{text[:80]!r} cannot name a {noun}.",
            "use lower-case letters, digits, '.', '_' and '-', at most 64, e.g. flight-delay",
        )
    return text
