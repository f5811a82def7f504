"""Schedules: pipelines that are run again by time or by what happens, from recorded code."""

import tempfile
from pathlib import Path

import msgspec

from thrive.domain.actor import ANYONE, BUILDERS, CONTROLLER
from thrive.domain.clock import DAY, machine_now, parse_duration, parse_rate
from thrive.domain.cron import next_time, parse_cron
from thrive.domain.errors import UsageError
from thrive.domain.identifiers import checked_name, new_id
from thrive.domain.project import Job, JobState
from thrive.domain.run import CodeRecord
from thrive.domain.schedule import Firing, Missed, Schedule
from thrive.flows.order import Order, RunResult
from thrive.flows.train import execute_and_tell
from thrive.flows.triggers import CRON, KINDS, considered, markers_of
from thrive.operations import Context, Kind, PathText, operation
from thrive.store import jobs, schedules
from thrive.store.database import Tx
from thrive.store.uploads import refuse_unsent
from thrive.tracking.code import record_code, unpack_code
from thrive.tracking.entry import find_file

RUN = "schedules run"
SCHEDULE, CAUSE = "schedule", "cause"
"""Tags of a run that a schedule fired."""


class ScheduleDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule with the last times it fired, newest first."""

    schedule: Schedule
    firings: list[Firing]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it was asked for, in the words of `schedules add`."""

    name: str
    params: list[str]
    cron: str
    on: list[str]
    zone: str
    missed: Missed
    debounce: str
    budget: str
    experiment: str


@operation(
    "schedules add",
    role=BUILDERS,
    kind=Kind.CLIENT,
    writes=True,
    next_hint="thrive schedules show {name}",
)
def schedules_add(
    ctx: Context,
    name: str,
    target: PathText,
    params: list[str] | None = None,
    *,
    cron: str = "",
    on: list[str] | None = None,
    zone: str = "UTC",
    missed: Missed = Missed.ONCE,
    debounce: str = "",
    budget: str = "",
    experiment: str = "",
) -> Schedule:
    """Have a pipeline run by itself: by time, or when something happens. The code is that of now.

    A worker executes it (`thrive server`, or `thrive worker` beside `thrive tick`).

    Args:
        ctx: the context of the call.
        name: the name of the schedule.
        target: FILE or FILE:PIPELINE.
        params: parameters of the pipeline, e.g. --rate 0.05.
        cron: minute, hour, day, month, weekday; @daily and the like.
        on: data:NAME (a new version), drift:MODEL, outcome:MODEL (its real performance fell),
            registry:MODEL (a new version).
        zone: the time zone of the cron line, e.g. Europe/Berlin.
        missed: what becomes of times at which nothing ran: once, skip or all.
        debounce: how long nothing more must happen before an event counts, e.g. 10m.
        budget: how often at most, e.g. "1 a day"; what comes too early waits.
        experiment: the name to compare the runs under.

    Raises:
        UsageError: a trigger cannot be read, or there is none.
        Conflict: there is a schedule of that name.
        Refused: a file that a step declares is too large to go with the code.

    Examples:
        thrive schedules add nightly train.py --cron "0 3 * * *"
        thrive schedules add fresh train.py --on data:flights --debounce 10m --budget "1 a day"
    """
    find_file(target, ctx.local_folder())
    wanted = Wanted(
        name=name,
        params=params or [],
        cron=cron,
        on=on or [],
        zone=zone,
        missed=missed,
        debounce=debounce,
        budget=budget,
        experiment=experiment,
    )
    proposed = _schedule(ctx, wanted)
    folder, blobs = ctx.local_folder(), ctx.home.blobs
    code = record_code(folder, target, blobs, with_declared=True).record
    blobs.admit(code.bundle)
    return _add(ctx, proposed, code)


