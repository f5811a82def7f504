"""The points of a metric that a chart needs: the extremes of each stretch of what is in sight."""

import struct
from collections.abc import Mapping

import numpy as np

from thrive.domain.errors import UsageError
from thrive.operations import Context
from thrive.store import runs
from thrive.tracking.curves import curves_of

WIDEST = 4000
"""Points that are sent at most."""


def load(ctx: Context, words: Mapping[str, str]) -> bytes:
    """Return points as bytes: their number (uint32), steps (float64), values (float32).

    All little-endian, the columns one after the other; 4 bytes of nothing stand behind the number,
    so that the steps are aligned.

    Args:
        ctx: the project.
        words: `run`, `key`, `from` and `to` (steps; all without them), `points` (how many).

    Raises:
        NotFound: there is no such run.
        UsageError: a number is none.
    """
    most = int(min(max(_number(words, "points", 800), 2), WIDEST))
    sight = (_number(words, "from", -np.inf), _number(words, "to", np.inf))
    with ctx.read() as tx:
        run = runs.get(tx, ctx.project_id, words["run"])
        found = curves_of(ctx.home)
        steps, values = found.curve(tx, run.run_id, words.get("key", ""), most, sight)
    head = struct.pack("<II", len(steps), 0)
    return head + steps.astype("<f8").tobytes() + values.astype("<f4").tobytes()


def _number(words: Mapping[str, str], name: str, default: float) -> float:
    text = words.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = float("nan")
    if value != value:  # noqa: PLR0124 - NaN alone differs from itself
        raise UsageError(f"{name}={text[:40]!r} is no number.", f"write e.g. {name}=100")
    return value
