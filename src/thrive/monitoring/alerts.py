"""Alerts: one a model and cause; opened, kept up to date, closed when it is over."""

import math
from typing import Any

import msgspec
import numpy as np

from thrive.contract.levels import AccuracyLevel, parse_level
from thrive.domain.clock import ClockMode, format_time, parse_rate
from thrive.domain.identifiers import new_id
from thrive.domain.model import ModelVersion
from thrive.domain.monitoring import ActionKind, Alert, AlertState, Cause, Level, Window
from thrive.monitoring import upstream
from thrive.monitoring.accepted import OVER, accepted_alerts, faults_among, faults_of
from thrive.monitoring.baseline import load_baseline
from thrive.monitoring.closing import load_counters
from thrive.monitoring.explanations import words_of
from thrive.monitoring.findings import LABELS, ROWS, Fault, findings_of
from thrive.monitoring.frames import natural
from thrive.monitoring.grid import Span, spans
from thrive.monitoring.learnable import Learnable, learnable
from thrive.monitoring.merging import parts_of
from thrive.monitoring.outbox import enqueue
from thrive.monitoring.pictures import picture, series
from thrive.monitoring.policy import Policy, policy_of, ranked
from thrive.monitoring.terms import TermsInForce, terms_of
from thrive.monitoring.unserved import FALLBACK, policy_without_version, unserved
from thrive.monitoring.verdicts import (
    DECLARED,
    VOLUME,
    Past,
    Verdict,
    is_bad,
    is_judged,
    misses,
    verdicts,
)
from thrive.operations import Context
from thrive.store import duties, models, monitoring, releases
from thrive.store.database import Tx
from thrive.store.prediction_frames import predictions_between, with_outcomes

CLEAN = 3
"""Clean windows in a row after which a cause is over."""
LOOKED_AT = 60
"""Windows back that a verdict looks at."""
_UNSETTLED = (AlertState.OPEN.value, AlertState.DECIDED.value, AlertState.DONE.value)


def raise_alerts(ctx: Context, model: str) -> list[Alert]:
    """Open, renew and close the alerts of a model by its closed windows.

    An alert closes with a decision alone. One that nobody decided is called over after three clean
    windows and waits for that; a notice closes by itself then. A decided one is closed by the
    verification of its decision.

    Args:
        ctx: the project.
        model: whose alerts.

    Returns:
        The alerts that were opened, renewed or closed.
    """
    now = ctx.now()
    with ctx.read() as tx:
        known = monitoring.find_alerts(tx, ctx.project_id, model=model)
        accepted = accepted_alerts(tx, ctx.project_id, known)
    unsettled = {alert.cause: alert for alert in known if alert.state.value in _UNSETTLED}
    pasts = live_pasts(ctx, model, now)
    seen: dict[Cause, tuple[Verdict, Past]] = {}
    for past in pasts:
        for cause, verdict in _counted(past, known, accepted, now).items():
            seen.setdefault(cause, (verdict, past))
    if not pasts and (nobody := _unserved(ctx, model, accepted, now)) is not None:
        seen[Cause.SERVICE] = nobody
    made: list[Alert] = []
    for cause, (verdict, past) in seen.items():
        alert = unsettled.get(cause)
        if alert is None:
            made.append(_open(ctx, verdict, past, now))
        elif _is_news(alert, verdict):
            made.append(_renew(ctx, alert, verdict, past))
    for cause, alert in unsettled.items():
        if cause not in seen and alert.state is AlertState.OPEN and _is_over(alert, pasts):
            made += _end(ctx, alert)
    return made


def _is_news(alert: Alert, verdict: Verdict) -> bool:
    """Tell whether what holds now is more than an alert says; a growing age is not."""
    grown = alert.last_bad != verdict.last_bad and alert.cause is not Cause.AGE
    return grown or is_over(alert)


def is_over(alert: Alert) -> bool:
    """Tell whether what an alert is about ended by itself before anybody decided."""
    return OVER in alert.evidence


