"""Jobs: a lease table. A worker takes a job for a while, and a fence keeps late workers out.

Hosts need not agree on the time: a team's leases are counted on the clock of its database. On one
machine all processes share a clock, but it may be set; a lease that ends further ahead than any is
given for was counted before the clock was set back, and is over.
"""

import time
from typing import Any

import msgspec
import sqlalchemy as sa

from thrive.domain.errors import Conflict
from thrive.domain.project import Job, JobState
from thrive.store.database import Tx
from thrive.store.rows import from_row, insert_missing, many, mine, named, one, to_row
from thrive.store.tables.project import jobs, leases, projects

MESSAGES = "messages send"
"""The operation that a worker executes to deliver one message to a team."""

LONGEST_LEASE_S = 600
"""No lease is given for longer."""


def now_in(tx: Tx) -> int:
    """Return the present moment (UTC microseconds) on the one clock of all who share the store."""
    if tx.dialect.name != "postgresql":
        return _machine_us()
    seconds = sa.func.extract("epoch", sa.func.clock_timestamp())
    return tx.execute(sa.select(sa.cast(seconds * 1_000_000, sa.BigInteger))).scalar_one()


def _machine_us() -> int:
    return time.time_ns() // 1000


def _over(until: sa.ColumnElement[int], now: int) -> sa.ColumnElement[bool]:
    """Tell whether a lease is over; see the head of this module."""
    return (until < now) | (until > now + LONGEST_LEASE_S * 1_000_000)


def add(tx: Tx, project_id: str, job: Job) -> Job:
    """Add a job; one with the dedupe key of an unfinished job returns that job instead.

    One that is due when it is made is due by the clock of the store.
    """
    if job.run_at <= job.created_at:
        job = msgspec.structs.replace(job, run_at=now_in(tx))
    if insert_missing(tx, jobs, [to_row(project_id, job, jobs)]) or job.dedupe_key is None:
        return job
    same_key = mine(jobs, project_id).where(jobs.c.dedupe_key == job.dedupe_key)
    known = one(tx, Job, same_key)
    if known is None:
        raise Conflict(f"The job for {job.dedupe_key} ended just now.", "try again")
    return known


