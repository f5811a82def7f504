"""Erasures, and the tombstones that answer for what they erased."""

from collections.abc import Sequence

import sqlalchemy as sa

from thrive.domain.clock import format_time
from thrive.domain.erasure import Erasure, ErasureState, Tombstone
from thrive.domain.errors import NotFound
from thrive.store.database import Tx
from thrive.store.rows import (
    batched,
    insert_missing,
    many,
    mine,
    named,
    one,
    to_row,
    upsert,
)
from thrive.store.tables.erasures import erasures, tombstones


def save(tx: Tx, project_id: str, erasure: Erasure) -> None:
    """Insert an erasure, or write how far it came."""
    upsert(tx, project_id, erasures, erasure)


def find(tx: Tx, project_id: str) -> list[Erasure]:
    """Return all erasures of a project, newest first."""
    return many(tx, Erasure, mine(erasures, project_id).order_by(erasures.c.erasure_id.desc()))


def every_removed(tx: Tx, project_id: str) -> list[str]:
    """Return the digests of all content that erasures of a project deleted, or are to delete."""
    return sorted({digest for each in find(tx, project_id) for digest in each.removed})


def get(tx: Tx, project_id: str, erasure_id: str) -> Erasure:
    """Return an erasure by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    return named(tx, project_id, Erasure, erasures.c.erasure_id, erasure_id, "erasure")


def unfinished(tx: Tx, project_id: str) -> list[Erasure]:
    """Return the erasures that were broken off, oldest first."""
    ended = (ErasureState.DONE.value, ErasureState.LEFT.value)
    query = mine(erasures, project_id).where(erasures.c.state.not_in(ended))
    return many(tx, Erasure, query.order_by(erasures.c.erasure_id))


def bury(tx: Tx, project_id: str, stones: Sequence[Tombstone]) -> None:
    """Put tombstones where content was; one that stands there already is left alone."""
    insert_missing(tx, tombstones, [to_row(project_id, stone, tombstones) for stone in stones])


def tombstone(tx: Tx, project_id: str, digest: str) -> Tombstone | None:
    """Return the tombstone of a digest, None where nothing was erased."""
    return one(tx, Tombstone, mine(tombstones, project_id).where(tombstones.c.digest == digest))


def find_tombstones(tx: Tx, project_id: str, digests: Sequence[str]) -> list[Tombstone]:
    """Return the tombstones that stand for some of these digests."""
    found = (tombstone(tx, project_id, digest) for digest in dict.fromkeys(digests))
    return [stone for stone in found if stone is not None]


def every_tombstone(tx: Tx, project_id: str) -> list[Tombstone]:
    """Return all tombstones of a project."""
    return many(tx, Tombstone, mine(tombstones, project_id).order_by(tombstones.c.erased_at))


def present_digest(tx: Tx, project_id: str, digest: str) -> str:
    """Return what stands for a digest now: itself, or what erasures replaced it by."""
    seen = {digest}
    while (stone := tombstone(tx, project_id, digest)) is not None and stone.replaced_by:
        digest = stone.replaced_by
        if digest in seen:
            break
        seen.add(digest)
    return digest


def former_digests(tx: Tx, project_id: str, digests: Sequence[str]) -> dict[str, list[str]]:
    """Return of each digest those that erasures replaced by it, through any number of them."""
    found: dict[str, list[str]] = {digest: [] for digest in digests}
    heirs = {digest: {digest} for digest in found}
    while heirs:
        olds: dict[str, set[str]] = {}
        for old, new in _replaced_by(tx, project_id, list(heirs)):
            fresh = {each for each in heirs[new] if old not in found[each] and old != each}
            for each in fresh:
                found[each].append(old)
            if fresh:
                olds.setdefault(old, set()).update(fresh)
        heirs = olds
    return found


def _replaced_by(tx: Tx, project_id: str, digests: Sequence[str]) -> list[tuple[str, str]]:
    """Return (old, new) of all that was replaced by one of some digests."""
    found: list[tuple[str, str]] = []
    for some in batched(digests):
        query = sa.select(tombstones.c.digest, tombstones.c.replaced_by).where(
            tombstones.c.project_id == project_id, tombstones.c.replaced_by.in_(some)
        )
        found += [(row.digest, row.replaced_by) for row in tx.execute(query)]
    return found


def erased(stone: Tombstone, hint: str) -> NotFound:
    """Return the answer to whoever asks for erased content."""
    by = f", replaced by {stone.replaced_by[:12]}" if stone.replaced_by else ""
    return NotFound(
        f"{stone.subject} ({stone.digest[:12]}) was erased on {format_time(stone.erased_at)} for: "
        f"{stone.reason}{by}.",
        hint,
    )
