"""The name of a prediction, which is also its address.

128 bits as 32 lower-case hex digits, each field a whole number of digits:

| digits | field | bits | reaches |
|---|---|---|---|
| 0-10 | time of the record, UTC milliseconds | 44 | year 2527 |
| 11-14 | worker | 16 | 65,536 workers |
| 15-21 | segment of that worker | 28 | 25 years at one full segment every 3 s |
| 22-27 | offset in the segment, in units of 8 bytes | 24 | segments of 128 MiB |
| 28-31 | row within the record | 16 | 65,535 rows a record |

Ids sort by time. The record itself holds its time in microseconds.
"""

import re
import struct

import msgspec

from thrive.domain.errors import UsageError

MAX_WORKER = (1 << 16) - 1
MAX_SEGMENT = (1 << 28) - 1
MAX_BYTES = 1 << 27
"""The largest segment whose every offset has a name."""

MAX_ROWS = (1 << 16) - 1
"""Rows that one record can name."""

MAX_TIME = (1 << 44) * 1000
"""UTC microseconds from which on a time has no name."""

_PATTERN = re.compile(r"([0-9a-f]{11})([0-9a-f]{4})([0-9a-f]{7})([0-9a-f]{6})([0-9a-f]{4})")


class PredictionId(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a prediction id.

    Attributes:
        time: UTC microseconds, cut to whole milliseconds.
        worker: number of the worker that answered.
        segment: number of its segment.
        offset: byte at which the record starts in the segment.
        row: index of the row within the record.
    """

    time: int
    worker: int
    segment: int
    offset: int
    row: int = 0

    def __str__(self) -> str:
        place = f"{self.worker:04x}{self.segment:07x}{self.offset >> 3:06x}"
        return f"{self.time // 1000:011x}{place}{self.row:04x}"


HALVES = struct.Struct(">QQ")
"""An id as two integers: `HALVES.pack(high | milliseconds << 20, low | offset << 13).hex()`.

This spelling takes 0.25 us where formatting each field takes 0.6, and it is paid for each request.
"""


def halves(worker: int, segment: int) -> tuple[int, int]:
    """Return what all ids of a segment have in common, for `HALVES`."""
    return worker << 4 | segment >> 24, (segment & 0xFFFFFF) << 40


def parse_prediction_id(text: str) -> PredictionId:
    """Return the parts of a prediction id.

    Raises:
        UsageError: `text` is not 32 lower-case hex digits.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text[:80]!r} is not a prediction id.",
            "give the 32 hex digits that came back with the prediction",
        )
    time, worker, segment, offset, row = (int(group, 16) for group in match.groups())
    return PredictionId(
        time=time * 1000, worker=worker, segment=segment, offset=offset << 3, row=row
    )


def row_ids(record_id: str, rows: int) -> list[str]:
    """Return the ids of the `rows` rows of one record, in order, from the id of the record."""
    if rows == 1:
        return [record_id]
    stem = record_id[:28]
    return [f"{stem}{row:04x}" for row in range(rows)]
