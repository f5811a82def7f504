"""Views meet data: their sources are versions of datasets, their rows are computed from them."""

from typing import TYPE_CHECKING

import msgspec

from thrive.data.access import PersonalView, left_out
from thrive.data.reading import hiding, resolve, scan_version, shown
from thrive.domain.dataset import DatasetVersion
from thrive.domain.features import FeatureView, Materialization, SpecView, ViewDefinition
from thrive.features.declare import View
from thrive.features.newer_windows import NewerWindows, newer_windows
from thrive.features.row_wise import is_row_wise, is_windows
from thrive.features.rows import KNOWN, RECORDED, ROW, NormalRows, normal_rows
from thrive.operations import Context
from thrive.store import datasets, features
from thrive.store.snapshots.bring import fetch_all, parts_of
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.snapshot import Snapshot

if TYPE_CHECKING:
    import polars as pl


_BEHIND = 1 << 40
"""Added to the place of rows that stand behind all rows of earlier files."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """The versions a view reads, in the order of its sources."""

    versions: list[DatasetVersion]

    @property
    def digests(self) -> dict[str, str]:
        """Dataset = digest of the version."""
        return {version.dataset: version.digest for version in self.versions}

    @property
    def cells(self) -> int:
        """Rows times columns, of all of them."""
        return sum(version.rows * len(version.columns) for version in self.versions)

    @property
    def labels(self) -> list[str]:
        """The versions as people write them, e.g. `weather@3`."""
        return [f"{version.dataset}@{version.version}" for version in self.versions]


def sources_of(ctx: Context, view: View) -> Sources:
    """Return the versions of a view's sources that may be read: pinned, else newest.

    Raises:
        NotFound: there is no such dataset.
        Refused: a version failed a check and nobody decided that it may be used.
    """
    names = view.definition.sources
    return Sources(versions=[resolve(ctx, name) for name in names])


def rows_of(ctx: Context, view: View, sources: Sources, as_of: int | None = None) -> NormalRows:
    """Return a view's rows over these versions, not yet computed.

    Raises:
        UsageError: the view returns no rows of a known form.
    """
    return normal_rows(view, [_scan(ctx, version) for version in sources.versions], as_of=as_of)


def _scan(ctx: Context, version: DatasetVersion, part: Snapshot | None = None) -> "pl.LazyFrame":
    blobs = ctx.home.blobs
    if part is None:
        fetch_all(blobs, version.listed_in)
    else:
        blobs.fetch(*parts_of(blobs, part))
    return _without_restricted(ctx, version, scan_version(version, blobs, part))


def _without_restricted(
    ctx: Context, version: DatasetVersion, rows: "pl.LazyFrame"
) -> "pl.LazyFrame":
    """Return the rows of a version without those of people who are left out of what is used."""
    with ctx.read() as tx:
        naming, people = left_out(tx, ctx, version, {})
    if not people:
        return rows
    view = PersonalView(columns=[], hidden=[], naming=naming, left_out=people)
    return shown(rows, hiding(ctx, view))


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a view's one source: those that were read, and those added behind them."""

    version: DatasetVersion
    old: Snapshot
    added: Snapshot | None


def growth_of(ctx: Context, sources: Sources, known: Materialization) -> Growth | None:
    """Return what was added to a source since a materialization; None where anything else changed.

    Nothing is added where the same version was read.
    """
    version = sources.versions[0]
    if known.sources == sources.digests and len(sources.versions) == 1:
        same = read_snapshot(ctx.home.blobs, version.listed_in)
        return Growth(version=version, old=same, added=None)
    before = _version_read(ctx, version, known)
    if before is None:
        return None
    old, new = (read_snapshot(ctx.home.blobs, each.listed_in) for each in (before, version))
    if len(new) == len(old) or not new.begins_with(old):
        return None
    return Growth(version=version, old=old, added=new.part(len(old)))


def windows_rows(
    ctx: Context, view: View, growth: Growth, known: Materialization, until: int
) -> NewerWindows | None:
    """Return what is new in windows of a source's events; None where the view is no such windows.

    Late events and those recorded late are among it: all that is new is computed together with
    the old events that stand in a window with it.
    """
    old = _scan(ctx, growth.version, growth.old if growth.added else None)
    if not is_windows(view, old.collect_schema()):
        return None
    added = _scan(ctx, growth.version, growth.added) if growth.added else None
    return newer_windows(view, old, added, since=known.until, until=until)


def added_rows(
    ctx: Context, view: View, growth: Growth, known: Materialization
) -> NormalRows | None:
    """Return what is new in a source since a materialization; None where all must be read.

    That is the rows of files that were added behind those that were read, and of those the rows
    that were not known yet. It is all that is new if the view makes each row from one row of its
    source. A row that was recorded before the last reading may hold before one that was read, and
    which one cannot be seen online: then all must be read.
    """
    import polars as pl

    if growth.added is None:
        return None
    added = _part_rows(ctx, view, growth.version, growth.added)
    if added is None or (added.revised and not _is_recorded_after(added, known.until)):
        return None
    if known.complete:
        return added
    earlier = normal_rows(view, [_scan(ctx, growth.version, growth.old)])
    later = added.frame.with_columns(pl.col(ROW) + _BEHIND)
    waiting = earlier.frame.filter(pl.col(KNOWN) > known.until)
    return msgspec.structs.replace(added, frame=pl.concat([waiting, later]))


def _version_read(
    ctx: Context, version: DatasetVersion, known: Materialization
) -> DatasetVersion | None:
    """Return the version of the only source that was read, if it is there and has the same form."""
    digest = known.sources.get(version.dataset)
    if len(known.sources) != 1 or digest is None or digest == version.digest:
        return None
    with ctx.read() as tx:
        found = datasets.find_by_digest(tx, ctx.project_id, digest)
    same = [each for each in found if each.dataset == version.dataset and each.digest == digest]
    types = [(column.name, column.dtype) for column in version.columns]
    if not same or [(column.name, column.dtype) for column in same[0].columns] != types:
        return None
    return same[0]


def _part_rows(
    ctx: Context, view: View, version: DatasetVersion, part: Snapshot
) -> NormalRows | None:
    frame = _scan(ctx, version, part)
    return normal_rows(view, [frame]) if is_row_wise(view, frame.collect_schema()) else None


def _is_recorded_after(rows: NormalRows, moment: int) -> bool:
    import polars as pl

    first = rows.frame.select(pl.col(RECORDED).min()).collect().item()
    return first is None or first > moment


def registered(ctx: Context, definition: ViewDefinition, spec: SpecView) -> FeatureView:
    """Return the registered version of a view as it is now; a new one is written if need be.

    Its owner, why and freshness are renewed with it: they decide no value and make no version.

    Args:
        ctx: the project.
        definition: what is declared.
        spec: what it yields, with the digest of both.
    """
    with ctx.read() as tx:
        known = features.versions(tx, ctx.project_id, spec.name)
    same = next((each for each in known if each.digest == spec.digest), None)
    if same is not None and same.definition == definition:
        return same
    made = FeatureView(
        name=spec.name,
        version=same.version if same else len(known) + 1,
        digest=spec.digest,
        definition=definition,
        keys=spec.keys,
        columns=spec.columns,
        created_at=same.created_at if same else ctx.now(),
        actor=same.actor if same else ctx.actor.name,
    )
    with ctx.write(f"feature_view:{spec.name}", version=made.version, digest=made.digest) as tx:
        features.save_view(tx, ctx.project_id, made)
    return made
