"""Feature views, their versions, and what the online store holds of them."""

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
    """Return the newest version of each view, by name."""
    query = mine(feature_views, project_id).order_by(feature_views.c.name, feature_views.c.version)
    found = many(tx, FeatureView, query)
    return list({view.name: view for view in found}.values())


def get(tx: Tx, project_id: str, name: str) -> FeatureView:
    """Return the newest version of a view.

    Raises:
        NotFound: none was registered under this name.
    """
    known = versions(tx, project_id, name)
    if not known:
        raise NotFound(f"There is no feature view {name!r}.", "thrive features materialize")
    return known[0]


def find_materialization(tx: Tx, project_id: str, view: str, digest: str) -> Materialization | None:
    """Return what the online store holds of a version of a view, None if it has nothing."""
    query = mine(materializations, project_id).where(
        materializations.c.view == view, materializations.c.digest == digest
    )
    return one(tx, Materialization, query)


def save_materialization(tx: Tx, project_id: str, made: Materialization) -> None:
    """Write what the online store holds of a version of a view."""
    upsert(tx, project_id, materializations, made)
