"""Recipes: large files as chunks, each with the blob and the offset at which its bytes lie.

The first version of a file keeps its bytes whole, in one blob; a later one stores the chunks that
are new and points to the earlier blobs for all others. Chunks of the first one get their digests
when there is a later one to compare: most large files never change, and hashing them twice took a
third of the time of adding them.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from blake3 import blake3

from thrive.domain.errors import Damaged, InfrastructureError
from thrive.store.blobs import BlobReader, BlobStore, BlobWriter
from thrive.store.blobs.copying import read_beside
from thrive.store.snapshots.chunker import Chunker, Cutter, chunker_for

FORMAT = 2
_NAMED = 1
"""The format of a recipe that knows the digests of its chunks."""
PIECES_BYTES = 32 << 20
"""New chunks are written in blobs of about this size."""
MOST_BLOBS = 200
"""A file that would lie in more blobs than this is kept whole again."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """One file in chunks; `digests` are laid end to end, `blobs[within]` and `offsets` say where.

    Attributes:
        format: the number of this format.
        chunker: what cut it.
        blobs: the blobs that hold its chunks.
        digests: BLAKE3 of each chunk; none in format 2, which `named` brings to format 1.
        lengths: bytes of each.
        within: the number of the blob that holds it.
        offsets: where it begins there.
    """

    format: int
    chunker: Chunker
    blobs: list[bytes]
    digests: bytes
    lengths: list[int]
    within: list[int]
    offsets: list[int]

    def blob_names(self) -> set[str]:
        """Return the blobs that hold the file's chunks."""
        return {blob.hex() for blob in self.blobs}

    def chunks(self) -> Iterator[tuple[bytes, int, bytes, int]]:
        """Yield digest, length, blob and offset of each chunk; the digest is empty in format 2."""
        places = zip(self.lengths, self.within, self.offsets, strict=True)
        for number, (length, within, offset) in enumerate(places):
            yield self.digests[32 * number : 32 * number + 32], length, self.blobs[within], offset

    def extents(self) -> Iterator[tuple[str, int, int]]:
        """Yield the runs of bytes that make the file: blob, offset, length."""
        blob, start, end = b"", 0, 0
        for _, length, found, offset in self.chunks():
            if found == blob and offset == end:
                end += length
                continue
            if end > start:
                yield blob.hex(), start, end - start
            blob, start, end = found, offset, offset + length
        if end > start:
            yield blob.hex(), start, end - start


class Making:
    """A recipe while it is made.

    Args:
        chunker: what cuts the file.
    """

    def __init__(self, chunker: Chunker) -> None:
        self._chunker = chunker
        self.digests: list[bytes] = []
        self.lengths: list[int] = []
        self.places: list[tuple[bytes, int]] = []

    def add(self, digest: bytes, length: int, blob: bytes, offset: int) -> None:
        """Add the next chunk: its digest, its length, the blob that holds it, its place there."""
        self.digests.append(digest)
        self.lengths.append(length)
        self.places.append((blob, offset))

    def write(self, blobs: BlobWriter) -> bytes:
        """Write the recipe down; return its digest."""
        return bytes.fromhex(blobs.put(msgspec.msgpack.encode(self.recipe())))

    def recipe(self) -> Recipe:
        """Return the recipe: of format 2 if its chunks were added without digests."""
        digests = b"".join(self.digests)
        numbers = {blob: n for n, blob in enumerate(dict.fromkeys(blob for blob, _ in self.places))}
        return Recipe(
            format=_NAMED if digests or not self.lengths else FORMAT,
            chunker=self._chunker,
            blobs=list(numbers),
            digests=digests,
            lengths=self.lengths,
            within=[numbers[blob] for blob, _ in self.places],
            offsets=[offset for _, offset in self.places],
        )


