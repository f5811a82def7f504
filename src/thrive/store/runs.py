"""Runs, their steps, artifacts, lineage and metric points."""

import msgspec
import sqlalchemy as sa

from thrive.domain.errors import NotFound, UsageError
from thrive.domain.run import Artifact, MetricPoint, Run, StepRecord, Use
from thrive.store import references
from thrive.store.database import Tx
from thrive.store.rows import begins_with, insert_missing, many, mine, one, to_row, upsert
from thrive.store.tables import artifacts, metric_chunks, runs, steps, uses

_points = msgspec.msgpack.Decoder(list[MetricPoint])


def save(tx: Tx, project_id: str, run: Run) -> None:
    """Insert a run, or write its present state."""
    upsert(tx, project_id, runs, run)


def get(tx: Tx, project_id: str, run_id: str) -> Run:
    """Return a run by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    query = mine(runs, project_id).where(begins_with(runs.c.run_id, run_id))
    found = many(tx, Run, query.limit(2)) if len(run_id) >= 8 else []
    if len(found) > 1:
        raise UsageError(f"{run_id!r} begins several run ids.", "give more of it")
    if not found:
        raise NotFound(f"There is no run {run_id!r}.", "thrive runs list")
    return found[0]


def find(
    tx: Tx,
    project_id: str,
    *,
    experiment: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> list[Run]:
    """Return runs, newest first, older than the id `after`."""
    query = mine(runs, project_id).order_by(runs.c.run_id.desc()).limit(limit)
    if experiment is not None:
        query = query.where(runs.c.experiment == experiment)
    if after is not None:
        query = query.where(runs.c.run_id < after)
    return many(tx, Run, query)


def find_running(tx: Tx, project_id: str) -> list[Run]:
    """Return the runs that say they are running."""
    return many(tx, Run, mine(runs, project_id).where(runs.c.state == "running"))


def save_step(tx: Tx, project_id: str, step: StepRecord) -> None:
    """Insert a step, or write its present state."""
    upsert(tx, project_id, steps, step)


def find_steps(tx: Tx, project_id: str, run_id: str) -> list[StepRecord]:
    """Return the steps of a run in their order."""
    query = mine(steps, project_id).where(steps.c.run_id == run_id)
    return many(tx, StepRecord, query.order_by(steps.c.position))


def save_artifact(tx: Tx, project_id: str, artifact: Artifact) -> None:
    """Insert an artifact, or point its name at newer content."""
    upsert(tx, project_id, artifacts, artifact)
    references.add(
        tx, project_id, "artifact", f"{artifact.run_id}:{artifact.name}", artifact.digest
    )


def find_artifacts(tx: Tx, project_id: str, run_id: str) -> list[Artifact]:
    """Return the artifacts of a run, by name."""
    query = mine(artifacts, project_id).where(artifacts.c.run_id == run_id)
    return many(tx, Artifact, query.order_by(artifacts.c.name))


def add_use(tx: Tx, project_id: str, run_id: str, use: Use) -> None:
    """Insert one edge of lineage; the same edge twice is one."""
    row = {**to_row(project_id, use, uses), "run_id": run_id}
    insert_missing(tx, uses, [row])


def save_use(tx: Tx, project_id: str, run_id: str, use: Use) -> None:
    """Insert one edge of lineage, or write what is now known of its columns."""
    add_use(tx, project_id, run_id, use)
    tx.execute(
        sa.update(uses)
        .where(
            uses.c.project_id == project_id,
            uses.c.run_id == run_id,
            uses.c.direction == use.direction,
            uses.c.kind == use.kind,
            uses.c.name == use.name,
            uses.c.digest == use.digest,
        )
        .values(columns=use.columns)
    )


def find_uses(tx: Tx, project_id: str, run_id: str) -> list[Use]:
    """Return what a run read and wrote."""
    return many(tx, Use, mine(uses, project_id).where(uses.c.run_id == run_id))


def runs_using(tx: Tx, project_id: str, digest: str) -> list[tuple[str, str]]:
    """Return (run id, direction) of the runs that read or wrote this content."""
    query = sa.select(uses.c.run_id, uses.c.direction).where(
        uses.c.project_id == project_id, uses.c.digest == digest
    )
    return [(row.run_id, row.direction) for row in tx.execute(query)]


def append_points(tx: Tx, project_id: str, run_id: str, points: list[MetricPoint]) -> None:
    """Append metric points: one chunk a key, never a row a point."""
    by_key: dict[str, list[MetricPoint]] = {}
    for point in points:
        by_key.setdefault(point.key, []).append(point)
    for key, group in by_key.items():
        chunk = {"points": len(group), "data": msgspec.msgpack.encode(group)}
        named = {"project_id": project_id, "run_id": run_id, "key": key}
        while not insert_missing(tx, metric_chunks, [{**named, **chunk, "seq": _free(tx, named)}]):
            pass  # another writer took the number meanwhile


def _free(tx: Tx, named: dict[str, str]) -> int:
    """Return the number of the next chunk of one metric of one run."""
    where = [metric_chunks.c[column] == value for column, value in named.items()]
    last = tx.execute(sa.select(sa.func.max(metric_chunks.c.seq)).where(*where)).scalar()
    return (last or 0) + 1


def metric_history(tx: Tx, project_id: str, run_id: str, key: str) -> list[MetricPoint]:
    """Return all points of a metric in the order they were logged."""
    query = (
        sa.select(metric_chunks.c.data)
        .where(
            metric_chunks.c.project_id == project_id,
            metric_chunks.c.run_id == run_id,
            metric_chunks.c.key == key,
        )
        .order_by(metric_chunks.c.seq)
    )
    return [point for data in tx.execute(query).scalars() for point in _points.decode(data)]


def experiments(tx: Tx, project_id: str) -> list[tuple[str, int]]:
    """Return the experiments of a project with their number of runs."""
    query = (
        sa.select(runs.c.experiment, sa.func.count())
        .where(runs.c.project_id == project_id)
        .group_by(runs.c.experiment)
        .order_by(runs.c.experiment)
    )
    return [(name, count) for name, count in tx.execute(query)]


def last_run_of(tx: Tx, project_id: str, experiment: str) -> Run | None:
    """Return the newest run of an experiment, or None."""
    query = mine(runs, project_id).where(runs.c.experiment == experiment)
    return one(tx, Run, query.order_by(runs.c.run_id.desc()))
