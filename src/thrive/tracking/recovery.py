"""Runs whose process died without a word: they are interrupted, whatever their row says."""

import msgspec

from thrive.domain.run import Run, RunState
from thrive.operations import Context
from thrive.store import runs
from thrive.tracking.process import is_gone
from thrive.tracking.recorder import close_run

DIED = "The process that drove this run ended without a word."


def recover_dead_runs(ctx: Context) -> list[Run]:
    """Mark the running runs whose process is gone as interrupted, and return them.

    Their logs are kept, their steps closed and their scratch folders removed. Calling it again
    changes nothing.
    """
    with ctx.read() as tx:
        drivers = runs.find_drivers(tx, ctx.project_id)
        gone = [run_id for run_id, process in drivers.items() if is_gone(process)]
        recovered = [as_seen(run) for run in runs.some(tx, ctx.project_id, gone)]
    for run in recovered:
        ended = msgspec.structs.replace(run, ended_at=max(ctx.now(), run.started_at))
        close_run(ctx.acting(ctx.actor, "runs recover"), ended)
    return recovered


def as_seen(run: Run) -> Run:
    """Return a run as it stands in truth: one whose process is gone is interrupted."""
    if run.state is not RunState.RUNNING or not is_gone(run.process):
        return run
    return msgspec.structs.replace(run, state=RunState.INTERRUPTED, error=DIED)
