"""One verdict: every check with its evidence."""

from thrive.domain.errors import NotFound
from thrive.domain.gate import Verdict
from thrive.operations import Context
from thrive.store import gates


def load(ctx: Context, verdict_id: str) -> Verdict:
    """Return a verdict.

    Raises:
        NotFound: there is none of this id.
    """
    with ctx.read() as tx:
        found = gates.get_verdict(tx, ctx.project_id, verdict_id)
    if found is None:
        raise NotFound(f"There is no verdict {verdict_id}.", "thrive gates history MODEL")
    return found
