"""Copying a large file on two processors: one thread reads and hashes, one cuts, two write.

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
from contextlib import suppress
from queue import SimpleQueue
from typing import NamedTuple, Self

from blake3 import blake3

from thrive.store.blobs.port import Watch
from thrive.store.disk import sync_data, write_all, write_all_at

BESIDE = 16 << 20
"""Files up to this size are copied by one thread."""
DIRECT = 64 << 20
"""Files from this size on go past the page cache."""
_BLOCK = 4 << 20
_BUFFERS = 8
_WRITERS = 2
"""Threads that write past the page cache: one alone lets the disk wait between two blocks."""
_ALIGNED = 4096
"""What lengths must be a multiple of to go past the page cache."""
_SYNCED = 64 << 20
"""Bytes after which the disk is asked to take them, while the next ones are read."""


class _Block(NamedTuple):
    """Bytes on their way, the buffer they are in, and where in the file they begin."""

    data: memoryview
    buffer: mmap.mmap
    at: int


Take = Callable[[memoryview, int], object]
"""Called with bytes and where in the file they begin."""


class _Stage:
    """Does its work on each block it is given and passes the block on.

    After an error it only passes on, so that no other stage waits for ever.

    Args:
        work: what it does.
        then: gets each block when that is done.
        hands: threads that work; with several of them blocks are not done in their order.
    """

    def __init__(
        self, work: Callable[[_Block], object], then: Callable[[_Block], None], hands: int = 1
    ) -> None:
        self.blocks: SimpleQueue[_Block | None] = SimpleQueue()
        self.error: BaseException | None = None
        self._work = work
        self._then = then
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(hands)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        """Work until None comes; keep an error for whoever closes."""
        while (block := self.blocks.get()) is not None:
            try:
                if self.error is None:
                    self._work(block)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever closes
                self.error = error
            self._then(block)

    def close(self) -> None:
        """Wait until the last block is passed on."""
        for _ in self._threads:
            self.blocks.put(None)
        for thread in self._threads:
            thread.join()


def _left(data: memoryview, at: int) -> None:
    """Take nothing."""


def read_beside(source: int, watch: Watch | None, take: Take = _left, *, hands: int = 1) -> str:
    """Read an open file and return its BLAKE3, watching and taking beside the reading.

    Hashing is the reader's work where there is a watch, whose own is as long, and else beside.

    Args:
        source: the file.
        watch: sees each block.
        take: called with each block, from threads of its own; nothing by default.
        hands: how many threads take; with one, blocks come in their order.
    """
    free: SimpleQueue[mmap.mmap] = SimpleQueue()
    for _ in range(_BUFFERS):
        free.put(_new_buffer())
    hasher = blake3(max_threads=1)

    def look(block: _Block) -> None:
        if watch:
            watch.note(watch.cut(block.data))
        else:
            hasher.update(block.data)

    taker = _Stage(
        lambda block: take(block.data, block.at), lambda block: free.put(block.buffer), hands
    )
    looker = _Stage(look, taker.blocks.put)
    at = 0
    try:
        while looker.error is None and taker.error is None:
            buffer = free.get()
            data = _filled(source, buffer)
            if not data:
                break
            looker.blocks.put(_Block(data, buffer, at))
            if watch:
                hasher.update(data)
            at += len(data)
    finally:
        looker.close()
        taker.close()
    for error in (taker.error, looker.error):
        if error is not None:
            raise error
    return hasher.hexdigest()


def _new_buffer() -> mmap.mmap:
    buffer = mmap.mmap(-1, _BLOCK)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


def _filled(source: int, buffer: mmap.mmap) -> memoryview:
    """Return the next bytes of a file: a buffer full of them unless it ends."""
    whole = memoryview(buffer)
    length = 0
    while length < _BLOCK:
        count = os.readv(source, [whole[length:]])
        if not count:
            break
        length += count
    return whole[:length]


def copy_beside(source: int, target: int, watch: Watch | None, *, durable: bool) -> str:
    """Copy an open file to another and return the BLAKE3 of what was written.

    Args:
        source: the file to read.
        target: the file to write, empty.
        watch: sees each block.
        durable: have the disk take the bytes already while others are read.
    """
    size = os.fstat(source).st_size
    if durable and size >= DIRECT:
        with PastCache(target, size) as past:
            return read_beside(source, watch, past.write_at, hands=_WRITERS)
    syncing = _Syncing(target) if durable else None
    try:
        return read_beside(source, watch, syncing.write if syncing else _writing_to(target))
    finally:
        if syncing:
            syncing.stop()


def _writing_to(target: int) -> Take:
    return lambda data, _: write_all(target, data)


class PastCache:
    """Writes past the page cache as long as the file system, lengths and addresses allow it.

    Several threads may write at a time: a disk that has the next bytes already does not wait.
    Leaving the context writes what is left of the last block, through the cache.

    Args:
        target: the open file to write, empty.
        expected: its size in the end, as far as that is known: the space is taken at once.
    """

    def __init__(self, target: int, expected: int = 0) -> None:
        self._target = target
        self._expected = expected
        self._is_direct = False
        self._ends: list[int] = []
        self._rest: tuple[bytes, int] | None = None

    def __enter__(self) -> Self:
        if self._expected and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._target, 0, self._expected)
            except OSError as error:
                if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
                    raise
        self._set(getattr(os, "O_DIRECT", 0))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._set(0)
        if kind is not None:
            return
        if self._rest is not None:
            write_all_at(self._target, *self._rest)
        if self._expected:
            os.ftruncate(self._target, max(self._ends, default=0))

    def write_at(self, data: memoryview, at: int) -> None:
        """Write bytes that begin at a place in the file; all but the last ones are full blocks."""
        self._ends.append(at + len(data))
        over, is_direct = len(data) % _ALIGNED, self._is_direct
        if over and is_direct:
            whole = len(data) - over
            self._rest = bytes(data[whole:]), at + whole
            data = data[:whole]
        try:
            write_all_at(self._target, data, at)
        except OSError as error:
            if error.errno != errno.EINVAL or not is_direct:
                raise
            self._set(0)  # a file system that took the flag and not the writing
            write_all_at(self._target, data, at)

    def write_parts(self, parts: Iterable[bytes | memoryview]) -> None:
        """Write parts of memory one behind the other, whatever their addresses and lengths.

        They are gathered into full blocks at an address that the disk takes: copying what stays
        in the processor's caches costs a tenth of what the page cache takes for new pages.
        """
        block = memoryview(_new_buffer())
        at = filled = 0
        for part in parts:
            rest = memoryview(part).cast("B")
            while rest:
                length = min(len(rest), _BLOCK - filled)
                block[filled : filled + length] = rest[:length]
                filled, rest = filled + length, rest[length:]
                if filled == _BLOCK:
                    self.write_at(block, at)
                    at, filled = at + _BLOCK, 0
        self.write_at(block[:filled], at)

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

    def write(self, data: memoryview, _: int) -> None:
        """Write all of `data`, behind what was written before."""
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
