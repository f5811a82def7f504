"""Decisions about alerts, their actions, and whether they worked.

A decision and the alert's state are one transaction; the action follows. A process that dies in
between leaves a decision that the next tick carries out, and no action is done twice.
"""

import shlex
from collections.abc import Callable
from typing import Any

import msgspec

from thrive.contract.schema import Contract
from thrive.domain.actor import PEOPLE, RELEASERS
from thrive.domain.clock import format_time, machine_now, parse_duration, parse_rate
from thrive.domain.errors import Conflict, Refused, ThriveError, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.model import ModelVersion
from thrive.domain.monitoring import (
    ActionKind,
    Alert,
    AlertState,
    Attention,
    Cause,
    Decision,
    Level,
)
from thrive.domain.project import Job, JobState
from thrive.domain.release import ReleaseState
from thrive.flows import promote, traffic
from thrive.flows.permission import find_running
from thrive.monitoring.accepted import OVER
from thrive.monitoring.alerts import (
    CLEAN,
    clean_since,
    close,
    is_over,
    live_pasts,
    retrained,
)
from thrive.monitoring.outbox import enqueue
from thrive.monitoring.terms import TermsInForce, terms_of
from thrive.monitoring.verdicts import Past, verdicts
from thrive.operations import Context, operation
from thrive.store import jobs, models, monitoring, releases
from thrive.store.database import Tx
from thrive.store.kept_records import recorded

RETRAIN = "models retrain"
"""The operation that a worker executes for the action `retrain`."""
PATIENCE = 14
"""Windows after an action within which it must have worked."""

DECIDED, DONE, FAILED = "decided", "done", "failed"
"""The states of a decision: made, carried out, or its action failed."""


@operation("alerts decide", role=PEOPLE, writes=True, next_hint="thrive alerts show {alert_id}")
def alerts_decide(
    ctx: Context,
    alert: str,
    action: ActionKind,
    *,
    reason: str,
    param: list[str] | None = None,
    yes: bool = False,
) -> Decision:
    """Decide about an alert, and have it done.

    `retrain` becomes a job that a worker takes; `rollback` and `hold` move the release at once;
    `hold` and `fix data` tell the data's owner; `accept` closes the alert and silences what it
    names for this version (of a data fault that column and kind only); `review`, `retire` and
    `redesign` are recorded and told to the owner.

    A retraining that the alert's evidence speaks against (on faulty rows, say) wants `yes`; the
    decision keeps the objection, of any action, and the reason answers it.

    Args:
        alert: its id, or the first 8 digits or more.
        action: what shall be done.
        reason: why, for those who read it later.
        param: parameters of the new training, e.g. --param until=2013-09-01.
        yes: retrain although the evidence speaks against it.

    Raises:
        NotFound: there is no such alert.
        Refused: the actor is neither a releaser nor the alert's owner or deputy, or the evidence
            speaks against the action and `yes` is missing.
        Conflict: it is decided already.

    Examples:
        thrive alerts decide 01928374 retrain --reason "autumn is not in the training data"
    """
    if not reason.strip():
        raise UsageError("The reason is empty.", 'say why, e.g. --reason "the feed is mended"')
    with ctx.read() as tx:
        found = monitoring.get_alert(tx, ctx.project_id, alert)
    named = ctx.actor.name in {found.owner, found.deputy}
    if not named and not ctx.actor.roles & RELEASERS:
        raise Refused(f"{ctx.actor.name} may not decide about this alert.", f"ask {found.owner}")
    if not yes:
        _refuse_against_evidence(ctx, found, action)
    return decide(ctx, found, action, reason.strip(), param or [])


