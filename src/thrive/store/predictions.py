"""Manifests of sealed prediction logs, and outcomes."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from thrive.domain.prediction import Outcome, SealedLog, SealedTo, SegmentName
from thrive.store import references
from thrive.store.database import Tx
from thrive.store.eventlog.layout import HEADER_SIZE
from thrive.store.postgresql import lock_log
from thrive.store.references import MOST_ASKED
from thrive.store.rows import insert_missing, many, mine, replace, to_row
from thrive.store.tables.predictions import outcomes, reviews, sealed_logs


def insert_sealed(tx: Tx, project_id: str, sealed: SealedLog) -> bool:
    """Insert a manifest row, and the file it keeps alive; False when it is known already."""
    if not insert_missing(tx, sealed_logs, [to_row(project_id, sealed, sealed_logs)]):
        return False
    label = f"{sealed.host}/{sealed.worker}/{sealed.segment}/{sealed.from_offset}"
    references.add(tx, project_id, "sealed_log", label, sealed.digest)
    return True


def find_sealed(
    tx: Tx, project_id: str, start: int | None = None, end: int | None = None
) -> list[SealedLog]:
    """Return the manifests that may hold predictions with start <= time < end, oldest first."""
    query = mine(sealed_logs, project_id).order_by(sealed_logs.c.min_time)
    if start is not None:
        query = query.where(sealed_logs.c.max_time >= start)
    if end is not None:
        query = query.where(sealed_logs.c.min_time < end)
    return many(tx, SealedLog, query)


def append_sealed(tx: Tx, project_id: str, rows: Sequence[SealedLog]) -> int:
    """Insert the manifest rows that go on exactly where their segments end here, file by file.

    A row that begins anywhere else was sent before, or what comes before it was lost. A file is
    taken whole or not at all, as all its predictions are read through any of its rows; the sender
    of one that is left out goes on from what `sealed_to` says.

    Returns:
        How many rows were inserted.
    """
    for host in sorted({row.host for row in rows}):
        lock_log(tx, project_id, host)
    return sum(
        insert_sealed(tx, project_id, row)
        for together in _by_file(rows)
        if _go_on(tx, project_id, together)
        for row in together
    )


def _by_file(rows: Sequence[SealedLog]) -> Iterator[list[SealedLog]]:
    """Yield the rows of each file; one that has none, as nothing was answered, by itself."""
    for digest in dict.fromkeys(row.digest for row in rows):
        together = [row for row in rows if row.digest == digest]
        yield from [together] if digest else ([row] for row in together)


def _go_on(tx: Tx, project_id: str, rows: Sequence[SealedLog]) -> bool:
    """Tell whether each row begins where its segment ends, with the rows before it in place."""
    ends: dict[tuple[str, SegmentName], int] = {}
    for row in rows:
        name = SegmentName(row.worker, row.segment)
        known = ends.get((row.host, name))
        here = sealed_to(tx, project_id, row.host, name).to_offset if known is None else known
        if row.from_offset != (here or HEADER_SIZE):
            return False
        ends[row.host, name] = row.to_offset
    return True


def sealed_to(tx: Tx, project_id: str, host: str, name: SegmentName) -> SealedTo:
    """Return the offset up to which a segment is sealed, 0 for none of it."""
    query = sa.select(sa.func.max(sealed_logs.c.to_offset)).where(
        sealed_logs.c.project_id == project_id,
        sealed_logs.c.host == host,
        sealed_logs.c.worker == name.worker,
        sealed_logs.c.segment == name.segment,
    )
    offset = tx.execute(query).scalar() or 0
    return SealedTo(worker=name.worker, segment=name.segment, to_offset=offset)


def insert_outcomes(tx: Tx, project_id: str, batch: Sequence[Outcome]) -> int:
    """Insert outcomes; those known by (prediction, source, revision) are left as they are.

    Returns:
        How many were new.
    """
    rows = {
        (row["prediction_id"], row["source"], row["revision"]): row
        for row in (to_row(project_id, outcome, outcomes) for outcome in batch)
    }
    return insert_missing(tx, outcomes, list(rows.values()))


def replace_sealed(tx: Tx, project_id: str, sealed: SealedLog) -> None:
    """Write what may change of a manifest row: its file and how many rows are in it."""
    replace(tx, project_id, sealed_logs, sealed)


def delete_outcomes(tx: Tx, project_id: str, prediction_ids: Sequence[str]) -> int:
    """Delete what happened after these predictions, all revisions, and what people said of them.

    Returns:
        Rows of outcomes that were deleted.
    """
    deleted = 0
    for first in range(0, len(prediction_ids), MOST_ASKED):
        some = prediction_ids[first : first + MOST_ASKED]
        for table in (reviews, outcomes):
            gone = sa.delete(table).where(
                table.c.project_id == project_id, table.c.prediction_id.in_(some)
            )
            rows = tx.execute(gone).rowcount
            deleted += rows if table is outcomes else 0
    return deleted


def find_outcomes(
    tx: Tx, project_id: str, *, recorded_from: int = 0, known_at: int | None = None
) -> list[Outcome]:
    """Return outcomes recorded since a moment, optionally only those known at another moment."""
    query = mine(outcomes, project_id).where(outcomes.c.recorded_at >= recorded_from)
    if known_at is not None:
        query = query.where(outcomes.c.recorded_at <= known_at)
    return many(tx, Outcome, query.order_by(outcomes.c.recorded_at))


def outcomes_of(tx: Tx, project_id: str, prediction_id: str) -> list[Outcome]:
    """Return all revisions of what happened after one prediction."""
    query = mine(outcomes, project_id).where(outcomes.c.prediction_id == prediction_id)
    return many(tx, Outcome, query.order_by(outcomes.c.recorded_at))


def latest_outcomes(
    tx: Tx, project_id: str, *, first_id: str, last_id: str, known_at: int
) -> list[tuple[str, object, int]]:
    """Return (prediction id, value, recorded at) with the highest revision known at a moment.

    Ids lead with their time, so a range of ids is a range of prediction times.
    """
    query = (
        sa.select(outcomes.c.prediction_id, outcomes.c.value, outcomes.c.recorded_at)
        .where(
            outcomes.c.project_id == project_id,
            outcomes.c.prediction_id >= first_id,
            outcomes.c.prediction_id < last_id,
            outcomes.c.recorded_at <= known_at,
        )
        .order_by(outcomes.c.prediction_id, outcomes.c.revision)
    )
    latest = {row.prediction_id: (row.value, row.recorded_at) for row in tx.execute(query)}
    return [(key, value, at) for key, (value, at) in latest.items()]


def told_by(tx: Tx, project_id: str, source: str, *, first_id: str, last_id: str) -> set[str]:
    """Return the predictions from `first_id` to `last_id`, both too, with an outcome of a source.

    Ids lead with their time, so a range of ids is a range of prediction times.
    """
    query = sa.select(outcomes.c.prediction_id).where(
        outcomes.c.project_id == project_id,
        outcomes.c.prediction_id.between(first_id, last_id),
        outcomes.c.source == source,
    )
    return set(tx.execute(query).scalars())


def newest_outcomes(
    tx: Tx, project_id: str, *, limit: int, before: tuple[int, str] | None = None
) -> list[Outcome]:
    """Return outcomes, the last recorded first, beyond (recorded at, prediction id) `before`."""
    place = sa.tuple_(outcomes.c.recorded_at, outcomes.c.prediction_id)
    query = mine(outcomes, project_id)
    if before is not None:
        query = query.where(place < sa.tuple_(*before))
    ordered = query.order_by(outcomes.c.recorded_at.desc(), outcomes.c.prediction_id.desc())
    return many(tx, Outcome, ordered.limit(limit))


def count_outcomes(
    tx: Tx, project_id: str, *, first_id: str, last_id: str, known_at: int | None = None
) -> int:
    """Return how many outcomes, corrections counted too, answer ids from `first_id` to `last_id`.

    Ids lead with their time, so a range of ids is a range of prediction times. With `known_at`
    only those recorded by then count.
    """
    query = (
        sa.select(sa.func.count())
        .select_from(outcomes)
        .where(
            outcomes.c.project_id == project_id,
            outcomes.c.prediction_id >= first_id,
            outcomes.c.prediction_id < last_id,
        )
    )
    if known_at is not None:
        query = query.where(outcomes.c.recorded_at <= known_at)
    return tx.execute(query).scalar() or 0


def count_outcomes_of(tx: Tx, project_id: str, prediction_ids: Sequence[str]) -> int:
    """Return how many outcomes, corrections counted too, answer these predictions."""
    counted = 0
    for first in range(0, len(prediction_ids), MOST_ASKED):
        query = (
            sa.select(sa.func.count())
            .select_from(outcomes)
            .where(
                outcomes.c.project_id == project_id,
                outcomes.c.prediction_id.in_(prediction_ids[first : first + MOST_ASKED]),
            )
        )
        counted += tx.execute(query).scalar() or 0
    return counted
