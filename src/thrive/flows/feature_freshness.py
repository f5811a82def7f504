"""Freshness: the owner of a view is told once when its newest value is older than was promised."""

import msgspec

from thrive.contract.parse import load
from thrive.contract.schema import Contract
from thrive.domain.clock import format_duration, format_time
from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.domain.features import FeatureView, Materialization
from thrive.monitoring.outbox import enqueue
from thrive.operations import Context
from thrive.store import features


def tell_late_views(ctx: Context) -> list[str]:
    """Put a message to its owner into the outbox for each view that is late; return the views.

    A view is told again only after a newer value came and became late in its turn. Nothing is told
    where the project's folder is not: its contract names the teams.
    """
    contract = _contract(ctx)
    if contract is None:
        return []
    now = ctx.now()
    with ctx.read() as tx:
        known = [
            (view, features.find_materialization(tx, ctx.project_id, view.name, view.digest))
            for view in features.newest(tx, ctx.project_id)
        ]
    late = [(view, online) for view, online in known if online and is_late(view, online, now)]
    due = [(view, online) for view, online in late if online.told_late != online.newest]
    return [view.name for view, online in due if _tell(ctx, contract, view, online, now)]


def is_late(view: FeatureView, online: Materialization, now: int) -> bool:
    """Tell whether the newest value is older than the view's freshness allows."""
    promised = view.definition.freshness
    return bool(promised) and online.newest is not None and now - online.newest > promised


def _tell(
    ctx: Context, contract: Contract, view: FeatureView, online: Materialization, now: int
) -> bool:
    said = view.definition
    assert online.newest is not None
    age, promised = format_duration(now - online.newest), format_duration(said.freshness)
    body = (
        f"Its newest value is of {format_time(online.newest)}, {age} ago; {promised} were "
        f"promised.\nIt comes from {', '.join(said.sources)}: see whether the source still delivers"
        f" (thrive data log {said.sources[0]}), then: thrive features materialize {view.name}\n"
    )
    told = msgspec.structs.replace(online, told_late=online.newest)
    with ctx.write(f"feature_view:{view.name}", late=True, newest=online.newest) as tx:
        features.save_materialization(tx, ctx.project_id, told)
        subject = f"Feature view {view.name} is late"
        return enqueue(tx, ctx.project_id, contract, team=said.owner, subject=subject, body=body)


def _contract(ctx: Context) -> Contract | None:
    if ctx.folder is None:
        return None
    try:
        return load(ctx.folder).contract
    except (NotFound, Refused, UsageError):  # `thrive check` says what is wrong with it
        return None