def _end(ctx: Context, alert: Alert) -> list[Alert]:
    """Close a notice that is over; let an alert say so while it waits for its decision."""
    if alert.level is Level.NOTICE:
        return [close(ctx, alert, f"over by itself: {CLEAN} clean windows, no decision")]
    if is_over(alert):
        return []
    accept = ActionKind.ACCEPT.value
    ended = msgspec.structs.replace(
        alert,
        recommended=accept,
        proposed=[accept, *(each for each in alert.proposed if each != accept)],
        evidence={
            **alert.evidence,
            OVER: ctx.now(),
            "advice": _after(alert),
            "reasons": {**alert.evidence.get("reasons", {}), accept: "it ended by itself"},
        },
    )
    with ctx.observe(f"alert:{alert.alert_id}") as tx:
        monitoring.save_alert(tx, ctx.project_id, ended)
    return [ended]


def _after(alert: Alert) -> str:
    """Return what to do about an alert that is over, and what was advised until then."""
    before = alert.evidence.get("advice", "")
    return f"{_ENDED} Before that: {before}" if before else _ENDED


SKEW = "skew"
_ENDED = (
    f"It ended by itself: {CLEAN} clean windows in a row. Say what it was, and accept it; that "
    "silences nothing."
)


def live_pasts(ctx: Context, model: str, now: int) -> list[Past]:
    """Return the versions that answer users now, the main one first, with their last windows."""
    with ctx.read() as tx:
        table = releases.current_routing(tx, ctx.project_id, model)
        live = spans([table] if table is not None else [], now + 1)
        ordered = sorted(live, key=lambda span: not span.main)
        labels = [(model, span.version) for span in ordered]
        found = models.versions_at(tx, ctx.project_id, labels)
        pasts = [_past(ctx, tx, found[label], now) for label in labels]
    if not pasts:
        return []
    told = _by_count(pasts, live) if pasts[0].terms.counted else _by_time(pasts)
    return [msgspec.structs.replace(pasts[0], traffic=told), *pasts[1:]]


def _by_time(pasts: list[Past]) -> dict[int, int]:
    """Return the rows that all live versions answered in each window of the main one."""
    traffic: dict[int, int] = {}
    for past in pasts:
        for window in past.windows:
            traffic[window.start] = traffic.get(window.start, 0) + window.rows
    whole = {window.start for window in pasts[0].windows if window.rows}
    return {start: rows for start, rows in traffic.items() if start in whole}


def _by_count(pasts: list[Past], live: list[Span]) -> dict[int, int]:
    """Return the rows that each window of the main version would have had in the usual time.

    Only since it answers everybody: the windows of two versions do not end together.
    """
    windows = [each for each in pasts[0].windows if each.start >= max(span.start for span in live)]
    if len(live) > 1 or not windows:
        return {}
    usual = float(np.median([each.end - each.start for each in windows]))
    return {each.start: round(each.rows * usual / (each.end - each.start)) for each in windows}


def _past(ctx: Context, tx: Tx, version: ModelVersion, now: int) -> Past:
    terms = terms_of(ctx, version)
    windows = monitoring.find_windows(
        tx,
        ctx.project_id,
        version.model,
        version.version,
        0 if terms.counted else now - LOOKED_AT * terms.window,
        last=LOOKED_AT if terms.counted else None,
    )
    declared = _declared(ctx, tx, version.model) if any(each.outcomes for each in windows) else None
    return Past(version=version, terms=terms, windows=windows, declared=declared)


def _declared(ctx: Context, tx: Tx, model: str) -> AccuracyLevel | None:
    """Return the accuracy that users of a model were told, None where nobody declared one."""
    answers = duties.find_answers(tx, ctx.project_id, model)
    return parse_level(answers.fields.get("accuracy_level", ""))


def _counted(
    past: Past, known: list[Alert], accepted: list[Alert], now: int
) -> dict[Cause, Verdict]:
    """Return the verdicts that are news: what was settled or accepted before is none.

    Windows count from the moment in which an alert of their cause was closed; where it was
    accepted, from the last one that whoever accepted it could see.
    """
    settled = [alert for alert in known if alert.state is AlertState.CLOSED]
    ids = {alert.alert_id for alert in accepted}
    since = dict.fromkeys(Cause, 0)
    for alert in settled:
        seen = alert.last_bad + 1 if alert.alert_id in ids and alert.last_bad else alert.closed_at
        since[alert.cause] = max(since[alert.cause], seen or 0)
    here = [alert for alert in settled if alert.version == past.version.version]
    silenced = [alert for alert in here if alert.alert_id in ids or alert.cause is Cause.AGE]
    news = msgspec.structs.replace(past, accepted=faults_among(silenced))
    return {
        verdict.cause: verdict
        for verdict in verdicts(news, now, since)
        if not any(_covers(alert, verdict) for alert in silenced)
    }


