"""Today: what must be decided, what is not healthy, and that all else is well."""

from enum import StrEnum

import msgspec

from thrive.domain.actor import PEOPLE, RELEASERS
from thrive.domain.clock import ClockMode
from thrive.domain.gate import Answer
from thrive.domain.model import ModelVersion, Stage
from thrive.domain.monitoring import Alert, AlertState, Decision, Level
from thrive.domain.reference import format_reference
from thrive.domain.release import Release, ReleaseState
from thrive.flows.contracts import find_contract
from thrive.flows.facts import ModelFacts
from thrive.flows.fleet import every_model
from thrive.flows.health import ORDER, Health, Part, assess, error_share, worst
from thrive.flows.performance import Performance
from thrive.flows.permission import Missing, missing_approvals
from thrive.operations import Context
from thrive.registry.stages import stage_of
from thrive.release.watching import speaks_against
from thrive.store import monitoring, releases
from thrive.store.database import Tx
from thrive.ui.acts import address
from thrive.ui.words import quoted

SHOWN = 50
"""Models of a band that the page shows before it is asked for all; the model has them all."""


class Waiting(StrEnum):
    """What waits for a decision."""

    ALERT = "alert"
    NOTICE = "notice"
    RELEASE = "release"
    APPROVAL = "approval"


class Button(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be done from here: the operation, its words, and its page."""

    operation: str
    label: str
    link: str
    careful: bool = False


class Decide(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody must decide.

    Attributes:
        kind: what waits.
        model: about which.
        title: what it is, in one line.
        owner: who decides.
        since: when it began to wait.
        deadline: until when, None where the contract names none.
        recommended: what the contract recommends, "" for nothing.
        default: what happens if nobody decides.
        command: what to type.
        link: the page with the evidence.
        mine: whoever looks may decide it.
        acts: the buttons: what is recommended first.
    """

    kind: Waiting
    model: str
    title: str
    owner: str
    since: int
    deadline: int | None
    recommended: str
    default: str
    command: str
    link: str
    mine: bool = True
    acts: list[Button] = []


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A version and its share of live traffic (0..1), or that it answers in the shadow."""

    version: int
    share: float
    shadow: bool


class LastWindow(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest closed window of the version in production held."""

    start: int
    end: int
    rows: int
    outcomes: int
    error_share: float | None
    p50_us: float | None
    p99_us: float | None


class LastRelease(msgspec.Struct, frozen=True, kw_only=True):
    """The newest release of a model."""

    release_id: str
    candidate: int
    state: ReleaseState
    started_at: int


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
    """A model that answers nobody, its newest version, and what to type next."""

    name: str
    owner: str
    newest: int | None
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
        decide=_decide(ctx, known),
        unhealthy=[row for row in rows if row.health is not Health.OK],
        well=[row for row in rows if row.health is Health.OK],
        idle=[_idle(facts) for facts in known if facts.production is None],
    )


def _idle(facts: ModelFacts) -> Idle:
    newest = facts.versions[0] if facts.versions else None
    command = "thrive run train.py"
    if newest is not None:
        label = format_reference(newest.model, newest.version)
        judged = facts.newest_verdict is not None
        command = f"thrive releases start {label}" if judged else f"thrive gates run {label}"
    return Idle(
        name=facts.model.name,
        owner=facts.model.owner,
        newest=newest.version if newest is not None else None,
        command=command,
    )


def _decide(ctx: Context, known: list[ModelFacts]) -> list[Decide]:
    found: list[Decide] = []
    for facts in known:
        found += [_of_alert(ctx, each) for each in facts.alerts if each.state is AlertState.OPEN]
        found += [
            _of_release(ctx, facts, each)
            for each in facts.releases
            if each.state is ReleaseState.HELD
        ]
    with ctx.read() as tx:
        for facts in known:
            found += _approvals(ctx, tx, facts)
    return sorted(found, key=_urgency)


def _urgency(item: Decide) -> tuple[bool, bool, int, int]:
    """Return what is sorted by: what the viewer may decide first, then by deadline."""
    forever = 1 << 62
    return not item.mine, item.kind is Waiting.NOTICE, item.deadline or forever, item.since


