"""Keeping files: what is known is not read, small ones go into packs, large ones into chunks.

Every step that is durable is written into a journal beside the state cache, so that a reading that
was broken off goes on where it was. Of many small files a second process keeps half.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import msgspec
from blake3 import blake3

from thrive.domain.errors import Conflict, NotFound
from thrive.store.blobs import BlobStore
from thrive.store.forked import Forked, ending_with
from thrive.store.snapshots.chunker import CHUNKER
from thrive.store.snapshots.journal import Journal
from thrive.store.snapshots.manifest import read_part, write_part
from thrive.store.snapshots.packs import LARGEST, Packer
from thrive.store.snapshots.recipes import MOST_BLOBS, keep_pieces, keep_whole, read_recipe
from thrive.store.snapshots.snapshot import PIECES, Place, Snapshot
from thrive.store.snapshots.states import Remembered
from thrive.store.snapshots.walk import State, state_of

SMALL_TABLE = 256 << 10
"""Tables up to this size may go into packs; larger ones stay files that others read directly."""
SMALL = LARGEST
"""The same for all other files."""
LOOSE = 32
"""Up to so many new small files are kept one by one."""
CHUNKED = 1 << 20
"""Files from this size on are cut into chunks, unless their bytes are compressed."""
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq")
_COMPRESSED = (
    *(".parquet", ".pq", ".gz", ".zip", ".zst", ".bz2", ".xz", ".7z", ".npz", ".lz4", ".br"),
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".heic", ".mp3", ".mp4", ".mkv", ".flac", ".ogg"),
)
_WORTH = 4096
"""Small files from which on a second process costs less than it brings."""
_EACH = 20_000
"""Bytes that are read in the time that opening and closing a file takes."""
_TRIES = 3
"""How often a file that is being written is read before it is given up."""

STORING = 0.5
"""The share of adding a dataset that keeping its files takes, for a progress bar."""

Report = Callable[[int, int, str], None]
"""Told files done, files in all, and the name of one."""


def storing(progress: Callable[[float, str], None]) -> Report:
    """Return a report that moves the bar of a command that adds files, up to its middle."""
    return lambda done, of, path: progress(STORING * done / of, f"storing {path}")


class Earlier:
    """What is stored of a dataset's earlier versions, newest first.

    Args:
        snapshots: their snapshots.
    """

    def __init__(self, snapshots: Sequence[Snapshot] = ()) -> None:
        self._snapshots = snapshots
        self._newest = snapshots[0] if snapshots else Snapshot([], [], [], [])
        self._recipes: dict[str, bytes] | None = None

    @cached_property
    def places(self) -> dict[bytes, Place]:
        """Where each content is; made when a file is new, as most readings find few that are."""
        found: dict[bytes, Place] = {}
        for snapshot in reversed(self._snapshots):
            found.update(zip(snapshot.digests, snapshot.places, strict=True))
        return found

    def recipe_of(self, path: str, present: Iterable[str]) -> bytes | None:
        """Return the recipe of the newest version of a file; for a new one, of one that went.

        Args:
            path: the file.
            present: the paths that are there now.
        """
        if self._recipes is None:
            self._recipes = {
                name: place[0]
                for name, place in zip(self._newest.paths, self._newest.places, strict=True)
                if place is not None and place[1] == PIECES
            }
        if path in self._recipes or not self._recipes:
            return self._recipes.get(path)
        gone = self._recipes.keys() - set(present)
        same_kind = [each for each in gone if Path(each).suffix == Path(path).suffix]
        return self._recipes[min(same_kind)] if same_kind else None


class Source(msgspec.Struct, frozen=True):
    """Files to keep: the state of each, and where each is by its name."""

    states: list[State]
    locate: Callable[[str], str]


class Recalled(NamedTuple):
    """What is known of files before they are read: one digest and one place a file.

    A digest is empty where nothing is known: the file must be read.
    """

    digests: list[bytes]
    places: list[Place]


def recall(
    states: list[State], remembered: Remembered, earlier: Earlier, whole: Snapshot | None
) -> Recalled:
    """Return what is known of files by their states, and stored.

    Args:
        states: the files as they are, in the order of their paths.
        remembered: as they were when they were last read.
        earlier: what is stored.
        whole: the snapshot that was remembered, if all of it is stored.
    """
    if whole is None:
        stored = earlier.places
        digests = [each if each in stored else b"" for each in remembered.parts()]
        places = [stored.get(each) for each in digests]
    else:
        digests, places = whole.digests, whole.places
    digests, places = [*digests, b""], [*places, None]  # the last ones stand for no number, -1
    numbers = remembered.match(states)
    return Recalled([*map(digests.__getitem__, numbers)], [*map(places.__getitem__, numbers)])


def nothing_known(states: Sequence[State]) -> Recalled:
    """Return that every file has to be read."""
    return Recalled([b""] * len(states), [None] * len(states))


class _Half(msgspec.Struct, frozen=True):
    """What another process kept: files of the snapshot, and the states that were others to it."""

    part: bytes
    changed: dict[int, State]


class Kept(msgspec.Struct, frozen=True):
    """What was kept: the snapshot, and each file's state as it was read."""

    snapshot: Snapshot
    states: list[State]


