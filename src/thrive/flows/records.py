"""What a project remembers of itself: its change feed and its jobs."""

from thrive.domain.actor import ANYONE, PEOPLE
from thrive.domain.project import Change, Job, Page
from thrive.operations import Context, PageSize, operation
from thrive.store import changes, jobs


def _next_key(items: list[int], limit: int) -> str | None:
    return str(items[-1]) if len(items) == limit else None


@operation("changes list", role=ANYONE)
def changes_list(ctx: Context, *, after: int = 0, limit: PageSize = 100) -> Page[Change]:
    """List what is new or different, oldest first: the change feed.

    Args:
        after: only changes after this seq.
        limit: how many changes at most.

    Examples:
        thrive changes list --after 120
    """
    with ctx.read() as tx:
        items = changes.after(tx, ctx.project_id, after, limit)
    return Page(items=items, next=_next_key([item.seq for item in items], limit))


@operation(
    "jobs list",
    role=ANYONE,
    columns=(
        "job_id",
        "operation",
        "state",
        "progress",
        "actor",
        "created_at",
        "finished_at",
        "error",
    ),
)
def jobs_list(ctx: Context, *, limit: PageSize = 50, after: str = "") -> Page[Job]:
    """List long work, newest first.

    Args:
        limit: how many jobs at most.
        after: only jobs older than this id.

    Examples:
        thrive jobs list
    """
    with ctx.read() as tx:
        items = jobs.find(tx, ctx.project_id, limit, after or None)
    return Page(items=items, next=items[-1].job_id if len(items) == limit else None)


@operation("jobs show", role=ANYONE)
def jobs_show(ctx: Context, job_id: str) -> Job:
    """Show one job: its state, its progress and what came of it.

    Args:
        job_id: the job.

    Raises:
        NotFound: there is none of that id.

    Examples:
        thrive jobs show 01928374aabb7ccd8ee0112233445566
    """
    with ctx.read() as tx:
        return jobs.get(tx, ctx.project_id, job_id)


@operation("jobs cancel", role=PEOPLE, writes=True, next_hint="thrive jobs show {job_id}")
def jobs_cancel(ctx: Context, job_id: str) -> Job:
    """Cancel a job that has not finished; its worker stops at its next report.

    Args:
        job_id: the job.

    Raises:
        Conflict: the job has finished.

    Examples:
        thrive jobs cancel 01928374aabb7ccd8ee0112233445566
    """
    with ctx.read() as tx:
        job_id = jobs.get(tx, ctx.project_id, job_id).job_id
    with ctx.write(f"job:{job_id}") as tx:
        return jobs.cancel(tx, ctx.project_id, job_id)