def _of_alert(ctx: Context, alert: Alert) -> Decide:
    action = alert.recommended if alert.recommended in alert.proposed else ""
    word = quoted(action) if action else "ACTION"
    return Decide(
        kind=Waiting.NOTICE if alert.level is Level.NOTICE else Waiting.ALERT,
        model=alert.model,
        title=alert.title,
        owner=alert.owner,
        since=alert.opened_at,
        deadline=alert.deadline,
        recommended=alert.recommended,
        default=alert.default_action or "",
        command=f'thrive alerts decide {alert.alert_id} {word} --reason "..."',
        link=f"/alerts/{alert.alert_id}",
        mine=may_decide(ctx, alert),
        acts=_alert_buttons(alert, action),
    )


def may_decide(ctx: Context, alert: Alert) -> bool:
    """Tell whether somebody may decide about an alert: its owner, its deputy, a releaser."""
    named = ctx.actor.name in {alert.owner, alert.deputy}
    return bool(ctx.actor.roles & (PEOPLE if named else RELEASERS))


def _alert_buttons(alert: Alert, action: str) -> list[Button]:
    others = [each for each in alert.proposed if each != action]
    chosen = [action] if action else []
    return [
        Button(
            operation="alerts decide",
            label=each.capitalize(),
            link=address("alerts decide", alert=alert.alert_id, action=each, back="/"),
            careful=each == "rollback",
        )
        for each in (chosen + others)[:2]
    ]


def _of_release(ctx: Context, facts: ModelFacts, release: Release) -> Decide:
    label = format_reference(release.model, release.candidate)
    why = f": {release.reason}" if release.reason else ""
    against = speaks_against(release)
    verbs = {"rollback": "Roll back", "resume": "Resume"} if against else _HELD
    return Decide(
        kind=Waiting.RELEASE,
        model=release.model,
        title=f"The release of {label} is held{why}",
        owner=facts.model.owner,
        since=release.phase_started_at,
        deadline=None,
        recommended=f"roll back, as {against}" if against else "",
        default="",
        command=f'thrive releases {next(iter(verbs))} {release.model} --reason "..."',
        link=f"/releases/{release.release_id}",
        mine=bool(ctx.actor.roles & RELEASERS),
        acts=[
            Button(
                operation=f"releases {verb}",
                label=label_of,
                link=address(f"releases {verb}", model=release.model, back="/"),
                careful=verb == "rollback",
            )
            for verb, label_of in verbs.items()
        ],
    )


_HELD = {"resume": "Resume", "rollback": "Roll back"}
"""What can be done about a held release that nothing speaks against."""


def _approvals(ctx: Context, tx: Tx, facts: ModelFacts) -> list[Decide]:
    """Return the approvals that the newest version lacks, if its gates let it through."""
    newest = facts.versions[0] if facts.versions else None
    verdict = facts.newest_verdict
    if newest is None or verdict is None or verdict.answer is not Answer.PASS:
        return []
    if stage_of(newest, facts.history) is not Stage.DEV:
        return []
    if (
        stage_of(newest, releases.routing_history(tx, ctx.project_id, newest.model))
        is Stage.RETIRED
    ):
        return []
    contract = find_contract(tx, ctx.project_id, newest)
    if contract is None or newest.model not in contract.contract.model:
        return []
    return [
        _of_approval(ctx, facts, newest, each, verdict.created_at)
        for each in missing_approvals(tx, ctx, newest, contract)
    ]


def _of_approval(
    ctx: Context, facts: ModelFacts, version: ModelVersion, missing: Missing, since: int
) -> Decide:
    label = format_reference(version.model, version.version)
    step = "contract" if "--step contract" in missing.command else "production"
    return Decide(
        kind=Waiting.APPROVAL,
        model=version.model,
        title=missing.what,
        owner=facts.terms.model.owner or facts.model.owner,
        since=since,
        deadline=None,
        recommended="",
        default="",
        command=missing.command,
        link=f"/models/{version.model}/versions#gates",
        mine=bool(ctx.actor.roles & PEOPLE),
        acts=[
            Button(
                operation="approvals give",
                label="Approve",
                link=address("approvals give", version=label, step=step, back="/"),
            )
        ],
    )


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
    )


def _last_release(facts: ModelFacts) -> LastRelease | None:
    if not facts.releases:
        return None
    newest = facts.releases[0]
    return LastRelease(
        release_id=newest.release_id,
        candidate=newest.candidate,
        state=newest.state,
        started_at=newest.started_at,
    )


def _outcomes_until(facts: ModelFacts) -> int | None:
    return max((window.end for window in facts.counts if window.outcomes), default=None)
