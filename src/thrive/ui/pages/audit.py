"""The audit chain: who changed what, when, and whether the record is whole."""

from itertools import groupby

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.project import AuditEntry
from thrive.operations import Context
from thrive.store import audit

ROWS = 100
"""Entries on one page."""
VERIFIED = 20_000
"""Chains of up to so many entries are verified for each look; of longer ones the page says how."""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that follow each other, of the same actor, operation and subject; newest first."""

    entries: list[AuditEntry]


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the chain, newest first.

    Attributes:
        broken: the first entry that does not hold, None when the chain is whole.
        verified: it was verified for this page.
        total: the number of the newest entry.
        entries: newest first.
        stretches: the same entries, those that say the same together.
        before: the number to ask the next, older page with; None at the beginning.
    """

    now: int
    broken: int | None
    verified: bool
    total: int
    entries: list[AuditEntry]
    stretches: list[Stretch]
    before: int | None


def load(ctx: Context, before: str = "") -> AuditPage:
    """Return the entries that are older than number `before`, the newest without one.

    Raises:
        UsageError: `before` is no number.
    """
    with ctx.read() as tx:
        newest = audit.latest(tx, ctx.project_id, 1)
        total = newest[0].seq if newest else 0
        first = min(_number(before), total + 1) if before else total + 1
        after = max(0, first - 1 - ROWS)
        found = audit.entries(tx, ctx.project_id, after, min(ROWS, first - 1 - after))
        broken = audit.first_broken(tx, ctx.project_id) if total <= VERIFIED else None
    return AuditPage(
        now=ctx.now(),
        broken=broken,
        verified=total <= VERIFIED,
        total=total,
        entries=found[::-1],
        stretches=_stretches(found[::-1]),
        before=found[0].seq if found and found[0].seq > 1 else None,
    )


def _stretches(entries: list[AuditEntry]) -> list[Stretch]:
    same = groupby(entries, lambda each: (each.actor, each.operation, each.subject))
    return [Stretch(entries=list(several)) for _, several in same]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError(f"{text[:40]!r} is no number of an entry.", "write e.g. ?before=100")
    return int(text)
