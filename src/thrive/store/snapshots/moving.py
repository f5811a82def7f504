"""Snapshots whose bytes must leave some blobs: single files changed, the rest laid elsewhere.

A pack or a blob of pieces that holds bytes of one file which must go is written anew without it;
every snapshot that has files in it then says where they are now, and keeps its name.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from blake3 import blake3

from thrive.store.blobs import BlobStore
from thrive.store.snapshots.bring import local_files
from thrive.store.snapshots.packs import LARGEST, Packer
from thrive.store.snapshots.recipes import Recipe, keep_pieces, keep_whole, read_recipe
from thrive.store.snapshots.snapshot import PIECES, Place, Snapshot

Changes = Mapping[bytes, bytes | None]
"""By the digest of a file: its new bytes, or None for a file that goes."""


def holders(blobs: BlobStore, snapshot: Snapshot, digests: Collection[bytes]) -> set[str]:
    """Return the blobs of a snapshot that hold bytes of some of its files, or say where they are.

    Args:
        blobs: where they are.
        snapshot: the files.
        digests: those that are asked for.
    """
    found: set[str] = set()
    for digest, place in zip(snapshot.digests, snapshot.places, strict=True):
        if digest in digests:
            found |= _blobs_of(blobs, digest, place)
    return found


def _blobs_of(blobs: BlobStore, digest: bytes, place: Place) -> set[str]:
    if place is None:
        return {digest.hex()}
    name = place[0].hex()
    return {name} if place[1] != PIECES else {name, *read_recipe(blobs, name).blob_names()}


class _Moved(NamedTuple):
    """What a file is after the move, and where."""

    digest: bytes
    size: int
    place: Place


class Mover:
    """Moves files of snapshots out of blobs, each content once however many snapshots have it.

    Args:
        blobs: where the files are, and where they go.
        leaving: the blobs that must no longer be used.
        changes: files that change or go.
        temporary: a folder for large files on their way.
    """

    def __init__(
        self, blobs: BlobStore, leaving: Collection[str], changes: Changes, temporary: Path
    ) -> None:
        self._blobs = blobs
        self._leaving = set(leaving)
        self._changes = changes
        self._temporary = temporary
        self._moved: dict[bytes, _Moved] = {}
        self._recipes: dict[str, Recipe] = {}

    def moved(self, snapshot: Snapshot) -> Snapshot | None:
        """Return the snapshot with its files elsewhere, None if none of them must leave.

        Raises:
            Damaged: a file is not what it was.
            DiskFull: there is no space; the old blobs are all there.
        """
        going = {number for number in range(len(snapshot)) if self._must_leave(snapshot, number)}
        if not going:
            return None
        self._move(_part(snapshot, sorted(going), self._moved))
        after = Snapshot([], [], [], [])
        for number, path in enumerate(snapshot.paths):
            old = snapshot.digests[number]
            if old in self._changes and self._changes[old] is None:
                continue
            kept = _Moved(old, snapshot.sizes[number], snapshot.places[number])
            file = self._moved[old] if number in going else kept
            after.paths.append(path)
            after.sizes.append(file.size)
            after.digests.append(file.digest)
            after.places.append(file.place)
        return after

    def name_of(self, digest: bytes) -> str:
        """Return the digest that the changed file `digest` has now."""
        return self._moved[digest].digest.hex()

    def _must_leave(self, snapshot: Snapshot, number: int) -> bool:
        digest, place = snapshot.digests[number], snapshot.places[number]
        used = _blobs_of(self._blobs, digest, place)
        return digest in self._changes or not used.isdisjoint(self._leaving)

    def _move(self, part: Snapshot) -> None:
        """Store files anew: packed ones in packs, those in pieces in pieces."""

        def settle(members: list[tuple[int, Place]]) -> None:
            for number, place in members:
                digest = part.digests[number]
                self._moved[digest] = self._moved[digest]._replace(place=place)

        with Packer(self._blobs, settle) as packer:
            for number, source in enumerate(local_files(self._blobs, part)):
                digest = part.digests[number]
                data = self._changes[digest] if digest in self._changes else source.read_bytes()
                if data is None or digest in self._moved:
                    continue
                self._moved[digest] = _Moved(blake3(data).digest(), len(data), None)
                self._lay(packer, number, part, data)

    def _lay(self, packer: Packer, number: int, part: Snapshot, data: bytes) -> None:
        digest, place = part.digests[number], part.places[number]
        if place is None or (place[1] != PIECES and len(data) > LARGEST):
            self._blobs.put(data)
        elif place[1] == PIECES:
            pieces = self._in_pieces(part.paths[number], data)
            self._moved[digest] = self._moved[digest]._replace(place=pieces)
        else:
            packer.add(number, data)

    def _in_pieces(self, path: str, data: bytes) -> Place:
        earlier = self._recipes.get(path)
        with TemporaryDirectory(dir=self._temporary, prefix="move-") as folder:
            file = Path(folder) / "file"
            file.write_bytes(data)
            if earlier is None:
                _, recipe = keep_whole(self._blobs, file)
            else:
                _, recipe = keep_pieces(self._blobs, file, earlier)
        self._recipes[path] = read_recipe(self._blobs, recipe.hex())
        return recipe, PIECES


def _part(snapshot: Snapshot, numbers: list[int], known: Mapping[bytes, _Moved]) -> Snapshot:
    """Return the files of these numbers whose content was not moved yet."""
    fresh = [number for number in numbers if snapshot.digests[number] not in known]
    return Snapshot(
        [snapshot.paths[number] for number in fresh],
        [snapshot.sizes[number] for number in fresh],
        [snapshot.digests[number] for number in fresh],
        [snapshot.places[number] for number in fresh],
    )
