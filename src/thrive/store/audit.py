"""The audit chain of a project: every state change, each link holding the digest of the last."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import blake3
import msgspec
import sqlalchemy as sa

from thrive.domain.clock import machine_now
from thrive.domain.errors import NotRight
from thrive.domain.project import AuditEntry
from thrive.store.database import Tx
from thrive.store.group_commit import at_end
from thrive.store.json_text import finite
from thrive.store.rows import insert, many, mine
from thrive.store.tables.project import audit, audit_heads

_canonical = msgspec.json.Encoder(order="deterministic")
GENESIS = "0" * 64
TABLE = audit.name
"""The name of the table: its rows are never changed."""


Head = tuple[int, str]
"""The seq and the digest of the newest link."""
_read_head = sa.select(audit_heads.c.seq, audit_heads.c.digest).where(
    audit_heads.c.project_id == sa.bindparam("project")
)
_lock_head = _read_head.with_for_update()
_move_head = (
    sa.update(audit_heads)
    .where(audit_heads.c.project_id == sa.bindparam("project"))
    .values(seq=sa.bindparam("to_seq"), digest=sa.bindparam("to_digest"))
)


def lock_head(tx: Tx, project_id: str) -> Head:
    """Lock the head of the chain until the transaction ends; return its seq and digest.

    On PostgreSQL the row lock serialises the state changes of one project; on SQLite the home
    lock has done so already.

    Raises:
        NotRight: the head was removed.
    """
    return _told(tx.execute(_lock_head, {"project": project_id}).one_or_none())


def start_chain(tx: Tx, project_id: str) -> None:
    """Write the head of a new project's chain."""
    tx.execute(sa.insert(audit_heads).values(project_id=project_id, seq=0, digest=GENESIS))


def append(
    tx: Tx,
    project_id: str,
    *,
    actor: str,
    operation: str,
    subject: str,
    detail: dict[str, Any],
) -> None:
    """Append one link to the chain, in the transaction that makes the change it speaks of."""
    entry = AuditEntry(
        seq=0,
        at=machine_now(),
        actor=actor,
        operation=operation,
        subject=subject,
        detail=finite(detail),
        previous="",
        digest="",
    )
    at_end(tx, _append_all, (project_id, entry))


def _append_all(tx: Tx, wanted: list[tuple[str, AuditEntry]]) -> None:
    for project_id in dict.fromkeys(project for project, _ in wanted):
        _extend(tx, project_id, [entry for project, entry in wanted if project == project_id])


def _extend(tx: Tx, project_id: str, wanted: list[AuditEntry]) -> None:
    seq, previous = lock_head(tx, project_id)
    links: list[AuditEntry] = []
    for each in wanted:
        seq += 1
        link = msgspec.structs.replace(each, seq=seq, previous=previous)
        previous = link_digest(link)
        links.append(msgspec.structs.replace(link, digest=previous))
    insert(tx, project_id, audit, *links)
    tx.execute(_move_head, {"project": project_id, "to_seq": seq, "to_digest": previous})


def link_digest(entry: AuditEntry) -> str:
    """Return the BLAKE3 of an entry's canonical JSON without its own digest."""
    body = msgspec.to_builtins(entry)
    del body["digest"]
    return blake3.blake3(_canonical.encode(body)).hexdigest()