def _unserved(
    ctx: Context, model: str, accepted: list[Alert], now: int
) -> tuple[Verdict, Past] | None:
    """Return that the fallback alone answers, unless somebody accepted it."""
    with ctx.read() as tx:
        found = unserved(releases.routing_history(tx, ctx.project_id, model), now)
        if found is None or any(_same(alert, found.verdict) for alert in accepted):
            return None
        version = models.get_version(tx, ctx.project_id, model, found.version)
        return found.verdict, _past(ctx, tx, version, now)


def _same(alert: Alert, verdict: Verdict) -> bool:
    return _signal(alert) == FALLBACK and alert.first_bad == verdict.first_bad


def tell_skew(ctx: Context, version: ModelVersion, faults: list[Fault]) -> Alert | None:
    """Open an alert about features that were served otherwise than history says, or end it.

    Windows cannot show such skew, so nothing but another look says that it is over.

    Args:
        ctx: the project.
        version: whose features were compared.
        faults: those that differ; empty where none does.

    Returns:
        The alert that was opened, or that is over; None where nothing changed.
    """
    now = ctx.now()
    with ctx.read() as tx:
        known = monitoring.find_alerts(tx, ctx.project_id, model=version.model, states=_UNSETTLED)
    open_one = next((each for each in known if each.cause is Cause.DATA_QUALITY), None)
    if faults and open_one is None:
        words = ", ".join(dict.fromkeys(fault.column for fault in faults))
        verdict = Verdict(
            cause=Cause.DATA_QUALITY,
            title=f"{words} {'was' if len(faults) == 1 else 'were'} served otherwise than history "
            "says: training and serving do not see the same.",
            first_bad=now,
            last_bad=now,
            numbers={"signal": SKEW, "faults": msgspec.to_builtins(faults)},
        )
        with ctx.read() as tx:
            past = _past(ctx, tx, version, now)
        return _open(ctx, verdict, past, now)
    if open_one is None or faults or _signal(open_one) != SKEW or is_over(open_one):
        return None
    (ended,) = _end(ctx, open_one)
    return ended


def _numbers(alert: Alert) -> dict[str, Any]:
    return alert.evidence.get("numbers", {})


def _signal(alert: Alert) -> str:
    return str(_numbers(alert).get("signal", ""))


def _covers(accepted: Alert, verdict: Verdict) -> bool:
    """Tell whether what was accepted once is all there is now; a failing service never is."""
    if accepted.cause is not verdict.cause or verdict.cause is Cause.SERVICE:
        return False
    if _is_escalated(accepted, verdict):
        return False
    return faults_of(verdict.numbers) <= faults_of(_numbers(accepted))


def _is_escalated(alert: Alert, verdict: Verdict) -> bool:
    """Tell whether performance is below what users were told, and an alert does not say so yet."""
    return DECLARED in verdict.numbers and DECLARED not in _numbers(alert)


def _is_over(alert: Alert, pasts: list[Past]) -> bool:
    if alert.cause is Cause.AGE:
        return all(past.version.version != alert.version for past in pasts)
    if alert.cause is Cause.OUTCOMES:
        return True
    if _signal(alert) == SKEW:
        return False
    return clean_since(alert, pasts, alert.last_bad or alert.opened_at) >= CLEAN


def clean_since(alert: Alert, pasts: list[Past], moment: int) -> int:
    """Return how many of the main version's windows after a moment are clean, to the last one.

    Only windows that could have shown the alert's cause (by its signal) count; a bad one starts
    the count anew.
    """
    signal = _signal(alert)
    if signal == SKEW:
        return CLEAN if is_over(alert) else 0
    low, high = _numbers(alert)["usual"] if signal == VOLUME else (0.0, math.inf)
    said = _numbers(alert).get(DECLARED)
    level = msgspec.convert(said, AccuracyLevel) if said else None
    count = 0
    for past in pasts[:1]:
        for window, found in past.found():
            if window.start <= moment or not is_judged(window, found, alert.cause, signal):
                continue
            usual = signal != VOLUME or low <= past.traffic.get(window.start, 0) <= high
            missed = level is not None and misses(level, found)
            count = 0 if is_bad(found, alert.cause) or missed or not usual else count + 1
    return count


