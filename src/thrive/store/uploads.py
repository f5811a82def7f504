"""Blobs on their way into a home from another machine: in parts, resumable, behind the wall.

Parts of a large blob are collected in a file of this host until they are whole and hash to their
name; small blobs arrive many at a time. What arrived is kept by a reference of its project that
ends after a day: whatever is made of it (a dataset version, a run) adds one that stays.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from thrive.domain.clock import machine_now
from thrive.domain.errors import Conflict, Damaged, NotFound, UsageError
from thrive.domain.identifiers import is_digest
from thrive.store import references
from thrive.store.blobs.disk import full_disk, write_all
from thrive.store.blobs.port import relative_name
from thrive.store.database import Tx
from thrive.store.home import Home, made

KIND = "upload"
"""The kind of reference that keeps what arrived until something is made of it."""
KEPT_S = 24 * 3600
"""How long an upload waits to be used, and half of one to be continued."""
_LOOKS = 8
"""Blobs that are looked for at the same time."""


class Uploads:
    """What one project is being sent.

    Args:
        home: the project's home; parts are collected in its folder on this host.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._project = home.project_id

    def missing(self, digests: Collection[str]) -> dict[str, int]:
        """Return which blobs must be sent, each with the number of its bytes that are here.

        A blob that another project has is missing here all the same: to name its digest proves
        nothing, to send its bytes does. What is here already waits for its use as if it were sent.

        Raises:
            UsageError: one of them is no digest.
        """
        for digest in digests:
            relative_name(digest)
        with self._home.read() as tx:
            known = references.kinds(tx, self._project, digests)
        with ThreadPoolExecutor(_LOOKS) as pool:
            present = dict(zip(known, pool.map(self._home.blobs.has, known), strict=True))
        waiting = [each for each, there in present.items() if there and known[each] == {KIND}]
        if waiting:
            with self._home.write() as tx:
                keep(tx, self._project, *waiting)
        return {each: self._received(each) for each in digests if not present.get(each, False)}

    def receive(self, digest: str, offset: int, size: int, data: bytes) -> int:
        """Take one part of a blob and return how many of its bytes are here now.

        Args:
            digest: the blob's name.
            offset: where the part begins.
            size: bytes of the whole blob; with the last part it is checked and kept.
            data: the part.

        Raises:
            Conflict: the part does not begin where the ones before it end; ask what is missing.
            UsageError: the part ends behind the blob, or `digest` is none.
            Damaged: the whole hashes to something else; nothing of it is kept.
            DiskFull: there is no room.
        """
        relative_name(digest)
        end = offset + len(data)
        if offset < 0 or end > size:
            raise UsageError(f"A part of bytes {offset} to {end} is no part of {size} bytes.")
        with self._part(digest) as (handle, path):
            here = os.fstat(handle).st_size
            if here != offset:
                raise Conflict(
                    f"{here:,} bytes of it are here, not {offset:,}.", "go on from there"
                )
            os.lseek(handle, 0, os.SEEK_END)
            write_all(handle, data)
            if end == size:
                self._keep_whole(digest, path)
        return end

    def receive_small(self, blobs: Sequence[bytes]) -> list[str]:
        """Keep small blobs and return their digests."""
        digests = [self._home.blobs.put(each) for each in blobs]
        with self._home.write() as tx:
            keep(tx, self._project, *digests)
        return digests

    def _keep_whole(self, digest: str, path: Path) -> None:
        """Keep a blob whose last byte arrived; a file that is not what it is named is removed."""
        found = blake3(max_threads=1).update_mmap(path).hexdigest()
        if found == digest:
            self._home.blobs.put_file(path)
            with self._home.write() as tx:
                keep(tx, self._project, digest)
        path.unlink(missing_ok=True)
        if found != digest:
            raise Damaged(f"What was sent as {digest} hashes to {found}.", "send it anew")

    def _received(self, digest: str) -> int:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def _part(self, digest: str) -> Generator[tuple[int, Path]]:
        """Open the file of a blob's parts; whoever sends the same blob at the same time waits."""
        path = self._path(digest)
        with full_disk(path.parent):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield handle, path
            finally:
                os.close(handle)

    def _path(self, digest: str) -> Path:
        return made(_folder(self._home)) / digest


def keep(tx: Tx, project_id: str, *digests: str) -> None:
    """Keep blobs that arrived for a day, from now on."""
    until = machine_now() + KEPT_S * 1_000_000
    references.add(tx, project_id, KIND, f"{until:020d}", *digests)


def refuse_unsent(home: Home, digests: Collection[str]) -> None:
    """Refuse to make something of blobs that a project does not have; keep its own for a day.

    Raises:
        NotFound: one of them was never sent, or waited too long.
        UsageError: one of them is no digest.
    """
    for digest in digests:
        relative_name(digest)
    with home.write() as tx:
        known = references.kinds(tx, home.project_id, digests)
        lacking = next((each for each in digests if each not in known), None)
        if lacking is not None:
            raise NotFound(f"The blob {lacking} was not sent to this project.", "send it again")
        keep(tx, home.project_id, *known)


def sent_blob(home: Home, digest: str) -> bytes:
    """Return a blob that was sent to a project; raises as `refuse_unsent` does."""
    refuse_unsent(home, [digest])
    return home.blobs.get(digest)


def forget_expired(home: Home) -> int:
    """Forget uploads that nothing was made of, and parts that nobody continued; count them."""
    with home.write() as tx:
        expired = references.remove_before(tx, home.project_id, KIND, f"{machine_now():020d}")
    stale = time.time() - KEPT_S
    folder = _folder(home)
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if is_digest(path.name) and path.stat().st_mtime < stale:
                path.unlink()
                expired += 1
    return expired


def _folder(home: Home) -> Path:
    return home.temporary_folder / f"uploads-{home.project_id}"
