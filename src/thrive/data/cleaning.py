"""Removing versions, and giving back the space of what nothing needs any more."""

import shutil
from contextlib import suppress

import msgspec

from thrive.data.lineage import counted
from thrive.data.lockfile import unpin
from thrive.data.reading import find_version
from thrive.domain.actor import CURATORS, KEEPERS
from thrive.domain.clock import machine_now, parse_duration
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import Conflict, NotFound, Refused, UsageError
from thrive.operations import Context, Kind, operation
from thrive.store import datasets, holds, references
from thrive.store.owner import claim
from thrive.store.pins import read_lock
from thrive.store.postgresql import lock_blobs
from thrive.store.snapshots.bring import ASSEMBLED, absent, parts_of
from thrive.store.snapshots.manifest import read_snapshot, write_manifest
from thrive.store.snapshots.people import PeopleIndex
from thrive.store.snapshots.repack import dying_blobs, repacked
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.states import remove_left
from thrive.store.uploads import forget_expired

TOGETHER = 256
"""Blobs that are removed in one transaction."""
LEFT = ("frame-", "move-", "parts-", "shelf-", "source-", "unpack-")
"""What folders begin with that data passes through on its way: a kill leaves them."""
TRIES = 5
"""How often a clean-up begins again when others change what it rewrites."""


class RemovedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is no more; its bytes go with `data gc` unless others hold them."""

    dataset: str
    version: int
    digest: str
    files: int
    size: int


class Reclaimed(msgspec.Struct, frozen=True, kw_only=True):
    """What a clean-up removed, or would remove: stored files, bytes, and those it rewrote."""

    removed: int
    size: int
    repacked: int
    kept: int
    waiting: int
    dry_run: bool


@operation("data rm", role=CURATORS, writes=True, next_hint="thrive data gc")
def rm(ctx: Context, name: str, *, reason: str) -> RemovedVersion:
    """Remove one version of a dataset from the books.

    What models learned from stays: who must forget data erases it instead. The audit chain keeps
    that the version was there, with its digest.

    Args:
        name: the version, as NAME@VERSION.
        reason: why; part of the audit chain.

    Of a dataset that has no other version the pin in `thrive.lock` goes as well.

    Raises:
        NotFound: there is no such version.
        UsageError: no version or no reason is given.
        Refused: a model was trained on it, a tag names it, `thrive.lock` pins it beside others, or
            a legal hold is on it.

    Examples:
        thrive data rm flights@2 --reason "added by mistake"
    """
    if "@" not in name:
        raise UsageError(f"Which version of {name!r}?", f"thrive data log {name}")
    if not reason.strip():
        raise UsageError("A removal needs a reason.", '--reason "..."')
    version = find_version(ctx, name)
    _refuse_needed(ctx, version)
    label = f"{version.dataset}@{version.version}"
    with ctx.write(f"dataset:{label}", digest=version.digest, reason=reason) as tx:
        datasets.get_version(tx, ctx.project_id, version.dataset, version.version)
        datasets.remove_version(tx, ctx.project_id, version)
    if ctx.folder is not None:
        unpin(ctx.folder, ctx.home.folder, version.dataset, version.digest)
    return RemovedVersion(
        dataset=version.dataset,
        version=version.version,
        digest=version.digest,
        files=version.file_count,
        size=version.size,
    )


def _refuse_needed(ctx: Context, version: DatasetVersion) -> None:
    label = f"{version.dataset}@{version.version}"
    with ctx.read() as tx:
        use = counted(tx, ctx, version)
        tags = datasets.find_tags(tx, ctx.project_id, version.dataset)
        others = len(datasets.versions(tx, ctx.project_id, version.dataset)) - 1
    if use.models:
        raise Refused(
            f"{label} is what {', '.join(use.models[:3])} learned from.",
            f"thrive data lineage {label}",
        )
    naming = next((each.tag for each in tags if each.version == version.version), "")
    if naming:
        raise Refused(
            f"{label} is tagged {naming!r}.", f"thrive data tag {label} {naming} --remove"
        )
    pins = read_lock(ctx.folder) if ctx.folder else {}
    if others and pins.get(version.dataset) == version.digest:
        raise Refused(f"thrive.lock pins {label}.", "add or check out another version first")


@operation("data gc", kind=Kind.JOB, role=KEEPERS, writes=True)
def gc(ctx: Context, *, older_than: str = "1 day", dry_run: bool = False) -> Reclaimed:
    """Give back the space of stored files that nothing refers to, and of packs mostly dead.

    Args:
        older_than: files put more recently stay: somebody may be about to refer to them. What a
            kill left half-written goes with the others.
        dry_run: say what would go, and remove nothing.

    Raises:
        Damaged: what would be rewritten is damaged; nothing was removed.
        Conflict: the object store is another database's; nothing was removed.
        UsageError: the age is no duration.
        Refused: a legal hold is on the project, or on another one of the same store.

    Examples:
        thrive data gc --dry-run
        thrive data gc --older-than 1h
    """
    before = machine_now() - parse_duration(older_than)
    if not dry_run:
        with ctx.read() as tx:
            holds.refuse_clean_up(tx, ctx.project_id)
    if not ctx.home.database.is_sqlite:
        claim(ctx.home.blobs, ctx.home.database, ctx.home.project)
    forget_expired(ctx.home)
    rewritten = 0 if dry_run else _repack(ctx)
    with ctx.read() as tx:
        needed = references.every_digest(tx)
    unused = [each for each in ctx.home.blobs.listed() if each.digest not in needed]
    old = [each for each in unused if each.put_at <= before]
    gone = [each.digest for each in old]
    if not dry_run:
        gone = _remove(ctx, gone)
        shutil.rmtree(ctx.home.blobs.local.root / ASSEMBLED, ignore_errors=True)
        PeopleIndex(ctx.home.folder).forget()
        _tidy(ctx, before)
    sizes = {each.digest: each.size for each in old}
    return Reclaimed(
        removed=len(gone),
        size=sum(sizes[digest] for digest in gone),
        repacked=rewritten,
        kept=len(needed),
        waiting=len(unused) - len(old),
        dry_run=dry_run,
    )


def _tidy(ctx: Context, before: int) -> None:
    """Remove what killed commands left half-written on this host before a moment."""
    ctx.home.blobs.sweep(machine_now() - before)
    remove_left(ctx.home.folder, before / 1e6)
    for path in ctx.home.temporary_folder.iterdir():
        if path.name.startswith(LEFT) and path.stat().st_mtime <= before / 1e6:
            shutil.rmtree(path, ignore_errors=True)


def _remove(ctx: Context, digests: list[str]) -> list[str]:
    """Remove blobs that are still unused: whoever refers to one holds the same lock meanwhile."""
    gone: list[str] = []
    for first in range(0, len(digests), TOGETHER):
        part = digests[first : first + TOGETHER]
        with ctx.write("blobs:unused", removed=len(part)) as tx:
            lock_blobs(tx)
            holds.refuse_clean_up(tx, ctx.project_id)
            for digest in part:
                if not references.is_used(tx, digest):
                    ctx.home.blobs.delete(digest)
                    gone.append(digest)
        ctx.progress((first + len(part)) / len(digests), "removing what nothing refers to")
    return gone


def _repack(ctx: Context) -> int:
    """Rewrite packs and blobs of chunks that are mostly dead; return how many.

    Versions may go, and other clean-ups may come in between: then it begins again.
    """
    for _ in range(TRIES - 1):
        try:
            return _rewrite(ctx)
        except (NotFound, Conflict):
            continue
    return _rewrite(ctx)


def _rewrite(ctx: Context) -> int:
    blobs = ctx.home.blobs
    with ctx.read() as tx:
        versions = [
            version
            for dataset in datasets.find(tx, ctx.project_id)
            for version in datasets.versions(tx, ctx.project_id, dataset.name)
        ]
    snapshots = [read_snapshot(blobs, version.listed_in) for version in versions]
    dying = dying_blobs(blobs, snapshots)
    if not dying:
        return 0
    for version, old, new in zip(
        versions, snapshots, repacked(blobs, snapshots, dying), strict=True
    ):
        if old.places != new.places:
            with suppress(NotFound):  # it went, or was erased from: it keeps what it has
                move(ctx, version, new)
    return len(dying)


def move(ctx: Context, version: DatasetVersion, snapshot: Snapshot) -> DatasetVersion:
    """Write that the files of a version lie elsewhere now; its name and its content stay.

    Raises:
        Conflict: a clean-up removed some of the new blobs before the version referred to them.
        NotFound: the version went meanwhile.
    """
    written = write_manifest(snapshot, ctx.home.blobs)
    needed = written.blobs | parts_of(ctx.home.blobs, snapshot)
    label = f"{version.dataset}@{version.version}"
    with ctx.write(f"dataset:{label}", manifest=written.manifest) as tx:
        lock_blobs(tx)
        present = datasets.get_version(tx, ctx.project_id, version.dataset, version.version)
        if present.digest != written.name:
            raise NotFound(f"{label} is not what it was.", f"thrive data log {version.dataset}")
        if absent(ctx.home.blobs, needed):
            raise Conflict("A clean-up removed parts of these files meanwhile.", "try again")
        manifest = "" if written.manifest == written.name else written.manifest
        moved = msgspec.structs.replace(present, manifest=manifest)
        datasets.move_version(tx, ctx.project_id, moved, needed)
    return moved