def decide(
    ctx: Context, alert: Alert, action: ActionKind, reason: str, params: list[str] | None = None
) -> Decision:
    """Record a decision about an open alert and carry it out.

    Raises:
        Conflict: the alert is not open any more, the contract's retrainings are used up, or the
            action cannot be done as things are.
    """
    if action is ActionKind.RETRAIN:
        _refuse_spent(ctx, alert)
    decision = Decision(
        decision_id=new_id(),
        alert_id=alert.alert_id,
        action=action,
        actor=ctx.actor.name,
        reason=reason,
        decided_at=ctx.now(),
        state=DECIDED,
    )
    words = {"action": action.value, "reason": reason, "records": [recorded(decision)]}
    with ctx.write(f"alert:{alert.alert_id}", **words) as tx:
        present = monitoring.get_alert(tx, ctx.project_id, alert.alert_id)
        if present.state is not AlertState.OPEN:
            raise Conflict(
                f"Alert {alert.alert_id} is {present.state.value} already.",
                f"thrive alerts show {alert.alert_id}",
            )
        table = releases.current_routing(tx, ctx.project_id, alert.model)
        result: dict[str, Any] = {"routing": table.revision if table else 0, "params": params or []}
        if is_over(present):
            result[OVER] = True
        if against := objection(present, action):
            result["against"] = against
        if action is ActionKind.RETRAIN:
            result["job"] = _retrain_job(tx, ctx, alert, decision, params or [])
        decision = msgspec.structs.replace(decision, result=result)
        monitoring.save_decision(tx, ctx.project_id, decision)
        decided = msgspec.structs.replace(present, state=AlertState.DECIDED)
        monitoring.save_alert(tx, ctx.project_id, decided)
    return carry_out(ctx, decided, decision)


def _refuse_against_evidence(ctx: Context, alert: Alert, action: ActionKind) -> None:
    """Refuse a retraining that the evidence speaks against; what protects users never waits."""
    against = objection(alert, action) if action is ActionKind.RETRAIN else ""
    if not against or alert.state is not AlertState.OPEN:
        return
    _refuse_spent(ctx, alert)
    advised = f"; advised is {alert.recommended}" if alert.recommended else ""
    raise Refused(
        f"The evidence speaks against {action.value}: {against}{advised}.",
        f"thrive alerts decide {alert.alert_id} {shlex.quote(action.value)} --yes "
        '--reason "..." with a reason that answers it',
    )


def objection(alert: Alert, action: str) -> str:
    """Return what the evidence of an alert says against an action, "" where nothing does."""
    return str(alert.evidence.get("against", {}).get(action, ""))


def _is_spent(ctx: Context, alert: Alert) -> bool:
    """Tell whether alerts had the model trained again as often as its contract allows."""
    terms = _terms(ctx, alert)
    most, _ = parse_rate(terms.model.monitor.retrainings)
    return retrained(ctx, alert.model, terms) >= most


def _refuse_spent(ctx: Context, alert: Alert) -> None:
    if _is_spent(ctx, alert):
        rate = _terms(ctx, alert).model.monitor.retrainings
        raise Conflict(
            f"Alerts had {alert.model} trained again as often as its contract allows: {rate}.",
            f"thrive alerts decide {alert.alert_id} review --reason ..., or say more in "
            f"[model.{alert.model}.monitor] retrainings",
        )


def _retrain_job(tx: Tx, ctx: Context, alert: Alert, decision: Decision, params: list[str]) -> str:
    job = Job(
        job_id=new_id(),
        operation=RETRAIN,
        arguments={"model": alert.model, "decision": decision.decision_id, "param": params},
        state=JobState.WAITING,
        actor=ctx.actor.name,
        run_at=machine_now(),
        created_at=machine_now(),
        dedupe_key=f"retrain:{alert.model}",
    )
    return jobs.add(tx, ctx.project_id, job).job_id


Effect = Callable[[Context, Alert, Decision], dict[str, Any]]


def carry_out(ctx: Context, alert: Alert, decision: Decision) -> Decision:
    """Do what was decided; retraining is left to a worker.

    Raises:
        ThriveError: it could not be done; the alert is open again, the decision says why.
    """
    if decision.action is ActionKind.RETRAIN:
        return decision
    try:
        effect = _EFFECTS[decision.action](ctx, alert, decision)
    except ThriveError as error:
        if not error.transient:
            fail(ctx, decision, error.what)
        raise
    done = complete(ctx, decision, effect)
    if decision.action is ActionKind.ACCEPT:
        with ctx.read() as tx:
            present = monitoring.get_alert(tx, ctx.project_id, alert.alert_id)
        close(ctx, present, f"accepted by {decision.actor}: {decision.reason}")
    return done


