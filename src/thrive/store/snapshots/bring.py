"""From a snapshot back to files: as paths that other libraries open, and into a folder."""

import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3

from thrive.domain.errors import Damaged, NotFound
from thrive.store.blobs import BlobReader, BlobStore, FolderBlobs
from thrive.store.blobs.port import READ_SIZE
from thrive.store.disk import write_all
from thrive.store.snapshots.manifest import SnapshotReader, manifest_blobs
from thrive.store.snapshots.recipes import read_recipe
from thrive.store.snapshots.snapshot import PIECES, Place, Snapshot

_LOOKS = 8
"""Blobs that are looked for at the same time."""
_OPEN = 64
"""Packs that are open at a time."""
ASSEMBLED = "assembled"
"""The folder, inside that of this host's blobs, for files that were put together from parts."""


def all_blobs(blobs: BlobReader, manifest: str, snapshot: Snapshot | None = None) -> set[str]:
    """Return every blob that a snapshot needs: its manifest, its files, packs, recipes and pieces.

    Raises:
        NotFound: one that names others is missing.
        Damaged: one that names others is not what it was.
    """
    if snapshot is not None:
        return manifest_blobs(blobs, manifest) | parts_of(blobs, snapshot)
    leaves = SnapshotReader(blobs).leaves(manifest)
    return {manifest, *leaves} | parts_of(blobs, Snapshot.joined(leaves.values()))


class WholeReader:
    """Reads the snapshots of which everything is there; what several share is looked at once.

    Args:
        blobs: where they are.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._reader = SnapshotReader(blobs)
        self._sound: dict[str, bool] = {}

    def leaves(self, manifest: str) -> dict[str, Snapshot] | None:
        """Return the parts of a snapshot, None if something of it is missing or damaged.

        Blobs are looked for, not read, but for those that name others.
        """
        try:
            leaves = self._reader.leaves(manifest)
            for name, leaf in leaves.items():
                if name not in self._sound:
                    self._sound[name] = not absent(self._blobs, parts_of(self._blobs, leaf))
        except (NotFound, Damaged):
            return None
        return leaves if all(self._sound[name] for name in leaves) else None


def parts_of(blobs: BlobReader, snapshot: Snapshot) -> set[str]:
    """Return the blobs that hold a snapshot's files; raises as `all_blobs` does."""
    named = snapshot.blobs()
    recipes = {place[0].hex() for place in snapshot.places if place and place[1] == PIECES}
    blobs.fetch(*recipes)
    for recipe in recipes:
        named |= read_recipe(blobs, recipe).blob_names()
    return named


def absent(blobs: BlobStore, digests: Collection[str]) -> list[str]:
    """Return those blobs that are not there, several looks at a time."""
    wanted = sorted(digests)
    if isinstance(blobs, FolderBlobs):
        return [digest for digest in wanted if not blobs.has(digest)]
    with ThreadPoolExecutor(_LOOKS) as pool:
        present = pool.map(blobs.has, wanted)
    return [digest for digest, there in zip(wanted, present, strict=True) if not there]


def fetch_all(blobs: BlobReader, manifest: str) -> None:
    """Bring every blob of a snapshot to this host; raises as `all_blobs` does."""
    blobs.fetch(*all_blobs(blobs, manifest))


def local_files(blobs: BlobStore, snapshot: Snapshot) -> list[Path]:
    """Return the path of each file's bytes on this host, verified, for others to read.

    A file that lies in a pack or in pieces is put together first, once.

    Raises:
        NotFound: a blob is missing.
        Damaged: a blob is not what it was.
        DiskFull: there is no space to put a file together.
    """
    assembled = FolderBlobs(blobs.local.root / ASSEMBLED, durable=False)
    return [
        _local_file(blobs, assembled, *each)
        for each in zip(snapshot.digests, snapshot.sizes, snapshot.places, strict=True)
    ]


def _local_file(
    blobs: BlobStore, assembled: FolderBlobs, digest: bytes, size: int, place: Place
) -> Path:
    name = digest.hex()
    if place is None:
        return _own(blobs, name)
    extents = extents_of(blobs, size, place)
    if [extent[0] for extent in extents] == [name]:
        return _own(blobs, name)
    if assembled.has(name):
        try:
            return assembled.local_path(name)
        except Damaged:
            assembled.delete(name)

    def write(handle: int) -> None:
        for block in read_extents(blobs, extents):
            write_all(handle, block)

    assembled.put_stream(write, name)
    return assembled.local_path(name)


def _own(blobs: BlobReader, name: str) -> Path:
    path = blobs.local_path(name)
    assert path is not None, "every store keeps local files"
    return path


def extents_of(blobs: BlobReader, size: int, place: Place) -> Sequence[tuple[str, int, int]]:
    """Return the runs of bytes that make a file which has no blob of its own."""
    assert place is not None, "it has one"
    blob, offset = place
    if offset != PIECES:
        return [(blob.hex(), offset, size)]
    return list(read_recipe(blobs, blob.hex()).extents())


def read_extents(blobs: BlobReader, extents: Sequence[tuple[str, int, int]]) -> Iterator[bytes]:
    """Yield the bytes of runs, block by block; who takes them verifies the whole."""
    paths = {blob: _own(blobs, blob) for blob in dict.fromkeys(extent[0] for extent in extents)}
    for blob, offset, length in extents:
        with paths[blob].open("rb") as file:
            file.seek(offset)
            left = length
            while left:
                block = file.read(min(left, READ_SIZE))
                if not block:
                    raise Damaged(f"Blob {blob[:12]} is shorter than it was.", "thrive doctor")
                left -= len(block)
                yield block


class PackReader:
    """Reads files out of packs, each verified by its own digest; few packs are open at a time.

    Args:
        blobs: where the packs are.
    """

    def __init__(self, blobs: BlobReader) -> None:
        self._blobs = blobs
        self._handles: dict[bytes, int] = {}

    def read(self, digest: bytes, size: int, pack: bytes, offset: int) -> bytes:
        """Return a file's bytes.

        Raises:
            NotFound: the pack is missing.
            Damaged: the pack or the file is not what it was.
        """
        data = os.pread(self._handle(pack), size, offset)
        if blake3(data).digest() != digest:
            raise Damaged(
                f"The file {digest.hex()[:12]} in pack {pack.hex()[:12]} is damaged.",
                "thrive doctor lists what refers to it; restore it from a backup",
            )
        return data

    def _handle(self, pack: bytes) -> int:
        if pack not in self._handles:
            if len(self._handles) == _OPEN:
                os.close(self._handles.pop(next(iter(self._handles))))
            self._handles[pack] = os.open(_own(self._blobs, pack.hex()), os.O_RDONLY)
        return self._handles[pack]

    def close(self) -> None:
        """Close the packs."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()
