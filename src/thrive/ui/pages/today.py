"""Today: what must be decided, what is not healthy, and that all else is well."""

import msgspec

from thrive.domain.clock import ClockMode
from thrive.domain.gate import Answer
from thrive.domain.model import ModelVersion
from thrive.domain.monitoring import AlertState, Decision
from thrive.domain.reference import format_reference
from thrive.domain.release import ReleaseState
from thrive.flows.facts import ModelFacts
from thrive.flows.fleet import every_model
from thrive.flows.health import ORDER, Health, Part, assess, error_share, worst
from thrive.flows.performance import Performance
from thrive.operations import Context
from thrive.store import monitoring
from thrive.ui.pages.waiting import Decide, all_that_waits

SHOWN = 50
"""Models of a band that the page shows before it is asked for all; the model has them all."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A version and its share of live traffic (0..1), or that it answers in the shadow."""

    version: int
    share: float
    shadow: bool


class LastWindow(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest closed window of the version in production held.

    `drifted` counts those of its `columns` that moved away from the reference.
    """

    start: int
    end: int
    rows: int
    outcomes: int
    error_share: float | None
    p50_us: float | None
    p99_us: float | None
    columns: int
    drifted: int


class LastRelease(msgspec.Struct, frozen=True, kw_only=True):
    """The newest release of a model; `at` is when it ended, of one on its way when it began."""

    release_id: str
    candidate: int
    state: ReleaseState
    at: int


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model in production.

    Attributes:
        health: the worst of its parts.
        why: what that part says.
        part: its name.
        not_ok: the parts that are not ok, the worst first.
        under_way: the action that is being carried out, "" for none.
        outcomes_until: the end of the newest window with an outcome.
    """

    name: str
    owner: str
    version: int
    health: Health
    part: str
    why: str
    not_ok: list[Part]
    under_way: str
    traffic: list[Share]
    last: LastWindow | None
    performance: Performance
    release: LastRelease | None
    outcomes_until: int | None


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """A model without a version in production, its newest version, and what to type next.

    `why` says what answers where a version did before, "" where none ever did.
    """

    name: str
    owner: str
    newest: int | None
    why: str
    command: str


class TodayPage(msgspec.Struct, frozen=True, kw_only=True):
    """The three bands of the morning; `shown` is how many of a band the page draws."""

    shown: int
    now: int
    replay: bool
    decide: list[Decide]
    unhealthy: list[ModelRow]
    well: list[ModelRow]
    idle: list[Idle]


def load(ctx: Context, *, everything: bool = False) -> TodayPage:
    """Return what Today says; `everything` asks the page to draw every model."""
    known = every_model(ctx)
    decisions = _decisions(ctx, known)
    rows = [_row(facts, decisions) for facts in known if facts.production is not None]
    rows.sort(key=lambda row: (-ORDER[row.health], row.name))
    clock = ctx.home.clock()
    return TodayPage(
        shown=len(known) if everything else SHOWN,
        now=clock.now(),
        replay=clock.mode is ClockMode.REPLAY,
        decide=all_that_waits(ctx, known),
        unhealthy=[row for row in rows if row.health is not Health.OK],
        well=[row for row in rows if row.health is Health.OK],
        idle=[_idle(facts) for facts in known if facts.production is None],
    )


def _idle(facts: ModelFacts) -> Idle:
    newest = facts.versions[0] if facts.versions else None
    return Idle(
        name=facts.model.name,
        owner=facts.model.owner,
        newest=newest.version if newest is not None else None,
        why=facts.unanswered(),
        command=_way_to_production(facts, newest),
    )


def _way_to_production(facts: ModelFacts, newest: ModelVersion | None) -> str:
    """Return what to type so that a version of a model is in production."""
    name = facts.model.name
    if newest is None:
        return "thrive run train.py"
    if facts.under_way() is not None:
        return f"thrive releases watch {name}"
    if facts.history and facts.history[0].stopped:
        return f'thrive releases rollback {name} --reason "..."'
    label, last = format_reference(name, newest.version), next(iter(facts.releases), None)
    over = last is not None and last.candidate == newest.version
    if over or newest.retired_at is not None:  # it was taken back: another one is needed
        return f"thrive models retrain {name}"
    if facts.newest_verdict is None:
        return f"thrive gates run {label}"
    passed = facts.newest_verdict.answer is not Answer.FAIL
    return f"thrive releases start {label}" if passed else f"thrive gates explain {label}"


def _row(facts: ModelFacts, decisions: dict[str, Decision]) -> ModelRow:
    assert facts.production is not None
    parts = assess(facts)
    decisive = worst(parts)
    assert decisive is not None
    not_ok = sorted(
        (part for part in parts if part.health is not Health.OK),
        key=lambda part: -ORDER[part.health],
    )
    return ModelRow(
        name=facts.model.name,
        owner=facts.model.owner,
        version=facts.production.version,
        health=decisive.health,
        part=decisive.name,
        why=decisive.why,
        not_ok=not_ok,
        under_way=_under_way(facts, decisions),
        traffic=traffic_of(facts),
        last=last_window(facts),
        performance=facts.performance,
        release=_last_release(facts),
        outcomes_until=_outcomes_until(facts),
    )


def _decisions(ctx: Context, known: list[ModelFacts]) -> dict[str, Decision]:
    """Return the newest decision about each alert that is being acted on, by alert."""
    acted = [
        alert.alert_id
        for facts in known
        for alert in facts.alerts
        if alert.state is AlertState.DECIDED
    ]
    with ctx.read() as tx:
        return monitoring.newest_decisions(tx, ctx.project_id, acted)


def _under_way(facts: ModelFacts, decisions: dict[str, Decision]) -> str:
    release = facts.under_way()
    if release is not None:
        phase = release.phases[release.position]
        label = format_reference(release.model, release.candidate)
        return f"release of {label}: {phase.kind} {phase.share:.0%} ({release.state})"
    acted = (alert for alert in facts.alerts if alert.state is AlertState.DECIDED)
    decided = next((decisions[each.alert_id] for each in acted if each.alert_id in decisions), None)
    if decided is None:
        return ""
    return f"{decided.action}, decided by {decided.actor} ({decided.state})"


def traffic_of(facts: ModelFacts) -> list[Share]:
    """Return which versions get which traffic now."""
    if not facts.history:
        return []
    return [
        Share(version=each.version, share=each.share, shadow=each.shadow)
        for each in facts.history[0].variants
    ]


def last_window(facts: ModelFacts) -> LastWindow | None:
    """Return the newest closed window of the version in production."""
    window = facts.newest_window()
    if window is None or facts.found is None:
        return None
    p50, p99 = facts.found.latency_us
    return LastWindow(
        start=window.start,
        end=window.end,
        rows=window.rows,
        outcomes=window.outcomes,
        error_share=error_share(facts.found),
        p50_us=p50,
        p99_us=p99,
        columns=len(facts.found.columns),
        drifted=len(facts.found.drifted()),
    )


def _last_release(facts: ModelFacts) -> LastRelease | None:
    if not facts.releases:
        return None
    newest = facts.releases[0]
    return LastRelease(
        release_id=newest.release_id,
        candidate=newest.candidate,
        state=newest.state,
        at=newest.started_at if newest.ended_at is None else newest.ended_at,
    )


def _outcomes_until(facts: ModelFacts) -> int | None:
    return max((window.end for window in facts.counts if window.outcomes), default=None)
