"""Which parts of a blob a team's servers were sent, each a blob of its own until all are there."""

from collections.abc import Collection

import msgspec
import sqlalchemy as sa

from thrive.store import references
from thrive.store.database import Tx
from thrive.store.rows import insert, many, mine, upsert
from thrive.store.tables.project import upload_parts

PART = "upload_part"
"""The kind of reference that keeps a part until its blob is whole: no use of the part by itself."""
_columns = upload_parts.c


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a blob.

    Attributes:
        digest: the whole blob.
        first_byte: where the part begins in it.
        bytes: its length.
        part: the blob that holds it.
        at: machine time at which it came.
    """

    digest: str
    first_byte: int
    bytes: int
    part: str
    at: int


def add(tx: Tx, project_id: str, part: Part) -> None:
    """Add a part.

    Raises:
        Conflict: somebody else sent it at the same time.
    """
    insert(tx, project_id, upload_parts, part)
    references.add(tx, project_id, PART, part.digest, part.part)


def replace(tx: Tx, project_id: str, part: Part) -> None:
    """Add a part, or take it in the place of one that was sent before."""
    upsert(tx, project_id, upload_parts, part)
    references.add(tx, project_id, PART, part.digest, part.part)


def of(tx: Tx, project_id: str, digest: str) -> list[Part]:
    """Return the parts of a blob, first byte first."""
    query = mine(upload_parts, project_id).where(_columns.digest == digest)
    return many(tx, Part, query.order_by(_columns.first_byte))


def received(tx: Tx, project_id: str, digests: Collection[str]) -> dict[str, int]:
    """Return how many bytes of each blob are there: parts come in their order, without gaps."""
    found = dict.fromkeys(digests, 0)
    wanted = sorted(found)
    for first in range(0, len(wanted), references.MOST_ASKED):
        part = wanted[first : first + references.MOST_ASKED]
        query = sa.select(_columns.digest, sa.func.sum(_columns.bytes)).where(
            _columns.project_id == project_id, _columns.digest.in_(part)
        )
        for digest, count in tx.execute(query.group_by(_columns.digest)):
            found[digest] = int(count)
    return found


def forget(tx: Tx, project_id: str, digest: str) -> None:
    """Forget the parts of a blob; a clean-up removes what they held."""
    tx.execute(
        sa.delete(upload_parts).where(_columns.project_id == project_id, _columns.digest == digest)
    )
    references.remove_all(tx, project_id, PART, digest)


def forget_before(tx: Tx, project_id: str, at: int) -> int:
    """Forget the parts of blobs to which none was added since the machine time `at`; count them."""
    newest = sa.func.max(_columns.at)
    query = sa.select(_columns.digest).where(_columns.project_id == project_id)
    stale = tx.execute(query.group_by(_columns.digest).having(newest < at)).scalars().all()
    for digest in stale:
        forget(tx, project_id, digest)
    return len(stale)