def _open(ctx: Context, verdict: Verdict, past: Past, now: int) -> Alert:
    policy = _policy(ctx, verdict, past, now)
    alert = Alert(
        alert_id=new_id(),
        model=past.version.model,
        version=past.version.version,
        cause=verdict.cause,
        level=policy.level,
        state=AlertState.OPEN,
        title=verdict.title,
        owner=policy.owner,
        deputy=policy.deputy,
        opened_at=now,
        deadline=policy.deadline,
        evidence=_evidence(ctx, verdict, past, policy),
        proposed=policy.proposed,
        recommended=policy.recommended,
        default_action=policy.default_action,
        first_bad=verdict.first_bad,
        last_bad=verdict.last_bad,
        replay=ctx.home.clock().mode is ClockMode.REPLAY,
    )
    with ctx.write(f"alert:{alert.alert_id}", title=alert.title, cause=alert.cause.value) as tx:
        monitoring.save_alert(tx, ctx.project_id, alert)
        _tell(tx, ctx, alert, past)
    return alert


def _tell(tx: Tx, ctx: Context, alert: Alert, past: Past) -> None:
    """Send an alert to its owner, and to that of the data it comes from; no notice is sent."""
    for team in _told(alert) if alert.level is Level.ALERT else ():
        enqueue(
            tx,
            ctx.project_id,
            past.terms.contract,
            team=team,
            subject=f"[{alert.model}] {alert.title}",
            body=message(alert),
            picture=picture(alert.evidence),
        )


def _told(alert: Alert) -> list[str]:
    data_owner = alert.evidence.get("upstream", {}).get("owner", "")
    return list(dict.fromkeys(name for name in (alert.owner, data_owner) if name))


def message(alert: Alert) -> str:
    """Return what a team reads about an alert."""
    reasons: dict[str, str] = alert.evidence.get("reasons", {})
    lines = [
        alert.title,
        "",
        f"Model {alert.model}, version {alert.version}; cause: {alert.cause.value}.",
        f"Decide by {format_time(alert.deadline)}:",
        *(f"- {each}: {reasons.get(each, '')}".rstrip(": ") for each in alert.proposed),
    ]
    if alert.recommended:
        lines.append(
            f"Recommended: {alert.recommended}. {alert.evidence.get('advice', '')}".strip()
        )
    if alert.default_action:
        lines.append(f"If nobody decides: {alert.default_action}.")
    if alert.evidence.get("upstream"):
        source = alert.evidence["upstream"]
        made = source.get("made_at")
        lines.append(upstream.words(source, format_time(made) if made else ""))
    if alert.evidence.get("runbook"):
        lines.append(f"Runbook: {alert.evidence['runbook']}")
    lines.append(f"thrive alerts show {alert.alert_id}")
    return "\n".join(lines)


def _evidence(ctx: Context, verdict: Verdict, past: Past, policy: Policy) -> dict[str, Any]:
    """Return the numbers, and the drift and segments of the last bad window that explain them."""
    window = next((item for item in reversed(past.windows) if item.start == verdict.last_bad), None)
    explained = _explanation(ctx, window, past.version) if window is not None else {}
    runbook = past.terms.model.actions[verdict.cause].runbook
    shown = series(past.found(), verdict.cause, verdict.numbers)
    return {
        "numbers": verdict.numbers,
        "advice": policy.advice,
        "reasons": policy.reasons,
        **({"against": policy.against} if policy.against else {}),
        **({"runbook": runbook} if runbook else {}),
        **({"series": shown} if shown else {}),
        **explained,
        **_behind(ctx, verdict, past, window),
    }


def _behind(ctx: Context, verdict: Verdict, past: Past, window: Window | None) -> dict[str, Any]:
    """Return the dataset that faulty inputs come from, and all that changed meanwhile."""
    if verdict.cause is Cause.AGE:
        return {}
    length = past.windows[-1].end - past.windows[-1].start if past.windows else past.terms.window
    stretch = upstream.Stretch(start=verdict.first_bad - length, end=verdict.last_bad + length)
    behind = upstream.DataBehind(ctx, past.version, past.terms.contract)
    faulty = {str(fault["column"]) for fault in verdict.numbers.get("faults", [])}
    faulty |= (
        {fault.column for fault in findings_of(window).quality} if window is not None else set()
    )
    faulty -= {ROWS, LABELS}
    source = behind.of(faulty, stretch) if verdict.numbers.get("faults") or faulty else None
    changed = behind.changes(stretch)
    return {
        **({"upstream": msgspec.to_builtins(source)} if source is not None else {}),
        **({"changed_data": msgspec.to_builtins(changed)} if changed else {}),
    }


