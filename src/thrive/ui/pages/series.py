"""The points of a metric that a chart needs: the extremes of each stretch of what is in sight."""

import struct
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np

from thrive.domain.errors import UsageError
from thrive.operations import Context
from thrive.store import runs
from thrive.store.points import Points

WIDEST = 4000
"""Points that are sent at most."""
_KEPT_BYTES = 512 << 20
_lock = Lock()
_kept: "OrderedDict[tuple[str, str, str, int], Points]" = OrderedDict()


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
    most = min(int(_number(words, "points", 800)), WIDEST)
    first, last = _number(words, "from", -np.inf), _number(words, "to", np.inf)
    found = _points(ctx, words["run"], words.get("key", ""))
    if len(found) and (np.isfinite(first) or np.isfinite(last)):
        low, high = np.searchsorted(found.steps, [first, last], "left")
        found = found.take(slice(max(0, int(low) - 1), int(high) + 2))
    steps, values = thinned(found, max(2, most))
    head = struct.pack("<II", len(steps), 0)
    return head + steps.astype("<f8").tobytes() + values.astype("<f4").tobytes()


def thinned(points: Points, most: int) -> tuple[Any, Any]:
    """Return at most `most` (steps, values): the lowest and the highest of each stretch, in order.

    Args:
        points: by rising step.
        most: from 2.
    """
    count = len(points)
    if count <= most:
        return points.steps, points.values
    stretch = -(-count // (most // 2))
    whole = count // stretch * stretch
    places = _extremes(points.values[:whole].reshape(-1, stretch), 0, stretch)
    if whole < count:
        rest = _extremes(points.values[whole:].reshape(1, -1), whole, stretch)
        places = np.concatenate((places, rest))
    return points.steps[places], points.values[places]


def _extremes(table: Any, first: int, stretch: int) -> Any:
    """Return the places of the lowest and the highest of each row, in rising order, each once."""
    gaps = np.isnan(table)
    if gaps.any():
        low = np.where(gaps, np.inf, table).argmin(1)
        high = np.where(gaps, -np.inf, table).argmax(1)
    else:
        low, high = table.argmin(1), table.argmax(1)
    starts = first + np.arange(len(table)) * stretch
    return np.unique(np.concatenate((starts + low, starts + high)))


def _points(ctx: Context, run_id: str, key: str) -> Points:
    """Return the points of a metric by rising step; those of the last charts are kept decoded."""
    with ctx.read() as tx:
        run = runs.get(tx, ctx.project_id, run_id)
        summary = (run.summaries or {}).get(key)
        name = (ctx.project_id, run.run_id, key, summary.points if summary else 0)
        with _lock:
            if name in _kept:
                _kept.move_to_end(name)
                return _kept[name]
        found = runs.metric_columns(tx, ctx.project_id, run.run_id, key)
    if bool(np.any(found.steps[1:] < found.steps[:-1])):
        found = found.take(np.argsort(found.steps, kind="stable"))
    with _lock:
        _kept[name] = found
        while len(_kept) > 1 and sum(len(each) * 24 for each in _kept.values()) > _KEPT_BYTES:
            _kept.popitem(last=False)
    return found


def _number(words: Mapping[str, str], name: str, default: float) -> float:
    text = words.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = float("nan")
    if value != value:  # noqa: PLR0124 - NaN alone differs from itself
        raise UsageError(f"{name}={text[:40]!r} is no number.", f"write e.g. {name}=100")
    return value
