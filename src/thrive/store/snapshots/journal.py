"""The journal of a reading: what it has stored already, for the one that goes on after a kill."""

from pathlib import Path

import msgspec
from blake3 import blake3

from thrive.store.blobs import BlobStore
from thrive.store.snapshots.snapshot import Place
from thrive.store.snapshots.walk import State

Line = tuple[State, bytes, Place]
"""A file as it was read, its digest, and where its bytes are."""


class Journal:
    """Lines that are durable elsewhere; the file may vanish, and its end may be torn.

    Args:
        path: the file; it is made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, blobs: BlobStore) -> dict[State, tuple[bytes, Place]]:
        """Return what is stored by state, as far as its blobs are still there."""
        found: dict[State, tuple[bytes, Place]] = {}
        present: dict[str, bool] = {}
        for state, digest, place in self._lines():
            blob = (digest if place is None else place[0]).hex()
            if blob not in present:
                present[blob] = blobs.has(blob)
            if present[blob]:
                found[state] = (digest, place)
        return found

    def _lines(self) -> list[Line]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        lines: list[Line] = []
        at = 0
        while at + 36 <= len(data):
            end = at + 36 + int.from_bytes(data[at : at + 4], "little")
            part = data[at + 36 : end]
            if blake3(part).digest() != data[at + 4 : at + 36]:
                break  # the writer was killed in the middle of it
            lines += msgspec.msgpack.decode(part, type=list[Line])
            at = end
        return lines

    def append(self, lines: list[Line]) -> None:
        """Add what was stored."""
        if not lines:
            return
        part = msgspec.msgpack.encode(lines)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(len(part).to_bytes(4, "little") + blake3(part).digest() + part)

    def remove(self) -> None:
        """Remove it: its reading is done."""
        self._path.unlink(missing_ok=True)
