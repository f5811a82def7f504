"""Copying a large file on two processors: one thread reads and hashes, one cuts, one writes.

Blocks go from one to the next in few buffers that are used again and again: they stay in the
processor's caches, and a file of any size takes the same memory. Where the file system can, bytes
go past the page cache (O_DIRECT, open(2)): that takes a tenth of the processor's time, throws
nothing of use out of memory, and leaves little for the final fsync.
"""

import errno
import mmap
import os
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import NamedTuple, Self

from blake3 import blake3

from thrive.store.blobs.port import Watch
from thrive.store.disk import sync_data, write_all

BESIDE = 16 << 20
"""Files up to this size are copied by one thread."""
DIRECT = 64 << 20
"""Files from this size on go past the page cache."""
_BLOCK = 4 << 20
_BUFFERS = 6
_ALIGNED = 4096
"""What lengths must be a multiple of to go past the page cache."""
_SYNCED = 64 << 20
"""Bytes after which the disk is asked to take them, while the next ones are read."""


class _Block(NamedTuple):
    """Bytes on their way, and the buffer they are in."""

    data: memoryview
    buffer: mmap.mmap


class _Stage(threading.Thread):
    """Does its work on each block it is given, until None, and passes the block on.

    After an error it only passes on, so that no other stage waits for ever.
    """

    def __init__(self, work: Callable[[_Block], object], then: Callable[[_Block], None]) -> None:
        super().__init__(daemon=True)
        self.blocks: SimpleQueue[_Block | None] = SimpleQueue()
        self.error: BaseException | None = None
        self._work = work
        self._then = then
        self.start()

    def run(self) -> None:
        """Work until None comes; keep the first error for whoever closes."""
        while (block := self.blocks.get()) is not None:
            try:
                if self.error is None:
                    self._work(block)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever closes
                self.error = error
            self._then(block)

    def close(self) -> None:
        """Wait until the last block is passed on."""
        self.blocks.put(None)
        self.join()


def read_beside(
    source: int, watch: Watch | None, take: Callable[[memoryview], object] = len
) -> str:
    """Read an open file and return its BLAKE3, watching and taking beside the reading.

    Hashing is the reader's work where there is a watch, whose own is as long, and else beside.

    Args:
        source: the file.
        watch: sees each block.
        take: called with each block, in order, from a thread of its own; nothing by default.
    """
    free: SimpleQueue[mmap.mmap] = SimpleQueue()
    for _ in range(_BUFFERS):
        free.put(mmap.mmap(-1, _BLOCK))
    hasher = blake3(max_threads=1)

    def look(block: _Block) -> None:
        if watch:
            watch.note(watch.cut(block.data))
        else:
            hasher.update(block.data)

    taker = _Stage(lambda block: take(block.data), lambda block: free.put(block.buffer))
    looker = _Stage(look, taker.blocks.put)
    try:
        while looker.error is None and taker.error is None:
            buffer = free.get()
            length = os.readv(source, [buffer])
            if not length:
                break
            data = memoryview(buffer)[:length]
            looker.blocks.put(_Block(data, buffer))
            if watch:
                hasher.update(data)
    finally:
        looker.close()
        taker.close()
    for error in (taker.error, looker.error):
        if error is not None:
            raise error
    return hasher.hexdigest()


def copy_beside(source: int, target: int, watch: Watch | None, *, durable: bool) -> str:
    """Copy an open file to another and return the BLAKE3 of what was written.

    Args:
        source: the file to read.
        target: the file to write, empty.
        watch: sees each block.
        durable: have the disk take the bytes already while others are read.
    """
    if durable and os.fstat(source).st_size >= DIRECT:
        with PastCache(target) as past:
            return read_beside(source, watch, past.write)
    syncing = _Syncing(target) if durable else None
    try:
        return read_beside(source, watch, syncing.write if syncing else _writing_to(target))
    finally:
        if syncing:
            syncing.stop()


def _writing_to(target: int) -> Callable[[memoryview], object]:
    return lambda data: write_all(target, data)


class PastCache:
    """Writes past the page cache as long as the file system, lengths and addresses allow it.

    Args:
        target: the open file to write.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._is_direct = False

    def __enter__(self) -> Self:
        self._set(getattr(os, "O_DIRECT", 0))
        return self

    def __exit__(self, *_: object) -> None:
        self._set(0)

    def write(self, data: memoryview) -> None:
        """Write all of `data`; what is left of the last block goes through the cache."""
        while data:
            part = data[: len(data) - len(data) % _ALIGNED] if self._is_direct else data
            if not part:
                self._set(0)
                continue
            try:
                data = data[os.write(self._target, part) :]
            except OSError as error:
                if error.errno != errno.EINVAL or not self._is_direct:
                    raise
                self._set(0)  # a file system that took the flag and not the writing

    def write_parts(self, parts: Iterable[bytes | memoryview]) -> None:
        """Write parts of memory one behind the other, whatever their addresses and lengths.

        They are gathered into full blocks at an address that the disk takes: copying what stays
        in the processor's caches costs a tenth of what the page cache takes for new pages.
        """
        block = memoryview(mmap.mmap(-1, _BLOCK))
        filled = 0
        for part in parts:
            rest = memoryview(part).cast("B")
            while rest:
                length = min(len(rest), _BLOCK - filled)
                block[filled : filled + length] = rest[:length]
                filled, rest = filled + length, rest[length:]
                if filled == _BLOCK:
                    self.write(block)
                    filled = 0
        self.write(block[:filled])

    def _set(self, flag: int) -> None:
        if bool(flag) == self._is_direct:
            return
        import fcntl

        others = fcntl.fcntl(self._target, fcntl.F_GETFL) & ~getattr(os, "O_DIRECT", 0)
        try:
            fcntl.fcntl(self._target, fcntl.F_SETFL, others | flag)
        except OSError:
            return  # a file system in memory, mostly
        self._is_direct = bool(flag)


class _Syncing:
    """Writes, and asks the disk again and again to take what was written."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._written = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, data: memoryview) -> None:
        """Write all of `data`."""
        write_all(self._target, data)
        self._written += len(data)

    def _run(self) -> None:
        synced = 0
        while not self._done.wait(0.02):
            if self._written - synced >= _SYNCED:
                synced = self._written
                try:
                    sync_data(self._target)
                except OSError:
                    return  # the last fsync, which counts, will say so

    def stop(self) -> None:
        """Wait until it has stopped."""
        self._done.set()
        self._thread.join()
