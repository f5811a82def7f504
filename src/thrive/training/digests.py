"""Digests that a run and its steps agree on: the key of a result, and the content of a file.

It imports little: the process that records a run needs no more of this room.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

FORMAT = 1
"""Part of each key: results of another form of the key are not found."""


def key_of(code: str, inputs: Mapping[str, Any], *, seed: int) -> str:
    """Return the cache key of one execution of a step: a digest over all that it follows from."""
    body = msgspec.json.encode([FORMAT, code, seed, inputs], order="deterministic")
    return blake3(body).hexdigest()


def file_digest(path: Path) -> str:
    """Return the digest of a file's content."""
    hasher = blake3()
    hasher.update_mmap(path)
    return hasher.hexdigest()
