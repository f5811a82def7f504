"""Oversight by people: incidents with their clock, holds on deletion, the stop button tried."""

import time
from typing import Any
from urllib.request import urlopen

import msgspec

from thrive.domain.actor import ANYONE, ERASERS, PEOPLE, STOPPERS, Role
from thrive.domain.clock import DAY, HOUR, format_time, machine_now, parse_time
from thrive.domain.duty import Drill, Incident, IncidentKind, LegalHold
from thrive.domain.errors import Conflict, Refused, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.reference import parse_reference
from thrive.domain.release import RoutingTable, ServingHost
from thrive.flows.traffic import end_stop, live_routing, try_stop
from thrive.operations import Context, Kind, operation
from thrive.serving.hosts import seen
from thrive.store import datasets, holds, models, monitoring, oversight, releases
from thrive.store.database import Tx
from thrive.store.kept_records import recorded

TIME_TO_REPORT = {
    IncidentKind.SERIOUS: 15 * DAY,
    IncidentKind.DEATH: 10 * DAY,
    IncidentKind.WIDESPREAD: 2 * DAY,
    IncidentKind.BREACH: 72 * HOUR,
}
"""AI Act art. 73(2)-(4); GDPR art. 33(1)."""
LOOKED_BACK = 7 * DAY
LONGEST_DRILL_S = 30.0
LOOK_S = 0.05


@operation("incidents open", role=PEOPLE, writes=True, next_hint="thrive incidents list")
def incidents_open(
    ctx: Context,
    model: str,
    *,
    what: str,
    kind: IncidentKind = IncidentKind.SERIOUS,
    aware: str = "",
) -> Incident:
    """Open a serious incident: its clock runs, its evidence is gathered, deletion is held.

    A serious incident is reported within 15 days, a death within 10, a widespread one or one of
    critical infrastructure within 2, a breach of personal data within 72 hours.

    Args:
        model: MODEL or MODEL@VERSION; the live version if no number is given, else the newest.
        what: what happened, to whom.
        kind: serious, death, widespread or breach.
        aware: when somebody became aware, ISO 8601; now if not said.

    Raises:
        NotFound: there is no such model.
        UsageError: nothing is said, or the time is none or to come.

    Examples:
        thrive incidents open flight-delay --what "crew was sent home by a wrong warning"
    """
    if not what.strip():
        raise UsageError("What happened?", '--what "..."')
    now = ctx.now()
    aware_at = parse_time(aware) if aware else now
    if aware_at > now:
        raise UsageError(
            f"Nobody can be aware at {format_time(aware_at)} yet: it is {format_time(now)}.",
            f'--aware "{format_time(now)}"',
        )
    with ctx.read() as tx:
        name, version = _version(tx, ctx, model)
        evidence = _evidence(tx, ctx, name, aware_at)
    incident = Incident(
        incident_id=new_id(),
        model=name,
        version=version,
        kind=kind,
        what=what.strip(),
        actor=ctx.actor.name,
        aware_at=aware_at,
        opened_at=now,
        due_at=aware_at + TIME_TO_REPORT[kind],
        evidence=evidence,
    )
    hold = LegalHold(
        hold_id=new_id(),
        subject="project",
        reason=holds.for_incident(incident.incident_id),
        actor=ctx.actor.name,
        placed_at=now,
    )
    words = {"model": model, "what": incident.what, "records": [recorded(hold)]}
    with ctx.write(f"incident:{incident.incident_id}", **words) as tx:
        oversight.add_incident(tx, ctx.project_id, incident)
        holds.add_hold(tx, ctx.project_id, hold)
    return incident


@operation(
    "incidents list",
    role=ANYONE,
    columns=(
        "incident_id",
        "model",
        "version",
        "kind",
        "what",
        "aware_at",
        "due_at",
        "reported_at",
    ),
)
def incidents_list(ctx: Context, *, model: str | None = None) -> list[Incident]:
    """List incidents, newest first, with when their report is due.

    Args:
        model: only of this model.

    Examples:
        thrive incidents list
    """
    with ctx.read() as tx:
        return oversight.find_incidents(tx, ctx.project_id, model)


