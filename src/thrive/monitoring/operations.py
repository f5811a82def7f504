"""Operations on windows, monitors and alerts."""

import shlex

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.clock import parse_time
from thrive.domain.errors import CannotTell
from thrive.domain.monitoring import Alert, AlertState, Decision, Window
from thrive.domain.numbers import plain_number
from thrive.monitoring.baseline import Baseline, load_baseline, make_baseline
from thrive.monitoring.budget import ErrorBudget, error_budget
from thrive.monitoring.findings import findings_of
from thrive.monitoring.limits import Limit
from thrive.monitoring.story import told
from thrive.monitoring.terms import terms_of
from thrive.monitoring.track import TrackRecord, track_record
from thrive.operations import Context, PageSize, operation
from thrive.store import models, monitoring


@operation(
    "windows list",
    role=ANYONE,
    next_hint="thrive alerts list",
    columns=("model", "version", "start", "end", "rows", "outcomes", "closed_at"),
)
def windows_list(
    ctx: Context, model: str, *, version: int | None = None, since: str = "", limit: PageSize = 30
) -> list[Window]:
    """List the closed windows of a model, oldest first, in their newest revision.

    Args:
        model: whose windows.
        version: only this version's.
        since: only windows that start then or later, e.g. 2013-05-01.
        limit: only the last so many.

    Examples:
        thrive windows list flight-delay --since 2013-06-01
    """
    start = parse_time(since) if since else 0
    with ctx.read() as tx:
        models.get(tx, ctx.project_id, model)
        return monitoring.find_windows(tx, ctx.project_id, model, version, start)[-limit:]


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """What watches one version, and how much its history can promise.

    `windows_a_year` is what all limits count with; of windows by count it is what the first of
    them, or the reference, speak for. `error_budget` is how much of the SLA's is used.

    `notes` says in words what the numbers allow, `track` how estimates did once outcomes came.
    """

    model: str
    version: int
    window: str
    false_alarms_per_year: float
    windows_of_history: int
    limits: list[Limit]
    notes: list[str]
    windows_a_year: float = 0.0
    error_budget: ErrorBudget | None = None
    track: list[TrackRecord] = []


@operation("monitors explain", role=ANYONE)
def monitors_explain(ctx: Context, model: str, *, version: int | None = None) -> Monitor:
    """Explain the limits of a model's monitors, and which alert budget its history supports.

    Args:
        model: whose monitors.
        version: the newest, if left out.

    Raises:
        CannotTell: the version has no reference to compare with.

    Examples:
        thrive monitors explain flight-delay
    """
    with ctx.read() as tx:
        found = models.get_version(tx, ctx.project_id, model, version)
        recent = monitoring.find_windows(tx, ctx.project_id, model, found.version)
    terms = terms_of(ctx, found)
    known = str(recent[-1].findings.get("baseline", "")) if recent else ""
    baseline = load_baseline(ctx, known) if known else make_baseline(ctx, found, terms)
    if baseline is None:
        raise CannotTell(
            f"{model}@{found.version} was registered without a reference table.",
            "pass reference= when you register, then register again",
        )
    budget = terms.model.monitor.false_alarms_per_year
    return Monitor(
        model=model,
        version=found.version,
        window=terms.model.monitor.window,
        false_alarms_per_year=budget,
        windows_of_history=baseline.windows,
        limits=baseline.limits,
        notes=[*(_note(limit) for limit in baseline.limits), _drift_note(baseline, budget)],
        windows_a_year=baseline.windows_a_year or terms.windows_a_year,
        error_budget=error_budget([(each, findings_of(each)) for each in recent], terms.model),
        track=track_record(recent),
    )


def _drift_note(baseline: Baseline, budget: float) -> str:
    words = f"drift of {len(baseline.kinds)} inputs: a notice when one is beyond in 2 of 3 windows"
    if baseline.drift_per_year is None:
        return (
            f"{words} (provisional: {baseline.windows} windows of history are too few to say how "
            "much inputs move by themselves)"
        )
    if baseline.drift_per_year <= budget * 1.001:
        return (
            f"{words}; about {plain_number(baseline.drift_per_year)} false notices a year, as asked"
        )
    return (
        f"{words} (provisional: {baseline.windows} windows of history support "
        f"{_apart(baseline.drift_per_year, budget)} false notices a year, not "
        f"{_apart(budget, baseline.drift_per_year)})"
    )


def _note(limit: Limit) -> str:
    if limit.value is None or limit.supported is None:
        return (
            f"{limit.signal}: not judged, {limit.windows} windows of history are too few for "
            "any limit"
        )
    side = "below" if limit.higher_is_better else "above"
    words = (
        f"{limit.signal}: an alert when 2 of 3 windows are {side} {limit.value:.4f}, or further "
        "where they have fewer rows than the reference's"
    )
    if limit.needed == 1:
        rate = plain_number(limit.budget)
        return (
            f"{limit.signal}: an alert when one window is {side} {limit.value:.4f}; in "
            f"{limit.windows} windows it followed real performance, and in about {rate} windows a "
            f"year it will be {side} though real performance is as usual"
        )
    if not limit.provisional:
        supported = plain_number(limit.supported)
        return f"{words}; {limit.windows} windows support {supported} false alarms a year"
    return (
        f"{words} (provisional: {limit.windows} windows of history support "
        f"{_apart(limit.supported, limit.budget)} false alarms a year, not "
        f"{_apart(limit.budget, limit.supported)}; {limit.windows_needed} windows would)"
    )


def _apart(number: float, other: float) -> str:
    """Return a number with as few digits as tell it from another one."""
    texts = (plain_number(number, digits) for digits in range(2, 8))
    pairs = zip(texts, (plain_number(other, digits) for digits in range(2, 8)), strict=True)
    return next((text for text, same in pairs if text != same), plain_number(number))


class AlertStory(msgspec.Struct, frozen=True, kw_only=True):
    """An alert with everything decided about it, newest first; `text` says it to a person."""

    alert: Alert
    decisions: list[Decision]
    text: str = ""
    next_hint: str = ""


@operation(
    "alerts list",
    role=ANYONE,
    next_hint="thrive alerts show {alert_id}",
    columns=("alert_id", "model", "level", "state", "title", "owner", "deadline", "recommended"),
)
def alerts_list(ctx: Context, *, model: str | None = None, closed: bool = False) -> list[Alert]:
    """List alerts and notices, newest first.

    Args:
        model: only this model's.
        closed: the closed ones too.

    Examples:
        thrive alerts list
    """
    states = tuple(state.value for state in AlertState if closed or state is not AlertState.CLOSED)
    with ctx.read() as tx:
        return monitoring.find_alerts(tx, ctx.project_id, model=model, states=states)


@operation("alerts show", role=ANYONE)
def alerts_show(ctx: Context, alert: str) -> AlertStory:
    """Show one alert: its evidence, its deadline, what is proposed and what was decided.

    Args:
        alert: its id, or the first 8 digits or more.

    Raises:
        NotFound: there is none.

    Examples:
        thrive alerts show 01928374
    """
    with ctx.read() as tx:
        found = monitoring.get_alert(tx, ctx.project_id, alert)
        decided = monitoring.find_decisions(tx, ctx.project_id, found.alert_id)
    action = shlex.quote(found.recommended) if found.recommended else "ACTION"
    hint = f"thrive alerts decide {found.alert_id} {action} --reason ..."
    return AlertStory(
        alert=found,
        decisions=decided,
        text=told(found),
        next_hint=hint if found.state is AlertState.OPEN else "thrive alerts list",
    )
