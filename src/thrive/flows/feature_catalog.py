"""The catalog of feature views: what each says, who leans on it, how fresh and how steady it is."""

from typing import Any

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.clock import format_duration
from thrive.domain.errors import NotFound
from thrive.domain.features import FeatureView, Materialization
from thrive.domain.model import ModelVersion
from thrive.flows.feature_freshness import is_late
from thrive.monitoring.findings import Column, findings_of
from thrive.operations import Context, operation
from thrive.store import datasets, features, models, monitoring

NEVER = "never materialized"
UNUSED = "no model"


class FeatureLine(msgspec.Struct, frozen=True, kw_only=True):
    """One feature view in its newest version.

    `state` is `fresh`, `late` (its newest value is older than promised), `online` where nobody
    promised anything, or `never materialized`. `used_by` names the model versions that are not
    retired and were trained on it, or says `no model`; `drifted` its features that left what
    training knew, in the last window of one of them.
    """

    name: str
    version: int
    entity: str
    features: int
    owner: str
    why: str
    state: str
    newest_at: int | None
    rows: int
    used_by: str
    drifted: str


class FeatureUse(msgspec.Struct, frozen=True, kw_only=True):
    """One feature in one model version.

    Attributes:
        model: the version, e.g. `flight-delay@3`.
        feature: the column of the view.
        importance: how much the version leans on it, as its training said; None if it did not.
        drift: its effect (PSI) in the version's last window; None where that cannot be known.
        usual: the largest effect among the windows of training.
        drifted: whether it left what training knew.
    """

    model: str
    feature: str
    importance: float | None
    drift: float | None
    usual: float | None
    drifted: bool


class Online(msgspec.Struct, frozen=True, kw_only=True):
    """What the online store holds of a view, and since when.

    Attributes:
        rows: keys that have a row.
        until: what could be known up to this moment was read.
        newest_at: the newest event time; None without rows or times.
        brought_at: when it was last brought online.
        told_at: the newest event time when its owner was told that it is late; None for never.
    """

    rows: int
    until: int
    newest_at: int | None
    brought_at: int
    told_at: int | None


class FeatureDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One feature view: what it says, what it yields, where it is used.

    `labels` holds the kind of personal data of the columns of its sources that it passes on.
    """

    name: str
    version: int
    digest: str
    entity: list[str]
    sources: list[str]
    event_time: str
    ttl: str
    delay: str
    freshness: str
    owner: str
    why: str
    columns: dict[str, str]
    labels: dict[str, str]
    state: str
    online: Online | None
    versions: int
    uses: list[FeatureUse]
    code: str


@operation(
    "features list",
    role=ANYONE,
    next_hint="thrive features show NAME",
    columns=("name", "version", "entity", "owner", "state", "newest_at", "used_by", "drifted"),
)
def list_views(ctx: Context, *, unused: bool = False) -> list[FeatureLine]:
    """List the feature views with their state, which models use them, and what drifted.

    Args:
        unused: only those that no model uses.

    Examples:
        thrive features list
        thrive features list --unused
    """
    with ctx.read() as tx:
        known = features.newest(tx, ctx.project_id)
        online = {view.name: _online(tx, ctx, view) for view in known}
        uses = uses_of(tx, ctx)
    now = ctx.now()
    return [
        _line(view, online[view.name], uses.get(view.name, []), now)
        for view in known
        if not (unused and view.name in uses)
    ]


@operation("features show", role=ANYONE)
def show(ctx: Context, name: str) -> FeatureDetail:
    """Show a feature view: its code, its times, what is online, and how much models lean on it.

    Args:
        name: the view.

    Raises:
        NotFound: it was never materialized or trained on.

    Examples:
        thrive features show weather
    """
    with ctx.read() as tx:
        view = features.get(tx, ctx.project_id, name)
        versions = features.versions(tx, ctx.project_id, name)
        online = _online(tx, ctx, view)
        uses = uses_of(tx, ctx).get(name, [])
        labels = _labels(tx, ctx, view)
    said = view.definition
    return FeatureDetail(
        name=name,
        version=view.version,
        digest=view.digest,
        entity=said.entity,
        sources=said.sources,
        event_time=said.event_time,
        ttl=_duration(said.ttl),
        delay=_duration(said.delay),
        freshness=_duration(said.freshness),
        owner=said.owner,
        why=said.why,
        columns={column.name: column.dtype for column in view.columns},
        labels=labels,
        state=_state(view, online, ctx.now()),
        online=_shown(online) if online else None,
        versions=len(versions),
        uses=uses,
        code=said.code,
    )


def uses_of(tx: Any, ctx: Context) -> dict[str, list[FeatureUse]]:
    """Return view = its features in each model version that was trained on it.

    Versions that were retired use nothing any more.
    """
    found: dict[str, list[FeatureUse]] = {}
    for model in models.find(tx, ctx.project_id):
        for version in models.versions(tx, ctx.project_id, model.name):
            if version.features is None or version.retired_at is not None:
                continue
            drift = _last_drift(tx, ctx, version)
            for view in version.features.views:
                used = [_use(version, column.name, drift) for column in view.columns]
                found.setdefault(view.name, []).extend(used)
    return found


def _last_drift(tx: Any, ctx: Context, version: ModelVersion) -> dict[str, Column]:
    """Return what was found of each input of a version in its last window."""
    windows = monitoring.find_windows(tx, ctx.project_id, version.model, version.version)
    return {column.name: column for column in findings_of(windows[-1]).columns} if windows else {}


def _use(version: ModelVersion, feature: str, drift: dict[str, Column]) -> FeatureUse:
    seen = drift.get(feature)
    return FeatureUse(
        model=f"{version.model}@{version.version}",
        feature=feature,
        importance=version.importance.get(feature),
        drift=seen.psi if seen else None,
        usual=seen.usual if seen else None,
        drifted=bool(seen and seen.drifted),
    )


def _line(
    view: FeatureView, online: Materialization | None, uses: list[FeatureUse], now: int
) -> FeatureLine:
    return FeatureLine(
        name=view.name,
        version=view.version,
        entity=", ".join(view.definition.entity),
        features=len(view.columns),
        owner=view.definition.owner,
        why=view.definition.why,
        state=_state(view, online, now),
        newest_at=online.newest if online else None,
        rows=online.rows if online else 0,
        used_by=", ".join(sorted({use.model for use in uses})) or UNUSED,
        drifted=", ".join(sorted({use.feature for use in uses if use.drifted})),
    )


def _shown(online: Materialization) -> Online:
    return Online(
        rows=online.rows,
        until=online.until,
        newest_at=online.newest,
        brought_at=online.at,
        told_at=online.told_late,
    )


def _labels(tx: Any, ctx: Context, view: FeatureView) -> dict[str, str]:
    """Return the kind of personal data of the view's columns, as said of its sources'."""
    names = {column.name for column in (*view.keys, *view.columns)}
    found: dict[str, str] = {}
    for source in view.definition.sources:
        try:
            version = datasets.get_version(tx, ctx.project_id, source)
        except NotFound:  # it was erased, or lives in another project by now
            continue
        said = {each.name: each.personal for each in version.columns if each.personal}
        found |= {name: kind for name, kind in said.items() if name in names}
    return found


def _state(view: FeatureView, online: Materialization | None, now: int) -> str:
    """Return in a word whether what is online is as fresh as was promised."""
    if online is None:
        return NEVER
    ttl = view.definition.ttl
    if ttl and online.newest is not None and now - online.newest > ttl:
        return "stale"
    if not view.definition.freshness:
        return "online"
    return "late" if is_late(view, online, now) else "fresh"


def _online(tx: Any, ctx: Context, view: FeatureView) -> Materialization | None:
    return features.find_materialization(tx, ctx.project_id, view.name, view.digest)


def _duration(microseconds: int) -> str:
    return format_duration(microseconds) if microseconds else ""
