"""What a job's work prints, on its way to whoever watches from elsewhere."""

import threading

from thrive.domain.actor import ANYONE
from thrive.domain.clock import machine_now
from thrive.domain.project import Job, JobText
from thrive.operations import Context, operation
from thrive.store import job_output, jobs

MOST_KEPT = 1 << 20
"""Characters of one job; the run's log has all."""
KEPT_US = 24 * 3600 * 1_000_000
_ATTEMPT = 1_000_000
"""Texts of one attempt: those of the next are numbered behind them."""


class JobOutput:
    """Takes text from any thread; one thread writes it, many lines at a time.

    Args:
        ctx: the project's context.
        job: the job that speaks.
    """

    def __init__(self, ctx: Context, job: Job) -> None:
        self._ctx = ctx
        self._job = job
        self._seq = job.fence * _ATTEMPT
        self._left = MOST_KEPT
        self._waiting: list[str] = []
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Take text to write; too much of it is left out, and that is said."""
        with self._lock:
            if self._left <= 0:
                return
            self._waiting.append(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self._waiting.append("\n... more is in the log of the run: thrive runs logs\n")

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            text, self._waiting = "".join(self._waiting).replace("\0", ""), []
        if not text:
            return
        self._seq += 1
        said = JobText(job_id=self._job.job_id, seq=self._seq, at=machine_now(), text=text)
        with self._ctx.home.write() as tx:
            job_output.append(tx, self._ctx.project_id, said)


@operation("jobs output", role=ANYONE)
def jobs_output(ctx: Context, job_id: str, *, after: int = 0) -> list[JobText]:
    """Show what a job has printed so far; a day after it is forgotten.

    Args:
        job_id: the job.
        after: only what was said after this seq.

    Raises:
        NotFound: there is no job of that id.

    Examples:
        thrive jobs output 01928374aabb7ccd8ee0112233445566
    """
    with ctx.read() as tx:
        job = jobs.get(tx, ctx.project_id, job_id)
        return job_output.after(tx, ctx.project_id, job.job_id, after)


def forget_output(ctx: Context) -> int:
    """Forget what jobs said over a day ago; return how many texts that were."""
    with ctx.home.write() as tx:
        return job_output.forget_before(tx, ctx.project_id, machine_now() - KEPT_US)
