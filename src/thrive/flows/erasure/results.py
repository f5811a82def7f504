"""What steps kept for their next run: results are no record, they are made again when wanted."""

from thrive.flows.erasure.sought import Sought
from thrive.operations import Context
from thrive.store import runs
from thrive.store.database import Tx
from thrive.training.artifacts import DEFLATED, MAGIC


def is_kept_result(data: bytes) -> bool:
    """Tell whether content is a value that a step handed on, other than a table."""
    return data.startswith((MAGIC, DEFLATED))


def results_naming(tx: Tx, ctx: Context, sought: Sought) -> list[tuple[str, int]]:
    """Return run and position of each step whose row itself holds a result naming the person."""
    if not sought.distinctive:
        return []
    kept = runs.values_in_rows(tx, ctx.project_id)
    return [(run_id, position) for run_id, position, data in kept if sought.named_in(data)]


def forget_results(tx: Tx, ctx: Context, sought: Sought) -> int:
    """Take such results out of the rows; return how many there were."""
    named = results_naming(tx, ctx, sought)
    for run_id, position in named:
        runs.forget_result(tx, ctx.project_id, run_id, position)
    return len(named)