def read_recipe(blobs: BlobReader, digest: str) -> Recipe:
    """Return a recipe.

    Raises:
        NotFound: it is missing.
        Damaged: it is not what it was, or no recipe.
        InfrastructureError: a newer Thrive wrote it.
    """
    try:
        recipe = msgspec.msgpack.decode(blobs.get(digest), type=Recipe)
    except msgspec.MsgspecError as error:
        raise Damaged(f"The blob {digest[:12]} is no recipe: {error}.", "thrive doctor") from None
    if recipe.format > FORMAT:
        raise InfrastructureError(
            f"The recipe {digest[:12]} has format {recipe.format}.", "pip install --upgrade thrive"
        )
    return recipe


def named(blobs: BlobReader, recipe: Recipe) -> Recipe:
    """Return a recipe with the digests of its chunks; a file that is kept whole is read for them.

    Raises:
        NotFound: the file is missing.
        Damaged: it is not what it was.
    """
    if recipe.format == _NAMED:
        return recipe
    digests = bytearray()
    with blobs.open(recipe.blobs[0].hex()) as file:
        for length in recipe.lengths:
            digests += blake3(file.read(length)).digest()
    return msgspec.structs.replace(recipe, format=_NAMED, digests=bytes(digests))


def keep_whole(blobs: BlobStore, path: Path) -> tuple[bytes, bytes]:
    """Keep a file whole and write down where its chunks are; return its digest and its recipe's.

    Raises:
        DiskFull: there is no space.
    """
    lengths: list[int] = []
    chunker = chunker_for(path.stat().st_size)
    cutter = Cutter(lambda _, data: lengths.append(len(data)), chunker, named=False)
    own = bytes.fromhex(blobs.put_file(path, watch=cutter))
    cutter.finish()
    making = Making(chunker)
    offset = 0
    for length in lengths:
        making.add(b"", length, own, offset)
        offset += length
    return own, making.write(blobs)


class _Known:
    """Chunks that are stored already, of the file's earlier version."""

    def __init__(self, recipe: Recipe) -> None:
        self.places = {digest: (blob, at) for digest, _, blob, at in recipe.chunks()}
        self.blobs = len(recipe.blobs)


def keep_pieces(blobs: BlobStore, path: Path, earlier: Recipe) -> tuple[bytes, bytes]:
    """Keep the chunks of a file that its earlier version lacks; return its digest and recipe's.

    Args:
        blobs: where they go.
        path: the file.
        earlier: the recipe of the version before; what cut that one cuts this one.

    Raises:
        NotFound: the version before is missing.
        Damaged: it is not what it was.
        DiskFull: there is no space.
    """
    known = _Known(named(blobs, earlier))
    new = NewChunks(blobs)
    order: list[tuple[bytes, int]] = []

    def take(digest: bytes, data: memoryview) -> None:
        order.append((digest, len(data)))
        if digest not in known.places:
            new.add(digest, data)

    cutter = Cutter(take, earlier.chunker)
    with path.open("rb", buffering=0) as file:
        whole = bytes.fromhex(read_beside(file.fileno(), cutter))
    cutter.finish()
    new.close()
    making = Making(earlier.chunker)
    for digest, length in order:
        making.add(digest, length, *(known.places.get(digest) or new.places[digest]))
    return whole, making.write(blobs)


class NewChunks:
    """Collects new chunks into blobs of about `PIECES_BYTES`; `close` writes the last one.

    Attributes:
        places: by the digest of a chunk, the blob that holds it and where it begins there.

    Args:
        blobs: where they go.
    """

    def __init__(self, blobs: BlobWriter) -> None:
        self.places: dict[bytes, tuple[bytes, int]] = {}
        self._blobs = blobs
        self._data = bytearray()
        self._waiting: dict[bytes, int] = {}

    def __contains__(self, digest: bytes) -> bool:
        return digest in self.places or digest in self._waiting

    def add(self, digest: bytes, data: memoryview | bytes) -> None:
        """Take a chunk, once."""
        if digest in self:
            return
        self._waiting[digest] = len(self._data)
        self._data += data
        if len(self._data) >= PIECES_BYTES:
            self.close()

    def close(self) -> None:
        """Write what was collected."""
        if self._data:
            blob = bytes.fromhex(self._blobs.put(memoryview(self._data)))
            self.places |= {digest: (blob, at) for digest, at in self._waiting.items()}
            self._data = bytearray()
            self._waiting = {}
