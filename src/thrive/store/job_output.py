"""What jobs say while they run, for whoever watches from elsewhere; a day later it is forgotten."""

import sqlalchemy as sa

from thrive.domain.project import JobText
from thrive.store.database import Tx
from thrive.store.rows import insert_missing, many, mine, to_row
from thrive.store.tables.project import transcripts

MOST_READ = 500
"""Texts of one answer."""


def append(tx: Tx, project_id: str, said: JobText) -> None:
    """Keep what a job said; saying it twice changes nothing."""
    insert_missing(tx, transcripts, [to_row(project_id, said, transcripts)])


def after(tx: Tx, project_id: str, job_id: str, seq: int) -> list[JobText]:
    """Return what a job said after a seq, oldest first, `MOST_READ` texts at most."""
    query = mine(transcripts, project_id).where(
        transcripts.c.job_id == job_id, transcripts.c.seq > seq
    )
    return many(tx, JobText, query.order_by(transcripts.c.seq).limit(MOST_READ))


def forget_before(tx: Tx, project_id: str, at: int) -> int:
    """Forget what was said before a moment; return how many texts that were."""
    gone = sa.delete(transcripts).where(
        transcripts.c.project_id == project_id, transcripts.c.at < at
    )
    return tx.execute(gone).rowcount
