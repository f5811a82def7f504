"""Metric points as bytes: one chunk for many points of one metric, written once.

A chunk is a mark, the number of points, and three columns one after the other: step and moment as
differences to the point before (int64), values as float64, all with their bytes transposed, then
deflated where that makes them smaller. Neighbouring points differ little, so most bytes are zero.
Chunks of the first format (msgpack lists of points) are still read.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import Damaged
from thrive.domain.run import MetricPoint

PLAIN, DEFLATED = 0xC1, 0xC7
"""Marks of the two kinds of chunk; a msgpack list never begins with one."""
_HEAD = struct.Struct("<BI")
_WIDTH = 24
_LEVEL = 4
_WORTH = 8
"""From how many points on a chunk is deflated."""
_old = msgspec.msgpack.Decoder(list[MetricPoint])


class Points:
    """Points of one metric as columns: steps, moments (UTC microseconds) and values (NaN is one).

    Args:
        steps: int64.
        moments: int64.
        values: float64.
    """

    def __init__(
        self, steps: NDArray[np.int64], moments: NDArray[np.int64], values: NDArray[np.float64]
    ) -> None:
        self.steps = steps
        self.moments = moments
        self.values = values

    def __len__(self) -> int:
        return len(self.steps)

    def distinct(self) -> "Points":
        """Return the points without repetitions, in the order of their first occurrence."""
        if bool(np.all(self.steps[1:] > self.steps[:-1])):
            return self
        columns = (self.values.view(np.int64), self.moments, self.steps)
        order = np.lexsort(columns)  # stable: of equal points the first one comes first
        fresh = np.ones(len(order), bool)
        changes = [column[order[1:]] != column[order[:-1]] for column in columns]
        fresh[1:] = np.logical_or.reduce(changes)
        return self.take(np.sort(order[fresh]))

    def latest(self) -> int:
        """Return the place of the latest point: the highest step, then moment, then value."""
        highest = np.flatnonzero(self.steps == self.steps.max())
        if len(highest) == 1:
            return int(highest[0])
        values, moments = self.values[highest], self.moments[highest]
        numbers = np.where(np.isnan(values), -np.inf, values)
        return int(highest[np.lexsort((numbers, moments))[-1]])

    def at(self, place: int) -> tuple[int, int, float | None]:
        """Return step, moment and value of one point; None is NaN."""
        value = float(self.values[place])
        return (
            int(self.steps[place]),
            int(self.moments[place]),
            None if np.isnan(value) else value,
        )

    def extremes(self) -> tuple[float | None, float | None]:
        """Return the lowest and the highest value, None where all are NaN."""
        numbers = self.values[~np.isnan(self.values)]
        return (float(numbers.min()), float(numbers.max())) if len(numbers) else (None, None)

    def take(self, chosen: NDArray[np.intp] | slice) -> "Points":
        """Return the points at some places."""
        return Points(self.steps[chosen], self.moments[chosen], self.values[chosen])


def joined(parts: Sequence[Points]) -> Points:
    """Return the points of several columns one after the other."""
    if not parts:
        nothing = np.empty(0, np.int64)
        return Points(nothing, nothing, np.empty(0, np.float64))
    return Points(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.moments for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def columns_of(points: Sequence[MetricPoint]) -> Points:
    """Return points of one metric as columns."""
    count = len(points)
    return Points(
        np.fromiter((point.step for point in points), np.int64, count),
        np.fromiter((point.at for point in points), np.int64, count),
        np.fromiter(
            (float("nan") if point.value is None else point.value for point in points),
            np.float64,
            count,
        ),
    )


def pack(points: Points) -> bytes:
    """Return points of one metric as one chunk."""
    count = len(points)
    if count == 1:
        step, at, value = points.steps[0], points.moments[0], points.values[0]
        return _HEAD.pack(PLAIN, 1) + struct.pack("<qqd", step, at, value)
    columns = np.empty((3, count), "<i8")
    for column, numbers in zip(columns, (points.steps, points.moments), strict=False):
        column[0] = numbers[0]
        np.subtract(numbers[1:], numbers[:-1], out=column[1:])
    columns[2] = points.values.view(np.int64)
    if count < _WORTH:
        return _HEAD.pack(PLAIN, count) + columns.tobytes()
    planes = columns.view(np.uint8).reshape(3, count, 8).transpose(0, 2, 1)
    return _HEAD.pack(DEFLATED, count) + zlib.compress(planes.tobytes(), _LEVEL)


def unpack(chunks: Iterable[bytes]) -> Points:
    """Return the points of several chunks one after the other.

    Raises:
        Damaged: a chunk is none.
    """
    return joined([_unpacked(chunk) for chunk in chunks])


def _unpacked(chunk: bytes) -> Points:
    if not chunk or chunk[0] not in {PLAIN, DEFLATED}:
        return columns_of(_old.decode(chunk))
    mark, count = _HEAD.unpack_from(chunk)
    body = chunk[_HEAD.size :]
    if mark == DEFLATED:
        body = zlib.decompress(body, bufsize=count * _WIDTH)
    if len(body) != count * _WIDTH:
        raise Damaged(f"A chunk of {count} metric points has {len(body)} bytes.", "thrive doctor")
    if mark == DEFLATED:
        planes = np.frombuffer(body, np.uint8).reshape(3, 8, count).transpose(0, 2, 1)
        columns = np.ascontiguousarray(planes).view("<i8").reshape(3, count)
    else:
        columns = np.frombuffer(body, "<i8").reshape(3, count)
    return Points(np.cumsum(columns[0]), np.cumsum(columns[1]), columns[2].view(np.float64))
