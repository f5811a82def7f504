"""Metric points as bytes: one chunk for many points of one metric, written once.

A chunk is a mark, the number of points, and three columns one after the other: step, moment and
value. What is logged is written at once and narrow: steps and moments as differences to the point
before, in as few bytes as the widest of them needs (none where all are the same), values as
float64. When a run ends its chunks become few large ones, and those that get much smaller are
deflated after their bytes were transposed: neighbouring points may differ little.
Chunks of the formats before (plain columns, msgpack lists of points) are still read.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import Damaged
from thrive.domain.run import MetricPoint
from thrive.store.few_points import HEAD, PLAIN

NARROW, DEFLATED = 0xC2, 0xC7
"""Marks of the other kinds of chunk; a msgpack list never begins with one."""
_FIRST = struct.Struct("<qBq")
"""How a narrow column begins: its first number, bytes a difference, the least difference."""
_WIDTH = 24
_LEVEL = 4
_WORTH = 8
"""From how many points on a chunk is deflated."""
_MUCH = 0.75
"""What part of a narrow chunk a deflated one may take."""
_WIDTHS = (0, 1, 2, 4, 8)
_DTYPES = {1: "u1", 2: "<u2", 4: "<u4", 8: "<u8"}
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


class Seen(NamedTuple):
    """What is kept of the points of one metric beside the points.

    Attributes:
        step: of the latest point, that of the highest step, then moment, then value.
        at: its moment.
        value: its value; None is NaN.
        low: the lowest value, None where all are NaN.
        high: the highest.
    """

    step: int
    at: int
    value: float | None
    low: float | None
    high: float | None


def summarized(several: Sequence[Points]) -> list[Seen]:
    """Return what is kept of several metrics, none of them without points, in one pass."""
    if not several:
        return []
    starts, whole = _starts(several), joined(several)
    ends = np.append(starts[1:], len(whole)) - 1
    highest = np.maximum.reduceat(whole.steps, starts)
    level = whole.steps == np.repeat(highest, ends - starts + 1)
    several_highest = np.add.reduceat(level, starts, dtype=np.int64) > 1
    for place in np.flatnonzero((whole.steps[ends] < highest) | several_highest).tolist():
        ends[place] = starts[place] + several[place].latest()
    lows = np.fmin.reduceat(whole.values, starts)
    highs = np.fmax.reduceat(whole.values, starts)
    columns = (whole.steps, whole.moments, whole.values)
    steps, moments, values = (column[ends].tolist() for column in columns)
    rows = zip(steps, moments, values, lows.tolist(), highs.tolist(), strict=True)
    return [Seen(step, at, *map(_number, numbers)) for step, at, *numbers in rows]


def _starts(several: Sequence[Points]) -> NDArray[np.intp]:
    counts = np.fromiter(map(len, several), np.intp, len(several))
    return np.cumsum(counts) - counts


def _number(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 - NaN alone differs from itself


def pack(several: Sequence[Points]) -> list[bytes]:
    """Return the points of several metrics, none of them empty, as one narrow chunk each."""
    if not several:
        return []
    starts, whole = _starts(several), joined(several)
    steps, moments = (_narrow(each, starts) for each in (whole.steps, whole.moments))
    values = np.ascontiguousarray(whole.values, "<f8").tobytes()
    chunks: list[bytes] = []
    for begin, step, moment, points in zip(starts.tolist(), steps, moments, several, strict=True):
        count = len(points)
        numbers = values[8 * begin : 8 * (begin + count)]
        if count == 1:
            chunks.append(HEAD.pack(PLAIN, 1) + step[:8] + moment[:8] + numbers)
        else:
            chunks.append(b"".join((HEAD.pack(NARROW, count), step, moment, numbers)))
    return chunks


def _narrow(column: NDArray[np.int64], starts: NDArray[np.intp]) -> list[bytes]:
    """Return each part of a column as its first number and its differences, in few bytes.

    Differences are taken, and added up again, modulo 2**64: every int64 comes back.
    """
    ends = np.append(starts[1:], len(column))
    differences = np.diff(column, prepend=column[:1])
    inner = np.ones(len(column), bool)
    inner[starts] = False
    least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    lows = np.minimum.reduceat(np.where(inner, differences, most), starts)
    highs = np.maximum.reduceat(np.where(inner, differences, least), starts)
    parts: list[bytes] = []
    rows = (starts.tolist(), ends.tolist(), column[starts].tolist(), lows.tolist(), highs.tolist())
    for begin, end, first, low, high in zip(*rows, strict=True):
        if end - begin == 1:
            parts.append(_FIRST.pack(first, 0, 0))
            continue
        width = next(each for each in _WIDTHS if high - low < 1 << (8 * each))
        head = _FIRST.pack(first, width, low)
        if width:
            offsets = (differences[begin + 1 : end] - low).view(np.uint64)
            head += offsets.astype(_DTYPES[width]).tobytes()
        parts.append(head)
    return parts


def pack_ended(points: Points) -> bytes:
    """Return points of one metric as the one chunk of a run that has ended.

    It is deflated where that makes it much smaller: to inflate takes twice as long as to read. Of
    the planes of bytes most are runs of one byte and the others noise: looking for runs alone
    makes them as small as looking for everything, in a third of the time.
    """
    count, (narrow,) = len(points), pack([points])
    if count < _WORTH:
        return narrow
    columns = np.empty((3, count), "<i8")
    for column, numbers in zip(columns, (points.steps, points.moments), strict=False):
        column[0] = numbers[0]
        np.subtract(numbers[1:], numbers[:-1], out=column[1:])
    columns[2] = points.values.view(np.int64)
    planes = columns.view(np.uint8).reshape(3, count, 8).transpose(0, 2, 1)
    deflate = zlib.compressobj(
        _LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE
    )
    deflated = HEAD.pack(DEFLATED, count) + deflate.compress(planes.tobytes()) + deflate.flush()
    return deflated if len(deflated) < _MUCH * len(narrow) else narrow


def unpack(chunks: Iterable[bytes]) -> Points:
    """Return the points of several chunks one after the other.

    Raises:
        Damaged: a chunk is none.
    """
    return joined([_unpacked(chunk) for chunk in chunks])


def _unpacked(chunk: bytes) -> Points:
    if chunk and chunk[0] == NARROW:
        return _narrow_points(chunk)
    if not chunk or chunk[0] not in {PLAIN, DEFLATED}:
        return columns_of(_old.decode(chunk))
    mark, count = HEAD.unpack_from(chunk)
    body = chunk[HEAD.size :]
    if mark == DEFLATED:
        body = zlib.decompress(body, bufsize=count * _WIDTH)
    if len(body) != count * _WIDTH:
        raise _damaged(chunk, count)
    if mark == DEFLATED:
        planes = np.frombuffer(body, np.uint8).reshape(3, 8, count).transpose(0, 2, 1)
        columns = np.ascontiguousarray(planes).view("<i8").reshape(3, count)
    else:
        columns = np.frombuffer(body, "<i8").reshape(3, count)
    return Points(np.cumsum(columns[0]), np.cumsum(columns[1]), columns[2].view(np.float64))


def _narrow_points(chunk: bytes) -> Points:
    _, count = HEAD.unpack_from(chunk)
    columns: list[NDArray[np.int64]] = []
    at = HEAD.size
    try:
        for _ in range(2):
            column, at = _widened(chunk, at, count)
            columns.append(column)
        values = np.frombuffer(chunk, "<f8", count, at)
    except (struct.error, ValueError, KeyError):
        raise _damaged(chunk, count) from None
    if at + 8 * count != len(chunk):
        raise _damaged(chunk, count)
    return Points(columns[0], columns[1], values)


def _widened(chunk: bytes, at: int, count: int) -> tuple[NDArray[np.int64], int]:
    """Return a narrow column that begins at a place of a chunk, and where it ends."""
    first, width, least = _FIRST.unpack_from(chunk, at)
    at += _FIRST.size
    differences = np.full(count, least, np.int64)
    differences[0] = first
    if width:
        narrow = np.frombuffer(chunk, _DTYPES[width], count - 1, at)
        differences[1:] += narrow.astype(np.uint64).view(np.int64)
        at += width * (count - 1)
    return np.cumsum(differences), at


def _damaged(chunk: bytes, count: int) -> Damaged:
    return Damaged(f"A chunk of {count} metric points has {len(chunk)} bytes.", "thrive doctor")
