"""Verdicts and approvals."""

from collections.abc import Sequence

import sqlalchemy as sa

from thrive.domain.gate import Approval, Verdict
from thrive.store import references
from thrive.store.database import Tx
from thrive.store.rows import batched, insert, many, mine, one
from thrive.store.tables.gates import approvals, verdicts


def insert_verdict(tx: Tx, project_id: str, verdict: Verdict) -> None:
    """Insert a verdict, and the records it keeps alive."""
    insert(tx, project_id, verdicts, verdict)
    for digest in filter(None, (verdict.record, verdict.measured)):
        references.add(tx, project_id, "verdict", verdict.verdict_id, digest)


def find_verdicts(
    tx: Tx, project_id: str, model: str, version: int | None = None, limit: int = 50
) -> list[Verdict]:
    """Return verdicts on a model (and version), newest first."""
    query = mine(verdicts, project_id).where(verdicts.c.model == model)
    if version is not None:
        query = query.where(verdicts.c.version == version)
    return many(tx, Verdict, query.order_by(verdicts.c.verdict_id.desc()).limit(limit))


def newest_ids(
    tx: Tx, project_id: str, labels: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], str]:
    """Return the id of the newest verdict on each of some versions, by (model, number)."""
    label = sa.tuple_(verdicts.c.model, verdicts.c.version)
    found: dict[tuple[str, int], str] = {}
    for some in batched(labels):
        query = (
            sa.select(verdicts.c.model, verdicts.c.version, sa.func.max(verdicts.c.verdict_id))
            .where(verdicts.c.project_id == project_id, label.in_(some))
            .group_by(verdicts.c.model, verdicts.c.version)
        )
        found |= {(model, number): newest for model, number, newest in tx.execute(query)}
    return found


def some(tx: Tx, project_id: str, verdict_ids: Sequence[str]) -> dict[str, Verdict]:
    """Return verdicts by their ids."""
    return {
        each.verdict_id: each
        for part in batched(verdict_ids)
        for each in many(
            tx, Verdict, mine(verdicts, project_id).where(verdicts.c.verdict_id.in_(part))
        )
    }


def get_verdict(tx: Tx, project_id: str, verdict_id: str) -> Verdict | None:
    """Return a verdict, or None."""
    return one(tx, Verdict, mine(verdicts, project_id).where(verdicts.c.verdict_id == verdict_id))


def judged_on(tx: Tx, project_id: str, test_data: str) -> set[str]:
    """Return the packages of all candidates that were judged on one evaluation table."""
    query = sa.select(verdicts.c.candidate).where(
        verdicts.c.project_id == project_id, verdicts.c.test_data == test_data
    )
    return set(tx.execute(query.distinct()).scalars())


def insert_approval(tx: Tx, project_id: str, approval: Approval) -> None:
    """Insert an approval."""
    insert(tx, project_id, approvals, approval)


def every_approval(tx: Tx, project_id: str) -> list[Approval]:
    """Return all approvals of a project, oldest first."""
    return many(tx, Approval, mine(approvals, project_id).order_by(approvals.c.approval_id))


def find_approvals(tx: Tx, project_id: str, model: str, version: int) -> list[Approval]:
    """Return the approvals of a model version, oldest first."""
    query = mine(approvals, project_id).where(
        approvals.c.model == model, approvals.c.version == version
    )
    return many(tx, Approval, query.order_by(approvals.c.approval_id))
