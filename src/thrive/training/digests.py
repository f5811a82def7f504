"""What a run and its steps agree on: the key of a result, the seed of a step, a file's digest.

It imports little: the process that records a run needs no more of this room.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

FORMAT = 1
"""Part of each key: results of another form of the key are not found."""
_SEED_BYTES = 4
"""NumPy's legacy generator takes 32 bits."""


def key_of(code: str, inputs: Mapping[str, Any], *, seed: int) -> str:
    """Return the cache key of one execution of a step: a digest over all that it follows from."""
    body = msgspec.json.encode([FORMAT, code, seed, inputs], order="deterministic")
    return blake3(body).hexdigest()


def step_seed(run_seed: int, name: str, index: int) -> int:
    """Return the seed of the `index`-th execution of the step `name`: 32 bits of BLAKE3."""
    digest = blake3(f"{run_seed}/{name}/{index}".encode()).digest(_SEED_BYTES)
    return int.from_bytes(digest, "big")


def file_digest(path: Path) -> str:
    """Return the digest of a file's content."""
    hasher = blake3()
    hasher.update_mmap(path)
    return hasher.hexdigest()
