"""Curves of metrics as they are looked at: the extremes of each stretch of what is in sight.

Of each chunk of points the lowest and the highest of every `STRETCH` are kept in memory, so that
ten million points are a curve at once, and a curve that grows is read on from where it was. Where
that is too coarse for the range in sight, its points are read: then the curve is exact.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thrive.store import runs
from thrive.store.database import Tx
from thrive.store.home import Home
from thrive.store.points import unpack

STRETCH = 256
"""Points of which the lowest and the highest are kept."""
_KEPT = 8 << 20
"""Points kept of all curves together, 16 bytes each."""
_BESIDE = 8
"""From so many chunks on several threads open them: most of that holds no lock."""

Steps = NDArray[np.int64]
Values = NDArray[np.float64]
Curve = tuple[Steps, Values]


class _Chunk(NamedTuple):
    """What is kept of a chunk: its number of points, its range of steps, its extremes."""

    points: int
    first: int
    last: int
    curve: Curve


class Curves:
    """The curves of a project's runs; safe to use from many threads.

    Args:
        project_id: the project.
    """

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], dict[runs.ChunkKey, _Chunk]] = OrderedDict()

    def curve(
        self, tx: Tx, run_id: str, key: str, most: int, sight: tuple[float, float] | None = None
    ) -> Curve:
        """Return at most `most` (steps, values) of a metric, by rising step.

        Args:
            tx: a transaction.
            run_id: the run.
            key: the metric.
            most: how many points, from 2.
            sight: the lowest and the highest step in sight, None for all; one point before and
                one behind are given as well.
        """
        chunks = self._chunks(tx, run_id, key)
        first, last = sight or (-np.inf, np.inf)
        before = max((each.last for each in chunks.values() if each.last < first), default=first)
        behind = min((each.first for each in chunks.values() if each.first > last), default=last)
        near = {at: it for at, it in chunks.items() if it.last >= before and it.first <= behind}
        found = _cut(_joined([each.curve for each in near.values()]), first, last)
        exact = sum(len(each.curve[0]) for each in near.values()) == sum(
            each.points for each in near.values()
        )
        if len(found[0]) < most and not exact:
            places = [seq for seq, _, _ in near]
            data = runs.metric_chunks_at(tx, self._project_id, run_id, key, places)
            found = _cut(_joined(_opened([each for _, each in data])), first, last)
        return thinned(*found, most)

    def _chunks(self, tx: Tx, run_id: str, key: str) -> dict[runs.ChunkKey, _Chunk]:
        """Return what is kept of a metric's chunks, after reading those that are new."""
        name = (run_id, key)
        present = runs.metric_chunk_keys(tx, self._project_id, run_id, key)
        with self._lock:
            known = self._kept.get(name, {})
        missing = [each for each in present if each not in known]
        read: dict[runs.ChunkKey, _Chunk] = {}
        if missing:
            places = [seq for seq, _, _ in missing]
            data = runs.metric_chunks_at(tx, self._project_id, run_id, key, places)
            opened = _opened([each for _, each in data])
            read = {at: _chunk(curve) for at, curve in zip(missing, opened, strict=True)}
        chunks = {at: known.get(at) or read[at] for at in present}
        with self._lock:
            self._kept[name] = chunks
            self._kept.move_to_end(name)
            while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > _KEPT:
                self._kept.popitem(last=False)
        return chunks


def _size(chunks: dict[runs.ChunkKey, _Chunk]) -> int:
    return sum(len(each.curve[0]) for each in chunks.values())


def _opened(chunks: Sequence[bytes]) -> list[Curve]:
    """Return the points of chunks, each by rising step."""
    if len(chunks) < _BESIDE:
        return [_open(each) for each in chunks]
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(_open, chunks))


def _open(chunk: bytes) -> Curve:
    points = unpack([chunk]).distinct()
    return _rising((points.steps, points.values))


def _chunk(curve: Curve) -> _Chunk:
    steps, values = curve
    kept = thinned(steps, values, max(2, 2 * (len(steps) // STRETCH)))
    return _Chunk(len(steps), int(steps[0]), int(steps[-1]), kept)


def _joined(curves: Iterable[Curve]) -> Curve:
    several = list(curves)
    if not several:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    steps = np.concatenate([steps for steps, _ in several])
    return _rising((steps, np.concatenate([values for _, values in several])))


def _rising(curve: Curve) -> Curve:
    steps, values = curve
    if not bool(np.any(steps[1:] < steps[:-1])):
        return curve
    order = np.argsort(steps, kind="stable")
    return steps[order], values[order]


def _cut(curve: Curve, first: float, last: float) -> Curve:
    steps, values = curve
    low, high = np.searchsorted(steps, [first, last], "left")
    sight = slice(max(0, int(low) - 1), int(high) + 2)
    return steps[sight], values[sight]


def thinned(steps: Steps, values: Values, most: int) -> Curve:
    """Return at most `most` (steps, values): the lowest and the highest of each stretch, in order.

    Args:
        steps: rising.
        values: as many; NaN is neither low nor high.
        most: from 2.
    """
    count = len(steps)
    if count <= most:
        return steps, values
    stretch = -(-count // (most // 2))
    whole = count // stretch * stretch
    places = _extremes(values[:whole].reshape(-1, stretch), 0, stretch)
    if whole < count:
        rest = _extremes(values[whole:].reshape(1, -1), whole, stretch)
        places = np.concatenate((places, rest))
    return steps[places], values[places]


def _extremes(table: Values, first: int, stretch: int) -> NDArray[np.intp]:
    """Return the places of the lowest and the highest of each row, in rising order, each once."""
    gaps = np.isnan(table)
    if gaps.any():
        low = np.where(gaps, np.inf, table).argmin(1)
        high = np.where(gaps, -np.inf, table).argmax(1)
    else:
        low, high = table.argmin(1), table.argmax(1)
    starts = first + np.arange(len(table)) * stretch
    return np.unique(np.concatenate((starts + low, starts + high)))


_curves: weakref.WeakKeyDictionary[Home, Curves] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def curves_of(home: Home) -> Curves:
    """Return the curves of a home's runs, the same for all who ask in this process."""
    with _making:
        return _curves.setdefault(home, Curves(home.project_id))
