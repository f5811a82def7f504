"""A snapshot: the files of a version by path, size and content, and where the bytes of each are.

What a snapshot *is* (paths, sizes, digests) gives it its name; where its bytes *are* may change
when packs are rewritten, and changes no name.
"""

from collections.abc import Iterable, Iterator

import msgspec
from blake3 import blake3

from thrive.domain.dataset import FileEntry
from thrive.domain.errors import UsageError

NAME_FORMAT = 1
"""The format of the list that names a snapshot: it never changes, so that names never do."""
PIECES = -1
"""The offset of a file that a recipe puts together."""

Place = tuple[bytes, int] | None
"""Where a file's bytes are: in a blob of their own (None), in a pack from an offset on, or in
pieces by a recipe (its digest and `PIECES`)."""


class _Line(msgspec.Struct, frozen=True, gc=False):
    """One file as the list that names a snapshot has it; the order of the fields is the format."""

    digest: str
    path: str
    size: int


class _Listing(msgspec.Struct, frozen=True, gc=False):
    files: list[_Line]
    format: int


class Snapshot:
    """Files in the order of their paths, as columns; digests are 32 bytes.

    Args:
        paths: relative, with `/`, sorted and unlike each other.
        sizes: bytes of each file.
        digests: BLAKE3 of each file.
        places: where the bytes of each are.
    """

    __slots__ = ("digests", "paths", "places", "sizes")

    def __init__(
        self,
        paths: list[str],
        sizes: list[int],
        digests: list[bytes],
        places: list[Place],
    ) -> None:
        self.paths = paths
        self.sizes = sizes
        self.digests = digests
        self.places = places

    @classmethod
    def of_entries(cls, entries: Iterable[FileEntry]) -> "Snapshot":
        """Return the snapshot of files that each have a blob of their own."""
        ordered = sorted(entries, key=lambda entry: entry.path)
        return cls(
            [entry.path for entry in ordered],
            [entry.size for entry in ordered],
            [bytes.fromhex(entry.digest) for entry in ordered],
            [None] * len(ordered),
        )

    @classmethod
    def joined(cls, parts: Iterable["Snapshot"]) -> "Snapshot":
        """Return the snapshot that parts make, one after the other."""
        whole = cls([], [], [], [])
        for part in parts:
            whole.paths += part.paths
            whole.sizes += part.sizes
            whole.digests += part.digests
            whole.places += part.places
        return whole

    def part(self, first: int, end: int | None = None) -> "Snapshot":
        """Return the snapshot of some of the files, by their place in the order of paths."""
        chosen = slice(first, end)
        return Snapshot(
            self.paths[chosen], self.sizes[chosen], self.digests[chosen], self.places[chosen]
        )

    def chosen(self, numbers: Iterable[int]) -> "Snapshot":
        """Return the snapshot of some of the files, by their numbers in the order of paths."""
        which = list(numbers)
        return Snapshot(
            [self.paths[number] for number in which],
            [self.sizes[number] for number in which],
            [self.digests[number] for number in which],
            [self.places[number] for number in which],
        )

    def begins_with(self, other: "Snapshot") -> bool:
        """Tell whether the first files are those of another snapshot, by path and content."""
        count = len(other)
        return self.paths[:count] == other.paths and self.digests[:count] == other.digests

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(self.sizes)

    def entries(self) -> Iterator[FileEntry]:
        """Yield each file as an entry."""
        for path, size, digest in zip(self.paths, self.sizes, self.digests, strict=True):
            yield FileEntry(path=path, digest=digest.hex(), size=size)

    def blobs(self) -> set[str]:
        """Return the blobs that hold files or parts of them; recipes name further ones."""
        shared = {place[0] for place in self.places if place is not None}
        return {blob.hex() for blob in shared} | self.own_blobs()

    def own_blobs(self) -> set[str]:
        """Return the blobs that are one file each."""
        if None not in self.places:
            return set()
        return {
            digest.hex()
            for digest, place in zip(self.digests, self.places, strict=True)
            if place is None
        }

    def name(self) -> str:
        """Return the digest that names this content, wherever its bytes are.

        Raises:
            UsageError: a file's name is no text.
        """
        return blake3(self.listing()).hexdigest()

    def listing(self) -> bytes:
        """Return the canonical list of files, whose BLAKE3 is the snapshot's name.

        Raises:
            UsageError: a file's name is no text.
        """
        lines = list(map(_Line, map(bytes.hex, self.digests), self.paths, self.sizes))
        try:
            return msgspec.json.encode(_Listing(lines, NAME_FORMAT))
        except UnicodeEncodeError:
            raise no_text(self.paths) from None


def split_digests(joined: bytes) -> list[bytes]:
    """Return the digests that are laid end to end."""
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


def no_text(paths: Iterable[str]) -> UsageError:
    """Return the error for names of files of which one is no UTF-8."""
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            return UsageError(f"The file name {path!r} is no UTF-8.", "rename it")
    return UsageError("A file name is no UTF-8.", "rename it")
