"""Blobs in an S3 bucket, with a checked cache on the local disk."""

import os
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from thrive.domain.clock import machine_now
from thrive.domain.errors import (
    Damaged,
    InfrastructureError,
    NotFound,
    Refused,
    StoreUnavailable,
)
from thrive.domain.identifiers import is_digest, new_id
from thrive.store.blobs.folder import FolderBlobs
from thrive.store.blobs.port import Guarantees, Listed, Watch, missing, relative_name
from thrive.store.disk import write_all

if TYPE_CHECKING:
    from obstore.store import S3Store

_ONE_REQUEST = 16 << 20
"""Up to this many bytes a blob is created in one conditional request; above it, in parts."""

_RENEWED_S = 1800
"""Seconds after which a small blob that is put again is written again: a clean-up goes by age."""

_STREAMS = 8
"""Blobs that are brought or uploaded at the same time."""

_KEY = re.compile(r"([0-9a-f]{2})/([0-9a-f]{62})")


class ObjectBlobs:
    """A blob store in a bucket: `prefix/ab/cdef...`, read through a folder of checked copies.

    Writing goes through the cache too, so what this host has put or read once is local after
    that. The client retries requests with growing pauses; what still fails is StoreUnavailable.

    Args:
        store: the client of obstore, already rooted at the prefix.
        place: the address to name in messages.
        cache: the folder for local copies, or None for a temporary one of this process.
    """

    def __init__(self, store: "S3Store", place: str, cache: Path | None = None) -> None:
        import tempfile  # here, like the threads below: most homes keep their blobs in a folder

        self.place = place
        self._store = store
        self._temporary = None if cache else tempfile.TemporaryDirectory(prefix="thrive-blobs-")
        folder = cache or Path(self._temporary.name if self._temporary else "")
        self.cache = FolderBlobs(folder, durable=False)

    @property
    def region(self) -> str:
        """The region of the bucket as this host was told it, "" if nobody told."""
        said = self._store.config.get("region")
        return said or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""

    def put(self, data: bytes | memoryview) -> str:
        """Keep `data` in the bucket and return its digest.

        Raises:
            StoreUnavailable: the bucket does not answer.
            DiskFull: the cache has no room.
        """
        return self._put(lambda: self.cache.put(data))

    def put_many(self, parts: Sequence[bytes]) -> list[str]:
        """Keep several blobs, some at a time, and return their digests; raises as `put` does."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_STREAMS) as pool:
            return list(pool.map(self.put, parts))

    def put_file(self, path: Path, watch: Watch | None = None) -> str:
        """Keep a copy of the file's bytes in the bucket and return their digest.

        `watch` sees the bytes that are kept, block by block.

        Raises:
            NotFound: there is no such file.
            StoreUnavailable: the bucket does not answer.
            DiskFull: the cache has no room.
        """
        watching = iter([watch])  # once: a damaged older copy is replaced by a second reading
        return self._put(lambda: self.cache.put_file(path, next(watching, None)))

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked; from the local copy if there is a sound one.

        Raises:
            NotFound: there is no such blob.
            Damaged: the bucket's bytes do not hash to the digest.
            StoreUnavailable: the bucket does not answer.
        """
        try:
            return self.cache.get(digest)
        except (NotFound, Damaged):
            self._download(digest)
        return self.cache.get(digest)

    def open(self, digest: str) -> BinaryIO:
        """Return a stream over a checked local copy; raises as `get` does."""
        try:
            return self.cache.open(digest)
        except (NotFound, Damaged):
            self._download(digest)
        return self.cache.open(digest)

    def local_path(self, digest: str) -> Path:
        """Return the path of a checked local copy; raises as `get` does."""
        try:
            return self.cache.local_path(digest)
        except (NotFound, Damaged):
            self._download(digest)
        return self.cache.local_path(digest)

    @property
    def local(self) -> FolderBlobs:
        """The cache; what other processes put there is in the bucket after `admit`."""
        return self.cache

    def fetch(self, *digests: str) -> None:
        """Bring what the cache lacks, several at a time; raises as `get` does."""
        _side_by_side(self._download, [each for each in digests if not self.cache.has(each)])

    def admit(self, *digests: str) -> None:
        """Upload what the bucket lacks, several at a time.

        Raises:
            NotFound: neither the cache nor the bucket has a blob.
            Damaged: the cache's bytes do not hash to the digest.
            StoreUnavailable: the bucket does not answer.
        """
        _side_by_side(self._admit_one, digests)

    def _admit_one(self, digest: str) -> None:
        if self.cache.has(digest):
            self._upload(digest)
        else:
            self.size(digest)

    def has(self, digest: str) -> bool:
        """Tell whether the bucket has the blob; the cache is not asked."""
        try:
            self.size(digest)
        except NotFound:
            return False
        return True

    def size(self, digest: str) -> int:
        """Return the number of bytes in the bucket; raises NotFound."""
        import obstore

        with self._answering(digest):
            return obstore.head(self._store, relative_name(digest))["size"]

    def delete(self, digest: str) -> None:
        """Remove the blob from the bucket and from the cache."""
        import obstore

        name = relative_name(digest)
        try:
            with self._answering(digest):
                obstore.delete(self._store, name)
        except NotFound:
            pass
        self.cache.delete(digest)

    def digests(self) -> Iterator[str]:
        """Yield every digest in the bucket, in the order of its listing."""
        import obstore

        with self._answering(""):
            for page in obstore.list(self._store, chunk_size=1000):
                for entry in page:
                    key = _KEY.fullmatch(entry["path"])
                    if key and is_digest(key[1] + key[2]):
                        yield key[1] + key[2]

    def listed(self) -> Iterator[Listed]:
        """Yield every blob in the bucket with its size and age, in the order of its listing."""
        import obstore

        with self._answering(""):
            for page in obstore.list(self._store, chunk_size=1000):
                for entry in page:
                    key = _KEY.fullmatch(entry["path"])
                    if key and is_digest(key[1] + key[2]):
                        put_at = round(entry["last_modified"].timestamp() * 1_000_000)
                        yield Listed(digest=key[1] + key[2], size=entry["size"], put_at=put_at)

    def probe(self) -> Guarantees:
        """Write, rewrite, read, list and remove a throw-away object; return what was seen.

        Raises:
            Refused: the bucket refuses our credentials.
            NotFound: there is no such bucket.
            StoreUnavailable: the bucket does not answer.
        """
        import obstore

        name = f"probe/{new_id()}"
        with self._answering(""):
            obstore.put(self._store, name, b"first", mode="create")
            try:
                created = self._second_create_is_refused(name)
                expected = b"first" if created else b"second"
                seen = bytes(obstore.get(self._store, name).bytes()) == expected
                listed = any(
                    entry["path"] == name
                    for page in obstore.list(self._store, "probe")
                    for entry in page
                )
            finally:
                obstore.delete(self._store, name)
        return Guarantees(
            create_if_absent=created, read_after_write=seen and listed, checked_at=machine_now()
        )

    def write_record(self, name: str, data: bytes) -> None:
        """Write a small object beside the blobs, over one of the same name.

        Args:
            name: made by us, of digests.
            data: its bytes.
        """
        import obstore

        with self._answering(""):
            obstore.put(self._store, name, data)

    def create_record(self, name: str, data: bytes) -> bytes:
        """Write a small object unless there is one of its name; return what is there then."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._answering(""):
            try:
                obstore.put(self._store, name, data, mode="create")
            except AlreadyExistsError:
                pass
        return self.read_record(name) or data

    def remove_record(self, name: str) -> None:
        """Remove what `write_record` wrote, if it is there."""
        import obstore

        with self._answering("record"):
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    def read_record(self, name: str) -> bytes | None:
        """Return a small object from beside the blobs, None if there is none."""
        import obstore

        try:
            with self._answering("record"):
                return bytes(obstore.get(self._store, name).bytes())
        except NotFound as error:
            if "no bucket" in error.what:
                raise
            return None

    def sweep(self, older_than: int) -> int:
        """Remove half-written files of the cache, older than so many microseconds; count them."""
        return self.cache.sweep(older_than)

    def _second_create_is_refused(self, name: str) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            obstore.put(self._store, name, b"second", mode="create")
        except AlreadyExistsError:
            return True
        return False

    def _put(self, keep: Callable[[], str]) -> str:
        """Cache what `keep` puts there and upload it; a damaged older copy is replaced."""
        digest = keep()
        try:
            self._upload(digest)
        except Damaged:
            self.cache.delete(digest)
            self._upload(keep())
        return digest

    def _upload(self, digest: str) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        size = self.cache.size(digest)
        name = relative_name(digest)
        with self._answering(digest):
            found = self._found(digest)
            if found is not None and found[0] == size and not _is_due(*found):
                return
            # Checked again as it leaves: a damaged cache must not reach the bucket.
            with self.cache.open(digest) as stream:
                if size <= _ONE_REQUEST:
                    mode = "create" if found is None else "overwrite"
                    try:
                        obstore.put(self._store, name, stream.read(), mode=mode)
                    except AlreadyExistsError:
                        pass  # another writer was first, with the same bytes
                else:
                    obstore.put(self._store, name, stream, use_multipart=True)

    def _found(self, digest: str) -> tuple[int, float] | None:
        """Return the bytes of a blob and the seconds since it was put; None if it is not there."""
        import obstore

        try:
            with self._answering(digest):
                said = obstore.head(self._store, relative_name(digest))
        except NotFound:
            return None
        return said["size"], time.time() - said["last_modified"].timestamp()

    def _download(self, digest: str) -> None:
        import obstore

        def fetch(handle: int) -> None:
            with self._answering(digest):
                answer = obstore.get(self._store, relative_name(digest))
                for chunk in answer.stream(min_chunk_size=1 << 20):
                    write_all(handle, memoryview(chunk))

        self.cache.put_stream(fetch, digest)

    @contextmanager
    def _answering(self, digest: str) -> Generator[None]:
        """Turn the client's errors into ours."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:  # obstore maps the store's "not found" to this one
            raise self._not_found(digest, error) from None
        except BaseError as error:
            raise self._translated(error) from error

    def _not_found(self, digest: str, error: Exception) -> NotFound:
        if digest and "NoSuchBucket" not in str(error):
            return missing(digest, self.place)
        return NotFound(f"There is no bucket at {self.place}.", "create it, or check the address")

    def _translated(self, error: Any) -> Refused | InfrastructureError:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        first_line = str(error).strip().split("\n", 1)[0][:300]
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            return Refused(
                f"{self.place} refuses our credentials: {first_line}",
                "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
            )
        return StoreUnavailable(
            f"{self.place} does not answer: {first_line}", "check the endpoint and the network"
        )


def _side_by_side(step: Callable[[str], None], digests: Sequence[str]) -> None:
    """Take a step for each digest, in threads: most of it is waiting for the network."""
    wanted = list(dict.fromkeys(digests))
    if len(wanted) <= 1:
        for digest in wanted:
            step(digest)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_STREAMS) as pool:
        for _ in pool.map(step, wanted):
            pass


def _is_due(size: int, age: float) -> bool:
    """Tell whether a blob that is put again must be young again, and is small enough for that.

    Whoever refers to a large one looks whether it is there still as it does so.
    """
    return size <= _ONE_REQUEST and age > _RENEWED_S