def entries(tx: Tx, project_id: str, after: int = 0, limit: int = 100) -> list[AuditEntry]:
    """Return up to `limit` entries after a seq, oldest first."""
    query = mine(audit, project_id).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
    return many(tx, AuditEntry, query)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are wanted; what is not said is not asked.

    Attributes:
        beyond: only entries that come after this seq in the order that is asked for.
        since: only entries from this moment on, UTC microseconds of the machine.
        actor: only of this one.
        subject: only of this subject.
    """

    beyond: int | None = None
    since: int | None = None
    actor: str = ""
    subject: str = ""


def find(
    tx: Tx, project_id: str, wanted: Wanted, limit: int, *, newest: bool = True
) -> list[AuditEntry]:
    """Return up to `limit` of the wanted entries, the newest first or the oldest."""
    query = mine(audit, project_id)
    if wanted.beyond is not None:
        further = audit.c.seq < wanted.beyond if newest else audit.c.seq > wanted.beyond
        query = query.where(further)
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since)
    if wanted.actor:
        query = query.where(audit.c.actor == wanted.actor)
    if wanted.subject:
        query = query.where(audit.c.subject == wanted.subject)
    order = audit.c.seq.desc() if newest else audit.c.seq
    return many(tx, AuditEntry, query.order_by(order).limit(limit))


def latest(tx: Tx, project_id: str, limit: int = 50) -> list[AuditEntry]:
    """Return the newest entries, newest first."""
    query = mine(audit, project_id).order_by(audit.c.seq.desc()).limit(limit)
    return many(tx, AuditEntry, query)


def entries_of(tx: Tx, project_id: str, operation: str) -> list[AuditEntry]:
    """Return what one operation changed, oldest first."""
    query = mine(audit, project_id).where(audit.c.operation == operation)
    return many(tx, AuditEntry, query.order_by(audit.c.seq))


class _Body(msgspec.Struct, frozen=True, gc=False):
    """What a link's digest is taken over; the fields in the order of canonical JSON."""

    actor: str
    at: int
    detail: Any
    operation: str
    previous: str
    seq: int
    subject: str


_EMPTY: dict[str, Any] = {}
_links = (
    sa.select(
        audit.c.actor,
        audit.c.at,
        sa.cast(audit.c.detail, sa.Text),
        audit.c.operation,
        audit.c.previous,
        audit.c.seq,
        audit.c.subject,
        audit.c.digest,
    )
    .where(audit.c.project_id == sa.bindparam("project"))
    .order_by(audit.c.seq)
)
TOGETHER = 10_000
"""Links that are read at a time."""


def _parts(tx: Tx, project_id: str) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the links, many at a time; of SQLite as its driver gives them, without a Row for each.

    The driver of PostgreSQL would hold all of them at once.
    """
    asked = {"project": project_id}
    if tx.dialect.name != "sqlite":
        yield from tx.execute(_links, asked, execution_options={"yield_per": TOGETHER}).partitions()
        return
    found = tx.execute(_links, asked)
    cursor = found.cursor
    assert cursor is not None, "a SELECT has a cursor"
    try:
        while part := cursor.fetchmany(TOGETHER):
            yield part
    finally:
        found.close()


def first_broken(
    tx: Tx,
    project_id: str,
    see: Callable[[AuditEntry], None] | None = None,
    operations: Collection[str] = (),
) -> int | None:
    """Return the seq of the first link that does not hold, None when the chain is whole.

    An edit breaks the digest of its link, a deletion or another order the next `previous` or seq,
    a shortened chain the head. Who rewrites all of it breaks the signed heads: `store.oversight`.

    Args:
        tx: a transaction.
        project_id: the project.
        see: is shown the entries that name records in their detail, and those of `operations`.
        operations: whose entries are shown too.
    """
    previous, seq = GENESIS, 0
    encode, decode, digest = _canonical.encode, msgspec.json.decode, blake3.blake3
    for part in _parts(tx, project_id):
        for actor, at, detail, operation, before, number, subject, said in part:
            if number != seq + 1 or before != previous:
                return number
            try:
                told = _EMPTY if detail == "{}" else decode(detail)
            except msgspec.DecodeError:
                return number
            body = _Body(actor, at, told, operation, before, number, subject)
            if digest(encode(body)).hexdigest() != said:
                return number
            if see is not None and told and ("records" in told or operation in operations):
                see(AuditEntry(**msgspec.structs.asdict(body), digest=said))
            previous, seq = said, number
    head = tx.execute(_read_head, {"project": project_id}).one_or_none()
    return None if head is not None and tuple(head) == (seq, previous) else seq + 1


def find_digest(tx: Tx, project_id: str, seq: int) -> str | None:
    """Return the digest of a link, None where there is no such link."""
    query = sa.select(audit.c.digest).where(audit.c.project_id == project_id, audit.c.seq == seq)
    return tx.execute(query).scalar()


def read_head(tx: Tx, project_id: str) -> Head:
    """Return the seq and the digest of the newest link.

    Raises:
        NotRight: the head was removed.
    """
    return _told(tx.execute(_read_head, {"project": project_id}).one_or_none())


def _told(row: Any) -> Head:
    if row is None:
        raise NotRight(
            "The head of the audit chain was removed from the database.",
            "compare with a backup or an exported chain",
        )
    return row.seq, row.digest
