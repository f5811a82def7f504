"""Versions between stores: pushed to a folder, a bucket or another project, and pulled from there.

What moves is exactly what the other side lacks: a few packs, chunks and lists, never file by file.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import msgspec

from thrive.data.adding import refuse_erased
from thrive.data.keeping import is_whole
from thrive.data.lockfile import keep_remote
from thrive.data.places import refuse_place
from thrive.data.reading import find_version, split_name
from thrive.data.wanted import terms_of
from thrive.domain.actor import AUTHORS
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import Conflict, NotFound, UsageError
from thrive.operations import Context, Kind, operation
from thrive.store import column_labels, datasets, erasures, postgresql, references
from thrive.store.blobs import BlobStore
from thrive.store.home import open_home
from thrive.store.pins import LOCK_FILE, read_lock, read_remote
from thrive.store.place import FOLDER
from thrive.store.shelf import FORMAT, Record, Shelf
from thrive.store.snapshots.bring import absent, all_blobs
from thrive.store.snapshots.manifest import read_snapshot

STREAMS = 4
"""Blobs that are copied at the same time."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """One version that was pushed or pulled: stored files copied, and their bytes."""

    dataset: str
    version: int
    digest: str
    copied: int
    size: int
    place: str


@operation(
    "data push", kind=Kind.CLIENT, role=AUTHORS, writes=True, next_hint="git add thrive.lock"
)
def push(ctx: Context, to: str = "", *, name: str = "") -> list[Moved]:
    """Copy versions to where any clone can pull them from; only what is lacking there is sent.

    `thrive.lock` then says where. Without a name, every version that it pins is pushed.

    Args:
        to: a folder, s3://bucket/prefix, or the folder of another project; where it was last.
        name: one dataset, or one version of it as NAME@VERSION.

    Raises:
        NotFound: there is no such version, or nothing is pinned.
        StoreUnavailable: the other side does not answer.
        UsageError: nothing says where to.
        Refused: its contract does not allow the region of the place.

    Examples:
        thrive data push s3://team/data
        thrive data push --name flights@2
    """
    folder = ctx.local_folder()
    place = _place(ctx, to, "push")
    versions = [find_version(ctx, each) for each in _named(folder, name)]
    with _Side.at(ctx, place) as other:
        for each in versions:
            refuse_place(other.blobs, each.dataset, terms_of(folder, each.dataset))
        moved = [_push_one(ctx, version, other) for version in versions]
    if not other.is_home:
        keep_remote(folder, ctx.home.folder, to or place)
    return moved


@operation(
    "data pull", kind=Kind.CLIENT, role=AUTHORS, writes=True, next_hint="thrive data log NAME"
)
def pull(ctx: Context, source: str = "", *, name: str = "") -> list[Moved]:
    """Bring the versions that `thrive.lock` pins into this home, from where they were pushed.

    Args:
        source: a folder, s3://bucket/prefix, or the folder of another project; what `thrive.lock`
            says if not given.
        name: one dataset of those that are pinned.

    Raises:
        NotFound: nothing is pinned, or the other side does not have it.
        Damaged: what was sent is not what it is named.
        StoreUnavailable: the other side does not answer.
        UsageError: nothing says where from, or a version is named other than in `thrive.lock`.

    Examples:
        thrive data pull
        thrive data pull s3://team/data --name flights
    """
    folder = ctx.local_folder()
    if "@" in name:
        raise UsageError(
            f"{LOCK_FILE} says which version of a dataset is brought; {name!r} names one.",
            f"thrive data pull --name {name.partition('@')[0]}",
        )
    place = _place(ctx, source, "pull")
    pins = read_lock(folder)
    with _Side.at(ctx, place) as other:
        return [_pull_one(ctx, each, pins[each], other) for each in _named(folder, name)]


def _place(ctx: Context, given: str, verb: str) -> str:
    folder = ctx.local_folder()
    if given.partition("@")[0] in read_lock(folder) and not (folder / given).exists():
        raise UsageError(f"{given} is a dataset, no place.", f"thrive data {verb} --name {given}")
    place = given or read_remote(folder)
    if not place:
        raise UsageError(f"{LOCK_FILE} names no place for data.", f"thrive data {verb} PLACE")
    return place if "://" in place else str(folder / Path(place).expanduser())


def _named(folder: Path, name: str) -> list[str]:
    pins = read_lock(folder)
    if name:
        dataset, number = split_name(name)
        if number is None and dataset not in pins:
            raise NotFound(f"{LOCK_FILE} pins no dataset {dataset!r}.", "thrive data list")
        return [name]
    if not pins:
        raise NotFound(f"{LOCK_FILE} pins no dataset.", "thrive data add PATH --name NAME")
    return list(pins)


class _Side:
    """The other side of a move: a shelf, or another project's home."""

    def __init__(self, place: str, shelf: Shelf | None, home: Context | None) -> None:
        self.place = place
        self._shelf = shelf
        self._home = home
        self.is_home = home is not None
        self.blobs: BlobStore = home.home.blobs if home else _known(shelf).blobs

    @classmethod
    def at(cls, ctx: Context, place: str) -> "_Side":
        folder = Path(place)
        if "://" not in place and (folder / FOLDER / "home.json").is_file():
            home = Context(open_home(folder), ctx.actor, folder=folder, operation=ctx.operation)
            return cls(place, None, home)
        shelf = Shelf(place, ctx.home.object_endpoint(), ctx.home.temporary_folder)
        return cls(place, shelf, None)

    def write(self, record: Record) -> None:
        if self._home is not None:
            take_in(self._home, record)
        else:
            _known(self._shelf).write(record)

    def read(self, digest: str, dataset: str) -> Record | None:
        if self._home is None:
            return _known(self._shelf).read(digest, dataset)
        with self._home.read() as tx:
            known = datasets.find_by_digest(tx, self._home.project_id, digest)
        found = next((each for each in known if each.dataset == dataset), None)
        return record_of(self._home, found) if found else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._home is not None:
            self._home.home.close()
        if self._shelf is not None:
            self._shelf.__exit__(None, None, None)


