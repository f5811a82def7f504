"""Packs that are mostly dead: what lives in them moves into new ones, and the old may go."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from thrive.store.blobs import BlobStore
from thrive.store.snapshots.bring import PackReader
from thrive.store.snapshots.packs import Packer
from thrive.store.snapshots.snapshot import PIECES, Place, Snapshot

DEAD = 0.5
"""A pack of which more than this share is dead is rewritten."""


def dying_packs(blobs: BlobStore, snapshots: Iterable[Snapshot]) -> set[bytes]:
    """Return the packs of which most bytes belong to no file of these snapshots.

    Args:
        blobs: where the packs are.
        snapshots: every one that is to be kept.
    """
    living: dict[bytes, dict[int, int]] = defaultdict(dict)
    for snapshot in snapshots:
        for place, size in zip(snapshot.places, snapshot.sizes, strict=True):
            if place is not None and place[1] != PIECES:
                living[place[0]][place[1]] = size
    return {
        pack
        for pack, files in living.items()
        if blobs.has(pack.hex()) and sum(files.values()) < (1 - DEAD) * blobs.size(pack.hex())
    }


def repacked(blobs: BlobStore, snapshots: Sequence[Snapshot], packs: set[bytes]) -> list[Snapshot]:
    """Return the same snapshots with the files of these packs in new packs, durably.

    Raises:
        Damaged: a file is not what it was; nothing refers to the new packs yet.
        DiskFull: there is no space.
    """
    moving = {
        digest: (size, place)
        for snapshot in snapshots
        for digest, size, place in zip(
            snapshot.digests, snapshot.sizes, snapshot.places, strict=True
        )
        if place is not None and place[0] in packs and place[1] != PIECES
    }
    order = sorted(moving, key=lambda digest: moving[digest][1])
    moved: dict[bytes, Place] = {}

    def settle(members: list[tuple[int, Place]]) -> None:
        moved.update((order[number], place) for number, place in members)

    reader = PackReader(blobs)
    try:
        with Packer(blobs, settle) as packer:
            for number, digest in enumerate(order):
                size, place = moving[digest]
                packer.add(number, reader.read(digest, size, *place))
    finally:
        reader.close()
    return [_moved(snapshot, packs, moved) for snapshot in snapshots]


def _moved(snapshot: Snapshot, packs: set[bytes], moved: dict[bytes, Place]) -> Snapshot:
    places = [
        moved[digest] if place is not None and place[0] in packs and place[1] != PIECES else place
        for digest, place in zip(snapshot.digests, snapshot.places, strict=True)
    ]
    return Snapshot(snapshot.paths, snapshot.sizes, snapshot.digests, places)
