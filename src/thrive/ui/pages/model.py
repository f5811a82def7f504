"""One model: can I trust it now, and how did it come here?"""

from enum import StrEnum

import msgspec

from thrive.domain.clock import DAY
from thrive.domain.errors import Damaged, NotFound
from thrive.domain.gate import Answer, Approval, CheckResult, Verdict
from thrive.domain.model import ModelVersion, Stage
from thrive.domain.monitoring import Alert, Decision
from thrive.domain.reference import format_reference
from thrive.domain.release import Release, RoutingTable
from thrive.feedback.coverage import LabelCoverage, label_coverage
from thrive.flows.facts import ModelFacts, one_model
from thrive.flows.health import Health, Part, assess, worst
from thrive.flows.performance import Performance, Point, performance_of
from thrive.monitoring.baseline import load_baseline
from thrive.monitoring.findings import Findings, Measured, Segment, findings_of
from thrive.monitoring.limits import Limit
from thrive.operations import Context
from thrive.registry.lineage import ReadData, read_data
from thrive.registry.stages import stage_of
from thrive.store import gates, monitoring
from thrive.ui.pages.today import LastWindow, Share, last_window, traffic_of

DRIFT_WINDOWS = 14
DRIFT_COLUMNS = 40
FEEDBACK_DAYS, FEEDBACK_WINDOWS = 30, 30
ANSWER_ORDER = {Answer.FAIL: 0, Answer.CANNOT_TELL: 1, Answer.PASS: 2}


class MarkKind(StrEnum):
    """What happened at a moment of the timeline."""

    RELEASE = "release"
    ALERT = "alert"
    NOTICE = "notice"
    DECISION = "decision"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, on the timeline."""

    at: int
    kind: MarkKind
    what: str
    link: str


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Performance over windows with its alarm limit, and what happened meanwhile."""

    performance: Performance
    limit: list[Point]
    marks: list[Mark]


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version with its derived stage, the answer of its newest verdict, the data it read."""

    version: ModelVersion
    data: list[ReadData]
    stage: Stage
    verdict: Answer | None


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """The newest verdict on a version: its checks, the worst first, and the approvals given."""

    verdict: Verdict
    checks: list[CheckResult]
    approvals: list[Approval]
    command: str


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """How far a column lay from the reference in one window (PSI), and whether that is drift."""

    psi: float | None
    drifted: bool
    missing: float


class DriftRow(msgspec.Struct, frozen=True, kw_only=True):
    """One column over the windows; a cell is None where the window did not measure it."""

    name: str
    importance: float | None
    usual: float
    cells: list[Cell | None]


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Columns by windows; `left_out` counts the columns that are not shown."""

    starts: list[int]
    rows: list[DriftRow]
    left_out: int


class FeedbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """One window with the outcomes that came for it; `revision` counts its corrections."""

    start: int
    version: int
    revision: int
    rows: int
    outcomes: int
    performance: dict[str, Measured]


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What really happened: how much of it is known, by window, and by segment in the newest.

    `signals` names what the windows measured, those of one metric together.
    """

    coverage: LabelCoverage | None
    signals: list[str]
    windows: list[FeedbackRow]
    segments: list[Segment]


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one model."""

    now: int
    tab: str
    name: str
    owner: str
    purpose: str
    users: list[str]
    risk: str
    production: int | None
    health: Health | None
    why: str
    parts: list[Part]
    traffic: list[Share]
    last: LastWindow | None
    timeline: Timeline
    versions: list[VersionRow]
    gate: Gate | None
    drift: Drift
    routing: list[RoutingTable]
    releases: list[Release]
    alerts: list[Alert]
    feedback: Feedback | None


class ModelHead(msgspec.Struct, frozen=True, kw_only=True):
    """What stands above every tab of a model."""

    name: str
    owner: str
    purpose: str
    users: list[str]
    risk: str
    health: Health | None
    traffic: list[Share]
    last: LastWindow | None