def _known(shelf: Shelf | None) -> Shelf:
    assert shelf is not None, "a side is a home or a shelf"
    return shelf


def record_of(ctx: Context, version: DatasetVersion) -> Record:
    """Return all that another store needs to have a version."""
    with ctx.read() as tx:
        dataset = datasets.get(tx, ctx.project_id, version.dataset)
        labels = column_labels.find_labels(tx, ctx.project_id, version.dataset)
    needed = all_blobs(ctx.home.blobs, version.listed_in)
    sketches = {str(version.profile.get("sketches", ""))} - {""}
    return Record(
        format=FORMAT,
        dataset=dataset,
        version=msgspec.structs.replace(version, made_by=None),
        labels=labels,
        blobs=sorted(needed | sketches),
    )


def _push_one(ctx: Context, version: DatasetVersion, other: _Side) -> Moved:
    record = record_of(ctx, version)
    label = f"{version.dataset}@{version.version}"
    copied, size = copy_blobs(ctx.home.blobs, other.blobs, record.blobs, ctx.progress)
    other.write(record)
    with ctx.write(f"dataset:{label}", pushed_to=other.place, digest=version.digest):
        pass  # what left the house is in the books
    return _moved(version, copied, size, other)


def _pull_one(ctx: Context, name: str, pin: str, other: _Side) -> Moved:
    with ctx.read() as tx:
        known = datasets.find_by_digest(tx, ctx.project_id, pin)
        stone = erasures.tombstone(tx, ctx.project_id, pin)
    if stone is not None:
        raise erasures.erased(stone, f"take the present digest of {name}: thrive data log {name}")
    present = next((each for each in known if each.dataset == name), None)
    if present is not None and _has_all(ctx.home.blobs, present):
        return _moved(present, 0, 0, other)
    record = other.read(pin, name)
    if record is None:
        raise NotFound(
            f"{other.place} does not have {name} at {pin[:12]}.", "thrive data push there"
        )
    if (record.version.digest, record.dataset.name) != (pin, name):
        raise Conflict(f"{other.place} has another version under {pin[:12]}.", "push it again")
    copied, size = copy_blobs(other.blobs, ctx.home.blobs, record.blobs, ctx.progress)
    return _moved(take_in(ctx, record), copied, size, other)