@operation("incidents report", role=PEOPLE, writes=True)
def incidents_report(ctx: Context, incident_id: str, *, authority: str, cause: str) -> Incident:
    """Record that an incident was reported, and lift the hold it placed.

    Args:
        incident_id: the incident, as `incidents list` names it.
        authority: whom it was reported to.
        cause: the causal link that was found.

    Raises:
        NotFound: there is none of that id.
        UsageError: authority or cause is empty.
        Conflict: it was reported already.

    Examples:
        thrive incidents report 01928374aabb7ccd8ee0112233445566 --authority "DPC" --cause "feed"
    """
    if not authority.strip() or not cause.strip():
        raise UsageError("Whom was it reported to, and what was the cause?", '--authority "..."')
    now = ctx.now()
    lifted: list[dict[str, Any]] = []
    words = {"authority": authority, "cause": cause, "records": lifted}
    with ctx.read() as tx:
        incident_id = oversight.get_incident(tx, ctx.project_id, incident_id).incident_id
    with ctx.write(f"incident:{incident_id}", **words) as tx:
        found = oversight.get_incident(tx, ctx.project_id, incident_id)
        if found.reported_at is not None:
            when = format_time(found.reported_at)
            raise Conflict(
                f"It was reported on {when} to {found.authority}.", "thrive incidents list"
            )
        done = msgspec.structs.replace(
            found,
            reported_at=now,
            authority=authority.strip(),
            cause=cause.strip(),
            reported_by=ctx.actor.name,
        )
        oversight.save_incident(tx, ctx.project_id, done)
        for hold in holds.find_holds(tx, ctx.project_id):
            if holds.incident_of(hold) == incident_id:
                ended = holds.lift_hold(
                    tx, ctx.project_id, hold.hold_id, by=ctx.actor.name, reason="reported", at=now
                )
                lifted.append(recorded(ended))
    return done


def _version(tx: Tx, ctx: Context, reference: str) -> tuple[str, int]:
    name, number = parse_reference(reference)
    table = releases.current_routing(tx, ctx.project_id, name)
    live = table.production() if table else None
    wanted = live.version if number is None and live else number
    return name, models.get_version(tx, ctx.project_id, name, wanted).version


def _evidence(tx: Tx, ctx: Context, model: str, aware_at: int) -> dict[str, Any]:
    """Return the timeline before an incident: alerts, windows with their rows, routing."""
    since = aware_at - LOOKED_BACK
    windows = monitoring.find_windows(tx, ctx.project_id, model, since=since)
    alerts = monitoring.find_alerts(tx, ctx.project_id, model=model)
    moves = releases.routing_history(tx, ctx.project_id, model)
    return {
        "predictions": sum(each.rows for each in windows),
        "windows": [f"{model}@{each.version}/{each.start}" for each in windows],
        "alerts": [each.alert_id for each in alerts if each.opened_at >= since],
        "routing": [f"{each.revision}: {each.reason}" for each in moves if each.at >= since],
    }


@operation("holds place", role=ERASERS, writes=True)
def holds_place(ctx: Context, subject: str, *, reason: str) -> LegalHold:
    """Forbid deletion: of a dataset, of a model, or of anything in the project.

    Args:
        subject: dataset:NAME, model:NAME, model:NAME@VERSION or project.
        reason: the order it rests on.

    Raises:
        UsageError: the subject has another form, or no reason is given.
        NotFound: there is no such dataset or model: a slip would leave the right one unheld.

    Examples:
        thrive holds place dataset:flights --reason "court order 17"
    """
    kind, _, name = subject.partition(":")
    if (kind not in {"dataset", "model"} or not name) and subject != "project":
        raise UsageError(f"{subject!r} cannot be held.", "dataset:NAME, model:NAME or project")
    if not reason.strip():
        raise UsageError("A hold needs a reason.", '--reason "..."')
    hold = LegalHold(
        hold_id=new_id(),
        subject=subject,
        reason=reason.strip(),
        actor=ctx.actor.name,
        placed_at=ctx.now(),
    )
    words = {"held": subject, "reason": hold.reason, "records": [recorded(hold)]}
    with ctx.write(f"hold:{hold.hold_id}", **words) as tx:
        _require(tx, ctx, kind, name)
        holds.add_hold(tx, ctx.project_id, hold)
    return hold


def _require(tx: Tx, ctx: Context, kind: str, name: str) -> None:
    if kind == "dataset":
        datasets.get(tx, ctx.project_id, name)
    elif kind == "model":
        model, number = parse_reference(name)
        models.get(tx, ctx.project_id, model)
        if number is not None:
            models.get_version(tx, ctx.project_id, model, number)


@operation("holds list", role=ANYONE)
def holds_list(ctx: Context, *, lifted: bool = False) -> list[LegalHold]:
    """List holds, newest first.

    Args:
        lifted: also those that were lifted.

    Examples:
        thrive holds list
    """
    with ctx.read() as tx:
        return holds.find_holds(tx, ctx.project_id, present=not lifted)