def head_of(facts: ModelFacts) -> ModelHead:
    """Return what stands above the tabs of a model."""
    decisive = worst(assess(facts)) if facts.production is not None else None
    return ModelHead(
        name=facts.model.name,
        owner=facts.model.owner,
        purpose=facts.model.purpose,
        users=facts.terms.model.users,
        risk=facts.terms.model.risk,
        health=decisive.health if decisive is not None else None,
        traffic=traffic_of(facts),
        last=last_window(facts),
    )


def load(ctx: Context, name: str, tab: str = "health") -> ModelPage:
    """Return the page of a model, on one of its tabs.

    Raises:
        NotFound: there is none of that name.
    """
    facts = one_model(ctx, name)
    parts = assess(facts) if facts.production is not None else []
    decisive = worst(parts)
    with ctx.read() as tx:
        alerts = monitoring.find_alerts(tx, ctx.project_id, model=name)
        decisions = monitoring.find_decisions(tx, ctx.project_id)
        verdicts = gates.find_verdicts(tx, ctx.project_id, name)
    return ModelPage(
        now=facts.now,
        tab=tab,
        name=name,
        owner=facts.model.owner,
        purpose=facts.model.purpose,
        users=facts.terms.model.users,
        risk=facts.terms.model.risk,
        production=facts.production.version if facts.production is not None else None,
        health=decisive.health if decisive is not None else None,
        why=decisive.why if decisive is not None else "",
        parts=parts,
        traffic=traffic_of(facts),
        last=last_window(facts),
        timeline=_timeline(ctx, facts, alerts, decisions),
        versions=_versions(ctx, facts, verdicts),
        gate=_gate(ctx, facts, verdicts),
        drift=drift_of(facts),
        routing=facts.history,
        releases=facts.releases,
        alerts=alerts,
        feedback=_feedback(ctx, facts) if tab == "feedback" else None,
    )


def _feedback(ctx: Context, facts: ModelFacts) -> Feedback:
    """Return how much of the last month's predictions has its outcome, and what windows say."""
    found = label_coverage(ctx.home, facts.now - FEEDBACK_DAYS * DAY, facts.now, facts.model.name)
    rows = [
        FeedbackRow(
            start=window.start,
            version=window.version,
            revision=window.revision,
            rows=window.rows,
            outcomes=window.outcomes,
            performance=findings_of(window).performance,
        )
        for window in reversed(facts.windows[-FEEDBACK_WINDOWS:])
    ]
    newest = facts.newest_window()
    segments = findings_of(newest).segments if newest is not None else []
    names = {name for row in rows for name in row.performance}
    return Feedback(
        coverage=found[0] if found else None,
        signals=sorted(names, key=lambda name: name.partition(" ")[::-1]),
        windows=rows,
        segments=segments,
    )


def _timeline(
    ctx: Context, facts: ModelFacts, alerts: list[Alert], decisions: list[Decision]
) -> Timeline:
    windows = facts.main_windows()
    since = windows[0].start if windows else 0
    marks = [*_release_marks(facts.releases), *_alert_marks(alerts, decisions)]
    performance = performance_of(windows, facts.terms.model.gates.quality.metric)
    return Timeline(
        performance=performance,
        limit=_limit(ctx, facts, performance.metric),
        marks=sorted((mark for mark in marks if mark.at >= since), key=lambda mark: mark.at),
    )


def _release_marks(releases: list[Release]) -> list[Mark]:
    made: list[Mark] = []
    for release in releases:
        label, link = f"@{release.candidate}", f"/releases/{release.release_id}"
        said = f"release of {label} began"
        made.append(Mark(at=release.started_at, kind=MarkKind.RELEASE, what=said, link=link))
        if release.ended_at is not None:
            said = f"release of {label}: {release.state}"
            made.append(Mark(at=release.ended_at, kind=MarkKind.RELEASE, what=said, link=link))
    return made


