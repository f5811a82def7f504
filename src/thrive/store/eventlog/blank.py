"""Blanking records of a segment in place, once what they said is sealed."""

import os
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from thrive.store.disk import sync_data
from thrive.store.eventlog import layout
from thrive.store.eventlog.prediction_id import parse_prediction_id
from thrive.store.eventlog.reader import Record, read_segment

ERASED = 0
"""The kind of a record that was blanked: its place and rows stand, what it said is zeros."""


def blank_records(path: Path, names: Callable[[Record], bool]) -> int:
    """Blank the sealed records that `names` picks; return how many.

    Only what a committed manifest row holds is touched, so nothing is lost: readers of the log go
    on behind it, and its writer never returns to it. Blanking twice changes nothing.

    Args:
        path: the segment, open or closed.
        names: tells whether a record is to go.
    """
    handle = os.open(path, os.O_RDWR)
    try:
        sealed_to = layout.read_header(handle, path).sealed_to
        records = read_segment(path, to_offset=sealed_to) if sealed_to else ()
        chosen = [each for each in records if each.kind != ERASED and names(each)]
        for record in chosen:
            _blank(handle, record)
        if chosen:
            sync_data(handle)
    finally:
        os.close(handle)
    return len(chosen)


def _blank(handle: int, record: Record) -> None:
    """Write zeros over a payload, then the head that says so: its length and place stay."""
    offset = parse_prediction_id(record.id).offset
    head = os.pread(handle, layout.RECORD_SIZE, offset)
    length, _, _, mark, rows, number, time_us = layout.RECORD.unpack(head)
    payload = bytes(length - 1)
    tail = layout.RECORD_TAIL.pack(ERASED, mark, rows, number, time_us) + payload
    blank = layout.RECORD.pack(length, crc32(tail), ERASED, mark, rows, number, time_us)
    os.pwrite(handle, payload, offset + layout.RECORD_SIZE)
    os.pwrite(handle, blank, offset)