def complete(ctx: Context, decision: Decision, effect: dict[str, Any]) -> Decision:
    """Write that a decision was carried out, and what came of it."""
    done = msgspec.structs.replace(
        decision, state=DONE, result={**decision.result, **effect, "done_at": ctx.now()}
    )
    _settle(ctx, done, AlertState.DONE)
    return done


def fail(ctx: Context, decision: Decision, what: str) -> Decision:
    """Write that a decision could not be carried out: its alert wants another one."""
    failed = msgspec.structs.replace(
        decision, state=FAILED, result={**decision.result, "error": what}
    )
    _settle(ctx, failed, AlertState.OPEN)
    return failed


def _settle(ctx: Context, decision: Decision, state: AlertState) -> None:
    with ctx.write(f"decision:{decision.decision_id}", state=decision.state) as tx:
        monitoring.save_decision(tx, ctx.project_id, decision)
        alert = monitoring.get_alert(tx, ctx.project_id, decision.alert_id)
        if alert.state is AlertState.DECIDED:
            monitoring.save_alert(tx, ctx.project_id, msgspec.structs.replace(alert, state=state))


def _rollback(ctx: Context, alert: Alert, decision: Decision) -> dict[str, Any]:
    with ctx.read() as tx:
        table = releases.current_routing(tx, ctx.project_id, alert.model)
    if table is not None and table.revision > decision.result.get("routing", 0):
        return {"effect": "the routing has moved since", "revision": table.revision}
    moved = traffic.roll_back(ctx, alert.model, decision.reason)
    production = moved.production()
    words = f"version {production.version} serves" if production else "the fallback answers"
    return {"effect": words, "revision": moved.revision}


def _hold(ctx: Context, alert: Alert, decision: Decision) -> dict[str, Any]:
    with ctx.read() as tx:
        running = find_running(tx, ctx, alert.model)
    if running is None:
        words = "nothing moves: no release is on its way"
    elif running.state is ReleaseState.HELD:
        words = f"release {running.release_id} is held already"
    else:
        held = promote.releases_hold(ctx, alert.model, reason=decision.reason)
        words = f"release {held.release_id} is held"
    return {"effect": words, **_tell(ctx, alert, decision)}


def _told(ctx: Context, alert: Alert, decision: Decision) -> dict[str, Any]:
    return {"effect": _WORDS[decision.action], **_tell(ctx, alert, decision)}


_WORDS = {
    ActionKind.FIX_DATA: "the data's owner mends it",
    ActionKind.REVIEW: "people look at the answers",
    ActionKind.ACCEPT: "what it names is silenced for this version",
    ActionKind.RETIRE: "the owner takes the model out of service",
    ActionKind.REDESIGN: "the owner designs the model anew",
}

_EFFECTS: dict[ActionKind, Effect] = {
    ActionKind.ROLLBACK: _rollback,
    ActionKind.HOLD: _hold,
    ActionKind.FIX_DATA: _told,
    ActionKind.REVIEW: _told,
    ActionKind.ACCEPT: _told,
    ActionKind.RETIRE: _told,
    ActionKind.REDESIGN: _told,
}


def _tell(ctx: Context, alert: Alert, decision: Decision) -> dict[str, Any]:
    """Put a message about a decision into the outbox; return who is told."""
    data_owner = alert.evidence.get("upstream", {}).get("owner", "")
    about_data = decision.action in {ActionKind.HOLD, ActionKind.FIX_DATA}
    team = data_owner if about_data and data_owner else alert.owner
    contract = _contract(ctx, alert)
    body = (
        f"{alert.title}\n\n{decision.actor} decided: {decision.action.value}. "
        f"{decision.reason}\nthrive alerts show {alert.alert_id}"
    )
    with ctx.observe(f"decision:{decision.decision_id}") as tx:
        subject = f"[{alert.model}] {decision.action.value}: {alert.title}"
        reached = enqueue(tx, ctx.project_id, contract, team=team, subject=subject, body=body)
    return {"told": [team] if reached else []}


