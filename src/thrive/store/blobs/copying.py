"""Copying a large file on two processors: one reads and looks at it, one writes and hashes."""

import os
import threading
from queue import SimpleQueue

from blake3 import blake3

from thrive.store.blobs.disk import sync_data, write_all
from thrive.store.blobs.port import Watch

BESIDE = 16 << 20
"""Files up to this size are copied by one thread."""
_BLOCK = 4 << 20
_AHEAD = 4
"""Blocks that may wait to be written."""
_SYNCED = 64 << 20
"""Bytes after which the disk is asked to take them, while the next ones are read."""


class _Writer(threading.Thread):
    """Writes and hashes the blocks it is given, until None."""

    def __init__(self, target: int) -> None:
        super().__init__(daemon=True)
        self.blocks: SimpleQueue[bytes | None] = SimpleQueue()
        self.room = threading.Semaphore(_AHEAD)
        self.written = 0
        self.error: BaseException | None = None
        self._target = target
        self._hasher = blake3()

    def run(self) -> None:
        """Write until None comes; keep the first error for the reader."""
        while (block := self.blocks.get()) is not None:
            try:
                if self.error is None:
                    write_all(self._target, block)
                    self._hasher.update(block)
                    self.written += len(block)
            except BaseException as error:  # noqa: BLE001 - raised again by the reader
                self.error = error
            self.room.release()

    def digest(self) -> str:
        """Wait for the last block and return what was written, hashed; raises what went wrong."""
        self.blocks.put(None)
        self.join()
        if self.error is not None:
            raise self.error
        return self._hasher.hexdigest()


def copy_beside(source: int, target: int, watch: Watch | None, *, durable: bool) -> str:
    """Copy an open file to another and return the BLAKE3 of what was written.

    Args:
        source: the file to read.
        target: the file to write.
        watch: is given each block.
        durable: have the disk take the bytes already while others are read.
    """
    writer = _Writer(target)
    writer.start()
    syncing = _Syncing(writer, target) if durable else None
    try:
        while writer.error is None and (block := os.read(source, _BLOCK)):
            writer.room.acquire()
            writer.blocks.put(block)
            if watch:
                watch(block)
    finally:
        try:
            digest = writer.digest()
        finally:
            if syncing:
                syncing.stop()
    return digest


class _Syncing:
    """Asks the disk to take what was written, again and again, beside the writer."""

    def __init__(self, writer: _Writer, target: int) -> None:
        self._writer = writer
        self._target = target
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        synced = 0
        while not self._done.wait(0.02):
            if self._writer.written - synced >= _SYNCED:
                synced = self._writer.written
                try:
                    sync_data(self._target)
                except OSError:
                    return  # the last fsync, which counts, will say so

    def stop(self) -> None:
        """Wait until it has stopped."""
        self._done.set()
        self._thread.join()
