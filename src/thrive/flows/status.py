"""One screen on a project: what is live and how it does, what waits for a person, what ran last."""

from typing import Any

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.clock import SECOND, ClockMode, machine_now
from thrive.domain.model import Model
from thrive.domain.monitoring import Alert, AlertState, Level
from thrive.domain.release import Release, RoutingTable
from thrive.domain.run import Run
from thrive.operations import Context, operation
from thrive.store import models, monitoring, releases, runs
from thrive.store.database import Tx

LAST_RUNS = 5
SILENT_AFTER = 30 * SECOND
"""A serving host that said nothing for so long is shown as silent."""


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model: its newest version, what is live with which traffic, and how it does."""

    model: str
    newest: int | None
    live: str
    health: str
    owner: str


class AlertStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One alert that waits for a decision."""

    alert_id: str
    model: str
    cause: str
    title: str
    owner: str
    deadline: int
    recommended: str


class ReleaseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One version on its way to users."""

    model: str
    candidate: int
    phase: str
    state: str
    phase_started_at: int


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One of the last runs."""

    run_id: str
    name: str
    state: str
    started_at: int
    metrics: str


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One serving host."""

    url: str
    state: str
    answered: int
    failed: int
    seen_at: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One screen on a project."""

    project: str
    clock: str
    now: int
    models: list[ModelStatus]
    alerts: list[AlertStatus]
    notices: int
    releases: list[ReleaseStatus]
    runs: list[RunStatus]
    serving: list[HostStatus]
    next_hint: str


@operation("status", role=ANYONE)
def status(ctx: Context) -> Status:
    """Show what is live and how it does, what waits for a person, and what ran last.

    Examples:
        thrive status
        thrive status --json
    """
    with ctx.read() as tx:
        waiting = monitoring.find_alerts(tx, ctx.project_id, states=(AlertState.OPEN.value,))
        on_their_way = releases.find_running(tx, ctx.project_id)
        named = models.find(tx, ctx.project_id)
        lines = [_model(tx, ctx, model, waiting, on_their_way) for model in named]
        last = runs.find(tx, ctx.project_id, limit=LAST_RUNS)
        hosts = releases.find_hosts(tx, ctx.project_id)
    alerts = [alert for alert in waiting if alert.level is Level.ALERT]
    clock = ctx.home.clock()
    machine = machine_now()
    return Status(
        project=ctx.home.project.name,
        clock="replay" if clock.mode is ClockMode.REPLAY else "real",
        now=clock.now(),
        models=lines,
        alerts=[_alert(alert) for alert in alerts],
        notices=len(waiting) - len(alerts),
        releases=[_release(release) for release in on_their_way],
        runs=[_run(run) for run in last],
        serving=[
            HostStatus(
                url=host.url or host.host,
                state="answering" if machine - host.seen_at < SILENT_AFTER else "silent",
                answered=host.answered,
                failed=host.failed,
                seen_at=host.seen_at,
            )
            for host in hosts
        ],
        next_hint=_next(alerts, lines, last),
    )


def _model(
    tx: Tx, ctx: Context, model: Model, alerts: list[Alert], on_their_way: list[Release]
) -> ModelStatus:
    versions = models.versions(tx, ctx.project_id, model.name)
    routing = releases.current_routing(tx, ctx.project_id, model.name)
    mine = [alert for alert in alerts if alert.model == model.name]
    paging = sorted({alert.cause.value for alert in mine if alert.level is Level.ALERT})
    noticed = sorted({alert.cause.value for alert in mine if alert.level is Level.NOTICE})
    live = _traffic(routing)
    releasing = any(release.model == model.name for release in on_their_way)
    if paging:
        health = f"alert: {', '.join(paging)}"
    elif noticed:
        health = f"notice: {', '.join(noticed)}"
    else:
        health = "ok" if live else "releasing" if releasing else "not live"
    newest = versions[0].version if versions else None
    return ModelStatus(model=model.name, newest=newest, live=live, health=health, owner=model.owner)


def _traffic(routing: RoutingTable | None) -> str:
    """Return what carries traffic, e.g. `v1 90%, v2 10%, v3 shadow`; empty for nothing."""
    variants = routing.variants if routing else []
    return ", ".join(
        f"v{variant.version} {'shadow' if variant.shadow else f'{variant.share:.0%}'}"
        for variant in variants
        if variant.shadow or variant.share > 0
    )


def _alert(alert: Alert) -> AlertStatus:
    return AlertStatus(
        alert_id=alert.alert_id,
        model=alert.model,
        cause=alert.cause.value,
        title=alert.title,
        owner=alert.owner,
        deadline=alert.deadline,
        recommended=alert.recommended,
    )


def _release(release: Release) -> ReleaseStatus:
    phase = release.phases[release.position]
    return ReleaseStatus(
        model=release.model,
        candidate=release.candidate,
        phase=f"{phase.kind.value} {phase.share:.0%} ({release.position + 1} of "
        f"{len(release.phases)})",
        state=release.state.value,
        phase_started_at=release.phase_started_at,
    )


def _run(run: Run) -> RunStatus:
    values: dict[str, Any] = dict(list(run.metrics.items())[:3])
    shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items() if value is not None)
    return RunStatus(
        run_id=run.run_id,
        name=run.name,
        state=run.state.value,
        started_at=run.started_at,
        metrics=shown,
    )


def _next(alerts: list[Alert], lines: list[ModelStatus], last: list[Run]) -> str:
    if alerts:
        return f"thrive alerts decide {alerts[0].alert_id}"
    if lines:
        return f"thrive models show {lines[0].model}"
    return "thrive models list" if last else "thrive run train.py"
