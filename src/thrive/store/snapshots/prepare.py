"""Files kept and written down as a snapshot: all of a new version but the row that names it.

None of this asks the database, so a process may do it while another one opens that. What it goes
out from, it takes from the state cache; whoever names the result has to see that this still holds.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from thrive.store.blobs import BlobStore
from thrive.store.snapshots.bring import WholeReader, parts_of
from thrive.store.snapshots.journal import Journal
from thrive.store.snapshots.keep import (
    LOOSE,
    SMALL_TABLE,
    Earlier,
    Kept,
    Recalled,
    Report,
    Source,
    keep_files,
    nothing_known,
    recall,
)
from thrive.store.snapshots.kinds import profile_of_files
from thrive.store.snapshots.manifest import Written, write_manifest
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.states import Remembered, StateCache
from thrive.store.snapshots.walk import State


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that is stored, for a version to name.

    Attributes:
        name: the digest of its content.
        manifest: where it is written down.
        blobs: every blob that it needs.
        files: how many files it has.
        size: their bytes.
        profile: what they hold.
    """

    name: str
    manifest: str
    blobs: set[str]
    files: int
    size: int
    profile: dict[str, Any]


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is prepared from.

    Attributes:
        remembered: the files of the source as they were last time.
        recalled: what is known of those that are there now.
        whole: the last snapshot; None if the source was never read.
        leaves: its parts, by the blob each is written in.
        same: nothing has changed since.
    """

    remembered: Remembered
    recalled: Recalled
    whole: Snapshot | None = None
    leaves: Mapping[str, Snapshot] = {}
    same: bool = False


def find_base(blobs: BlobStore, states: list[State], cache: StateCache) -> Base | None:
    """Return what a snapshot of files can be prepared from; None where the database must be asked.

    That is where much is new since the last time: an older version may hold it.

    Args:
        blobs: where bytes are kept.
        states: the files as they are.
        cache: what is remembered of their source.
    """
    remembered = cache.load()
    if not cache.path.exists():
        return Base(remembered=remembered, recalled=nothing_known(states))
    leaves = WholeReader(blobs).leaves(remembered.manifest) if remembered.manifest else None
    if leaves is None:
        return None
    whole = Snapshot.joined(leaves.values())
    if not remembered.holds(whole.digests):
        return None
    recalled = recall(states, remembered, Earlier(), whole)
    new = recalled.digests.count(b"")
    if new > LOOSE or _has_large(states, recalled):
        return None
    same = not new and len(states) == len(whole)
    return Base(remembered=remembered, recalled=recalled, whole=whole, leaves=leaves, same=same)


def _has_large(states: list[State], recalled: Recalled) -> bool:
    known = zip(states, recalled.digests, strict=True)
    return any(not digest and state[1] > SMALL_TABLE for state, digest in known)


def prepare(
    blobs: BlobStore,
    source: Source,
    base: Base,
    journal: Journal,
    report: Report,
) -> tuple[Prepared, Kept]:
    """Keep files, durably, and write their snapshot down, in a process that may fork.

    Returns: the snapshot, and the files as they were read.

    Args:
        blobs: where bytes go.
        source: the files.
        base: what is known of them.
        journal: of reading them.
        report: told how far it is.

    Raises:
        Conflict: a file does not stop changing, or went meanwhile.
        UsageError: a file's name is no text.
        DiskFull: there is no space; what was stored is used by the next try.
    """
    whole, before = base.whole, base.remembered
    if whole is not None and base.same:
        kept = Kept(whole, source.states)
        written = Written(
            name=before.name, manifest=before.manifest, blobs={before.manifest, *base.leaves}
        )
    else:
        earlier = Earlier([whole] if whole is not None else [])
        kept = keep_files(blobs, source, base.recalled, earlier, journal, report, helped=True)
        leaves = {} if before.manifest in base.leaves else base.leaves
        written = write_manifest(kept.snapshot, blobs, leaves)
    snapshot = kept.snapshot
    prepared = Prepared(
        name=written.name,
        manifest=written.manifest,
        blobs=written.blobs | parts_of(blobs, snapshot),
        files=len(snapshot),
        size=snapshot.size,
        profile=profile_of_files(snapshot),
    )
    return prepared, kept
