"""A chunk of a few metric points, packed without numpy, whose import takes longer than they do.

One of the formats that `points` reads, which packs those of many points.
"""

import struct
from collections.abc import Sequence
from itertools import pairwise

from thrive.domain.run import MetricPoint

PLAIN = 0xC1
"""The mark of a chunk that is not deflated; a msgpack list never begins with it."""
HEAD = struct.Struct("<BI")
FEW = 7
"""Up to how many points are packed here."""
_ONE = struct.Struct("<BIqqd")
"""A chunk of one point."""
_NAN = float("nan")
_HALF = 1 << 63


def pack_few(points: Sequence[MetricPoint]) -> bytes:
    """Return points of one metric, 1 to `FEW` of them, as one chunk."""
    count = len(points)
    if count == 1:
        (point,) = points
        value = _NAN if point.value is None else point.value
        return _ONE.pack(PLAIN, 1, point.step, point.at, value)
    steps = _differences([point.step for point in points])
    moments = _differences([point.at for point in points])
    values = [_NAN if point.value is None else point.value for point in points]
    return HEAD.pack(PLAIN, count) + struct.pack(
        f"<{2 * count}q{count}d", *steps, *moments, *values
    )


def _differences(numbers: list[int]) -> list[int]:
    """Return the first number and the differences behind it, modulo 2**64 as int64."""
    inner = (later - earlier for earlier, later in pairwise(numbers))
    return [numbers[0], *((each + _HALF) % (2 * _HALF) - _HALF for each in inner)]
