"""Feature views, their versions, and what the online store holds of them."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from thrive.domain.errors import NotFound
from thrive.domain.features import FeatureView, Materialization
from thrive.store.database import Tx
from thrive.store.rows import many, mine, one, upsert
from thrive.store.tables.features import feature_views, materializations


def save_view(tx: Tx, project_id: str, view: FeatureView) -> None:
    """Insert a version of a view, or renew what decides no value of it."""
    upsert(tx, project_id, feature_views, view)


def versions(tx: Tx, project_id: str, name: str) -> list[FeatureView]:
    """Return the versions of a view, newest first."""
    query = mine(feature_views, project_id).where(feature_views.c.name == name)
    return many(tx, FeatureView, query.order_by(feature_views.c.version.desc()))


def newest(tx: Tx, project_id: str) -> list[FeatureView]:
    """Return the version of each view that was declared last, by name; see `declared_last`."""
    query = mine(feature_views, project_id).order_by(
        feature_views.c.name, feature_views.c.version.desc()
    )
    known = groupby(many(tx, FeatureView, query), lambda view: view.name)
    brought = _brought(tx, project_id)
    return [_last(list(views), brought) for _, views in known]


def get(tx: Tx, project_id: str, name: str) -> FeatureView:
    """Return the version of a view that was declared last; see `declared_last`.

    Raises:
        NotFound: none was registered under this name.
    """
    found = declared_last(tx, project_id, name)
    if found is None:
        raise NotFound(f"There is no feature view {name!r}.", "thrive features materialize")
    return found


def declared_last(
    tx: Tx, project_id: str, name: str, *, online: bool = False
) -> FeatureView | None:
    """Return the version of a view that was declared last.

    That is the newest one, unless an older one was brought online after it: who undoes a change of
    a view and materializes it has gone back.

    Args:
        tx: a transaction.
        project_id: the project.
        name: the view.
        online: only of those that are online.
    """
    brought = _brought(tx, project_id, name)
    known = versions(tx, project_id, name)
    if online:
        known = [view for view in known if (name, view.digest) in brought]
    return _last(known, brought) if known else None


def _brought(tx: Tx, project_id: str, name: str = "") -> dict[tuple[str, str], int]:
    """Return when each version of the views, or of one, was last brought online."""
    table = materializations
    query = mine(table, project_id).with_only_columns(table.c.view, table.c.digest, table.c.at)
    rows = tx.execute(query.where(table.c.view == name) if name else query)
    return {(view, digest): at for view, digest, at in rows}


def _last(known: Sequence[FeatureView], brought: Mapping[tuple[str, str], int]) -> FeatureView:
    """Return the one declared last of the versions of a view, given newest first."""
    first = known[0]
    if (first.name, first.digest) not in brought:
        return first
    return max(known, key=lambda view: brought.get((view.name, view.digest), -1))


def find_materialization(tx: Tx, project_id: str, view: str, digest: str) -> Materialization | None:
    """Return what the online store holds of a version of a view, None if it has nothing."""
    query = mine(materializations, project_id).where(
        materializations.c.view == view, materializations.c.digest == digest
    )
    return one(tx, Materialization, query)


def save_materialization(tx: Tx, project_id: str, made: Materialization) -> None:
    """Write what the online store holds of a version of a view."""
    upsert(tx, project_id, materializations, made)
