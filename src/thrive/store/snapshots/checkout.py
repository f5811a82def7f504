"""Writing a snapshot into a folder: what is there already stays untouched, nothing is lost.

Each file is written beside its place, verified, and renamed into it. A file that differs is
replaced only if its content can be had again: it is what an earlier checkout put there, or any
stored version holds it.
"""

import fcntl
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import msgspec
from blake3 import blake3

from thrive.domain.errors import Conflict, Damaged, NotFound
from thrive.domain.identifiers import new_id
from thrive.store.blobs import BlobReader
from thrive.store.disk import full_disk, write_all
from thrive.store.snapshots.bring import PackReader, extents_of, read_extents
from thrive.store.snapshots.nursery import Nursery
from thrive.store.snapshots.snapshot import PIECES, Snapshot
from thrive.store.snapshots.states import StateCache
from thrive.store.snapshots.walk import State, state_of, walk

UNFINISHED = ".thrive-checkout-"
"""How the folder is called that files are written in first, inside the one that is checked out."""
ABANDONED_S = 60
"""Seconds after which whoever writes in such a folder has locked it."""
FETCHED = 64
"""Files that are brought from a distant store at a time, before they are written."""

_PLAIN = re.compile(r"[^/.\0][^\0]*\Z")
"""Names that need no closer look, but for `..`."""

Report = Callable[[int, int, str], None]
"""Told files written, files to write, and the name of one."""


class Target(msgspec.Struct, frozen=True):
    """Where a snapshot is written.

    Attributes:
        folder: the folder; made if missing.
        cache: what is remembered of it, None for nothing.
        known: tells whether a content (32 bytes) is stored, so that a file that has it may go.
        manifest: where the snapshot is written down; empty if that is not to be remembered.
    """

    folder: Path
    cache: StateCache | None = None
    known: Callable[[bytes], bool] = lambda _digest: False
    manifest: str = ""


class Changes(msgspec.Struct, frozen=True):
    """What a checkout did: files written, and files of an earlier one that were removed."""

    written: int
    removed: int


def check_out(snapshot: Snapshot, blobs: BlobReader, target: Target, report: Report) -> Changes:
    """Make a folder hold a snapshot's files.

    Raises:
        Conflict: a file there holds something that is stored nowhere; nothing was written.
        Damaged: a stored file is not what it was.
        DiskFull: there is no space; what was written stays, and the next call goes on.
    """
    for path in snapshot.paths:
        if ".." in path or not _PLAIN.match(path):
            safe_name(path)
    folder = target.folder
    with full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        present = _Present(folder, target.cache)
        lacking = [
            number
            for number, (path, digest) in enumerate(
                zip(snapshot.paths, snapshot.digests, strict=True)
            )
            if present.digest_of(path) != digest
        ]
        wanted = set(snapshot.paths)
        stale = [path for path in present.put_here() if path not in wanted]
        paths = [snapshot.paths[number] for number in lacking]
        _refuse_loss(folder, paths, present, target, stale)
        first = _in_the_way(paths, stale)
        _remove(folder, first)
        _write(snapshot, lacking, blobs, folder, report)
        _remove(folder, [path for path in stale if path not in first])
        if target.cache is not None and (lacking or stale or not present.is_remembered):
            _remember(folder, snapshot, target.cache, target.manifest)
    return Changes(written=len(lacking), removed=len(stale))


