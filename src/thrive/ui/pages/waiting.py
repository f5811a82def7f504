"""What waits for a decision of people: alerts, held releases, approvals, and what governance asks.

An operation decides who may: what a viewer's roles allow stands first, with its buttons.
"""

from enum import StrEnum
from urllib.parse import quote

import msgspec

from thrive.domain.actor import PEOPLE, RELEASERS
from thrive.domain.clock import DAY
from thrive.domain.dataset import DatasetVersion
from thrive.domain.duty import DutyException, Incident
from thrive.domain.gate import Answer
from thrive.domain.model import ModelVersion, Stage
from thrive.domain.monitoring import Alert, AlertState, Attention, Level
from thrive.domain.reference import format_reference
from thrive.domain.release import Release, ReleaseState
from thrive.flows.contracts import find_contract
from thrive.flows.facts import ModelFacts
from thrive.flows.permission import Missing, missing_approvals
from thrive.governance.leavers import Leaver, find_gone
from thrive.operations import Context
from thrive.registry.stages import stage_of
from thrive.release.watching import speaks_against
from thrive.store import datasets, duties, oversight, releases
from thrive.store.database import Tx
from thrive.ui.acts import address, may
from thrive.ui.words import quoted

ENDING = 7 * DAY
"""How long before its end an exception asks whether it is to go on."""
LEFT = 7 * DAY
"""How long a model may go without somebody whom its contract names."""
DECISION = "decision"
"""The check by which a person said whether runs may train on a version."""


class Waiting(StrEnum):
    """What waits for a decision."""

    ALERT = "alert"
    NOTICE = "notice"
    RELEASE = "release"
    APPROVAL = "approval"
    EXCEPTION = "exception"
    INCIDENT = "incident"
    DATA = "data"
    OWNER = "owner"


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
        model: about which, "" for data.
        title: what it is, in one line.
        owner: who decides.
        since: when it began to wait.
        deadline: until when, None where the contract names none.
        recommended: what the contract recommends, "" for nothing.
        default: what happens if nobody decides.
        command: what to type.
        link: the page with the evidence.
        mine: whoever looks may decide it.
        taken: who is at it already, "" for nobody.
        muted: until when nobody is paged for it, None where it is not muted.
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
    taken: str = ""
    muted: int | None = None
    acts: list[Button] = []


def all_that_waits(ctx: Context, known: list[ModelFacts]) -> list[Decide]:
    """Return what waits for a decision, what the viewer may decide first."""
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
        found += _exceptions(ctx, tx)
        found += [
            _of_incident(ctx, each)
            for each in oversight.find_incidents(tx, ctx.project_id)
            if each.reported_at is None
        ]
        found += _held_data(ctx, tx)
        found += _leavers(ctx, tx, known)
    return sorted(found, key=_urgency)


def _urgency(item: Decide) -> tuple[bool, bool, int, int]:
    """Return what is sorted by: what the viewer may decide first, then by deadline."""
    forever = 1 << 62
    return not item.mine, item.kind is Waiting.NOTICE, item.deadline or forever, item.since


def _of_alert(ctx: Context, alert: Alert) -> Decide:
    action = alert.recommended if alert.recommended in alert.proposed else ""
    attention = alert.attention or Attention()
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
        taken=attention.seen_by,
        muted=muted_until(alert, ctx.now()),
        acts=_alert_buttons(alert, action),
    )


def may_decide(ctx: Context, alert: Alert) -> bool:
    """Tell whether somebody may decide about an alert: its owner, its deputy, a releaser."""
    named = ctx.actor.name in {alert.owner, alert.deputy}
    return bool(ctx.actor.roles & (PEOPLE if named else RELEASERS))


def muted_until(alert: Alert, now: int) -> int | None:
    """Return until when nobody is paged for an alert, None where somebody is."""
    until = alert.attention.muted_until if alert.attention is not None else None
    return until if until is not None and until > now else None


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
        link=f"/models/{quote(version.model)}/versions#gates",
        mine=bool(ctx.actor.roles & PEOPLE),
        acts=[
            Button(
                operation="approvals give",
                label="Approve",
                link=address("approvals give", version=label, step=step, back="/"),
            )
        ],
    )


def _exceptions(ctx: Context, tx: Tx) -> list[Decide]:
    """Return the exceptions that end soon, those that were granted anew left out."""
    now = ctx.now()
    good = [each for each in duties.find_exceptions(tx, ctx.project_id) if each.good(now)]
    last: dict[tuple[str, str], DutyException] = {}
    for each in sorted(good, key=lambda one: one.expires_at):
        last[each.model, each.duty] = each
    return [_of_exception(ctx, each) for each in last.values() if each.expires_at < now + ENDING]


