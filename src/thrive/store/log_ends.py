"""What retention removed of the prediction log, and the taking away of it."""

from collections.abc import Sequence

import sqlalchemy as sa

from thrive.domain.clock import DAY
from thrive.domain.prediction import LogEnd
from thrive.store import references
from thrive.store.database import Tx
from thrive.store.references import MOST_ASKED
from thrive.store.rows import many, mine, one, upsert
from thrive.store.tables.predictions import log_ends, outcomes, sealed_logs

_SEALED = "sealed_log"


def save(tx: Tx, project_id: str, end: LogEnd) -> None:
    """Write what was removed of a model's predictions."""
    upsert(tx, project_id, log_ends, end)


def get(tx: Tx, project_id: str, model: str) -> LogEnd:
    """Return what was removed of a model's predictions; of most models, nothing."""
    query = mine(log_ends, project_id).where(log_ends.c.model == model)
    return one(tx, LogEnd, query) or LogEnd(model=model, until=0)


def find(tx: Tx, project_id: str, *, after: int = 0) -> list[LogEnd]:
    """Return what was removed, of each model that may lack predictions after a moment."""
    query = mine(log_ends, project_id).where(log_ends.c.until > after)
    return many(tx, LogEnd, query.order_by(log_ends.c.model))


def files_before(tx: Tx, project_id: str, end: LogEnd, until: int) -> list[str]:
    """Return the sealed files all of whose predictions came before a moment, oldest first.

    Those that were looked at already are left out, if no host sent them later.

    Args:
        tx: a transaction.
        project_id: the project.
        end: of the model that is asked for.
        until: UTC microseconds.
    """
    newest = sa.func.max(sealed_logs.c.max_time)
    fresh = newest >= end.looked_until
    late = sa.func.max(sealed_logs.c.sealed_at) >= end.looked_at - DAY
    query = (
        sa.select(sealed_logs.c.digest)
        .where(sealed_logs.c.project_id == project_id, sealed_logs.c.digest != "")
        .group_by(sealed_logs.c.digest)
        .having(newest < until, fresh | late)
        .order_by(newest)
    )
    return list(tx.execute(query).scalars())


def replace_file(tx: Tx, project_id: str, old: str, new: str) -> bool:
    """Let manifest rows name another file, "" for none; False if no row names the old one."""
    known = (sealed_logs.c.project_id == project_id, sealed_logs.c.digest == old)
    if not tx.execute(sa.update(sealed_logs).where(*known).values(digest=new)).rowcount:
        return False
    for kind, label in references.users(tx, project_id, old):
        if kind == _SEALED:
            references.remove(tx, project_id, kind, label, old)
            references.add(tx, project_id, kind, label, new)
    return True


def delete_outcomes(tx: Tx, project_id: str, prediction_ids: Sequence[str]) -> int:
    """Delete what happened after predictions; what people said in a review of them stays.

    Returns:
        How many rows there were, corrections counted too.
    """
    deleted = 0
    for first in range(0, len(prediction_ids), MOST_ASKED):
        some = prediction_ids[first : first + MOST_ASKED]
        gone = sa.delete(outcomes).where(
            outcomes.c.project_id == project_id, outcomes.c.prediction_id.in_(some)
        )
        deleted += tx.execute(gone).rowcount
    return deleted