class _Present:
    """The files of the folder as they are now, hashed only where nothing is remembered of them."""

    def __init__(self, folder: Path, cache: StateCache | None) -> None:
        self._root = str(folder)
        self._is_empty = not any(os.scandir(folder))
        self._states = {state[0]: state for state in walk(self._root)}
        remembered = cache.load() if cache else None
        self._known = remembered.digests() if remembered else {}
        self._put = remembered.files() if remembered else {}
        self._digests: dict[str, bytes | None] = {}
        self.is_remembered = bool(remembered and remembered.name)

    def digest_of(self, path: str) -> bytes | None:
        """Return the digest of the file at a path; None if there is none."""
        if self._is_empty:
            return None
        if path not in self._digests:
            self._digests[path] = self._look(path)
        return self._digests[path]

    def is_file(self, path: str) -> bool:
        """Tell whether a file is at a path."""
        return path in self._states

    def is_taken(self, path: str) -> bool:
        """Tell whether anything is at a path: a file, or something else."""
        return not self._is_empty and _kind_at(f"{self._root}/{path}") is not None

    def _look(self, path: str) -> bytes | None:
        state = self._states.get(path)
        if state is not None and state in self._known:
            return self._known[state]
        where = f"{self._root}/{path}"
        if not stat.S_ISREG(_kind_at(where) or 0):
            return None
        return blake3(max_threads=1).update_mmap(where).digest()

    def put_here(self) -> Iterator[str]:
        """Yield the files that an earlier checkout put here and nobody changed since."""
        return filter(self.is_put_here, self._states)

    def is_put_here(self, path: str) -> bool:
        """Tell whether a file is what an earlier checkout put there.

        One that was written so shortly before it was remembered that its times prove nothing is
        known by its content.
        """
        return self._states.get(path) in self._known or (
            path in self._put and self.digest_of(path) == self._put[path]
        )


def _refuse_loss(
    folder: Path, paths: list[str], present: _Present, target: Target, stale: Sequence[str]
) -> None:
    going, emptied = set(stale), _folders_of(stale)
    blocked = [
        path
        for path in paths
        if present.is_taken(path)
        and not present.is_put_here(path)
        and not _is_stored(present.digest_of(path), target)
        and not (path in emptied and _holds_only(folder, path, going | emptied))
    ]
    blocked += [each for each in _folders_of(paths) if present.is_file(each) and each not in going]
    if blocked:
        raise Conflict(
            f"{folder / blocked[0]} holds something else ({len(blocked)} such files).",
            "keep it with thrive data add, or check out into an empty folder",
        )


def _holds_only(folder: Path, path: str, known: Collection[str]) -> bool:
    """Tell whether all that a folder holds, at any depth, is among some paths."""
    inside = (folder / path).rglob("*")
    return all(each.relative_to(folder).as_posix() in known for each in inside)


def _in_the_way(paths: Sequence[str], stale: Sequence[str]) -> set[str]:
    """Return the files that are to go where others need a folder, or in a folder where one goes."""
    files, folders = set(paths), _folders_of(paths)
    return {path for path in stale if path in folders or files & _folders_of([path])}


def _folders_of(paths: Iterable[str]) -> set[str]:
    """Return every folder that files lie in, at any depth."""
    found: set[str] = set()
    for path in paths:
        while (path := path.rpartition("/")[0]) and path not in found:
            found.add(path)
    return found


def _remove(folder: Path, paths: Iterable[str]) -> None:
    """Remove files, and the folders that are empty then."""
    for path in paths:
        (folder / path).unlink(missing_ok=True)
    for path in sorted(_folders_of(paths), reverse=True):
        with suppress(OSError):  # something else is in it, or it went with another file
            (folder / path).rmdir()


def _kind_at(path: str) -> int | None:
    """Return the mode of what is at a path, None if nothing is; Path takes five times as long."""
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - as in a walk
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_stored(digest: bytes | None, target: Target) -> bool:
    return digest is not None and target.known(digest)


def _write(
    snapshot: Snapshot, numbers: list[int], blobs: BlobReader, folder: Path, report: Report
) -> None:
    places = snapshot.places
    packed = [n for n in numbers if (place := places[n]) is not None and place[1] != PIECES]
    packed.sort(key=lambda number: places[number] or (b"", 0))
    in_packs = set(packed)
    large = [number for number in numbers if number not in in_packs]
    done = 0

    def tell(done: int, path: str) -> None:
        report(done, len(numbers), path)

    if not numbers:
        return
    with _unfinished(folder) as place:
        if packed:
            done = _write_packed(snapshot, packed, blobs, _Folders(folder, place), tell)
        for first in range(0, len(large), FETCHED):
            group = large[first : first + FETCHED]
            blobs.fetch(*{(p[0] if (p := places[n]) else snapshot.digests[n]).hex() for n in group})
            for number in group:
                _write_large(snapshot, number, blobs, folder, place)
                done += 1
                report(done, len(numbers), snapshot.paths[number])