@operation("holds lift", role=ERASERS, writes=True)
def holds_lift(ctx: Context, hold_id: str, *, reason: str) -> LegalHold:
    """Lift a hold; in a team the platform team needs a second person for its own holds.

    Args:
        hold_id: the hold, as `holds list` names it.
        reason: why it may be lifted.

    Raises:
        NotFound: there is none of that id.
        UsageError: no reason is given.
        Refused: it keeps the evidence of an incident that was not reported yet; or you placed it
            yourself, in a team, and are no data engineer.

    Examples:
        thrive holds lift 01928374aabb7ccd8ee0112233445566 --reason "order 17 was lifted"
    """
    if not reason.strip():
        raise UsageError("Lifting a hold needs a reason.", '--reason "..."')
    lifted: list[dict[str, Any]] = []
    with ctx.read() as tx:
        hold_id = holds.get_hold(tx, ctx.project_id, hold_id).hold_id
    with ctx.write(f"hold:{hold_id}", reason=reason, records=lifted) as tx:
        hold = holds.get_hold(tx, ctx.project_id, hold_id)
        _refuse_alone(ctx, hold)
        _refuse_unreported(hold)
        hold = holds.lift_hold(
            tx, ctx.project_id, hold_id, by=ctx.actor.name, reason=reason.strip(), at=ctx.now()
        )
        lifted.append(recorded(hold))
    return hold


def _refuse_alone(ctx: Context, hold: LegalHold) -> None:
    """Refuse that one person of the platform team both places and lifts a hold."""
    own = hold.actor == ctx.actor.name and not ctx.alone
    if own and Role.DATA_ENGINEER not in ctx.actor.roles:
        raise Refused(
            f"{ctx.actor.name} placed this hold: somebody else must lift it.",
            "ask a data engineer or another one of the platform team",
        )


def _refuse_unreported(hold: LegalHold) -> None:
    """Refuse to lift what keeps evidence until the authority knows (AI Act art. 73(6))."""
    incident = holds.incident_of(hold)
    if incident and hold.lifted_at is None:
        raise Refused(
            f"This hold keeps the evidence of the incident {incident} until it is reported.",
            holds.cure_of(hold),
        )


@operation("drills stop", kind=Kind.CLIENT, role=STOPPERS, writes=True)
def drills_stop(ctx: Context, model: str) -> Drill:
    """Try the stop button: users get the fallback until every host followed, then all is as before.

    It does what `thrive releases stop` does; broken off, `thrive releases rollback` ends it. The
    seconds until the last host followed are kept. Serve from another terminal meanwhile.

    Args:
        model: the model's name.

    Raises:
        Conflict: nothing of the model is live, or somebody moved its traffic meanwhile.
        Refused: no host serves, so nothing would be tried.

    Examples:
        thrive drills stop flight-delay
    """
    with ctx.read() as tx:
        hosts = _up(tx, ctx)
        live_routing(tx, ctx, model)
    if not hosts:
        raise Refused("No host serves: there is nothing to stop.", "thrive serve")
    table, stopped = try_stop(ctx, model, "stop drill")
    began = time.monotonic()
    try:
        took = _until_followed(hosts, stopped, began)
    finally:
        end_stop(ctx, table, stopped, "end of the stop drill")
    drill = Drill(
        drill_id=new_id(),
        model=model,
        actor=ctx.actor.name,
        at=ctx.now(),
        hosts=len(hosts),
        took=took,
        words="" if took is not None else f"a host did not follow in {LONGEST_DRILL_S:.0f} s",
    )
    with ctx.write(f"drill:{drill.drill_id}", model=model, took=took) as tx:
        oversight.add_drill(tx, ctx.project_id, drill)
    return drill


def _up(tx: Tx, ctx: Context) -> list[ServingHost]:
    status = seen(releases.find_hosts(tx, ctx.project_id), machine_now())
    return [each.host for each in status if each.up]


def _until_followed(hosts: list[ServingHost], wanted: RoutingTable, began: float) -> int | None:
    """Return the microseconds until every worker of each host answers by a routing table.

    None if one did not within `LONGEST_DRILL_S`.
    """
    waiting = [each.url for each in hosts]
    while time.monotonic() - began < LONGEST_DRILL_S:
        waiting = [url for url in waiting if _revision(url, wanted.model) < wanted.revision]
        if not waiting:
            return round((time.monotonic() - began) * 1e6)
        time.sleep(LOOK_S)
    return None


def _revision(url: str, model: str) -> int:
    """Return the routing revision that all workers of a host have, -1 if it does not answer."""
    if not url.startswith(("http://", "https://")):
        return -1
    try:
        with urlopen(f"{url}/health", timeout=1.0) as answer:  # noqa: S310 - http or https only
            health = msgspec.json.decode(answer.read(), type=_Health)
    except (OSError, msgspec.DecodeError):
        return -1
    return health.revisions.get(model, -1)


class _Health(msgspec.Struct, frozen=True, kw_only=True):
    revisions: dict[str, int] = {}