def _has_all(blobs: BlobStore, version: DatasetVersion) -> bool:
    """Tell whether a version is here with its profile; blobs are looked for, not read."""
    sketches = str(version.profile.get("sketches", ""))
    return is_whole(blobs, version) and (not sketches or blobs.has(sketches))


def _moved(version: DatasetVersion, copied: int, size: int, other: _Side) -> Moved:
    return Moved(
        dataset=version.dataset,
        version=version.version,
        digest=version.digest,
        copied=copied,
        size=size,
        place=other.place,
    )


def copy_blobs(
    source: BlobStore,
    target: BlobStore,
    digests: Sequence[str],
    progress: Callable[[float, str], None],
) -> tuple[int, int]:
    """Copy what the target lacks, verified; return how many blobs, and their bytes.

    Raises:
        NotFound: the source lacks one.
        Damaged: one of the source is not what it was.
    """
    lacking = absent(target, digests)

    def copy(digest: str) -> int:
        path = source.local_path(digest)
        assert path is not None, "every store keeps local files"
        kept = target.put_file(path)
        assert kept == digest, "what was verified is what was copied"
        return path.stat().st_size

    size = 0
    with ThreadPoolExecutor(STREAMS) as pool:
        for number, copied in enumerate(pool.map(copy, lacking), 1):
            size += copied
            progress(number / len(lacking), f"copying {number} of {len(lacking)} stored files")
    return len(lacking), size


def take_in(ctx: Context, record: Record) -> DatasetVersion:
    """Make a version of what another store sent; its blobs are here already.

    Its number is the one it had, or the next one if that is taken.

    Raises:
        NotFound: the version was erased here.
        Refused: one of its files was, of which another version holds the same.
        Conflict: a clean-up removed some of its blobs.
    """
    version = record.version
    name = record.dataset.name
    refuse_erased(ctx, lambda: read_snapshot(ctx.home.blobs, version.listed_in))
    with ctx.write(f"dataset:{name}", digest=version.digest, taken_in=True) as tx:
        postgresql.lock_blobs(tx)
        stone = erasures.tombstone(tx, ctx.project_id, version.digest)
        if stone is not None:
            raise erasures.erased(stone, f"thrive data log {name}")
        if absent(ctx.home.blobs, record.blobs):
            raise Conflict("A clean-up removed parts of these files meanwhile.", "try again")
        known = datasets.find_by_digest(tx, ctx.project_id, version.digest)
        same = next((each for each in known if each.dataset == name), None)
        if same is not None:
            mended = msgspec.structs.replace(same, manifest=version.manifest)
            datasets.move_version(tx, ctx.project_id, mended, record.blobs)
            return mended
        if name not in {each.name for each in datasets.find(tx, ctx.project_id)}:
            datasets.save(tx, ctx.project_id, record.dataset)
        for label in record.labels:
            column_labels.save_label(tx, ctx.project_id, label)
        numbers = {each.version for each in datasets.versions(tx, ctx.project_id, name)}
        free = version.version not in numbers
        number = version.version if free else max(numbers) + 1
        version = msgspec.structs.replace(version, version=number)
        datasets.insert_version(tx, ctx.project_id, version, record.blobs)
        sketches = str(version.profile.get("sketches", ""))
        label = f"{name}@{number}"
        references.add(tx, ctx.project_id, datasets.PROFILE_KIND, label, sketches)
    return version