def _explanation(ctx: Context, window: Window, version: ModelVersion) -> dict[str, Any]:
    found = findings_of(window)
    moved = _moved_in(ctx, window, found.baseline)
    drifted = [msgspec.to_builtins(column) for column in found.drifted()]
    return {
        "drift": ranked(drifted, version.importance)[:10],
        "segments": msgspec.to_builtins(found.segments),
        **({"moved_in": moved} if moved else {}),
        "window": {"start": window.start, "end": window.end, "rows": window.rows},
    }


def _moved_in(ctx: Context, window: Window, baseline: str) -> dict[str, str]:
    """Return the inputs that moved in each segment of a window where any did."""
    if not window.sketches or not baseline:
        return {}
    parts = load_counters(ctx, window).parts
    found = parts_of(load_baseline(ctx, baseline), [parts], window.start)
    return {f"{each.column}={each.value}": each.moved for each in found if each.moved}


def _policy(ctx: Context, verdict: Verdict, past: Past, now: int) -> Policy:
    explained = verdict.numbers.get("explained")
    lesson = None
    if verdict.cause is Cause.PERFORMANCE:
        lesson = _lesson(ctx, verdict, past)
    policy = policy_of(
        past.terms,
        verdict.cause,
        now,
        new_labels=_new_labels(past),
        doubt=_doubt(verdict),
        flipped=verdict.cause is Cause.OUTCOMES and bool(verdict.numbers.get("faults")),
        explained=explained,
        lesson=lesson,
        retrained=retrained(ctx, past.version.model, past.terms),
    )
    if verdict.numbers.get("signal") == FALLBACK:
        return policy_without_version(policy, verdict, past.version.model)
    return policy


def _doubt(verdict: Verdict) -> str:
    """Return what may stand behind the worst fault of the data, "" where it is plain."""
    faults = verdict.numbers.get("faults", [])
    return words_of(faults[0].get("likely", {})) if faults else ""


def retrained(ctx: Context, model: str, terms: TermsInForce) -> int:
    """Return how often alerts had a model trained again in the stretch that its contract names."""
    _, length = parse_rate(terms.model.monitor.retrainings)
    with ctx.read() as tx:
        return monitoring.count_decisions(
            tx, ctx.project_id, model, ActionKind.RETRAIN, since=ctx.now() - length
        )


def _lesson(ctx: Context, verdict: Verdict, past: Past) -> Learnable | None:
    """Return what the labelled rows of the bad windows, and of those between, could teach."""
    last = next((item for item in past.windows if item.start == verdict.last_bad), None)
    digest = findings_of(last).baseline if last is not None else ""
    if last is None or not digest:
        return None
    version = past.version
    frame = predictions_between(
        ctx.home, verdict.first_bad, last.end, version.model, version.version
    )
    live = frame.filter((frame["variant"] != "shadow") & (frame["error"] == ""))
    return learnable(natural(with_outcomes(ctx.home, live, ctx.now())), load_baseline(ctx, digest))


def _new_labels(past: Past) -> int:
    return sum(window.outcomes for window in past.windows)


def _renew(ctx: Context, alert: Alert, verdict: Verdict, past: Past) -> Alert:
    policy = _policy(ctx, verdict, past, alert.opened_at)
    renewed = msgspec.structs.replace(
        alert,
        title=verdict.title,
        proposed=policy.proposed,
        recommended=policy.recommended,
        default_action=policy.default_action,
        evidence=_evidence(ctx, verdict, past, policy),
        last_bad=verdict.last_bad,
    )
    with ctx.observe(f"alert:{alert.alert_id}") as tx:
        monitoring.save_alert(tx, ctx.project_id, renewed)
        if _is_escalated(alert, verdict):
            _tell(tx, ctx, renewed, past)
    return renewed


def close(ctx: Context, alert: Alert, closing: str) -> Alert:
    """Close an alert and say why."""
    closed = msgspec.structs.replace(
        alert, state=AlertState.CLOSED, closed_at=ctx.now(), closing=closing
    )
    with ctx.write(f"alert:{alert.alert_id}", closing=closing) as tx:
        monitoring.save_alert(tx, ctx.project_id, closed)
    return closed
