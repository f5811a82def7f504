"""Views meet data: their sources are versions of datasets, their rows are computed from them."""

from typing import TYPE_CHECKING

import msgspec

from thrive import data
from thrive.domain.dataset import DatasetVersion
from thrive.domain.features import FeatureView, SpecView, ViewDefinition
from thrive.features.declare import View
from thrive.features.rows import NormalRows, normal_rows
from thrive.operations import Context
from thrive.store import features
from thrive.store.snapshots.bring import fetch_all

if TYPE_CHECKING:
    import polars as pl


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """The versions a view reads, in the order of its sources."""

    versions: list[DatasetVersion]

    @property
    def digests(self) -> dict[str, str]:
        """Dataset = digest of the version."""
        return {version.dataset: version.digest for version in self.versions}

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
    return Sources(versions=[data.resolve(ctx, name) for name in names])


def rows_of(ctx: Context, view: View, sources: Sources, as_of: int | None = None) -> NormalRows:
    """Return a view's rows over these versions, not yet computed.

    Raises:
        UsageError: the view returns no rows of a known form.
    """
    return normal_rows(view, [_scan(ctx, version) for version in sources.versions], as_of=as_of)


def _scan(ctx: Context, version: DatasetVersion) -> "pl.LazyFrame":
    fetch_all(ctx.home.blobs, version.listed_in)
    return data.scan_version(version, ctx.home.blobs)


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
