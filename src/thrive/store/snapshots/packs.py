"""Packs: many small files laid end to end in one blob, as one file each is slow to write and send.

A pack is nothing but its files' bytes; where each begins is written in the manifest.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from thrive.store.blobs import BlobWriter
from thrive.store.snapshots.snapshot import Place

PACK_BYTES = 32 << 20
"""A pack is closed when it holds so much."""

Settle = Callable[[list[tuple[int, Place]]], None]
"""Told the numbers of files and where the bytes of each are, once they are durable."""


class Packer:
    """Lays files into packs; each pack is written beside the reading of the next one's files.

    Use it as a context manager: leaving it without an error waits for the last pack.

    Args:
        blobs: where packs go.
        settle: told of the files of a pack when it is durable.
    """

    def __init__(self, blobs: BlobWriter, settle: Settle) -> None:
        self._blobs = blobs
        self._settle = settle
        self._parts: list[bytes] = []
        self._members: list[tuple[int, int]] = []
        self._length = 0
        self._writer = ThreadPoolExecutor(1)
        self._writing: tuple[Future[str], list[tuple[int, int]]] | None = None

    def add(self, number: int, data: bytes) -> None:
        """Lay one file into the pack.

        Args:
            number: what `settle` is told.
            data: its bytes.
        """
        self._members.append((number, self._length))
        self._parts.append(data)
        self._length += len(data)
        if self._length >= PACK_BYTES:
            self._close_pack()

    def _close_pack(self) -> None:
        self._wait()
        parts, self._parts = self._parts, []
        members, self._members = self._members, []
        self._length = 0
        self._writing = (self._writer.submit(_write, self._blobs, parts), members)

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
                if self._parts:
                    self._close_pack()
                self._wait()
        finally:
            self._writer.shutdown()


def _write(blobs: BlobWriter, parts: list[bytes]) -> str:
    data = b"".join(parts)
    parts.clear()
    return blobs.put(data)