@contextmanager
def _unfinished(root: Path) -> Generator[Path]:
    """Give a hidden, locked folder for files that are not whole yet."""
    _remove_abandoned(root)
    place = root / f"{UNFINISHED}{new_id()}"
    place.mkdir(mode=0o700)
    with _locked(place):
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Generator[bool]:
    """Try to lock a folder, and tell whether that worked: the kernel frees those of the dead."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _write_packed(
    snapshot: Snapshot,
    numbers: list[int],
    blobs: BlobReader,
    folders: "_Folders",
    tell: Callable[[int, str], None],
) -> int:
    """Write files that lie in packs; return how many. `tell` gets how many so far, and a name."""
    reader = PackReader(blobs)
    try:
        for done, number in enumerate(numbers, 1):
            place = snapshot.places[number]
            assert place is not None, "it is in a pack"
            data = reader.read(snapshot.digests[number], snapshot.sizes[number], *place)
            folders.write(snapshot.paths[number], data)
            if done % 256 == 0:
                tell(done, snapshot.paths[number])
    finally:
        reader.close()
        folders.close()
    return len(numbers)


class _Folders:
    """Writes small files by the handles of their folders: half the time of whole paths.

    Each is written in a hidden folder and renamed into its own.

    Args:
        root: the folder that is checked out.
        unfinished: the hidden one.
    """

    def __init__(self, root: Path, unfinished: Path) -> None:
        self._root = root
        self._name = ""
        self._handle = -1
        self._nursery = Nursery(unfinished / "small")

    def write(self, path: str, data: bytes) -> None:
        parent, _, name = path.rpartition("/")
        if self._handle < 0 or parent != self._name:
            self._enter(parent)
        self._nursery.write(data, self._handle, name)

    def _enter(self, parent: str) -> None:
        self._leave()
        folder = self._root / parent
        folder.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._name = parent

    def _leave(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def close(self) -> None:
        """Remove the hidden folder."""
        self._leave()
        self._nursery.close()


def _remove_abandoned(root: Path) -> None:
    """Remove the hidden folders of checkouts that were killed."""
    limit = time.time() - ABANDONED_S
    for entry in os.scandir(root):
        if entry.name.startswith(UNFINISHED) and entry.stat().st_mtime < limit:
            with _locked(Path(entry.path)) as abandoned:
                if abandoned:
                    shutil.rmtree(entry.path, ignore_errors=True)


def _write_large(
    snapshot: Snapshot, number: int, blobs: BlobReader, folder: Path, unfinished: Path
) -> None:
    digest, place = snapshot.digests[number], snapshot.places[number]
    target = folder / snapshot.paths[number]
    target.parent.mkdir(parents=True, exist_ok=True)
    size = snapshot.sizes[number]
    extents = extents_of(blobs, size, place) if place else [(digest.hex(), 0, size)]
    partial = unfinished / new_id()
    hasher = blake3()
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            for block in read_extents(blobs, extents):
                hasher.update(block)
                write_all(handle, block)
        finally:
            os.close(handle)
        _verify(hasher.digest() == digest, snapshot.paths[number])
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _verify(is_sound: bool, path: str) -> None:
    if not is_sound:
        raise Damaged(f"The stored parts of {path} are damaged.", "thrive doctor")


def _remember(folder: Path, snapshot: Snapshot, cache: StateCache, manifest: str) -> None:
    seen = {state[0]: state for state in walk(str(folder))}
    states: list[State] = []
    for path in snapshot.paths:
        state = seen.get(path)
        try:
            states.append(state_of(f"{folder}/{path}", path) if state is None else state)
        except FileNotFoundError:
            raise NotFound(f"{folder / path} went while it was written.", "try again") from None
    cache.save(snapshot.name(), states, snapshot.digests, time.time_ns(), manifest)


def safe_name(name: str) -> PurePosixPath:
    """Return a stored name as a relative path that cannot leave its folder.

    Raises:
        Damaged: it could; no version that Thrive wrote holds such a name.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise Damaged(f"A dataset version holds the file name {name!r}.", "thrive doctor")
    return path
