"""The records of erasures: who erased what, when, why and on which law; never about whom."""

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.erasure import Erasure
from thrive.domain.errors import NotFound
from thrive.flows.erasure.proof import Proof
from thrive.operations import Context, operation
from thrive.store import erasures


class ErasureLine(msgspec.Struct, frozen=True, kw_only=True):
    """One erasure."""

    erasure_id: str
    state: str
    rows: int
    predictions: int
    reason: str
    legal_basis: str
    actor: str
    started_at: int
    ended_at: int | None
    left: int
    approved_by: str = ""


@operation(
    "erasures list",
    role=ANYONE,
    next_hint="thrive erasures show ID",
    columns=(
        "erasure_id",
        "state",
        "rows",
        "predictions",
        "reason",
        "actor",
        "started_at",
        "ended_at",
    ),
)
def list_erasures(ctx: Context) -> list[ErasureLine]:
    """List the erasures of people, newest first.

    Examples:
        thrive erasures list
    """
    with ctx.read() as tx:
        known = erasures.find(tx, ctx.project_id)
    return [
        ErasureLine(
            erasure_id=each.erasure_id,
            state=each.state.value,
            rows=_counted(each, "rows"),
            predictions=_counted(each, "predictions"),
            reason=each.reason,
            legal_basis=each.legal_basis,
            actor=each.actor,
            started_at=each.started_at,
            ended_at=each.ended_at,
            left=len(each.left),
            approved_by=each.consent.actor if each.consent else "",
        )
        for each in known
    ]


def _counted(erasure: Erasure, what: str) -> int:
    """Return how much was erased, or is to be while nothing is yet."""
    asked: int = erasure.scope.get(what, 0)
    return erasure.counts.get(what, asked)


@operation("erasures show", role=ANYONE)
def show_erasure(ctx: Context, erasure_id: str) -> Proof:
    """Show the proof of an erasure: what was searched afterwards, what is gone, what is left.

    Args:
        erasure_id: its id, or the beginning of it.

    Raises:
        NotFound: there is none, or it is not finished.
        UsageError: the beginning fits several.

    Examples:
        thrive erasures show 0192f3a1
    """
    with ctx.read() as tx:
        erasure = erasures.get(tx, ctx.project_id, erasure_id)
    if not erasure.proof:
        raise NotFound(
            f"The erasure {erasure.erasure_id[:12]} is {erasure.state.value}: no proof yet.",
            'thrive data erase --yes --reason "..." with the same person',
        )
    return msgspec.json.decode(ctx.home.blobs.get(erasure.proof), type=Proof)
