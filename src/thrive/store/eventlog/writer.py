"""Appending to a worker's segment."""

import fcntl
import logging
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self
from zlib import crc32

from thrive.domain.clock import SECOND, machine_now
from thrive.domain.errors import DiskFull, UsageError
from thrive.store.disk import full_disk, sync_data, sync_folder, write_all
from thrive.store.eventlog import layout, sequence
from thrive.store.eventlog.pages import touch_pages
from thrive.store.eventlog.prediction_id import (
    HALVES,
    MAX_BYTES,
    MAX_ROWS,
    MAX_SEGMENT,
    MAX_TIME,
    MAX_WORKER,
    halves,
)

_logger = logging.getLogger(__name__)

_RETRY_S = 1.0
"""Seconds to wait before a full disk is asked for space again."""


_SPARE_FROM = 1 << 20
"""Bytes of a segment from which on the next one is made before it is needed."""
MAX_KIND = 255
_NO_LENGTH = bytes(4)
_PADDING = tuple(bytes(count) for count in range(8))


class _Mapping:
    """One allocated, locked segment file in memory. It does not know what a record is.

    It has no name of a segment, and so is none, until `adopt` gives it one.
    """

    def __init__(self, unfinished: Path, size: int) -> None:
        self.size = size
        self.synced = 0
        self.path = unfinished
        self.handle = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with full_disk(unfinished.parent):
                _allocate(self.handle, size)
            self.map = mmap.mmap(self.handle, size)
        except BaseException:
            os.close(self.handle)
            unfinished.unlink(missing_ok=True)
            raise
        self.view = memoryview(self.map)
        self.words = self.view.cast("I")
        self.longs = self.view.cast("Q")

    def adopt(self, header: layout.Header) -> None:
        """Write the header, then take the segment's name."""
        packed = layout.pack_header(header)
        self.view[: len(packed)] = packed
        named = self.path.with_name(layout.segment_name(header.worker, header.segment))
        self.path.rename(named)
        self.path = named

    def touch(self, begin: int, end: int) -> None:
        """Have pages ready before they are written: else each first write waits for the kernel.

        Synchronising takes the readiness from all of them again.
        """
        begin, end = begin & -mmap.PAGESIZE, min(end, self.size)
        if begin < end:
            touch_pages(self.map, begin, end - begin)

    def discard(self) -> None:
        """Remove a file that never became a segment."""
        self.path.unlink(missing_ok=True)
        self._release()

    def close(self) -> None:
        sync_data(self.handle)
        self._release()

    def _release(self) -> None:
        for view in (self.words, self.longs, self.view):
            view.release()
        self.map.close()
        fcntl.flock(self.handle, fcntl.LOCK_UN)
        os.close(self.handle)