def get(tx: Tx, project_id: str, job_id: str) -> Job:
    """Return a job by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    return named(tx, project_id, Job, jobs.c.job_id, job_id, "job")


def find(tx: Tx, project_id: str, limit: int = 50, after: str | None = None) -> list[Job]:
    """Return jobs, newest first, older than the id `after`."""
    query = mine(jobs, project_id).order_by(jobs.c.job_id.desc()).limit(limit)
    return many(tx, Job, query.where(jobs.c.job_id < after) if after else query)


def newest(tx: Tx, project_id: str, operation: str) -> Job | None:
    """Return the newest job of an operation, None if there never was one."""
    query = mine(jobs, project_id).where(jobs.c.operation == operation)
    return one(tx, Job, query.order_by(jobs.c.job_id.desc()))


def ended(tx: Tx, project_id: str, operation: str, limit: int = 200) -> list[Job]:
    """Return the last jobs of an operation that were done or failed, newest first."""
    states = (JobState.DONE.value, JobState.FAILED.value)
    query = mine(jobs, project_id).where(jobs.c.operation == operation, jobs.c.state.in_(states))
    return many(tx, Job, query.order_by(jobs.c.job_id.desc()).limit(limit))


def take(
    tx: Tx, project_id: str, seconds: float, job_id: str | None = None, operation: str = ""
) -> Job | None:
    """Lease the next due job (of an operation, or the one named), or return None.

    The fence grows by one.
    """
    now = now_in(tx)
    query = mine(jobs, project_id).where(_is_due(now)).order_by(jobs.c.run_at).limit(1)
    if job_id is not None:
        query = query.where(jobs.c.job_id == job_id)
    if operation:
        query = query.where(jobs.c.operation == operation)
    row = tx.execute(query.with_for_update(skip_locked=True)).mappings().first()
    if row is None:
        return None
    job = from_row(Job, row)
    taken = msgspec.structs.replace(
        job,
        state=JobState.RUNNING,
        fence=job.fence + 1,
        attempt=job.attempt + 1,
        lease_until=now + round(seconds * 1_000_000),
    )
    _update(tx, project_id, job.job_id, job.fence, taken)
    return taken


def _is_due(now: int) -> sa.ColumnElement[bool]:
    expired = (jobs.c.state == JobState.RUNNING.value) & _over(jobs.c.lease_until, now)
    waiting = (jobs.c.state == JobState.WAITING.value) & (jobs.c.run_at <= now)
    return waiting | expired


def is_any_due(tx: Tx, project_id: str, operation: str) -> bool:
    """Tell whether a job of an operation waits to be taken now."""
    query = mine(jobs, project_id).where(jobs.c.operation == operation, _is_due(now_in(tx)))
    return bool(tx.execute(sa.select(query.exists())).scalar())


def due_projects(tx: Tx) -> list[str]:
    """Return the ids of all projects of the store that have a job to take now."""
    now = now_in(tx)
    mine_due = jobs.c.project_id == projects.c.project_id
    expired = mine_due & (jobs.c.state == JobState.RUNNING.value) & _over(jobs.c.lease_until, now)
    waiting = mine_due & (jobs.c.state == JobState.WAITING.value) & (jobs.c.run_at <= now)
    query = sa.select(projects.c.project_id).where(
        sa.or_(*(sa.exists().where(each) for each in (expired, waiting)))
    )
    return list(tx.execute(query).scalars())


def report(
    tx: Tx, project_id: str, job: Job, *, seconds: float, progress: float, message: str
) -> None:
    """Renew a lease and say how far the work is.

    Raises:
        Conflict: another worker holds the job now, or it was cancelled.
    """
    until = now_in(tx) + round(seconds * 1_000_000)
    change = (
        sa.update(jobs)
        .where(*_held(project_id, job))
        .values(lease_until=until, progress=progress, message=message)
    )
    _must_hold(tx.execute(change).rowcount, job)


def finish(
    tx: Tx,
    project_id: str,
    job: Job,
    state: JobState,
    *,
    result: Any = None,
    error: str = "",
    error_code: str = "",
) -> None:
    """End a job; its dedupe key becomes free.

    Raises:
        Conflict: another worker holds the job now.
    """
    change = (
        sa.update(jobs)
        .where(*_held(project_id, job))
        .values(
            state=state.value,
            result=result,
            error=error,
            error_code=error_code,
            finished_at=now_in(tx),
            dedupe_key=None,
            lease_until=0,
            progress=1.0 if state is JobState.DONE else job.progress,
        )
    )
    _must_hold(tx.execute(change).rowcount, job)


def retry(tx: Tx, project_id: str, job: Job, *, delay_seconds: float, error: str) -> None:
    """Put a job back to be taken again after a pause."""
    change = (
        sa.update(jobs)
        .where(*_held(project_id, job))
        .values(
            state=JobState.WAITING.value,
            run_at=now_in(tx) + round(delay_seconds * 1_000_000),
            error=error,
            lease_until=0,
        )
    )
    _must_hold(tx.execute(change).rowcount, job)


def cancel(tx: Tx, project_id: str, job_id: str) -> Job:
    """Cancel a job that has not finished; its worker notices at its next report.

    Raises:
        Conflict: the job has finished.
    """
    job = get(tx, project_id, job_id)
    if job.state not in (JobState.WAITING, JobState.RUNNING):
        raise Conflict(f"Job {job_id} is {job.state.value} already.", "thrive jobs list")
    cancelled = msgspec.structs.replace(
        job, state=JobState.CANCELLED, fence=job.fence + 1, dedupe_key=None
    )
    _update(tx, project_id, job.job_id, job.fence, cancelled)
    return cancelled


def _held(project_id: str, job: Job) -> list[sa.ColumnElement[bool]]:
    return [
        jobs.c.project_id == project_id,
        jobs.c.job_id == job.job_id,
        jobs.c.fence == job.fence,
        jobs.c.state == JobState.RUNNING.value,
    ]


def _must_hold(changed: int, job: Job) -> None:
    if changed != 1:
        raise Conflict(f"Job {job.job_id} is no longer held here.", "thrive jobs list")


def _update(tx: Tx, project_id: str, job_id: str, fence: int, job: Job) -> None:
    where = [jobs.c.project_id == project_id, jobs.c.job_id == job_id, jobs.c.fence == fence]
    values = msgspec.to_builtins(job)
    del values["job_id"]
    if tx.execute(sa.update(jobs).where(*where).values(values)).rowcount != 1:
        raise Conflict(f"Job {job_id} was taken by another worker.", "try again")


def take_lease(tx: Tx, project_id: str, name: str, owner: str, seconds: float) -> int | None:
    """Take or renew a named lease; return its fencing token, None while another holds it."""
    now = now_in(tx)
    until = now + round(seconds * 1_000_000)
    where = [leases.c.project_id == project_id, leases.c.name == name]
    first = {"name": name, "owner": owner, "fence": 1, "until": until}
    if insert_missing(tx, leases, [{"project_id": project_id, **first}]):
        return 1
    row = tx.execute(sa.select(leases).where(*where).with_for_update()).one()
    if row.owner != owner and now < row.until <= now + LONGEST_LEASE_S * 1_000_000:
        return None
    fence = row.fence if row.owner == owner else row.fence + 1
    tx.execute(sa.update(leases).where(*where).values(owner=owner, fence=fence, until=until))
    return fence


def release_lease(tx: Tx, project_id: str, name: str, owner: str) -> None:
    """Give a lease back before its time."""
    tx.execute(
        sa.update(leases)
        .where(leases.c.project_id == project_id, leases.c.name == name, leases.c.owner == owner)
        .values(until=0)
    )


def unfinished(tx: Tx, project_id: str) -> dict[str, int]:
    """Return how many jobs wait and how many run."""
    states = [JobState.WAITING.value, JobState.RUNNING.value]
    query = (
        sa.select(jobs.c.state, sa.func.count())
        .where(jobs.c.project_id == project_id, jobs.c.state.in_(states))
        .group_by(jobs.c.state)
    )
    counted = {str(state): int(count) for state, count in tx.execute(query)}
    return {state: counted.get(state, 0) for state in states}
