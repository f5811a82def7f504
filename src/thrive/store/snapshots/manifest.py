"""How a snapshot is written down: as blobs that say which files there are and where they lie.

Format 1 is the canonical list itself (JSON), for snapshots whose files each have a blob of their
own. Format 2 is a root (JSON) that names leaves (MessagePack) of about a thousand files each. The
leaves are cut where digests say so, so a changed file changes one leaf, and equal runs of files
are stored once.
"""

from collections.abc import Iterator, Mapping

import msgspec
from blake3 import blake3

from thrive.domain.dataset import FileEntry
from thrive.domain.errors import Damaged, InfrastructureError
from thrive.store.blobs import BlobReader, BlobStore
from thrive.store.snapshots.snapshot import NAME_FORMAT, Snapshot, split_digests

FORMAT = 2
PLAIN_FILES = 1000
"""Up to so many files with blobs of their own are written as format 1."""
FEWEST, MOST = 256, 4096
"""Files of a leaf; between them one in 1024 files ends it."""
_OWN = -1
"""Instead of the number of a blob: the file has a blob of its own."""


class _Leaf(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Files in columns: `digests` are laid end to end; `blobs[within]` and `offsets` say where."""

    paths: list[str]
    sizes: list[int]
    digests: bytes
    blobs: list[bytes]
    within: list[int]
    offsets: list[int]


class _LeafName(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    files: int
    first: str


class _Root(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    name: str
    files: int
    size: int
    leaves: list[_LeafName]


class _Form(msgspec.Struct, frozen=True):
    format: int
    files: msgspec.Raw = msgspec.Raw()


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that is written down: its name, its manifest, and the manifest's own blobs."""

    name: str
    manifest: str
    blobs: set[str]


def write_manifest(
    snapshot: Snapshot, blobs: BlobStore, leaves: Mapping[str, Snapshot] | None = None
) -> Written:
    """Write a snapshot down; what is there already is written once.

    Args:
        snapshot: what to write.
        blobs: where it goes.
        leaves: parts of another snapshot by the blob each is written in: those that this one
            has as well are not made again.

    Raises:
        UsageError: a file's name is no text.
        DiskFull: there is no space.
    """
    listing = snapshot.listing()
    if len(snapshot) <= PLAIN_FILES and not any(snapshot.places):
        plain = blobs.put(listing)
        return Written(name=plain, manifest=plain, blobs={plain})
    name = blake3(listing).hexdigest()
    cuts = list(_cuts(snapshot, leaves or {}))
    made = iter(
        blobs.put_many([write_part(snapshot.part(at, end)) for at, end, known in cuts if not known])
    )
    named = [
        _LeafName(digest=known or next(made), files=end - first, first=snapshot.paths[first])
        for first, end, known in cuts
    ]
    root = _Root(format=FORMAT, name=name, files=len(snapshot), size=snapshot.size, leaves=named)
    manifest = blobs.put(msgspec.json.encode(root))
    return Written(name=name, manifest=manifest, blobs={manifest, *(each.digest for each in named)})


def _cuts(snapshot: Snapshot, leaves: Mapping[str, Snapshot]) -> Iterator[tuple[int, int, str]]:
    """Yield the first file and the end of each leaf, and its blob if it is written already."""
    starting = {leaf.paths[0]: (name, leaf) for name, leaf in leaves.items() if len(leaf)}
    first = 0
    while first < len(snapshot):
        name, leaf = starting.get(snapshot.paths[first], ("", None))
        if leaf is None or not _stands_at(leaf, snapshot, first):
            name = ""
            end = _end_of_leaf(snapshot.digests, first)
        else:
            end = first + len(leaf)
        yield first, end, name
        first = end


def _stands_at(leaf: Snapshot, snapshot: Snapshot, first: int) -> bool:
    """Tell whether a leaf that was cut from another snapshot would be cut from this one here."""
    end = first + len(leaf)
    return (
        (end == len(snapshot) or len(leaf) == MOST or _may_end(leaf.digests[-1], len(leaf)))
        and leaf.digests == snapshot.digests[first:end]
        and leaf.paths == snapshot.paths[first:end]
        and leaf.sizes == snapshot.sizes[first:end]
        and leaf.places == snapshot.places[first:end]
    )


def _end_of_leaf(digests: list[bytes], first: int) -> int:
    most = min(first + MOST, len(digests))
    for number in range(first + FEWEST, most):
        if _may_end(digests[number - 1], number - first):
            return number
    return most


def _may_end(digest: bytes, length: int) -> bool:
    return length >= FEWEST and digest[0] == 0 and digest[1] < 64


def write_part(part: Snapshot) -> bytes:
    """Return a part of a snapshot as it is written down."""
    used = {
        blob: number for number, blob in enumerate(dict.fromkeys(p[0] for p in part.places if p))
    }
    leaf = _Leaf(
        paths=part.paths,
        sizes=part.sizes,
        digests=b"".join(part.digests),
        blobs=list(used),
        within=[used[place[0]] if place else _OWN for place in part.places],
        offsets=[place[1] if place else 0 for place in part.places],
    )
    return msgspec.msgpack.encode(leaf)


def read_part(data: bytes) -> Snapshot:
    """Return the part of a snapshot that was written down so.

    Raises:
        msgspec.MsgspecError: it was not.
    """
    leaf = msgspec.msgpack.decode(data, type=_Leaf)
    used = leaf.blobs
    places = [
        None if within == _OWN else (used[within], offset)
        for within, offset in zip(leaf.within, leaf.offsets, strict=True)
    ]
    return Snapshot(leaf.paths, leaf.sizes, split_digests(leaf.digests), places)


class SnapshotReader:
    """Reads snapshots, what several of them share once.

    Args:
        blobs: where their manifests are.
    """

    def __init__(self, blobs: BlobReader) -> None:
        self._blobs = blobs
        self._leaves: dict[str, Snapshot] = {}

    def leaves(self, manifest: str) -> dict[str, Snapshot]:
        """Return the parts of a snapshot by the blob each is written in, in order.

        Raises:
            NotFound: a blob of the manifest is missing.
            Damaged: a blob is not what it was, or no manifest.
            InfrastructureError: a newer Thrive wrote it.
        """
        root = _read_root(self._blobs, manifest)
        if isinstance(root, Snapshot):
            return {manifest: root}
        lacking = [leaf.digest for leaf in root.leaves if leaf.digest not in self._leaves]
        self._blobs.fetch(*lacking)
        for digest in lacking:
            self._leaves[digest] = _read_leaf(self._blobs, digest)
        return {leaf.digest: self._leaves[leaf.digest] for leaf in root.leaves}


def read_snapshot(blobs: BlobReader, manifest: str) -> Snapshot:
    """Return the snapshot that a manifest describes; raises as `SnapshotReader.leaves` does."""
    return Snapshot.joined(SnapshotReader(blobs).leaves(manifest).values())


def manifest_blobs(blobs: BlobReader, manifest: str) -> set[str]:
    """Return the blobs that a manifest itself is made of; raises as `read_snapshot` does."""
    root = _read_root(blobs, manifest)
    if isinstance(root, Snapshot):
        return {manifest}
    return {manifest, *(leaf.digest for leaf in root.leaves)}


def _read_root(blobs: BlobReader, manifest: str) -> _Root | Snapshot:
    data = blobs.get(manifest)
    try:
        form = msgspec.json.decode(data, type=_Form)
        if form.format == NAME_FORMAT:
            return Snapshot.of_entries(msgspec.json.decode(form.files, type=list[FileEntry]))
        if form.format == FORMAT:
            return msgspec.json.decode(data, type=_Root)
    except msgspec.MsgspecError as error:
        raise _no_manifest(manifest, error) from None
    raise InfrastructureError(
        f"The list of files {manifest[:12]} has format {form.format}; this Thrive reads up to "
        f"{FORMAT}.",
        "pip install --upgrade thrive",
    )


def _read_leaf(blobs: BlobReader, digest: str) -> Snapshot:
    try:
        return read_part(blobs.get(digest))
    except msgspec.MsgspecError as error:
        raise _no_manifest(digest, error) from None


def _no_manifest(digest: str, error: Exception) -> Damaged:
    return Damaged(f"The blob {digest[:12]} is no list of files: {error}.", "thrive doctor")