def keep_files(
    blobs: BlobStore,
    source: Source,
    recalled: Recalled,
    earlier: Earlier,
    journal: Journal,
    report: Report,
    *,
    helped: bool = False,
) -> Kept:
    """Keep the files of a source, durably; return them as a snapshot.

    Args:
        blobs: where bytes go.
        source: the files.
        recalled: what is known of them; what they are found to be is written into it.
        earlier: what is stored already.
        journal: what a broken-off reading has stored; gets what this one stores.
        report: told how far it is.
        helped: this process may fork another one, which keeps half of many small files.

    Raises:
        Conflict: a file does not stop changing, or went meanwhile.
        DiskFull: there is no space; what was stored is used by the next try.
    """
    keeping = _Keeping(blobs, source, recalled, earlier, journal, report)
    keeping.resume(journal.read(blobs))
    keeping.sort()
    keeping.keep_small(helped=helped)
    keeping.keep_large()
    return Kept(keeping.snapshot, keeping.states)


class _Keeping:
    def __init__(
        self,
        blobs: BlobStore,
        source: Source,
        recalled: Recalled,
        earlier: Earlier,
        journal: Journal,
        report: Report,
    ) -> None:
        self.states = list(source.states)
        self.snapshot = Snapshot(
            [state[0] for state in source.states],
            [state[1] for state in source.states],
            recalled.digests,
            recalled.places,
        )
        self._blobs = blobs
        self._locate = source.locate
        self._earlier = earlier
        self._journal = journal
        self._report = report
        self._small: list[int] = []
        self._large: list[int] = []
        self._done = 0

    def resume(self, stored: dict[State, tuple[bytes, Place]]) -> None:
        """Take over what a reading that was broken off has stored."""
        if not stored:
            return
        self._earlier.places.update(stored.values())
        for number, state in enumerate(self.states):
            if state in stored:
                self.snapshot.digests[number], self.snapshot.places[number] = stored[state]

    def sort(self) -> None:
        """Sort the files of which nothing is known by how they are kept."""
        for number, digest in enumerate(self.snapshot.digests):
            if digest:
                continue
            name, size, *_ = self.states[number]
            if size <= SMALL_TABLE or (size <= SMALL and not name.lower().endswith(_TABLES)):
                self._small.append(number)
            else:
                self._large.append(number)
        self._done = len(self.states) - len(self._small) - len(self._large)

    def keep_small(self, *, helped: bool) -> None:
        """Read all small files; those whose content is new go into packs, or one by one if few."""
        if len(self._small) <= LOOSE:
            self._keep_loose()
            return
        if not helped or len(self._small) < _WORTH:
            self._pack(self._small)
            return
        middle = self._middle()
        mine, others = self._small[:middle], self._small[middle:]
        helper = Forked(partial(self._packed, others, os.getpid()))
        try:
            self._pack(mine)
            self._hear(others, helper.answer())
        finally:
            helper.stop()

    def _middle(self) -> int:
        """Return the number of small files that take half of the time to read."""
        sums = [*accumulate(self.states[number][1] + _EACH for number in self._small)]
        return bisect_left(sums, sums[-1] // 2)

    def _pack(self, numbers: Sequence[int]) -> None:
        """Lay small files into packs, each content once."""
        stored, digests, places = self._earlier.places, self.snapshot.digests, self.snapshot.places
        packed: set[bytes] = set()
        known: list[int] = []
        with Packer(self._blobs, self._settle) as packer:
            for number in numbers:
                size = self._read_to(packer.room, number)
                digest = digests[number]
                if digest in stored:
                    known.append(number)
                elif digest not in packed:
                    packed.add(digest)
                    packer.take(number, size)
        self._note(known)
        for number in numbers:
            places[number] = stored[digests[number]]

    def _packed(self, numbers: Sequence[int], asking: int) -> bytes:
        """Lay small files into packs, in another process; return what is to be heard of it."""
        self._report = ending_with(asking)
        before = [self.states[number] for number in numbers]
        self._pack(numbers)
        changed = {
            number: self.states[number]
            for number, state in zip(numbers, before, strict=True)
            if self.states[number] is not state
        }
        part = write_part(self.snapshot.chosen(numbers))
        return msgspec.msgpack.encode(_Half(part, changed))

    def _hear(self, numbers: Sequence[int], told: bytes) -> None:
        """Take what another process kept, or keep it here if that one could not.

        A content that both read has the place that it got here; its other bytes are of no use,
        and go when their pack is rewritten.
        """
        if not told:
            self._pack(numbers)
            return
        half = msgspec.msgpack.decode(told, type=_Half)
        part = read_part(half.part)
        digests, places = self.snapshot.digests, self.snapshot.places
        place_of = self._earlier.places.setdefault
        for number, digest, place in zip(numbers, part.digests, part.places, strict=True):
            digests[number], places[number] = digest, place_of(digest, place)
        for number, state in half.changed.items():
            self.states[number], self.snapshot.sizes[number] = state, state[1]
        self._done += len(numbers)
        self._report(self._done, len(self.states), part.paths[-1])

    def _keep_loose(self) -> None:
        for number in self._small:
            data = self._read(number)
            digest = self.snapshot.digests[number]
            if digest not in self._earlier.places:
                self._blobs.put(data)
            self._take([(number, self._earlier.places.get(digest))])

    def keep_large(self) -> None:
        """Keep large files: in chunks where their kind lets an edit leave most of them alone."""
        for number in self._large:
            for _ in range(_TRIES):
                digest, place = self._keep_one(number)
                if self._is_unchanged(number):
                    break
            else:
                raise _restless(self._locate(self.snapshot.paths[number]))
            self.snapshot.digests[number] = digest
            self._settle([(number, place)])

    def _keep_one(self, number: int) -> tuple[bytes, Place]:
        path, size = self.snapshot.paths[number], self.snapshot.sizes[number]
        where = Path(self._locate(path))
        try:
            if size < CHUNKED or path.lower().endswith(_COMPRESSED):
                return bytes.fromhex(self._blobs.put_file(where)), None
            before = self._earlier.recipe_of(path, self.snapshot.paths)
            recipe = read_recipe(self._blobs, before.hex()) if before else None
            fits = recipe is not None and recipe.chunker.name == CHUNKER.name
            if recipe is not None and fits and len(recipe.blobs) < MOST_BLOBS:
                digest, made = keep_pieces(self._blobs, where, recipe)
            else:
                digest, made = keep_whole(self._blobs, where)
        except (NotFound, FileNotFoundError):
            raise _restless(str(where)) from None
        return digest, (made, PIECES)

    def _read(self, number: int) -> bytes:
        """Return the bytes of a small file and note their digest and size."""
        room = memoryview(bytearray(LARGEST + 1))
        size = self._read_to(lambda size: room[:size], number)
        return bytes(room[:size])

    def _read_to(self, room: Callable[[int], memoryview], number: int) -> int:
        """Read a small file into the room there is; note its digest and return its size."""
        path = self.snapshot.paths[number]
        where = self._locate(path)
        for _ in range(_TRIES):
            state = self.states[number]
            size = state[1]
            if size > LARGEST:
                break
            target = room(size + 1)
            try:
                whole = _read_file(where, state, target)
            except FileNotFoundError:
                break
            if whole:
                self.snapshot.digests[number] = blake3(target[:size], max_threads=1).digest()
                return size
            self._look_again(number)
        raise _restless(where)

    def _is_unchanged(self, number: int) -> bool:
        before = self.states[number]
        self._look_again(number)
        return self.states[number] == before

    def _look_again(self, number: int) -> None:
        path = self.snapshot.paths[number]
        try:
            self.states[number] = state_of(self._locate(path), path)
        except FileNotFoundError:
            raise _restless(self._locate(path)) from None
        self.snapshot.sizes[number] = self.states[number][1]

    def _settle(self, members: list[tuple[int, Place]]) -> None:
        """Take files that are durable, and note them in the journal."""
        self._take(members)
        self._note([number for number, _ in members])

    def _take(self, members: list[tuple[int, Place]]) -> None:
        digests = self.snapshot.digests
        for number, place in members:
            self.snapshot.places[number] = place
            self._earlier.places[digests[number]] = place
        self._done += len(members)
        self._report(self._done, len(self.states), self.snapshot.paths[members[-1][0]])

    def _note(self, numbers: list[int]) -> None:
        digests, places = self.snapshot.digests, self.snapshot.places
        self._journal.append([(self.states[n], digests[n], places[n]) for n in numbers])


def _read_file(path: str, state: State, target: memoryview) -> bool:
    """Read a file; tell whether it is what its state says, before and after.

    Args:
        path: the file.
        state: as it was seen.
        target: takes its bytes; one longer than them, to see a file that grew.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        count = os.readv(handle, [target])
        seen = os.fstat(handle)
    finally:
        os.close(handle)
    same = (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino) == state[1:]
    return same and count == state[1]


def _restless(path: str) -> Conflict:
    return Conflict(f"{path} changed while it was read.", "try again when its writer is done")