@operation("schedules commit", role=BUILDERS, writes=True, next_hint="thrive schedules show {name}")
def schedules_commit(
    ctx: Context,
    name: str,
    target: str,
    bundle: str,
    params: list[str] | None = None,
    *,
    cron: str = "",
    on: list[str] | None = None,
    zone: str = "UTC",
    missed: Missed = Missed.ONCE,
    debounce: str = "",
    budget: str = "",
    experiment: str = "",
    commit: str = "",
    branch: str = "",
    dirty: bool = False,
    diff: str = "",
) -> Schedule:
    """Have a pipeline run by itself from code that was sent by digest: `schedules add` from afar.

    Args:
        ctx: the context of the call.
        name: the name of the schedule.
        target: FILE or FILE:PIPELINE, inside the bundle.
        bundle: the digest of the project's files, as they were sent.
        params: parameters of the pipeline.
        cron: as for `schedules add`, and so are the ones that follow.
        on: what else it fires on.
        zone: the time zone of the cron line.
        missed: what becomes of times at which nothing ran.
        debounce: how long nothing more must happen before an event counts.
        budget: how often at most.
        experiment: the name to compare the runs under.
        commit: git's commit, empty without one.
        branch: git's branch.
        dirty: whether files differ from the commit.
        diff: how they differ.

    Raises:
        UsageError: a trigger cannot be read, or there is none.
        NotFound: the bundle was not sent, or a day has passed since.
        Conflict: there is a schedule of that name.

    Examples:
        thrive schedules commit nightly train.py DIGEST --cron "0 3 * * *"
    """
    wanted = Wanted(
        name=name,
        params=params or [],
        cron=cron,
        on=on or [],
        zone=zone,
        missed=missed,
        debounce=debounce,
        budget=budget,
        experiment=experiment,
    )
    proposed = _schedule(ctx, wanted)
    refuse_unsent(ctx.home, [bundle])
    code = CodeRecord(
        entry=target, bundle=bundle, commit=commit, branch=branch, dirty=dirty, diff=diff
    )
    return _add(ctx, proposed, code)


def _schedule(ctx: Context, wanted: Wanted) -> Schedule:
    """Return what was asked for as a schedule that has no code yet."""
    now = ctx.now()
    count, window = parse_rate(wanted.budget) if wanted.budget else (0, 0)
    return Schedule(
        name=checked_name(wanted.name, "schedule"),
        target="",
        triggers=_triggers(wanted.cron, wanted.on),
        params=wanted.params,
        experiment=wanted.experiment,
        zone=_zone(wanted.zone),
        missed=wanted.missed,
        debounce=parse_duration(wanted.debounce) if wanted.debounce else 0,
        budget=count,
        budget_window=window,
        next_at=next_time(parse_cron(wanted.cron), now, wanted.zone) if wanted.cron else None,
        code=CodeRecord(entry=""),
        actor=ctx.actor.name,
        created_at=now,
    )


def _add(ctx: Context, proposed: Schedule, code: CodeRecord) -> Schedule:
    """Keep a schedule with its code; what has happened before is no event for it."""
    triggers = proposed.triggers
    subject = f"schedule:{proposed.name}"
    with ctx.write(subject, target=code.entry, triggers=triggers) as tx:
        seen = markers_of(tx, ctx.project_id, triggers)
        schedule = msgspec.structs.replace(proposed, target=code.entry, code=code, seen=seen)
        schedules.add(tx, ctx.project_id, schedule)
    return schedule


def _triggers(cron: str, on: list[str]) -> list[str]:
    found = [f"{CRON} {' '.join(cron.split())}"] if cron else []
    for text in on:
        kind, colon, subject = text.partition(":")
        if kind not in KINDS or not colon or not subject:
            known = ", ".join(f"{each}:NAME" for each in KINDS)
            raise UsageError(f"{text!r} is no trigger.", f"write --on {known}")
        found.append(f"{kind} {checked_name(subject, kind)}")
    if not found:
        raise UsageError("A schedule needs a trigger.", 'give --cron "0 3 * * *" or --on data:NAME')
    return found


