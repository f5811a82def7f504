"""Going on with a run that was stopped or failed."""

import shlex

from thrive.domain.actor import BUILDERS
from thrive.domain.errors import Refused
from thrive.domain.run import Run, RunState
from thrive.flows.order import CachePolicy, EngineName, Order, RunResult
from thrive.flows.terminal import show_on_terminal
from thrive.flows.train import execute_and_tell
from thrive.operations import Context, Kind, operation
from thrive.store import runs
from thrive.tracking.recovery import as_seen
from thrive.training.tracked import ARGUMENTS

RESUMED = "resumed"
"""The tag that names the run that another goes on with."""


@operation("runs resume", role=BUILDERS, kind=Kind.CLIENT, writes=True)
def resume(
    ctx: Context, run: str, *, engine: EngineName = EngineName.LOCAL, address: str = ""
) -> RunResult:
    """Go on with a run that was stopped or failed: what it had finished is not done again.

    The code is that of the folder as it is now, so that a mistake can be mended first: steps that
    it changes are executed again. It becomes a run of its own, with the same parameters and seed.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.
        engine: where steps run now: local, or ray.
        address: the Ray cluster; that of the settings if not given.

    Raises:
        Refused: the run still runs, or is done.

    Examples:
        thrive runs resume 01928374
    """
    with ctx.read() as tx:
        found = as_seen(runs.get(tx, ctx.project_id, run))
    entry = _entry_of(found)
    order = Order(
        target=entry,
        values=found.params,
        experiment=found.experiment,
        policy=CachePolicy(resume=found.run_id),
        seed=found.seed,
        tags={**found.tags, RESUMED: found.run_id},
        engine=engine,
        address=address,
    )
    return execute_and_tell(ctx, order, show_on_terminal)


def _entry_of(run: Run) -> str:
    if run.state is RunState.DONE:
        raise Refused(
            f"Run {run.run_id} is done.", f"thrive run {run.code.entry}" if run.code else ""
        )
    if run.code is None or not run.code.entry:
        raise Refused(f"Run {run.run_id} was not begun by `thrive run`.", "thrive run FILE")
    if ARGUMENTS in run.environment:
        words = shlex.join([run.code.entry, *run.environment[ARGUMENTS]])
        raise Refused(f"Run {run.run_id} has no steps to go on from.", f"thrive run {words}")
    return run.code.entry
