"""Keeping what was found at a source in a project's store: only what is new is read and written."""

from collections.abc import Callable, Mapping
from functools import cache

import msgspec

from thrive.domain.dataset import DatasetVersion
from thrive.operations import Context
from thrive.store import datasets
from thrive.store.blobs import BlobStore
from thrive.store.snapshots.bring import WholeReader
from thrive.store.snapshots.journal import Journal
from thrive.store.snapshots.keep import Earlier, Kept, Source, keep_files, recall, storing
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.states import StateCache, state_cache
from thrive.store.sources import Found
from thrive.store.sources.beside import Beside, journal_of

LOOKED_BACK = 16
"""Versions of a dataset whose content is not stored again."""


class Keeping(msgspec.Struct, frozen=True):
    """Files that were kept, and how to remember them once a version names them.

    `leaves` are the parts of the snapshot that was remembered before, by the blob of each.
    """

    kept: Kept
    found: Found
    cache: StateCache
    journal: Journal
    leaves: Mapping[str, Snapshot] = {}

    @property
    def snapshot(self) -> Snapshot:
        """The files."""
        return self.kept.snapshot

    def remember(self, version: DatasetVersion) -> None:
        """Remember the files as those of a version: it is stored for good."""
        if self.found.lasting:
            states, digests = self.kept.states, self.snapshot.digests
            started, listed = self.found.started_ns, version.listed_in
            self.cache.save(version.digest, states, digests, started, listed)
        self.journal.remove()


def keep_found(ctx: Context, name: str, found: Found, beside: Beside | None = None) -> Keeping:
    """Keep the files of a dataset's source.

    Args:
        ctx: the project.
        name: the dataset.
        found: the files.
        beside: keeps them already; that counts if the dataset is new.

    Raises:
        Conflict: a file does not stop changing.
        DiskFull: there is no space.
    """
    states = state_cache(ctx.home.folder, found.place)
    journal = journal_of(states)
    with ctx.read() as tx:
        versions = datasets.versions(tx, ctx.project_id, name)
    kept = beside.kept() if beside is not None and not versions else None
    if kept is not None:
        return Keeping(kept, found, states, journal)
    remembered = states.load()
    reader = WholeReader(ctx.home.blobs)
    same = next((each for each in versions if each.digest == remembered.name), None)
    leaves = reader.leaves(same.listed_in) if same is not None else None
    whole = Snapshot.joined(leaves.values()) if leaves is not None else None
    written = leaves if same is not None and leaves and same.listed_in not in leaves else {}
    if whole is not None and remembered.is_same(found.states):
        return Keeping(Kept(whole, found.states), found, states, journal, written)
    earlier = _earlier(reader, versions[:LOOKED_BACK])
    kept = keep_files(
        ctx.home.blobs,
        Source(found.states, found.locate),
        recall(found.states, remembered, earlier, whole),
        earlier,
        journal,
        storing(ctx.progress),
    )
    return Keeping(kept, found, states, journal, written)


def _earlier(reader: WholeReader, versions: list[DatasetVersion]) -> Earlier:
    """Return what is stored of these versions; one whose blobs went has its files stored anew."""
    whole = [leaves for each in versions if (leaves := reader.leaves(each.listed_in)) is not None]
    if not whole:
        return Earlier()
    older = {name: leaf for leaves in whole[1:] for name, leaf in leaves.items()}
    rest = [leaf for name, leaf in older.items() if name not in whole[0]]
    return Earlier([Snapshot.joined(whole[0].values()), *rest])


def is_whole(blobs: BlobStore, version: DatasetVersion) -> bool:
    """Tell whether every blob that a version needs is there, without reading them all."""
    return WholeReader(blobs).leaves(version.listed_in) is not None


def stored_contents(ctx: Context, name: str) -> Callable[[bytes], bool]:
    """Return what tells whether a content (32 bytes) is stored in any version of a dataset."""

    @cache
    def contents() -> set[bytes]:
        with ctx.read() as tx:
            versions = datasets.versions(tx, ctx.project_id, name)
        snapshots = (read_snapshot(ctx.home.blobs, each.listed_in) for each in versions)
        return {digest for snapshot in snapshots for digest in snapshot.digests}

    return lambda digest: digest in contents()