def _of_exception(ctx: Context, exception: DutyException) -> Decide:
    model, duty = exception.model, exception.duty
    return Decide(
        kind=Waiting.EXCEPTION,
        model=model,
        title=f"The exception of {model} from the duty {duty} ends: {exception.reason}",
        owner=exception.actor,
        since=exception.expires_at - ENDING,
        deadline=exception.expires_at,
        recommended="",
        default="the duty is owed again",
        command=f'thrive exceptions grant {model} {duty} --for "30 days" --reason "..."',
        link=f"/models/{quote(model)}/duties#exceptions",
        mine=may(ctx.actor, "exceptions grant"),
        acts=[
            Button(
                operation="exceptions grant",
                label="Prolong",
                link=address("exceptions grant", model=model, duty=duty, back="/"),
                careful=True,
            ),
            Button(
                operation="exceptions revoke",
                label="Revoke",
                link=address("exceptions revoke", exception_id=exception.exception_id, back="/"),
                careful=True,
            ),
        ],
    )


def _of_incident(ctx: Context, incident: Incident) -> Decide:
    ask = '--authority "..." --cause "..."'
    return Decide(
        kind=Waiting.INCIDENT,
        model=incident.model,
        title=f"An incident is to be reported: {incident.what}",
        owner=incident.actor,
        since=incident.aware_at,
        deadline=incident.due_at,
        recommended="",
        default="",
        command=f"thrive incidents report {incident.incident_id} {ask}",
        link=f"/models/{quote(incident.model)}/duties#incidents",
        mine=may(ctx.actor, "incidents report"),
        acts=[
            Button(
                operation="incidents report",
                label="It was reported",
                link=address("incidents report", incident_id=incident.incident_id, back="/"),
            )
        ],
    )


def _leavers(ctx: Context, tx: Tx, known: list[ModelFacts]) -> list[Decide]:
    """Return who answers for what is live, and is gone."""
    gone = find_gone(tx, ctx.project_id)
    return [
        _of_leaver(ctx, facts, each)
        for facts in known
        if facts.production is not None
        for each in gone.of(facts.terms.contract, facts.terms.model)
    ]


def _of_leaver(ctx: Context, facts: ModelFacts, leaver: Leaver) -> Decide:
    model, terms = facts.model.name, facts.terms.model
    others = [each for each in (terms.owner, terms.deputy) if each and each != leaver.name]
    return Decide(
        kind=Waiting.OWNER,
        model=model,
        title=f"Name another: {leaver.words}",
        owner=others[0] if others else "",
        since=leaver.since,
        deadline=leaver.since + LEFT,
        recommended="",
        default="the next release is refused",
        command=leaver.fix,
        link=f"/models/{quote(model)}/duties",
        mine=ctx.actor.name in others or bool(ctx.actor.roles & RELEASERS),
    )


def _held_data(ctx: Context, tx: Tx) -> list[Decide]:
    """Return the newest versions of data that checks hold back and nobody has decided about."""
    owners = {each.name: each.owner for each in datasets.find(tx, ctx.project_id)}
    return [
        _of_data(ctx, each, owners.get(each.dataset, ""))
        for each in datasets.held_back(tx, ctx.project_id)
        if all(check.get("check") != DECISION for check in each.checks)
    ]


def _of_data(ctx: Context, version: DatasetVersion, owner: str) -> Decide:
    label = format_reference(version.dataset, version.version)
    failed = [str(each["check"]) for each in version.checks if each.get("state") == "fail"]
    why = f"{failed[0]} failed" if failed else "what its columns hold is not said"
    verbs = (("true", "Let them"), ("false", "Keep it back"))
    return Decide(
        kind=Waiting.DATA,
        model="",
        title=f"Runs may not train on {label}: {why}",
        owner=owner,
        since=version.created_at,
        deadline=None,
        recommended="",
        default="",
        command=f'thrive data decide {label} --trainable --reason "..."',
        link=f"/data/{quote(version.dataset)}?version={version.version}",
        mine=may(ctx.actor, "data decide"),
        acts=[
            Button(
                operation="data decide",
                label=said,
                link=address("data decide", name=label, trainable=word, back="/"),
                careful=word == "true",
            )
            for word, said in verbs
        ],
    )
