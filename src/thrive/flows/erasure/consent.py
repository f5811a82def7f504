"""Four eyes: on a team's home an erasure waits for a second person.

Whoever erases there holds the keys of database and bucket, so one person's word is not enough. In
a folder of its own there is one person, and nobody to ask.
"""

import msgspec

from thrive.domain.actor import ERASERS
from thrive.domain.clock import DAY
from thrive.domain.erasure import Consent, Erasure, ErasureState
from thrive.domain.errors import Conflict, Refused, UsageError
from thrive.flows.erasure.sought import Sought
from thrive.flows.permission import may_still
from thrive.operations import Context, operation
from thrive.store import erasures
from thrive.store.database import Tx

HOLDS_FOR = 30 * DAY
"""A consent counts for the same person on every host of a team that is cleaned within this time."""


@operation("erasures approve", role=ERASERS, writes=True, next_hint="thrive erasures list")
def approve_erasure(ctx: Context, erasure_id: str, *, reason: str) -> Erasure:
    """Consent to an erasure that somebody else asked for; then they call `data erase` again.

    Args:
        erasure_id: its id, or the beginning of it, as `erasures list` names it.
        reason: what you looked at.

    Raises:
        NotFound: there is none.
        UsageError: no reason is given, or the beginning fits several.
        Refused: you asked for it yourself.
        Conflict: it waits for nobody.

    Examples:
        thrive erasures approve 0192f3a1 --reason "request 17 was read; no hold is on the data"
    """
    if not reason.strip():
        raise UsageError("A consent needs a reason.", '--reason "..."')
    with ctx.read() as tx:
        found = erasures.get(tx, ctx.project_id, erasure_id)
    words = {"reason": reason.strip(), "asked_by": found.actor}
    with ctx.write(f"erasure:{found.erasure_id}", **words) as tx:
        asked = erasures.get(tx, ctx.project_id, found.erasure_id)
        _refuse(tx, ctx, asked)
        given = Consent(actor=ctx.actor.name, reason=reason.strip(), at=ctx.now())
        approved = msgspec.structs.replace(asked, consent=given)
        erasures.save(tx, ctx.project_id, approved)
    return approved


def _refuse(tx: Tx, ctx: Context, asked: Erasure) -> None:
    if asked.state is not ErasureState.ASKED:
        raise Conflict(f"The erasure is {asked.state.value}: it waits for nobody.")
    if asked.actor == ctx.actor.name:
        raise Refused(
            f"{ctx.actor.name} asked for this erasure: somebody else must approve it.",
            "ask a data engineer or another one of the platform team",
        )
    if asked.consent is not None and counts(tx, ctx, asked.consent):
        raise Conflict(f"{asked.consent.actor} approved it already.")


def counts(tx: Tx, ctx: Context, consent: Consent) -> bool:
    """Tell whether a consent counts: whoever gave it must still be somebody who may."""
    return may_still(tx, ctx.project_id, consent.actor, ERASERS)


def first_state(ctx: Context) -> ErasureState:
    """Return the state that an erasure of this home begins in."""
    return ErasureState.BEGUN if ctx.alone else ErasureState.ASKED


def known_consent(tx: Tx, ctx: Context, sought: Sought) -> Consent | None:
    """Return the consent to an erasure of the same person elsewhere in the team, None for none."""
    since = ctx.now() - HOLDS_FOR
    for each in erasures.find(tx, ctx.project_id):
        given = each.consent
        if given is None or given.at < since:
            continue
        if counts(tx, ctx, given) and sought.digest(each.salt) == each.person:
            return given
    return None


def is_waiting(tx: Tx, ctx: Context, erasure: Erasure) -> bool:
    """Tell whether an erasure waits for the word of a second person."""
    asked = erasure.state is ErasureState.ASKED
    return asked and (erasure.consent is None or not counts(tx, ctx, erasure.consent))
