"""Alerts and notices: whose turn is it, and what came of those that are over."""

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.monitoring import Alert, AlertState
from thrive.domain.view import ViewPage
from thrive.operations import Context
from thrive.store import monitoring
from thrive.ui.saved import Views, views_of

MOST = 200
"""Alerts that a page shows, newest first."""


class AlertsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts and notices, newest first; `state`, `model` and `owner` are the filters in force.

    Attributes:
        alerts: all of them, newest first.
        by_cause: the same, those of one cause together; the causes with most first.
        owners: who owns any of those of this state and model.
        views: the saved views, and the address of this one.
        cut: there are more than the page shows.
    """

    now: int
    state: str
    model: str
    owner: str
    alerts: list[Alert]
    by_cause: dict[str, list[Alert]]
    owners: list[str]
    views: Views
    cut: bool


def load(ctx: Context, state: str = "", model: str = "", owner: str = "") -> AlertsPage:
    """Return the alerts of a state, of a model and of an owner (all without one).

    Raises:
        UsageError: there is no such state.
    """
    states = _states(state)
    with ctx.read() as tx:
        found = monitoring.find_alerts(
            tx, ctx.project_id, model=model or None, states=states, limit=MOST + 1
        )
    shown = [each for each in found[:MOST] if not owner or each.owner == owner]
    by_cause: dict[str, list[Alert]] = {}
    for each in shown:
        by_cause.setdefault(each.cause.value, []).append(each)
    return AlertsPage(
        now=ctx.now(),
        state=state,
        model=model,
        owner=owner,
        alerts=shown,
        by_cause=dict(sorted(by_cause.items(), key=lambda pair: -len(pair[1]))),
        owners=sorted({each.owner for each in found if each.owner}),
        views=views_of(ctx, ViewPage.ALERTS, {"state": state, "model": model, "owner": owner}),
        cut=len(found) > MOST,
    )


def _states(state: str) -> tuple[str, ...]:
    if not state:
        return ()
    if state not in set(AlertState):
        raise UsageError(
            f"{state[:40]!r} is no state of an alert.", f"one of: {', '.join(AlertState)}"
        )
    return (state,)
