"""Blobs that are mostly dead: what lives in them moves into new ones, and the old may go.

Such are packs of small files, and blobs that hold the chunks of large ones.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from thrive.store.blobs import BlobReader, BlobStore
from thrive.store.snapshots.bring import PackReader
from thrive.store.snapshots.packs import Packer
from thrive.store.snapshots.recipes import Making, NewChunks, Recipe, named, read_recipe
from thrive.store.snapshots.snapshot import PIECES, Place, Snapshot

DEAD = 0.5
"""A blob of which more than this share is dead is rewritten."""


def dying_blobs(blobs: BlobStore, snapshots: Sequence[Snapshot], dead: float = DEAD) -> set[bytes]:
    """Return the packs and blobs of chunks of which these snapshots do not need a large share.

    Args:
        blobs: where they are.
        snapshots: every one that is to be kept.
        dead: the share of a blob that may be dead; with 0 a single dead byte is too much.
    """
    living: dict[bytes, dict[int, int]] = defaultdict(dict)
    whole: set[bytes] = set()
    for snapshot in snapshots:
        whole |= {bytes.fromhex(digest) for digest in snapshot.own_blobs()}
        for place, size in zip(snapshot.places, snapshot.sizes, strict=True):
            if place is not None and place[1] != PIECES:
                living[place[0]][place[1]] = size
    for recipe in _recipes(blobs, snapshots).values():
        for _, length, blob, offset in recipe.chunks():
            living[blob][offset] = length
    return {
        blob
        for blob, parts in living.items()
        if blob not in whole
        and blobs.has(blob.hex())
        and sum(parts.values()) < (1 - dead) * blobs.size(blob.hex())
    }


def _recipes(blobs: BlobReader, snapshots: Iterable[Snapshot]) -> dict[bytes, Recipe]:
    """Return the recipes of all files in pieces, by their digest."""
    names = {
        place[0]
        for snapshot in snapshots
        for place in snapshot.places
        if place is not None and place[1] == PIECES
    }
    blobs.fetch(*(name.hex() for name in names))
    return {name: read_recipe(blobs, name.hex()) for name in names}


def repacked(
    blobs: BlobStore, snapshots: Sequence[Snapshot], dying: Collection[bytes]
) -> list[Snapshot]:
    """Return the same snapshots with what lives in these blobs in new ones, durably.

    Raises:
        Damaged: a file or a chunk is not what it was; nothing refers to the new blobs yet.
        DiskFull: there is no space.
    """
    reader = PackReader(blobs)
    try:
        moved = _moved_files(blobs, reader, snapshots, dying)
        recipes = _moved_chunks(blobs, reader, _recipes(blobs, snapshots), dying)
    finally:
        reader.close()

    def place_of(digest: bytes, place: Place) -> Place:
        if place is None:
            return None
        if place[1] == PIECES:
            return recipes.get(place[0], place[0]), PIECES
        return moved[digest] if place[0] in dying else place

    return [
        Snapshot(
            each.paths,
            each.sizes,
            each.digests,
            list(map(place_of, each.digests, each.places)),
        )
        for each in snapshots
    ]


def _moved_files(
    blobs: BlobStore, reader: PackReader, snapshots: Sequence[Snapshot], dying: Collection[bytes]
) -> dict[bytes, Place]:
    """Lay the files of dying packs into new ones; return where each is by its digest."""
    moving = {
        digest: (size, place)
        for snapshot in snapshots
        for digest, size, place in zip(
            snapshot.digests, snapshot.sizes, snapshot.places, strict=True
        )
        if place is not None and place[0] in dying and place[1] != PIECES
    }
    order = sorted(moving, key=lambda digest: moving[digest][1])
    moved: dict[bytes, Place] = {}

    def settle(members: list[tuple[int, Place]]) -> None:
        moved.update((order[number], place) for number, place in members)

    with Packer(blobs, settle) as packer:
        for number, digest in enumerate(order):
            size, place = moving[digest]
            packer.add(number, reader.read(digest, size, *place))
    return moved


def _moved_chunks(
    blobs: BlobStore, reader: PackReader, recipes: dict[bytes, Recipe], dying: Collection[bytes]
) -> dict[bytes, bytes]:
    """Lay the chunks of dying blobs into new ones; return the new recipe of each that had some."""
    affected = {
        name: named(blobs, recipe)
        for name, recipe in recipes.items()
        if not set(dying).isdisjoint(recipe.blobs)
    }
    new = NewChunks(blobs)
    for recipe in affected.values():
        for digest, length, blob, offset in recipe.chunks():
            if blob in dying and digest not in new:
                new.add(digest, reader.read(digest, length, blob, offset))
    new.close()
    made: dict[bytes, bytes] = {}
    for name, recipe in affected.items():
        making = Making(recipe.chunker)
        for digest, length, blob, offset in recipe.chunks():
            place = new.places[digest] if blob in dying else (blob, offset)
            making.add(digest, length, *place)
        made[name] = making.write(blobs)
    return made