class SegmentWriter:
    """Appends records to the segments of one worker; safe to call from many threads.

    A record is in the shared mapping when `append` returns: it survives the death of the process
    at once and the loss of power after at most 1 s, when a thread has synchronised it. Make the
    writer after a fork, not before: a child would hold its locks.

    Args:
        folder: where the segments of this host lie; made when missing.
        worker: number of this worker, used by one living writer at a time.
        segment_bytes: size of a segment; a record that needs more gets a segment of its own.
        max_age: microseconds after which a segment with records is closed, so it can be sealed.
        sync_every: seconds between two synchronisations, at most 1.

    Raises:
        Conflict: another writer is this worker.
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        *,
        segment_bytes: int = 8 << 20,
        max_age: int = 60 * SECOND,
        sync_every: float = 0.5,
    ) -> None:
        _check(worker, segment_bytes, sync_every)
        self.dropped = 0
        self._folder = folder
        self._worker = worker
        self._segment_bytes = segment_bytes
        self._max_age_s = max_age / SECOND
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._mapping: _Mapping | None = None
        self._spare: _Mapping | None = None
        self._retired: list[_Mapping] = []
        self._end = self._size = self._number = 0
        self._high = self._low = 0
        self._born = 0.0
        self._retry_at = 0.0
        self._uncounted = 0
        self._ahead = 0
        self._new_name = False
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True)
        self._sequence = sequence.claim(folder, worker)
        self._spare_path().unlink(missing_ok=True)  # of a writer that was killed
        self._segment = max(sequence.last(self._sequence), sequence.highest(folder, worker))
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._keep_syncing, args=(sync_every,), name="eventlog-sync", daemon=True
        )
        self._thread.start()

    def append(self, kind: int, time_us: int, payload: bytes, rows: int = 1) -> str:
        """Keep one record and return its prediction id.

        Args:
            kind: 0-255, the meaning of which belongs to the caller.
            time_us: UTC microseconds of the project's clock.
            payload: the bytes, opaque here.
            rows: predictions in the record; `row_ids` gives the id of each.

        Raises:
            DiskFull: there is no room for a new segment. The rows are counted in `dropped` and
                in the file; nothing else is harmed, and later appends try again.
            UsageError: a number is out of its range, or the payload exceeds 128 MiB.
        """
        with self._lock:
            return self._append(kind, time_us, payload, rows)

    def append_after(
        self,
        kind: int,
        time_us: int,
        payload: bytes,
        rows: int,
        prepare: Callable[[str], None],
    ) -> str:
        """Keep one record once what depends on it is prepared, and return its prediction id.

        Whoever finds the preparation after a kill knows by the id whether the record is there.

        Args:
            kind, time_us, payload, rows: as in `append`.
            prepare: is told the id before the record exists; what it raises keeps it from that.

        Raises:
            DiskFull, UsageError: as `append`.
        """
        with self._lock:
            need = layout.RECORD_SIZE + len(payload) + 8
            if self._end + need > self._size:
                self._make_room(need, rows)
            high, low = self._high | time_us // 1000 << 20, self._low | self._end << 13
            prepare(HALVES.pack(high, low).hex())
            return self._append(kind, time_us, payload, rows)

    def _append(self, kind: int, time_us: int, payload: bytes, rows: int) -> str:
        length = len(payload)
        start = self._end
        end = (start + layout.RECORD_SIZE + length + 7) & -8
        if end > self._size:
            self._make_room(end - start, rows)
            start = self._end
            end = (start + layout.RECORD_SIZE + length + 7) & -8
        mapping = self._mapping
        if mapping is None or not 0 < rows <= MAX_ROWS or not 0 <= time_us < MAX_TIME:
            self._refuse(rows, time_us)
        try:
            tail = layout.RECORD_TAIL.pack(kind, layout.MARK, rows, self._number, time_us)
        except struct.error:
            self._refuse_kind(kind)
        record = tail + payload
        mapping.view[start + 8 : start + layout.RECORD_SIZE + length] = record
        words = mapping.words
        words[(start >> 2) + 1] = crc32(record)
        # The commit: one aligned store. Before it a reader sees no record here.
        words[start >> 2] = length + 1
        self._end = end
        self._number += 1
        return HALVES.pack(self._high | time_us // 1000 << 20, self._low | start << 13).hex()

    def append_all(self, kind: int, records: Sequence[tuple[int, bytes, int]]) -> list[str] | None:
        """Keep many records at a fraction of the time, as one stretch of memory.

        Args:
            kind: of all of them, as in `append`.
            records: time, payload and rows of each, as in `append`.

        Returns:
            Their prediction ids, or None where the segment has no room for all of them: nothing
            is kept then, and `append` takes them one by one.

        Raises:
            UsageError: a number is out of its range.
        """
        pack, check, name = layout.RECORD_TAIL.pack, layout.CHECKSUM.pack, HALVES.pack
        if not 0 <= kind <= MAX_KIND:
            self._refuse_kind(kind)
        with self._lock:
            at, number, high, low = self._end, self._number, self._high, self._low
            parts: list[bytes] = []
            starts: list[tuple[int, int]] = []
            names: list[str] = []
            for time_us, payload, rows in records:
                if not 0 < rows <= MAX_ROWS or not 0 <= time_us < MAX_TIME:
                    self._refuse(rows, time_us)
                length = len(payload)
                record = pack(kind, layout.MARK, rows, number, time_us) + payload
                parts += (_NO_LENGTH, check(crc32(record)), record, _PADDING[-length & 7])
                starts.append((at >> 2, length + 1))
                names.append(name(high | time_us // 1000 << 20, low | at << 13).hex())
                number += 1
                at = (at + layout.RECORD_SIZE + length + 7) & -8
            mapping = self._mapping
            if mapping is None or at > self._size:
                return None
            mapping.view[self._end : at] = b"".join(parts)
            words = mapping.words
            for start, length in starts:  # the commits: as in `append`
                words[start] = length
            self._end, self._number = at, number
            return names

    def sync(self) -> None:
        """Bring everything appended so far to the disk, as the thread does twice a second."""
        with self._sync_lock:
            with self._lock:
                self._roll_if_aged()
                mapping, end = self._mapping, self._end
                retired = len(self._retired)  # later ones may be `mapping`
                new_name, self._new_name = self._new_name, False
            for _ in range(retired):
                self._retired[0].close()  # one that cannot be synchronised is tried again
                self._retired.pop(0)
            if mapping is not None and end != mapping.synced:
                sync_data(mapping.handle)
                ahead = self._ahead = 3 * max(0, end - mapping.synced) // 2
                mapping.synced = end
                mapping.touch(end, end + ahead)
            if new_name:
                os.fsync(self._sequence)
                sync_folder(self._folder)
            self._prepare()

    def close(self) -> None:
        """Close the segment and synchronise it; a second call does nothing."""
        if self._closed:
            return
        self._stopping.set()
        self._thread.join()
        with self._lock:
            self._closed = True
            self._retire()
            self._size = self._end = 0
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.discard()
        self.sync()
        os.close(self._sequence)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _make_room(self, need: int, rows: int) -> None:
        """Open a segment with `need` free bytes, or count the rows that find no room."""
        if self._closed:
            raise UsageError(f"The log of worker {self._worker} is closed.", "open a new writer")
        if layout.HEADER_SIZE + need > MAX_BYTES:
            raise UsageError(
                f"A record of {need:,} bytes is larger than a segment can be ({MAX_BYTES:,}).",
                "send fewer rows at a time",
            )
        try:
            self._roll(need)
        except DiskFull:
            self._count_dropped(max(rows, 1))
            raise

    def _count_dropped(self, rows: int) -> None:
        self.dropped += rows
        if self._mapping is None:
            self._uncounted += rows
        else:
            self._mapping.longs[layout.DROPPED_AT >> 3] += rows

    def _roll(self, need: int) -> None:
        now = time.monotonic()
        if now < self._retry_at:
            raise DiskFull(f"Still no space for a segment in {self._folder}.", "free some space")
        if self._segment >= MAX_SEGMENT:
            raise UsageError(
                f"Worker {self._worker} has used all its segment numbers.", "take a new worker"
            )
        header = layout.Header(
            worker=self._worker,
            segment=self._segment + 1,
            created=machine_now(),
            dropped=self._uncounted,
        )
        size = max(self._segment_bytes, (layout.HEADER_SIZE + need + 4095) & -4096)
        fresh, self._spare = self._spare, None
        if fresh is not None and fresh.size < size:
            fresh.discard()
            fresh = None
        try:
            if fresh is None:
                fresh = _Mapping(self._folder / f".{self._worker:04x}.new", size)
        except DiskFull:
            self._retry_at = now + _RETRY_S
            raise
        fresh.adopt(header)
        # After the segment has its name: a number that was noted first and then not used, because
        # its writer died, would look like a lost segment for ever.
        sequence.note(self._sequence, header.segment)
        self._retire()
        self._install(fresh, header.segment, now)

    def _install(self, fresh: _Mapping, segment: int, now: float) -> None:
        self._mapping = fresh
        self._segment = segment
        self._high, self._low = halves(self._worker, segment)
        self._end, self._size = layout.HEADER_SIZE, fresh.size
        self._number = self._uncounted = 0
        self._born = now
        self._new_name = True

    def _prepare(self) -> None:
        """Make the next segment while the present one has room: nobody waits for the disk then."""
        with self._lock:
            filled = self._mapping is not None and self._end * 4 > self._size
            if not filled or self._spare or self._closed or self._segment_bytes < _SPARE_FROM:
                return
        try:
            spare = _Mapping(self._spare_path(), self._segment_bytes)
        except (OSError, DiskFull):
            return  # whoever needs it asks again, and counts what is lost
        spare.touch(0, self._ahead)
        with self._lock:
            if not self._closed:
                self._spare = spare
                return
        spare.discard()

    def _spare_path(self) -> Path:
        return self._folder / f".{self._worker:04x}.spare"

    def _retire(self) -> None:
        """Mark the current segment as closed; the thread will synchronise and unmap it."""
        if self._mapping is not None:
            self._mapping.longs[layout.END_AT >> 3] = self._end
            self._retired.append(self._mapping)
            self._mapping = None

    def _roll_if_aged(self) -> None:
        has_records = self._mapping is not None and self._end > layout.HEADER_SIZE
        if has_records and time.monotonic() - self._born > self._max_age_s:
            try:
                self._roll(0)
            except DiskFull:
                return  # the segment stays open: its stretches can be sealed all the same

    def _refuse(self, rows: int, time_us: int) -> NoReturn:
        if not 0 < rows <= MAX_ROWS:
            raise UsageError(f"A record cannot hold {rows} rows.", f"send 1 to {MAX_ROWS}")
        raise UsageError(f"{time_us} is no time a prediction can have.", "use UTC microseconds")

    def _refuse_kind(self, kind: int) -> NoReturn:
        raise UsageError(f"{kind} is not a kind.", f"use 0 to {MAX_KIND}") from None

    def _keep_syncing(self, every: float) -> None:
        while not self._stopping.wait(every):
            try:
                self.sync()
            except OSError:
                _logger.exception("the event log in %s could not be synchronised", self._folder)


def _check(worker: int, segment_bytes: int, sync_every: float) -> None:
    if not 0 <= worker <= MAX_WORKER:
        raise UsageError(f"{worker} is not a worker.", f"use 0 to {MAX_WORKER}")
    if not 4096 <= segment_bytes <= MAX_BYTES or segment_bytes % 4096:
        raise UsageError(
            f"A segment cannot have {segment_bytes} bytes.",
            f"use a multiple of 4096 up to {MAX_BYTES}",
        )
    if not 0 < sync_every <= 1:
        raise UsageError(f"{sync_every} s is no pace to synchronise at.", "use at most 1 s")


def _allocate(handle: int, size: int) -> None:
    """Reserve every block now: a full disk is an error here, not a fault in the mapping later."""
    if sys.platform == "linux":
        os.posix_fallocate(handle, 0, size)
    else:
        write_all(handle, bytes(size))
