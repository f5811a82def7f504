"""Reading the records of a segment."""

import os
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from thrive.domain.errors import NotFound
from thrive.store.eventlog import layout
from thrive.store.eventlog.prediction_id import HALVES, MAX_BYTES, PredictionId, halves


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One record as it was appended.

    Attributes:
        kind: 0-255, as the writer chose.
        time_us: UTC microseconds.
        id: id of the record, which is the id of its first row.
        payload: the bytes.
        rows: predictions in the record.
    """

    kind: int
    time_us: int
    id: str
    payload: bytes
    rows: int = 1


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a stretch of a segment holds.

    Attributes:
        header: the head of the segment, read before its records.
        records: the whole records, in order.
        end: offset behind the last of them.
        lost: records whose place is known but whose bytes cannot be read.
    """

    header: layout.Header
    records: list[Record]
    end: int
    lost: int = 0


def read_segment(
    path: Path, from_offset: int = layout.HEADER_SIZE, to_offset: int | None = None
) -> Iterator[Record]:
    """Yield the records of a segment, also of one that is being written.

    Args:
        path: the segment file.
        from_offset: byte at which a record starts.
        to_offset: byte to stop at, or None for all there is now.

    Raises:
        NotFound: there is no such file.
        Damaged: it is not a segment.
    """
    yield from read_stretch(path, from_offset, to_offset).records


def read_stretch(path: Path, from_offset: int, to_offset: int | None) -> Reading:
    """Return the records of a stretch and what could not be read there.

    In a closed segment an unreadable record is skipped and counted; in an open one it ends the
    stretch, as its writer may be about to finish it. Raises as `read_segment` does.
    """
    handle = open_segment(path)
    try:
        header = layout.read_header(handle, path)
        data = _bytes(handle, header, from_offset, to_offset)
    finally:
        os.close(handle)
    return walk(data, header, from_offset, skip=header.end > 0)


def read_record(path: Path, wanted: PredictionId) -> Record | None:
    """Return the record an id points to, or None if there is none at that offset."""
    handle = open_segment(path)
    try:
        header = layout.read_header(handle, path)
        head = os.pread(handle, layout.RECORD_SIZE, wanted.offset)
        data = head + os.pread(handle, _length(head), wanted.offset + layout.RECORD_SIZE)
    finally:
        os.close(handle)
    records = walk(data, header, wanted.offset, skip=False).records
    return records[0] if records and records[0].time_us // 1000 == wanted.time // 1000 else None


def open_segment(path: Path) -> int:
    """Return a file descriptor for reading; raises NotFound."""
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise NotFound(f"There is no segment {path}.", "it may be sealed and discarded") from None


def walk(data: bytes, header: layout.Header, base: int, *, skip: bool) -> Reading:
    """Return the records in `data`, which starts at offset `base` of a segment.

    Args:
        data: bytes of the segment, from the start of a record.
        header: its head; with an `end`, `data` must not go beyond it.
        base: offset of `data` in the segment.
        skip: go on behind a record that cannot be read.
    """
    view = memoryview(data)
    size = len(data)
    high, low = halves(header.worker, header.segment)
    unpack = layout.RECORD.unpack_from
    records: list[Record] = []
    position = lost = 0
    expected = 0 if base == layout.HEADER_SIZE else -1
    while position + layout.RECORD_SIZE <= size:
        length, check, kind, _, rows, number, time_us = unpack(data, position)
        body = position + layout.RECORD_SIZE
        end = body + length - 1
        if not length or end > size or crc32(view[position + 8 : end]) != check:
            found = _next_record(data, position) if skip else -1
            if found < 0:
                break
            position = found
            continue
        if number != expected:
            lost += number - expected if expected >= 0 else int(position > 0)
        expected = number + 1
        name = HALVES.pack(high | time_us // 1000 << 20, low | (base + position) << 13).hex()
        records.append(
            Record(kind=kind, time_us=time_us, id=name, payload=data[body:end], rows=rows)
        )
        position = (end + 7) & -8
    if base + size == header.end and position < size:
        lost, position = lost + 1, size
    return Reading(header=header, records=records, end=base + position, lost=lost)


def _next_record(data: bytes, after: int) -> int:
    """Return where the next whole record starts behind `after`, or -1."""
    position = after
    while (position := data.find(layout.MARK, position + 1)) >= 0:
        start = position - 9
        if start > after and start % 8 == 0 and _is_whole(data, start):
            return start
    return -1


def _is_whole(data: bytes, start: int) -> bool:
    if start + layout.RECORD_SIZE > len(data):
        return False
    length, check = layout.RECORD.unpack_from(data, start)[:2]
    end = start + layout.RECORD_SIZE + length - 1
    whole = length > 0 and end <= len(data)
    return whole and crc32(memoryview(data)[start + 8 : end]) == check


def _length(head: bytes) -> int:
    """Return the length of the payload in the head of a record; 0 where there is none."""
    if len(head) < layout.RECORD_SIZE:
        return 0
    return min(max(layout.RECORD.unpack(head)[0] - 1, 0), MAX_BYTES)


def _bytes(handle: int, header: layout.Header, from_offset: int, to_offset: int | None) -> bytes:
    there = header.end or os.fstat(handle).st_size
    stop = there if to_offset is None else min(to_offset, there)
    return os.pread(handle, max(stop - from_offset, 0), from_offset)