def _zone(name: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise UsageError(f"{name!r} is no time zone.", "write e.g. Europe/Berlin") from None
    return name


@operation(
    "schedules list",
    role=ANYONE,
    next_hint="thrive schedules show {name}",
    columns=("name", "target", "triggers", "missed", "budget", "next_at", "paused", "actor"),
)
def schedules_list(ctx: Context) -> list[Schedule]:
    """List the schedules, with their triggers and when they are due next.

    Examples:
        thrive schedules list
    """
    with ctx.read() as tx:
        return schedules.find(tx, ctx.project_id)


@operation("schedules show", role=ANYONE)
def schedules_show(ctx: Context, name: str) -> ScheduleDetail:
    """Show a schedule and the last times it fired, each with its cause and its run.

    Args:
        name: the schedule.

    Examples:
        thrive schedules show nightly
    """
    with ctx.read() as tx:
        found = schedules.get(tx, ctx.project_id, name)
        fired = schedules.find_firings(tx, ctx.project_id, name)
    return ScheduleDetail(schedule=found, firings=fired)


@operation("schedules remove", role=BUILDERS, writes=True)
def schedules_remove(ctx: Context, name: str) -> Schedule:
    """Remove a schedule; its runs stay.

    Args:
        name: the schedule.

    Examples:
        thrive schedules remove nightly
    """
    with ctx.write(f"schedule:{name}") as tx:
        found = schedules.get(tx, ctx.project_id, name)
        schedules.remove(tx, ctx.project_id, name)
    return found


@operation("schedules pause", role=BUILDERS, writes=True)
def schedules_pause(ctx: Context, name: str, *, resume: bool = False) -> Schedule:
    """Pause a schedule, or let it go on: what happened meanwhile counts as one event.

    Args:
        name: the schedule.
        resume: let it go on.

    Examples:
        thrive schedules pause nightly
        thrive schedules pause nightly --resume
    """
    with ctx.write(f"schedule:{name}", paused=not resume) as tx:
        found = schedules.get(tx, ctx.project_id, name)
        changed = msgspec.structs.replace(found, paused=not resume, revision=found.revision + 1)
        schedules.change(tx, ctx.project_id, changed)
    return changed


@operation(RUN, role=BUILDERS, kind=Kind.JOB, writes=True, next_hint="thrive runs show RUN")
def schedules_run(ctx: Context, name: str, *, firing: str = "") -> RunResult:
    """Run what a schedule runs, now, from the code it recorded; no budget holds it back.

    Args:
        name: the schedule.
        firing: the firing that asked for it; without one it is by hand.

    Examples:
        thrive schedules run nightly
    """
    with ctx.read() as tx:
        schedule = schedules.get(tx, ctx.project_id, name)
        fired = schedules.get_firing(tx, ctx.project_id, firing) if firing else None
    if fired is None:
        fired = Firing(
            firing_id=new_id(),
            schedule=name,
            cause=f"by hand: {ctx.actor.name}",
            fired_at=ctx.now(),
            by_hand=True,
        )
    with tempfile.TemporaryDirectory(dir=ctx.home.temporary_folder, prefix="fired-") as place:
        folder = Path(place)
        code = unpack_code(schedule.code, folder, ctx.home.blobs)
        order = Order(
            target=schedule.target,
            params=schedule.params,
            experiment=schedule.experiment,
            code=code,
            tags={SCHEDULE: name, CAUSE: fired.cause},
        )
        done = execute_and_tell(ctx.inside(folder), order)
    with ctx.write(f"schedule:{name}", cause=fired.cause, run=done.run_id) as tx:
        kept = msgspec.structs.replace(fired, run_id=done.run_id)
        schedules.save_firing(tx, ctx.project_id, kept)
    return done


def fire_due(ctx: Context) -> list[str]:
    """Fire the schedules that are due; return their causes. Of two servers, one fires."""
    with ctx.read() as tx:
        known = [each for each in schedules.find(tx, ctx.project_id) if not each.paused]
    fired: list[str] = []
    for schedule in known:
        fired += _fire(ctx, schedule)
    return fired


def _fire(ctx: Context, schedule: Schedule) -> list[str]:
    now = ctx.now()
    with ctx.read() as tx:
        spent = _spent(tx, ctx.project_id, schedule, now)
        markers = markers_of(tx, ctx.project_id, schedule.triggers)
    changed, causes = considered(schedule, markers, now, spent)
    if changed == schedule:
        return []
    changed = msgspec.structs.replace(changed, revision=schedule.revision + 1)
    with ctx.write(f"schedule:{schedule.name}", causes=causes) as tx:
        if not schedules.change(tx, ctx.project_id, changed):
            return []
        for cause in causes:
            _queue(tx, ctx.project_id, schedule, cause, now)
    return [f"{schedule.name}: {cause}" for cause in causes]


def _spent(tx: Tx, project_id: str, schedule: Schedule, now: int) -> int:
    """Return how much of its budget a schedule has used."""
    if not schedule.budget:
        return 0
    since = now - (schedule.budget_window or DAY) + 1
    fired = schedules.find_firings(
        tx, project_id, schedule.name, since=since, limit=schedule.budget + 100
    )
    return sum(not each.by_hand for each in fired)


def _queue(tx: Tx, project_id: str, schedule: Schedule, cause: str, now: int) -> None:
    firing_id, job_id = new_id(), new_id()
    job = Job(
        job_id=job_id,
        operation=RUN,
        arguments={"name": schedule.name, "firing": firing_id},
        state=JobState.WAITING,
        actor=CONTROLLER.name,
        run_at=machine_now(),
        created_at=machine_now(),
        dedupe_key=f"firing:{firing_id}",
    )
    jobs.add(tx, project_id, job)
    firing = Firing(
        firing_id=firing_id, schedule=schedule.name, cause=cause, fired_at=now, job_id=job_id
    )
    schedules.save_firing(tx, project_id, firing)
