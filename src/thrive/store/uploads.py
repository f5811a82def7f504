"""Blobs on their way into a home from another machine: in parts, resumable, behind the wall.

Parts of a large blob are collected until they are whole and hash to their name: of an embedded home
in a file of this host, of a team's home in its stores, so that each part may come to another
server. Small blobs arrive many at a time. What arrived is kept by a reference of its project that
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
from thrive.store import references, upload_parts
from thrive.store.blobs.port import relative_name
from thrive.store.database import Tx
from thrive.store.disk import full_disk, write_all
from thrive.store.home import Home
from thrive.store.place import made

KIND = "upload"
"""The kind of reference that keeps what arrived until something is made of it."""
KEPT_S = 24 * 3600
"""How long an upload waits to be used, and half of one to be continued."""
_LOOKS = 8
"""Blobs that are looked for at the same time."""


class Uploads:
    """What one project is being sent.

    Args:
        home: the project's home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._project = home.project_id
        self._parts = PartsOfHost(home) if home.database.is_sqlite else PartsOfTeam(home)

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
            known = _used(tx, self._project, digests)
        with ThreadPoolExecutor(_LOOKS) as pool:
            present = dict(zip(known, pool.map(self._home.blobs.has, known), strict=True))
        waiting = [each for each, there in present.items() if there and known[each] == {KIND}]
        if waiting:
            with self._home.write() as tx:
                keep(tx, self._project, *waiting)
        lacking = [each for each in digests if not present.get(each, False)]
        return self._parts.received(lacking)

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
        self._parts.add(digest, offset, data, last=end == size)
        return end

    def receive_small(self, blobs: Sequence[bytes]) -> list[str]:
        """Keep small blobs and return their digests."""
        digests = [self._home.blobs.put(each) for each in blobs]
        with self._home.write() as tx:
            keep(tx, self._project, *digests)
        return digests


class PartsOfHost:
    """Parts in a file of this host: an embedded home has one server.

    Args:
        home: the project's home; the files are in its folder.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def received(self, digests: Collection[str]) -> dict[str, int]:
        """Return how many bytes of each blob are here."""
        return {each: self._received(each) for each in digests}

    def add(self, digest: str, offset: int, data: bytes, *, last: bool) -> None:
        """Keep a part, and with the last one the whole; raises as `Uploads.receive`."""
        with self._part(digest) as (handle, path):
            _refuse_gap(os.fstat(handle).st_size, offset)
            os.lseek(handle, 0, os.SEEK_END)
            write_all(handle, data)
            if last:
                try:
                    _keep_whole(self._home, digest, path)
                finally:
                    path.unlink(missing_ok=True)

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


class PartsOfTeam:
    """Parts as blobs of their own, and rows that say which they are: every server sees them.

    Args:
        home: the project's home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._project = home.project_id

    def received(self, digests: Collection[str]) -> dict[str, int]:
        """Return how many bytes of each blob are here."""
        with self._home.read() as tx:
            return upload_parts.received(tx, self._project, digests)

    def add(self, digest: str, offset: int, data: bytes, *, last: bool) -> None:
        """Keep a part, and with the last one the whole; raises as `Uploads.receive`."""
        with self._home.read() as tx:
            _refuse_gap(upload_parts.received(tx, self._project, [digest])[digest], offset)
        part = upload_parts.Part(
            digest=digest,
            first_byte=offset,
            bytes=len(data),
            part=self._home.blobs.put(data),
            at=machine_now(),
        )
        with self._home.write() as tx:  # two who send one part: the second meets a Conflict
            upload_parts.add(tx, self._project, part)
        if last:
            try:
                self._join(digest)
            finally:
                with self._home.write() as tx:
                    upload_parts.forget(tx, self._project, digest)

    def _join(self, digest: str) -> None:
        from tempfile import NamedTemporaryFile

        with self._home.read() as tx:
            parts = upload_parts.of(tx, self._project, digest)
        folder = self._home.temporary_folder
        with full_disk(folder), NamedTemporaryFile(dir=folder, prefix="joined-") as whole:
            for each in parts:
                whole.write(self._home.blobs.get(each.part))
            whole.flush()
            _keep_whole(self._home, digest, Path(whole.name))


def _refuse_gap(here: int, offset: int) -> None:
    if here != offset:
        raise Conflict(f"{here:,} bytes of it are here, not {offset:,}.", "go on from there")


def _keep_whole(home: Home, digest: str, path: Path) -> None:
    """Keep a blob whose last byte arrived, if the file is what it is named."""
    found = blake3(max_threads=1).update_mmap(path).hexdigest()
    if found != digest:
        raise Damaged(f"What was sent as {digest} hashes to {found}.", "send it anew")
    home.blobs.put_file(path)
    with home.write() as tx:
        keep(tx, home.project_id, digest)


def keep(tx: Tx, project_id: str, *digests: str) -> None:
    """Keep blobs that arrived for a day, from now on."""
    until = machine_now() + KEPT_S * 1_000_000
    references.add(tx, project_id, KIND, f"{until:020d}", *digests)


def _used(tx: Tx, project_id: str, digests: Collection[str]) -> dict[str, set[str]]:
    """Return by what kinds of thing a project uses blobs; to be a part of another is no use."""
    found = references.kinds(tx, project_id, digests)
    return {
        digest: kinds - {upload_parts.PART}
        for digest, kinds in found.items()
        if kinds != {upload_parts.PART}
    }


def refuse_unsent(home: Home, digests: Collection[str]) -> None:
    """Refuse to make something of blobs that a project does not have; keep its own for a day.

    Raises:
        NotFound: one of them was never sent, or waited too long.
        UsageError: one of them is no digest.
    """
    for digest in digests:
        relative_name(digest)
    with home.write() as tx:
        known = _used(tx, home.project_id, digests)
        lacking = next((each for each in digests if each not in known), None)
        if lacking is not None:
            raise _unsent(lacking)
        keep(tx, home.project_id, *known)


def sent_blob(home: Home, digest: str) -> bytes:
    """Return a blob that was sent to a project; raises as `refuse_unsent` does."""
    refuse_unsent(home, [digest])
    return home.blobs.get(digest)


def read_sent(home: Home, digest: str) -> bytes:
    """Return a blob that was sent to a project, and keep it no longer for that.

    Raises:
        NotFound: it was never sent, or waited too long.
        UsageError: `digest` is none.
    """
    relative_name(digest)
    with home.read() as tx:
        if not _used(tx, home.project_id, [digest]):
            raise _unsent(digest)
    return home.blobs.get(digest)


def _unsent(digest: str) -> NotFound:
    return NotFound(f"The blob {digest} was not sent to this project.", "send it again")


def forget_expired(home: Home) -> int:
    """Forget uploads that nothing was made of, and parts that nobody continued; count them."""
    now = machine_now()
    with home.write() as tx:
        expired = references.remove_before(tx, home.project_id, KIND, f"{now:020d}")
        expired += upload_parts.forget_before(tx, home.project_id, now - KEPT_S * 1_000_000)
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
