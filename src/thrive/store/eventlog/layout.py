"""The bytes of a segment file; little-endian, format 1.

Header, 64 bytes: magic, format, worker, segment, created (UTC microseconds), end, dropped,
sealed_to, checksum of what never changes. `end` is 0 while the segment is being written.

Record, 24 bytes and the payload, starting at a multiple of 8: length of the payload plus one
(u32), CRC-32 of all that follows, kind (u8), a mark (u8), rows (u16), number within the segment
(u32), time (i64, UTC microseconds), payload. The length is written last, so a record exists only
when all of it is there: a file is allocated as zeros and a length of 0 ends it. The number tells
how many records are lost where a stretch cannot be read.
"""

import os
import re
import struct
import zlib
from pathlib import Path

import msgspec

from thrive.domain.errors import Damaged, SchemaTooNew

FORMAT = 1
MAGIC = b"thrivlog"
HEADER_SIZE = 64
RECORD_SIZE = 24
MARK = 0xA5
FIXED = struct.Struct("<8sHHIq")
CHANGING = struct.Struct("<QQQ")
CHECKSUM = struct.Struct("<I")
RECORD = struct.Struct("<IIBBHIq")
RECORD_TAIL = struct.Struct("<BBHIq")
END_AT, DROPPED_AT, SEALED_AT, CHECKSUM_AT = 24, 32, 40, 48

_NAME = re.compile(r"([0-9a-f]{4})-([0-9a-f]{7})\.segment")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the head of a segment file says."""

    worker: int
    segment: int
    created: int
    end: int = 0
    dropped: int = 0
    sealed_to: int = 0


def segment_name(worker: int, segment: int) -> str:
    """Return the file name of a segment."""
    return f"{worker:04x}-{segment:07x}.segment"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """Return worker and segment of a file name, or None for other files."""
    match = _NAME.fullmatch(name)
    return (int(match[1], 16), int(match[2], 16)) if match else None


def pack_header(header: Header) -> bytes:
    """Return the 64 bytes of a header."""
    fixed = FIXED.pack(MAGIC, FORMAT, header.worker, header.segment, header.created)
    changing = CHANGING.pack(header.end, header.dropped, header.sealed_to)
    return (fixed + changing + CHECKSUM.pack(zlib.crc32(fixed))).ljust(HEADER_SIZE, b"\0")


def unpack_header(data: bytes) -> Header | None:
    """Return the header in `data`, or None if it never reached the disk whole.

    Raises:
        SchemaTooNew: a newer Thrive wrote the file.
    """
    if len(data) < HEADER_SIZE:
        return None
    fixed = data[: FIXED.size]
    magic, version, worker, segment, created = FIXED.unpack(fixed)
    if magic != MAGIC or CHECKSUM.unpack_from(data, CHECKSUM_AT)[0] != zlib.crc32(fixed):
        return None
    if version > FORMAT:
        raise SchemaTooNew(
            f"Segment {segment} of worker {worker} has format {version}; this Thrive reads up to "
            f"{FORMAT}.",
            "use the Thrive that wrote it, or a newer one",
        )
    end, dropped, sealed_to = CHANGING.unpack_from(data, END_AT)
    return Header(
        worker=worker,
        segment=segment,
        created=created,
        end=end,
        dropped=dropped,
        sealed_to=sealed_to,
    )


def read_header(handle: int, path: Path) -> Header:
    """Return the header of an open segment file.

    Raises:
        Damaged: it is not the head of a segment.
        SchemaTooNew: a newer Thrive wrote the file.
    """
    header = unpack_header(os.pread(handle, HEADER_SIZE, 0))
    if header is None:
        raise Damaged(f"{path} has no whole header of a segment.", "thrive doctor repairs it")
    return header
