"""What every blob store can do, and the names it uses."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from thrive.domain.errors import Damaged, NotFound, UsageError
from thrive.domain.identifiers import is_digest

READ_SIZE = 1 << 20
"""Bytes read at a time while hashing and copying."""


class Watch(Protocol):
    """Sees a file's bytes on their way into a store: both methods in the order of the bytes.

    They may be called from two threads; a view that `cut` returns is valid until `note` has it.
    """

    def cut(self, block: memoryview) -> list[memoryview]:
        """Return the parts of the file that end with this block."""
        ...

    def note(self, parts: list[memoryview]) -> None:
        """Take parts."""
        ...


class Guarantees(msgspec.Struct, frozen=True, kw_only=True):
    """What a blob store was seen to do when it was probed.

    Attributes:
        create_if_absent: a second conditional create of one name is refused.
        read_after_write: a new name can be read and listed at once.
        checked_at: UTC microseconds of the probe.
    """

    create_if_absent: bool
    read_after_write: bool
    checked_at: int


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One blob of a store as a listing has it: its bytes, and when it was last put (UTC us)."""

    digest: str
    size: int
    put_at: int


class LocalBlobs(Protocol):
    """A folder of blobs that other processes of this host may open by its path."""

    @property
    def root(self) -> Path:
        """The folder."""
        ...

    def has(self, digest: str) -> bool:
        """Tell whether the blob is there, without reading it."""
        ...


class BlobReader(Protocol):
    """Whatever gives bytes by digest: the 64 hex digits of their BLAKE3.

    Every method that takes a digest raises UsageError when it has another form, so no name that
    a user typed becomes a path.
    """

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked; raises NotFound or Damaged."""
        ...

    def open(self, digest: str) -> BinaryIO:
        """Return a stream over bytes that have been checked; raises NotFound or Damaged."""
        ...

    def fetch(self, *digests: str) -> None:
        """Bring blobs to this host, several at a time; raises NotFound."""
        ...

    def local_path(self, digest: str) -> Path | None:
        """Return the path of a checked local file to map into memory, or None if there is none.

        The file belongs to the store: read it, never write it.
        """
        ...


class BlobWriter(Protocol):
    """Whatever keeps bytes."""

    def put(self, data: bytes | memoryview) -> str:
        """Keep `data` and return its digest; acknowledged means durable."""
        ...


class BlobStore(BlobReader, BlobWriter, Protocol):
    """Keeps bytes by digest; safe to use from many threads and processes."""

    def put_many(self, parts: Sequence[bytes]) -> list[str]:
        """Keep several blobs and return their digests: all of them are durable then."""
        ...

    def put_file(self, path: Path, watch: Watch | None = None) -> str:
        """Keep a copy of the file's bytes and return their digest; the file may change later.

        `watch` sees the bytes that are kept, block by block.
        """
        ...

    @property
    def local(self) -> "LocalBlobs":
        """The blobs of this host, for processes that have only the folder: `fetch` and `admit`."""
        ...

    def admit(self, *digests: str) -> None:
        """Keep for good what another process of this host put into `local`; raises NotFound."""
        ...

    def has(self, digest: str) -> bool:
        """Tell whether the blob is there, without reading it."""
        ...

    def size(self, digest: str) -> int:
        """Return the number of bytes; raises NotFound."""
        ...

    def delete(self, digest: str) -> None:
        """Remove the blob; one that is not there is already removed."""
        ...

    def digests(self) -> Iterator[str]:
        """Yield every digest, in no promised order."""
        ...

    def listed(self) -> Iterator[Listed]:
        """Yield every blob with its size and age, in no promised order."""
        ...

    def sweep(self, older_than: int) -> int:
        """Remove what writers that died left half-written on this host; count the files.

        Args:
            older_than: age in microseconds; younger files may belong to a living writer.
        """
        ...

    def write_record(self, name: str, data: bytes) -> None:
        """Write a small file beside the blobs, over one of the same name.

        Args:
            name: made by us, of digests.
            data: its bytes.
        """
        ...

    def create_record(self, name: str, data: bytes) -> bytes:
        """Write a small file unless there is one of its name; return what is there then."""
        ...

    def read_record(self, name: str) -> bytes | None:
        """Return a small file from beside the blobs, None if there is none."""
        ...

    def remove_record(self, name: str) -> None:
        """Remove a small file from beside the blobs, if it is there."""
        ...

    def probe(self) -> Guarantees:
        """Try what the store guarantees, with a throw-away blob, and return what was seen."""
        ...


def relative_name(digest: str) -> str:
    """Return where a blob lies under its store's root: `ab/cdef...`.

    Raises:
        UsageError: `digest` is not 64 lower-case hex digits.
    """
    if not is_digest(digest):
        raise UsageError(
            f"{digest[:80]!r} is not a digest.", "give the 64 hex digits that naming a blob takes"
        )
    return f"{digest[:2]}/{digest[2:]}"


def missing(digest: str, place: str) -> NotFound:
    """Return the error for a blob that is not in `place`."""
    return NotFound(
        f"There is no blob {digest} in {place}.", "thrive doctor lists what refers to it"
    )


def damaged(digest: str, place: str, found: str) -> Damaged:
    """Return the error for bytes in `place` that hash to `found` instead of their name."""
    return Damaged(
        f"Blob {digest} in {place} is damaged: its bytes hash to {found}.",
        "thrive doctor lists what refers to it; restore it from a backup",
    )
