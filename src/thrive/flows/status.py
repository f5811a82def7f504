"""One screen on a project: what is live and how it does, what waits for a person, what ran last."""

from typing import Any

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.clock import ClockMode, machine_now
from thrive.domain.monitoring import Alert, AlertState, Level
from thrive.domain.numbers import read_number
from thrive.domain.release import Release, RoutingTable
from thrive.domain.run import Run
from thrive.flows.facts import ModelFacts
from thrive.flows.fleet import every_model
from thrive.flows.health import assess, worst
from thrive.operations import Context, operation
from thrive.serving.hosts import seen
from thrive.store import monitoring, releases, runs

LAST_RUNS = 5


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model: its newest version, what is live with which traffic, and how it does.

    Attributes:
        model: its name.
        newest: the number of its newest version.
        live: what carries traffic, "" for nothing.
        health: that of the part which does worst, or that the model is not live.
        why: that part, with one sentence; what answers when a release was taken back.
        owner: who answers for the model.
    """

    model: str
    newest: int | None
    live: str
    health: str
    why: str
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
        last = runs.find(tx, ctx.project_id, limit=LAST_RUNS)
        hosts = releases.find_hosts(tx, ctx.project_id)
    lines = [_model(facts) for facts in every_model(ctx)]
    alerts = [alert for alert in waiting if alert.level is Level.ALERT]
    clock = ctx.home.clock()
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
                url=each.host.url or each.host.host,
                state="answering" if each.up else "silent",
                answered=each.host.answered,
                failed=each.host.failed,
                seen_at=each.host.seen_at,
            )
            for each in seen(hosts, machine_now())
        ],
        next_hint=_next(alerts, lines, last),
    )


def _model(facts: ModelFacts) -> ModelStatus:
    live = _traffic(facts.history[0] if facts.history else None)
    decisive = worst(assess(facts)) if facts.production is not None else None
    if decisive is not None:
        health, why = decisive.health.value, f"{decisive.name}: {decisive.why}"
    else:
        health = "releasing" if facts.under_way() else "not live"
        why = facts.unanswered()
    newest = facts.versions[0].version if facts.versions else None
    owner = facts.model.owner
    return ModelStatus(
        model=facts.model.name, newest=newest, live=live, health=health, why=why, owner=owner
    )


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
    shown = ", ".join(
        f"{key} {read_number(value, 4)}" for key, value in values.items() if value is not None
    )
    return RunStatus(
        run_id=run.run_id,
        name=run.name,
        state=run.state.value,
        started_at=run.started_at,
        metrics=shown,
    )


def _next(alerts: list[Alert], lines: list[ModelStatus], last: list[Run]) -> str:
    if alerts:
        return f"thrive alerts show {alerts[0].alert_id}"
    if lines:
        return f"thrive models show {lines[0].model}"
    return "thrive models list" if last else "thrive run train.py"