def _version(ctx: Context, alert: Alert) -> ModelVersion:
    with ctx.read() as tx:
        return models.get_version(tx, ctx.project_id, alert.model, alert.version)


def _terms(ctx: Context, alert: Alert) -> TermsInForce:
    return terms_of(ctx, _version(ctx, alert))


def _contract(ctx: Context, alert: Alert) -> Contract:
    return _terms(ctx, alert).contract


def resume_decisions(ctx: Context) -> list[Decision]:
    """Carry out the decisions whose process died before their action, and return them.

    A retraining whose job ended without a word about its decision has failed.
    """
    made: list[Decision] = []
    for alert in _alerts(ctx, AlertState.DECIDED):
        decision = _latest(ctx, alert)
        if decision is None or decision.state != DECIDED:
            continue
        if decision.action is not ActionKind.RETRAIN:
            made.append(carry_out(ctx, alert, decision))
        elif (error := _job_error(ctx, decision)) is not None:
            made.append(fail(ctx, decision, error))
    return made


def _job_error(ctx: Context, decision: Decision) -> str | None:
    with ctx.read() as tx:
        job = jobs.get(tx, ctx.project_id, str(decision.result["job"]))
    ended = job.state in {JobState.FAILED, JobState.CANCELLED}
    return (job.error or f"its job was {job.state.value}") if ended else None


def _alerts(ctx: Context, state: AlertState) -> list[Alert]:
    with ctx.read() as tx:
        return monitoring.find_alerts(tx, ctx.project_id, states=(state.value,))


def _latest(ctx: Context, alert: Alert) -> Decision | None:
    with ctx.read() as tx:
        found = monitoring.find_decisions(tx, ctx.project_id, alert.alert_id)
    return found[0] if found else None


def enforce_deadlines(ctx: Context) -> list[Alert]:
    """Do what the contract says when nobody decided in time, and return the alerts concerned.

    What was over by itself is accepted. Otherwise the default action is carried out where there is
    one and it can be done, and if not the deputy is asked, once, with a new deadline. Notices have
    no deadline that is enforced.
    """
    now = ctx.now()
    late = [
        alert
        for alert in _alerts(ctx, AlertState.OPEN)
        if alert.level is Level.ALERT and _due(alert) <= now
    ]
    return [alert for alert in late if _enforce(ctx, alert, now)]


def _due(alert: Alert) -> int:
    """Return when an alert must have been decided: a muted one not before it is heard again."""
    muted = alert.attention.muted_until if alert.attention is not None else None
    return max(alert.deadline, muted or 0)


def _enforce(ctx: Context, alert: Alert, now: int) -> bool:
    if is_over(alert):
        ended = format_time(alert.evidence[OVER])
        reason = f"nobody decided by {format_time(alert.deadline)}, and it was over at {ended}"
        decide(ctx, alert, ActionKind.ACCEPT, reason)
        return True
    tried = _latest(ctx, alert)
    action = _default(ctx, alert)
    if action is not None and (tried is None or tried.state != FAILED):
        reason = f"nobody decided by {format_time(alert.deadline)}: the contract's default"
        decide(ctx, alert, action, reason)
        return True
    return _escalate(ctx, alert, now)


def _default(ctx: Context, alert: Alert) -> ActionKind | None:
    """Return what is done when nobody decides; None too where retraining is no answer."""
    if not alert.default_action:
        return None
    action = ActionKind(alert.default_action)
    if action is ActionKind.RETRAIN and (objection(alert, action) or _is_spent(ctx, alert)):
        return None
    return action