def _alert_marks(alerts: list[Alert], decisions: list[Decision]) -> list[Mark]:
    links = {alert.alert_id: f"/alerts/{alert.alert_id}" for alert in alerts}
    made = [
        Mark(
            at=alert.opened_at,
            kind=MarkKind(alert.level.value),
            what=alert.title,
            link=links[alert.alert_id],
        )
        for alert in alerts
    ]
    made += [
        Mark(
            at=decision.decided_at,
            kind=MarkKind.DECISION,
            what=f"{decision.actor} decided: {decision.action}",
            link=links[decision.alert_id],
        )
        for decision in decisions
        if decision.alert_id in links
    ]
    return made


def _limit(ctx: Context, facts: ModelFacts, metric: str) -> list[Point]:
    """Return the alarm limit that each window was held to: of real performance, else estimated."""
    known: dict[str, dict[str, Limit]] = {}
    made: list[Point] = []
    for window in facts.main_windows():
        found = findings_of(window)
        if found.baseline not in known:
            known[found.baseline] = _limits(ctx, found.baseline)
        made.append(Point(at=window.start, value=_held_to(found, known[found.baseline], metric)))
    return made


def _held_to(found: Findings, limits: dict[str, Limit], metric: str) -> float | None:
    """Return the limit of a window; one of few rows is given more room than the reference's."""
    for signal in (f"realised {metric}", f"estimated {metric}"):
        limit, measured = limits.get(signal), found.performance.get(signal)
        if limit is not None and limit.value is not None and measured is not None:
            return limit.for_error(measured.error)
    return None


def _limits(ctx: Context, digest: str) -> dict[str, Limit]:
    if not digest:
        return {}
    try:
        found = load_baseline(ctx, digest).limits
    except (NotFound, Damaged):  # a page shows the rest; `thrive doctor` names the damage
        return {}
    return {limit.signal: limit for limit in found}


def _versions(ctx: Context, facts: ModelFacts, verdicts: list[Verdict]) -> list[VersionRow]:
    newest: dict[int, Answer] = {}
    for verdict in verdicts:
        newest.setdefault(verdict.version, verdict.answer)
    with ctx.read() as tx:
        data = read_data(tx, ctx, facts.versions)
    return [
        VersionRow(
            version=version,
            data=data[version.version],
            stage=stage_of(version, facts.history),
            verdict=newest.get(version.version),
        )
        for version in facts.versions
    ]


def _gate(ctx: Context, facts: ModelFacts, verdicts: list[Verdict]) -> Gate | None:
    """Return the newest verdict of all: on the version that is being judged or is in production."""
    if not verdicts:
        return None
    verdict = verdicts[0]
    with ctx.read() as tx:
        given = gates.find_approvals(tx, ctx.project_id, verdict.model, verdict.version)
    return Gate(
        verdict=verdict,
        checks=sorted(verdict.results, key=lambda each: ANSWER_ORDER[each.answer]),
        approvals=given,
        command=f"thrive gates run {format_reference(facts.model.name, verdict.version)}",
    )


def drift_of(facts: ModelFacts) -> Drift:
    """Return the newest windows by column, what matters and moved most first."""
    windows = facts.main_windows()[-DRIFT_WINDOWS:]
    measured = [{each.name: each for each in findings_of(item).columns} for item in windows]
    importance = facts.production.importance if facts.production is not None else {}
    rows: list[tuple[float, DriftRow]] = []
    for name in dict.fromkeys(name for columns in measured for name in columns):
        seen = [columns.get(name) for columns in measured]
        cells = [
            None if each is None else Cell(psi=each.psi, drifted=each.drifted, missing=each.missing)
            for each in seen
        ]
        last = next(each for each in reversed(seen) if each is not None)
        most = max((each.psi or 0.0 for each in seen if each is not None), default=0.0)
        weight = importance.get(name, 0.0) if importance else 1.0
        row = DriftRow(name=name, importance=importance.get(name), usual=last.usual, cells=cells)
        rows.append((most * max(weight, 1e-6), row))
    rows.sort(key=lambda pair: -pair[0])
    shown = [row for _, row in rows[:DRIFT_COLUMNS]]
    return Drift(
        starts=[window.start for window in windows],
        rows=shown,
        left_out=len(rows) - len(shown),
    )
