"""Who uses a blob: it is readable through a row of the project alone, and kept while one is."""

from collections.abc import Collection, Iterable

import sqlalchemy as sa

from thrive.store.database import Tx
from thrive.store.rows import insert_missing
from thrive.store.tables.project import blob_references

MOST_ASKED = 500
"""Digests in one query: databases limit how many values a statement takes."""


def add(tx: Tx, project_id: str, kind: str, subject_id: str, *digests: str) -> None:
    """Say that the `kind` named `subject_id` uses these blobs; saying it twice changes nothing."""
    rows = [
        {"project_id": project_id, "digest": digest, "kind": kind, "id": subject_id}
        for digest in sorted(set(digests) - {""})
    ]
    insert_missing(tx, blob_references, rows)


def add_each(tx: Tx, project_id: str, kind: str, used: Iterable[tuple[str, str]]) -> None:
    """Say of many things of a `kind`, each (id, digest), that they use a blob; "" is none."""
    rows = [
        {"project_id": project_id, "digest": digest, "kind": kind, "id": subject_id}
        for subject_id, digest in used
        if digest
    ]
    insert_missing(tx, blob_references, rows)


def remove(tx: Tx, project_id: str, kind: str, subject_id: str, digest: str) -> None:
    """Say that the `kind` named `subject_id` no longer uses a blob."""
    tx.execute(
        sa.delete(blob_references).where(
            blob_references.c.project_id == project_id,
            blob_references.c.digest == digest,
            blob_references.c.kind == kind,
            blob_references.c.id == subject_id,
        )
    )


def remove_all(tx: Tx, project_id: str, kind: str, subject_id: str) -> None:
    """Say that the `kind` named `subject_id` uses no blob any more."""
    tx.execute(
        sa.delete(blob_references).where(
            blob_references.c.project_id == project_id,
            blob_references.c.kind == kind,
            blob_references.c.id == subject_id,
        )
    )


def users(tx: Tx, project_id: str, digest: str) -> list[tuple[str, str]]:
    """Return (kind, id) of everything in the project that uses a blob."""
    query = sa.select(blob_references.c.kind, blob_references.c.id).where(
        blob_references.c.project_id == project_id, blob_references.c.digest == digest
    )
    return [(row.kind, row.id) for row in tx.execute(query)]


def kinds(tx: Tx, project_id: str, digests: Collection[str]) -> dict[str, set[str]]:
    """Return by what kinds of thing a project uses blobs; those that it does not use are left out.

    Args:
        tx: a transaction.
        project_id: the project.
        digests: the blobs that are asked for.
    """
    found: dict[str, set[str]] = {}
    wanted = sorted(set(digests))
    for first in range(0, len(wanted), MOST_ASKED):
        part = wanted[first : first + MOST_ASKED]
        query = sa.select(blob_references.c.digest, blob_references.c.kind).where(
            blob_references.c.project_id == project_id, blob_references.c.digest.in_(part)
        )
        for row in tx.execute(query.distinct()):
            found.setdefault(row.digest, set()).add(row.kind)
    return found


def used_by(tx: Tx, project_id: str, kind: str, subject_id: str) -> set[str]:
    """Return the blobs that the `kind` named `subject_id` uses."""
    query = sa.select(blob_references.c.digest).where(
        blob_references.c.project_id == project_id,
        blob_references.c.kind == kind,
        blob_references.c.id == subject_id,
    )
    return set(tx.execute(query).scalars())


def every_use(tx: Tx, project_id: str) -> dict[str, list[tuple[str, str]]]:
    """Return (kind, id) of everything in the project that uses a blob, by digest."""
    columns = blob_references.c
    query = sa.select(columns.digest, columns.kind, columns.id)
    found: dict[str, list[tuple[str, str]]] = {}
    for row in tx.execute(query.where(columns.project_id == project_id)):
        found.setdefault(row.digest, []).append((row.kind, row.id))
    return found


def remove_before(tx: Tx, project_id: str, kind: str, before: str) -> int:
    """Remove what was said of a kind under names that sort before `before`; return how much."""
    gone = sa.delete(blob_references).where(
        blob_references.c.project_id == project_id,
        blob_references.c.kind == kind,
        blob_references.c.id < before,
    )
    return tx.execute(gone).rowcount


def is_used(tx: Tx, digest: str) -> bool:
    """Tell whether anything in any project uses a blob."""
    query = sa.select(blob_references.c.digest).where(blob_references.c.digest == digest)
    return tx.execute(query.limit(1)).first() is not None


def every_digest(tx: Tx) -> set[str]:
    """Return all digests that any project uses: what a clean-up must keep."""
    return set(tx.execute(sa.select(blob_references.c.digest).distinct()).scalars())