def _escalate(ctx: Context, alert: Alert, now: int) -> bool:
    """Ask the deputy, once, with a new deadline."""
    attention = alert.attention or Attention()
    if attention.escalated or not alert.deputy or alert.deputy == alert.owner:
        return False
    terms = _terms(ctx, alert)
    within = parse_duration(terms.model.actions[alert.cause].within)
    asked = msgspec.structs.replace(
        alert,
        owner=alert.deputy,
        deputy=alert.owner,
        deadline=now + within,
        attention=msgspec.structs.replace(attention, escalated=True),
    )
    with ctx.write(f"alert:{alert.alert_id}", escalated_to=asked.owner) as tx:
        monitoring.save_alert(tx, ctx.project_id, asked)
        enqueue(
            tx,
            ctx.project_id,
            terms.contract,
            team=asked.owner,
            subject=f"[{alert.model}] {alert.owner} did not decide: {alert.title}",
            body=f"{alert.title}\nDecide by {format_time(asked.deadline)}.\n"
            f"thrive alerts show {alert.alert_id}",
        )
    return True


def verify_decisions(ctx: Context) -> list[Alert]:
    """Say of each action that was done whether it worked, and close its alert.

    It worked when three windows in a row are clean; it did not when that takes more than
    fourteen. A retrained version is judged by its own windows, once it serves; without a version
    that answers, what another action took from users does not hurt them any more.
    """
    closed: list[Alert] = []
    for alert in _alerts(ctx, AlertState.DONE):
        decision = _latest(ctx, alert)
        worked = _worked(ctx, alert, decision) if decision is not None else None
        if decision is None or worked is None:
            continue
        words = _why(worked, any_live=bool(live_pasts(ctx, alert.model, ctx.now())))
        with ctx.write(f"decision:{decision.decision_id}", worked=worked) as tx:
            judged = msgspec.structs.replace(decision, worked=worked)
            monitoring.save_decision(tx, ctx.project_id, judged)
        verdict = "worked" if worked else "did not work"
        closed.append(close(ctx, alert, f"{decision.action.value} {verdict}: {words}"))
    return closed


def _why(worked: bool, *, any_live: bool) -> str:
    if not any_live:
        whose = "no version answers users any more"
        return whose if worked else f"{whose}, so nothing shows that it did"
    return f"{CLEAN} clean windows" if worked else f"not clean within {PATIENCE} windows"


def _worked(ctx: Context, alert: Alert, decision: Decision) -> bool | None:
    """Tell whether an action worked; None while it is too early to say."""
    now = ctx.now()
    done_at = int(decision.result.get("done_at", decision.decided_at))
    pasts = live_pasts(ctx, alert.model, now)
    late = _is_late(_terms(ctx, alert), pasts, done_at, now)
    taken_back = alert.cause is not Cause.SERVICE and decision.action is not ActionKind.RETRAIN
    if not pasts:
        return True if taken_back else (False if late else None)
    if alert.cause is Cause.OUTCOMES and any(
        verdict.cause is Cause.OUTCOMES for verdict in verdicts(pasts[0], now)
    ):
        return False if late else None
    waiting = decision.action is ActionKind.RETRAIN and pasts[0].version.version == alert.version
    if alert.cause is Cause.AGE:
        renewed = pasts[0].version.version != alert.version
        return True if renewed else (False if late else None)
    if not waiting and clean_since(alert, pasts, done_at) >= CLEAN:
        return True
    return False if late else None


def _is_late(terms: TermsInForce, pasts: list[Past], done_at: int, now: int) -> bool:
    """Tell whether windows enough have passed that an action should have worked."""
    since = [window for past in pasts[:1] for window in past.windows if window.start > done_at]
    return now - done_at > PATIENCE * terms.window or (terms.counted and len(since) > PATIENCE)


def note_retrained(ctx: Context, decision_id: str, effect: dict[str, Any]) -> None:
    """Complete the decision behind a retraining; one that was settled otherwise stays so."""
    with ctx.read() as tx:
        decision = monitoring.get_decision(tx, ctx.project_id, decision_id)
    if decision.state == DECIDED:
        complete(ctx, decision, effect)


def note_failed(ctx: Context, decision_id: str, what: str) -> None:
    """Fail the decision behind a retraining; one that was settled otherwise stays so."""
    with ctx.read() as tx:
        decision = monitoring.get_decision(tx, ctx.project_id, decision_id)
    if decision.state == DECIDED:
        fail(ctx, decision, what)
