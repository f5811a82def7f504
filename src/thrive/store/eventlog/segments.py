"""The segments in a folder: which are being written, which are done, which lost their writer."""

import fcntl
import os
from enum import StrEnum
from pathlib import Path

import msgspec

from thrive.domain.errors import NotFound
from thrive.store.eventlog import layout
from thrive.store.eventlog.reader import open_segment, walk


class SegmentState(StrEnum):
    """Where a segment is on its way from memory to Parquet."""

    OPEN = "open"
    DEAD = "dead"
    CLOSED = "closed"
    SEALED = "sealed"


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One segment file.

    Attributes:
        path: the file.
        worker: number of its writer.
        segment: number among the segments of that writer.
        state: open (its writer lives), dead (it does not; `close_dead` closes it), closed, or
            sealed (closed, and all of it confirmed: `discard` may delete it).
        created: UTC microseconds.
        end: offset behind the last record, 0 before it is closed.
        sealed_to: offset up to which the manifest was confirmed to hold it, 0 before that.
        dropped: rows that found no room while it was the last segment.
    """

    path: Path
    worker: int
    segment: int
    state: SegmentState
    created: int
    end: int
    sealed_to: int
    dropped: int


def segments(folder: Path) -> list[Segment]:
    """Return the segments in `folder` by worker and number; an absent folder has none."""
    if not folder.is_dir():
        return []
    paths = [path for path in sorted(folder.iterdir()) if layout.parse_segment_name(path.name)]
    return [found for path in paths if (found := _look(path))]


def close_dead(folder: Path) -> list[Segment]:
    """Close the segments whose writer died, and return them.

    The end of a segment is set behind its last whole record. Several processes may do this at
    once: each segment is closed by one of them.
    """
    dead = [each for each in segments(folder) if each.state is SegmentState.DEAD]
    return [closed for each in dead if (closed := _close(each.path))]


def _look(path: Path) -> Segment | None:
    try:
        handle = open_segment(path)
    except NotFound:
        return None  # discarded meanwhile
    try:
        # The lock first: a writer that closes its segment and leaves is not a dead one.
        free = _lock(handle, fcntl.LOCK_SH)
        header = layout.unpack_header(os.pread(handle, layout.HEADER_SIZE, 0))
        return _segment(path, header or _from_name(path, handle), free=free)
    finally:
        os.close(handle)


def _close(path: Path) -> Segment | None:
    handle = os.open(path, os.O_RDWR)
    try:
        if not _lock(handle, fcntl.LOCK_EX):
            return None
        header = layout.unpack_header(os.pread(handle, layout.HEADER_SIZE, 0))
        header = header or _from_name(path, handle)
        if not header.end:
            header = _with_end(handle, header)
            os.pwrite(handle, layout.pack_header(header), 0)
            os.fsync(handle)
        return _segment(path, header, free=True)
    finally:
        os.close(handle)


def _with_end(handle: int, header: layout.Header) -> layout.Header:
    data = os.pread(handle, os.fstat(handle).st_size, layout.HEADER_SIZE)
    end = walk(data, header, layout.HEADER_SIZE, skip=True).end
    return msgspec.structs.replace(header, end=end)


def _lock(handle: int, mode: int) -> bool:
    try:
        fcntl.flock(handle, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _from_name(path: Path, handle: int) -> layout.Header:
    """Return a new head for a file whose own never reached the disk before the power went."""
    name = layout.parse_segment_name(path.name)
    worker, segment = name or (0, 0)
    created = os.fstat(handle).st_mtime_ns // 1000
    return layout.Header(worker=worker, segment=segment, created=created)


def _segment(path: Path, header: layout.Header, *, free: bool) -> Segment:
    if not header.end:
        state = SegmentState.DEAD if free else SegmentState.OPEN
    else:
        sealed = header.sealed_to >= header.end
        state = SegmentState.SEALED if sealed else SegmentState.CLOSED
    return Segment(
        path=path,
        worker=header.worker,
        segment=header.segment,
        state=state,
        created=header.created,
        end=header.end,
        sealed_to=header.sealed_to,
        dropped=header.dropped,
    )
