"""Alerts and notices: whose turn is it, and what came of those that are over."""

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.monitoring import Alert, AlertState
from thrive.operations import Context
from thrive.store import monitoring

MOST = 200
"""Alerts that a page shows, newest first."""


class AlertsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts and notices, newest first; `state` and `model` are the filters in force."""

    now: int
    state: str
    model: str
    alerts: list[Alert]
    cut: bool


def load(ctx: Context, state: str = "", model: str = "") -> AlertsPage:
    """Return the alerts of a state (all without one) and of a model (all without one).

    Raises:
        UsageError: there is no such state.
    """
    states = _states(state)
    with ctx.read() as tx:
        found = monitoring.find_alerts(
            tx, ctx.project_id, model=model or None, states=states, limit=MOST + 1
        )
    return AlertsPage(
        now=ctx.now(), state=state, model=model, alerts=found[:MOST], cut=len(found) > MOST
    )


def _states(state: str) -> tuple[str, ...]:
    if not state:
        return ()
    if state not in set(AlertState):
        raise UsageError(
            f"{state[:40]!r} is no state of an alert.", f"one of: {', '.join(AlertState)}"
        )
    return (state,)
