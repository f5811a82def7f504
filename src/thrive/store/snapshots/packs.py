"""Packs: many small files laid end to end in one blob, as one file each is slow to write and send.

A pack is nothing but its files' bytes; where each begins is written in the manifest.
"""

import mmap
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

from thrive.store.blobs import BlobWriter
from thrive.store.snapshots.snapshot import Place

PACK_BYTES = 32 << 20
"""A pack is closed when it holds so much."""
LARGEST = 4 << 20
"""A file in a pack has at most so many bytes."""

Settle = Callable[[list[tuple[int, Place]]], None]
"""Told the numbers of files and where the bytes of each are, once they are durable."""


class Packer:
    """Lays files into packs; each pack is written beside the reading of the next one's files.

    Files are read where the pack is: two of them are in memory, whatever the number of files.
    Use it as a context manager: leaving it without an error waits for the last pack.

    Args:
        blobs: where packs go.
        settle: told of the files of a pack when it is durable.
    """

    def __init__(self, blobs: BlobWriter, settle: Settle) -> None:
        self._blobs = blobs
        self._settle = settle
        self._page = _new_page()
        self._spare: memoryview | None = None
        self._members: list[tuple[int, int]] = []
        self._length = 0
        self._writer = ThreadPoolExecutor(1)
        self._writing: tuple[Future[str], list[tuple[int, int]]] | None = None

    def room(self, size: int) -> memoryview:
        """Return where the next file may be read to; what stands there counts once it is taken.

        Args:
            size: bytes, at most `LARGEST` and one more.
        """
        return self._page[self._length : self._length + size]

    def take(self, number: int, size: int) -> None:
        """Take the first `size` bytes of the room as a file; `settle` is told its number."""
        self._members.append((number, self._length))
        self._length += size
        if self._length >= PACK_BYTES:
            self._close_pack()

    def add(self, number: int, data: bytes) -> None:
        """Lay one file into the pack.

        Args:
            number: what `settle` is told.
            data: its bytes, at most `LARGEST`.
        """
        self.room(len(data))[:] = data
        self.take(number, len(data))

    def _close_pack(self) -> None:
        self._wait()
        page, self._page = self._page, self._spare or _new_page()
        members, self._members = self._members, []
        self._spare = page  # whole again when its writing was waited for
        self._writing = (self._writer.submit(self._blobs.put, page[: self._length]), members)
        self._length = 0

    def _wait(self) -> None:
        if self._writing is None:
            return
        future, members = self._writing
        self._writing = None
        pack = bytes.fromhex(future.result())
        self._settle([(number, (pack, offset)) for number, offset in members])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                if self._members:
                    self._close_pack()
                self._wait()
        finally:
            self._writer.shutdown()


def _new_page() -> memoryview:
    """Return memory for a pack; it begins where a page of memory does, as disks like it."""
    page = mmap.mmap(-1, PACK_BYTES + LARGEST + 1)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            page.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(page)
