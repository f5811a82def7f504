"""Blobs in a local folder."""

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from blake3 import blake3

from thrive.domain.clock import machine_now
from thrive.domain.errors import NotFound
from thrive.domain.identifiers import is_digest, new_id
from thrive.store.blobs.copying import BESIDE, PastCache, copy_beside
from thrive.store.blobs.port import (
    READ_SIZE,
    Guarantees,
    Listed,
    Watch,
    damaged,
    missing,
    relative_name,
)
from thrive.store.disk import clone, full_disk, sync_folder, write_all

_TOGETHER = 128
"""Files that are open at a time while several blobs are kept."""
_SETTLED_S = 60
"""Seconds after which the system has written a new name to the disk by itself."""


class FolderBlobs:
    """A blob store in a folder: `root/ab/cdef...`, with `root/tmp` for what is being written.

    A blob is written under a temporary name, made durable, then renamed: a reader never sees
    half of it. Files are read-only, and never hard links to files of a user.

    Args:
        root: the folder; made when missing.
        durable: wait until the disk has each blob. False is for caches, which can be refilled.
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self._root = root
        self._durable = durable
        self._temporary = root / "tmp"
        with full_disk(root):
            self._temporary.mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Path:
        """The folder of the blobs."""
        return self._root

    @property
    def local(self) -> Self:
        """This store: all its blobs are on this host."""
        return self

    def fetch(self, *digests: str) -> None:
        """Do nothing: a blob that is missing is named by its reader."""

    def admit(self, *digests: str) -> None:
        """Find each blob; raises NotFound."""
        for digest in digests:
            self.size(digest)

    def put(self, data: bytes | memoryview) -> str:
        """Keep `data` and return its digest.

        Raises:
            DiskFull: nothing was kept.
        """
        digest = blake3(data).hexdigest()
        if not self._present(digest, len(data)):
            with self._writing() as (handle, temporary):
                self._write([data], handle)
                self._keep(handle, temporary, digest)
        return digest

    def _write(self, parts: Sequence[bytes | memoryview], handle: int) -> None:
        if self._durable and sum(memoryview(part).nbytes for part in parts) >= BESIDE:
            with PastCache(handle) as past:
                past.write_parts(parts)
            return
        for part in parts:
            write_all(handle, part)

    def put_many(self, parts: Sequence[bytes]) -> list[str]:
        """Keep several blobs and return their digests; the disk is waited for once for them all.

        Raises:
            DiskFull: some may have been kept.
        """
        digests = [blake3(data).hexdigest() for data in parts]
        lacking = {
            digest: data
            for digest, data in zip(digests, parts, strict=True)
            if not self._present(digest, len(data))
        }
        order = list(lacking.items())
        for first in range(0, len(order), _TOGETHER):
            with ExitStack() as stack:
                written: list[tuple[str, int, Path]] = []
                for digest, data in order[first : first + _TOGETHER]:
                    handle, temporary = stack.enter_context(self._writing())
                    write_all(handle, data)
                    written.append((digest, handle, temporary))
                self._keep_all(written)
        return digests

    def put_file(self, path: Path, watch: Watch | None = None) -> str:
        """Keep a copy of the file's bytes and return their digest.

        Blocks are shared where the file system can clone files; otherwise bytes are hashed while
        they are copied, so the digest is true even if somebody writes to the file meanwhile.

        Args:
            path: the file.
            watch: sees the bytes that are kept, block by block.

        Raises:
            NotFound: there is no such file.
            DiskFull: nothing was kept.
        """
        with _opened(path) as source, self._writing() as (handle, temporary):
            cloned = clone(source, handle)
            digest = _hash(handle, watch) if cloned else self._copy(source, handle, watch)
            if self._present(digest, os.fstat(handle).st_size):
                temporary.unlink()
            else:
                self._keep(handle, temporary, digest)
        return digest

    def _copy(self, source: int, target: int, watch: Watch | None) -> str:
        if os.fstat(source).st_size <= BESIDE:
            return _copy(source, target, watch)
        return copy_beside(source, target, watch, durable=self._durable)

    def put_stream(self, write: Callable[[int], None], digest: str) -> None:
        """Keep what `write` writes to the file descriptor it is given, if it hashes to `digest`.

        Raises:
            Damaged: the bytes hash to something else; nothing was kept.
            DiskFull: nothing was kept.
        """
        relative_name(digest)
        with self._writing() as (handle, temporary):
            write(handle)
            found = _hash(handle)
            if found != digest:
                raise damaged(digest, "what was received", found)
            self._keep(handle, temporary, digest)

    def put_parts(self, parts: Sequence[bytes | memoryview], digest: str) -> None:
        """Keep parts of memory, one behind the other, whose digest the caller has computed.

        Raises:
            DiskFull: nothing was kept.
        """
        with self._writing() as (handle, temporary):
            self._write(parts, handle)
            self._keep(handle, temporary, digest)

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked.

        Raises:
            NotFound: there is no such blob.
            Damaged: the bytes do not hash to the digest.
        """
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise missing(digest, str(self.root)) from None
        found = blake3(data).hexdigest()
        if found != digest:
            raise damaged(digest, str(self.root), found)
        return data

    def open(self, digest: str) -> BinaryIO:
        """Return a stream at the first byte of a blob that has been checked.

        Raises:
            NotFound: there is no such blob.
            Damaged: the bytes do not hash to the digest.
        """
        try:
            stream = self._path(digest).open("rb")
        except FileNotFoundError:
            raise missing(digest, str(self.root)) from None
        found = _hash(stream.fileno())
        if found != digest:
            stream.close()
            raise damaged(digest, str(self.root), found)
        return stream

    def local_path(self, digest: str) -> Path:
        """Return the path of the blob's file, checked, to map into memory.

        Raises:
            NotFound: there is no such blob.
            Damaged: the bytes do not hash to the digest.
        """
        self.open(digest).close()
        return self._path(digest)

    def own_path(self, digest: str) -> Path:
        """Return the path of a blob that this run wrote itself, without reading it first.

        Raises:
            NotFound: there is no such blob.
        """
        self.size(digest)
        return self._path(digest)

    def has(self, digest: str) -> bool:
        """Tell whether the blob is there, without reading it."""
        return self._path(digest).is_file()

    def size(self, digest: str) -> int:
        """Return the number of bytes; raises NotFound."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            raise missing(digest, str(self.root)) from None

    def delete(self, digest: str) -> None:
        """Remove the blob; one that is not there is already removed."""
        path = self._path(digest)
        path.unlink(missing_ok=True)
        if self._durable and path.parent.is_dir():
            sync_folder(path.parent)

    def digests(self) -> Iterator[str]:
        """Yield every digest, folder by folder."""
        for folder in sorted(self.root.iterdir()):
            if len(folder.name) == 2 and folder.is_dir():
                for name in sorted(path.name for path in folder.iterdir()):
                    if is_digest(folder.name + name):
                        yield folder.name + name

    def listed(self) -> Iterator[Listed]:
        """Yield every blob with its size and age, folder by folder."""
        for digest in self.digests():
            try:
                found = self._path(digest).stat()
            except FileNotFoundError:
                continue  # removed meanwhile
            put_at = found.st_mtime_ns // 1000
            yield Listed(digest=digest, size=found.st_size, put_at=put_at)

    def write_record(self, name: str, data: bytes) -> None:
        """Write a small file beside the blobs, over one of the same name.

        Args:
            name: made by us, of digests.
            data: its bytes.

        Raises:
            DiskFull: the old one stays.
        """
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._writing() as (handle, temporary):
            write_all(handle, data)
            if self._durable:
                os.fsync(handle)
            temporary.replace(path)

    def create_record(self, name: str, data: bytes) -> bytes:
        """Write a small file unless there is one of its name; return what is there then."""
        path = self.root / name
        with self._writing() as (handle, temporary):
            write_all(handle, data)
            os.fsync(handle)
            try:
                path.hardlink_to(temporary)  # unlike a rename, it is refused where one is
            except FileExistsError:
                return path.read_bytes()
            finally:
                temporary.unlink()
        return data

    def read_record(self, name: str) -> bytes | None:
        """Return a small file from beside the blobs, None if there is none."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def remove_record(self, name: str) -> None:
        """Remove a small file from beside the blobs, if it is there."""
        (self.root / name).unlink(missing_ok=True)

    def probe(self) -> Guarantees:
        """Return what any local file system guarantees; nothing needs to be tried."""
        return Guarantees(create_if_absent=True, read_after_write=True, checked_at=machine_now())

    def sweep(self, older_than: int) -> int:
        """Remove what writers that died left half-written.

        Args:
            older_than: age in microseconds; younger files may belong to a living writer.

        Returns:
            The number of files removed.
        """
        limit = time.time() - older_than / 1e6
        removed = 0
        for path in self._temporary.iterdir():
            try:
                if path.stat().st_mtime <= limit:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue  # its writer finished meanwhile
        return removed

    def _path(self, digest: str) -> Path:
        return self.root / relative_name(digest)

    def _present(self, digest: str, size: int) -> bool:
        path = self._path(digest)
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        if self._durable and time.time() - found.st_ctime < _SETTLED_S:
            sync_folder(path.parent)  # its writer may not have come to this yet
        if self._durable and found.st_size == size and time.time() - found.st_mtime > _SETTLED_S:
            os.utime(path)  # it was put again: a clean-up must leave it to whoever did
        return found.st_size == size

    @contextmanager
    def _writing(self) -> Generator[tuple[int, Path]]:
        temporary = self._temporary / new_id()
        with full_disk(self.root):
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444)
            try:
                yield handle, temporary
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            finally:
                os.close(handle)

    def _keep(self, handle: int, temporary: Path, digest: str) -> None:
        self._keep_all([(digest, handle, temporary)])

    def _keep_all(self, written: Sequence[tuple[str, int, Path]]) -> None:
        """Give written files the names of their digests, durably: first all bytes, then all names.

        The first file's fsync commits the file system's journal for the others as well.
        """
        if self._durable:
            for _, handle, _ in written:
                os.fsync(handle)
        new_folder = False
        folders: set[Path] = set()
        for digest, _, temporary in written:
            path = self._path(digest)
            if not path.parent.is_dir():
                path.parent.mkdir(exist_ok=True)
                new_folder = True
            temporary.replace(path)
            folders.add(path.parent)
        if self._durable:
            if new_folder:
                sync_folder(self.root)
            for folder in folders:
                sync_folder(folder)


@contextmanager
def _opened(path: Path) -> Generator[int]:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", "check the path") from None
    try:
        yield handle
    finally:
        os.close(handle)


def _hash(handle: int, watch: Watch | None = None) -> str:
    """Return the BLAKE3 of an open file, leaving it at its first byte."""
    os.lseek(handle, 0, os.SEEK_SET)
    hasher = blake3()
    while chunk := os.read(handle, READ_SIZE):
        hasher.update(chunk)
        if watch:
            watch.note(watch.cut(memoryview(chunk)))
    os.lseek(handle, 0, os.SEEK_SET)
    return hasher.hexdigest()


def _copy(source: int, target: int, watch: Watch | None) -> str:
    hasher = blake3()
    while chunk := os.read(source, READ_SIZE):
        hasher.update(chunk)
        write_all(target, chunk)
        if watch:
            watch.note(watch.cut(memoryview(chunk)))
    return hasher.hexdigest()
