"""The worker: takes jobs under a lease and executes their operations.

A fence keeps a worker out that lost its job; a job whose worker was killed is taken again when
its lease ends. Only errors that say of themselves that they are transient are tried again.
"""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

import msgspec

from thrive.domain.actor import KEEPERS, Actor, Role
from thrive.domain.errors import Conflict, Interrupted, NotFound, ThriveError
from thrive.domain.project import Job, JobState
from thrive.flows.catalogue import load_all
from thrive.flows.job_output import JobOutput
from thrive.operations import (
    Context,
    Kind,
    Progress,
    convert_arguments,
    find_operation,
    operation,
)
from thrive.settings import read_settings
from thrive.store import jobs, projects

POLL_SECONDS = 0.5
OUTPUT_SECONDS = 0.5
"""How soon what a job prints can be read from elsewhere."""
FIRST_PAUSE_SECONDS = 1.0
"""Pause before a job is tried again; it doubles each time."""


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker did before it stopped."""

    done: int
    failed: int
    retried: int


@operation("worker", role=KEEPERS, kind=Kind.CLIENT, writes=True)
def worker(ctx: Context, *, once: bool = False, project: str = "") -> WorkerReport:
    """Execute jobs as they come: trainings, messages, and whatever else takes long.

    Args:
        once: stop when nothing is due, instead of waiting for more.
        project: another project of the same database, instead of this folder's.

    Raises:
        NotFound: the database has no such project.

    Examples:
        thrive worker --once
    """
    load_all()
    ctx = _of_project(ctx, project) if project and project != ctx.home.project.name else ctx
    counts = dict.fromkeys(JobState, 0)
    try:
        while True:
            ended = execute_next(ctx)
            if ended is not None:
                counts[ended] += 1
            elif once:
                break
            else:
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        raise Interrupted("The worker was stopped; its job goes back.", "thrive worker") from None
    return WorkerReport(
        done=counts[JobState.DONE],
        failed=counts[JobState.FAILED],
        retried=counts[JobState.WAITING],
    )


def _of_project(ctx: Context, name: str) -> Context:
    """Return the context of a project that has no folder here."""
    with ctx.read() as tx:
        found = projects.find(tx, name)
    if found is None:
        raise NotFound(f"There is no project {name!r} in this database.", "thrive status")
    return Context(ctx.home.beside(found), ctx.actor, progress=ctx.progress, operation="worker")


def execute_next(ctx: Context, job_id: str | None = None, operation: str = "") -> JobState | None:
    """Take the next due job (of an operation, or the one named) and execute it.

    Returns:
        How it ended; WAITING when it will be tried again, None when there was none to take or
        another worker holds it now.
    """
    seconds = read_settings().lease_seconds
    with ctx.home.write() as tx:
        job = jobs.take(tx, ctx.project_id, seconds, job_id, operation)
    if job is None:
        return None
    try:
        return _execute(ctx, job, seconds)
    except Conflict:  # the lease went to another worker, which ends the job; errors of the work
        return None  # itself were written by `_execute`


def _execute(ctx: Context, job: Job, seconds: float) -> JobState:
    if job.attempt > job.max_attempts:
        return _end(ctx, job, JobState.FAILED, error="Its workers died each time it was tried.")
    actor = Actor(name=job.actor, roles=frozenset(Role))  # it was permitted when it was queued
    try:
        output = JobOutput(ctx, job)
        with _held(ctx, job, seconds, output) as report:
            scoped = Context(
                ctx.home,
                actor,
                folder=ctx.folder,
                progress=report,
                operation=job.operation,
                show=output.say,
            )
            found = find_operation(job.operation)
            result = found.function(scoped, **convert_arguments(found, job.arguments))
    except KeyboardInterrupt:
        with ctx.home.write() as tx:
            jobs.retry(tx, ctx.project_id, job, delay_seconds=0.0, error="interrupted")
        raise
    except ThriveError as error:
        if error.transient and job.attempt < job.max_attempts:
            pause = FIRST_PAUSE_SECONDS * 2 ** (job.attempt - 1)
            with ctx.home.write() as tx:
                jobs.retry(tx, ctx.project_id, job, delay_seconds=pause, error=str(error))
            return JobState.WAITING
        return _end(ctx, job, JobState.FAILED, error=str(error), error_code=error.code)
    except Exception as error:  # noqa: BLE001 - a worker outlives any job's mistake and says it
        return _end(ctx, job, JobState.FAILED, error=f"{type(error).__name__}: {error}")
    return _end(ctx, job, JobState.DONE, result=msgspec.to_builtins(result))


def _end(
    ctx: Context,
    job: Job,
    state: JobState,
    *,
    result: object = None,
    error: str = "",
    error_code: str = "",
) -> JobState:
    with ctx.observe(f"job:{job.job_id}") as tx:
        jobs.finish(
            tx, ctx.project_id, job, state, result=result, error=error, error_code=error_code
        )
    return state


class _Lease:
    """Keeps a job's lease alive from a thread, and writes what it told and printed meanwhile."""

    def __init__(self, ctx: Context, job: Job, seconds: float, output: JobOutput) -> None:
        self._ctx = ctx
        self._job = job
        self._seconds = seconds
        self._output = output
        self._share, self._words = job.progress, job.message
        self.stopping = threading.Event()

    def tell(self, share: float, words: str) -> None:
        """Remember how far the work is; the thread writes it."""
        self._share, self._words = share, words

    def keep(self) -> None:
        """Renew the lease until told to stop, or until it is lost."""
        every = self._seconds / 6
        due = time.monotonic() + every
        while not self.stopping.wait(min(every, OUTPUT_SECONDS)):
            self.write_output()
            if time.monotonic() < due:
                continue
            due = time.monotonic() + every
            if not self._renewed():
                return

    def write_output(self) -> None:
        """Write what was printed; a database that is busy gets it later, or not at all."""
        with suppress(ThriveError):
            self._output.flush()

    def _renewed(self) -> bool:
        try:
            with self._ctx.observe(f"job:{self._job.job_id}") as tx:
                jobs.report(
                    tx,
                    self._ctx.project_id,
                    self._job,
                    seconds=self._seconds,
                    progress=self._share,
                    message=self._words,
                )
        except Conflict:
            return False
        except ThriveError:
            return True
        return True


@contextmanager
def _held(ctx: Context, job: Job, seconds: float, output: JobOutput) -> Generator[Progress]:
    lease = _Lease(ctx, job, seconds, output)
    thread = threading.Thread(target=lease.keep, name="job-lease", daemon=True)
    thread.start()
    try:
        yield lease.tell
    finally:
        lease.stopping.set()
        thread.join()
        lease.write_output()
