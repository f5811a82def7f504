"""One verdict: every check with its evidence."""

import msgspec

from thrive.domain.errors import NotFound
from thrive.domain.gate import Verdict
from thrive.operations import Context
from thrive.store import gates


class VerdictPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows."""

    verdict: Verdict
    now: int


def load(ctx: Context, verdict_id: str) -> VerdictPage:
    """Return the page of a verdict.

    Raises:
        NotFound: there is none of this id.
    """
    with ctx.read() as tx:
        found = gates.get_verdict(tx, ctx.project_id, verdict_id)
    if found is None:
        raise NotFound(f"There is no verdict {verdict_id}.", "thrive gates history MODEL")
    return VerdictPage(verdict=found, now=ctx.now())
