"""Seeds: one for a run, one derived for each step."""

import random
import sys

from blake3 import blake3

_WIDTH = 4  # bytes: numpy's legacy generator takes 32 bits


def step_seed(run_seed: int, name: str, index: int) -> int:
    """Return the seed of the `index`-th execution of the step `name`: 32 bits of BLAKE3."""
    digest = blake3(f"{run_seed}/{name}/{index}".encode()).digest(_WIDTH)
    return int.from_bytes(digest, "big")


def sow(seed: int) -> None:
    """Seed the global generators of `random` and, if it is imported, of numpy."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)
