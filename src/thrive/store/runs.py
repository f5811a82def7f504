"""Runs, their steps, artifacts, lineage and metric points."""

import base64
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from thrive.domain.errors import NotFound
from thrive.domain.run import (
    Artifact,
    MetricPoint,
    Run,
    RunState,
    StepCode,
    StepRecord,
    Use,
)
from thrive.store import holds, references
from thrive.store.database import Tx
from thrive.store.rows import (
    batched,
    begins_with,
    from_row,
    insert_missing,
    many,
    mine,
    named,
    one,
    to_row,
    upsert,
)
from thrive.store.tables.columns import JSON_VALUE
from thrive.store.tables.runs import artifacts, metric_chunks, runs, step_codes, steps, uses

if TYPE_CHECKING:
    from thrive.store.points import Points

_OBSERVED = ("name", "metrics", "summaries", "params", "tags")
_WHOLE = frozenset({"params", "metrics", "tags", "inputs"})
_TOGETHER = 500
"""Runs asked for in one query: databases limit how many values a statement takes."""
_PACKED = 1 << 14
"""Points in one chunk of a run that has ended."""
_WORTH = 256
"""From how many points on even one chunk is written anew, deflated."""


_JSON = tuple(column.name for column in runs.columns if isinstance(column.type, type(JSON_VALUE)))
_PLAIN = tuple(name for name in Run.__struct_fields__ if name not in _JSON)
_whole = sa.select(
    *(runs.c[name] for name in _PLAIN),
    *(sa.cast(runs.c[name], sa.Text).label(name) for name in _JSON),
).where(
    runs.c.project_id == sa.bindparam("project"),
    runs.c.run_id.in_(sa.bindparam("several", expanding=True)),
)
_decode = msgspec.json.Decoder(Run, strict=False).decode
_metrics = sa.select(runs.c.metrics).where(
    runs.c.project_id == sa.bindparam("project"), runs.c.run_id == sa.bindparam("run")
)


def save(tx: Tx, project_id: str, run: Run) -> None:
    """Insert a run, or write its present state."""
    upsert(tx, project_id, runs, run)


def get(tx: Tx, project_id: str, run_id: str) -> Run:
    """Return a run by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    return named(tx, project_id, Run, runs.c.run_id, run_id, "run")


def metrics_of(tx: Tx, project_id: str, run_id: str) -> dict[str, float | None]:
    """Return the latest value of each metric of a run, by its whole id.

    Raises:
        NotFound: there is no such run.
    """
    row = tx.execute(_metrics, {"project": project_id, "run": run_id}).first()
    if row is None:
        raise NotFound(f"Run with id={run_id} not found", "thrive runs list")
    return row.metrics


def find(
    tx: Tx,
    project_id: str,
    *,
    experiment: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> list[Run]:
    """Return the runs that are not deleted, newest first, older than the id `after`."""
    query = mine(runs, project_id).where(runs.c.deleted_at.is_(None))
    query = query.order_by(runs.c.run_id.desc()).limit(limit)
    if experiment is not None:
        query = query.where(runs.c.experiment == experiment)
    if after is not None:
        query = query.where(runs.c.run_id < after)
    return many(tx, Run, query)


class SearchRow(msgspec.Struct, frozen=True, gc=False):
    """What a search may ask of a run; JSON columns as text, to be read by whoever needs them."""

    run_id: str
    experiment: str
    name: str
    state: str
    actor: str
    started_at: int
    ended_at: int | None
    deleted_at: int | None
    params: str
    metrics: str
    tags: str
    inputs: str | None


def search_rows(
    tx: Tx, project_id: str, run_ids: Sequence[str] | None = None
) -> Iterator[SearchRow]:
    """Yield what a search may ask of runs, all of them or some, in the order of their ids."""
    columns = [
        sa.cast(runs.c[name], sa.Text).label(name) if name in _WHOLE else runs.c[name]
        for name in SearchRow.__struct_fields__
    ]
    query = sa.select(*columns).where(runs.c.project_id == project_id).order_by(runs.c.run_id)
    if run_ids is None:
        yield from (SearchRow(*row) for row in tx.execute(query).yield_per(_TOGETHER))
        return
    for first in range(0, len(run_ids), _TOGETHER):
        part = query.where(runs.c.run_id.in_(run_ids[first : first + _TOGETHER]))
        yield from (SearchRow(*row) for row in tx.execute(part))


def experiment_names(tx: Tx, project_id: str) -> Iterator[tuple[str, str]]:
    """Yield each run's id with the name of its experiment."""
    query = sa.select(runs.c.run_id, runs.c.experiment).where(runs.c.project_id == project_id)
    yield from (tuple(row) for row in tx.execute(query).yield_per(10_000))


def some(tx: Tx, project_id: str, run_ids: Sequence[str]) -> list[Run]:
    """Return runs in the order of the ids given; those that are not there are left out."""
    found: dict[str, Run] = {}
    for first in range(0, len(run_ids), _TOGETHER):
        several = run_ids[first : first + _TOGETHER]
        rows = tx.execute(_whole, {"project": project_id, "several": several}).mappings()
        found.update({row["run_id"]: _run(row) for row in rows})
    return [found[run_id] for run_id in run_ids if run_id in found]


def _run(row: sa.RowMapping) -> Run:
    """Return the run of a row whose JSON columns are texts: read in one go, as many are asked."""
    plain = {name: row[name] for name in _PLAIN}
    values = [f'"{name}":{row[name]}' for name in _JSON if row[name] is not None]
    text = ",".join((msgspec.json.encode(plain).decode()[:-1], *values))
    return _decode(text + "}")


_running = sa.select(runs.c.run_id, runs.c.process).where(
    runs.c.project_id == sa.bindparam("project"),
    runs.c.state == sa.literal_column("'running'"),  # a literal, as the index of them has it
)


def find_drivers(tx: Tx, project_id: str) -> dict[str, str]:
    """Return which process drives each run that says it is running, by the run's id."""
    rows = tx.execute(_running, {"project": project_id})
    return {row.run_id: row.process for row in rows}


def save_step(tx: Tx, project_id: str, *several: StepRecord) -> None:
    """Insert steps, or write their present state."""
    upsert(tx, project_id, steps, *several)


def find_steps(tx: Tx, project_id: str, run_id: str) -> list[StepRecord]:
    """Return the steps of a run in their order."""
    query = mine(steps, project_id).where(steps.c.run_id == run_id)
    return many(tx, StepRecord, query.order_by(steps.c.position))


def find_open_steps(tx: Tx, project_id: str, run_id: str) -> list[StepRecord]:
    """Return the steps of a run that say they are running."""
    running = (steps.c.run_id == run_id, steps.c.state == RunState.RUNNING.value)
    return many(tx, StepRecord, mine(steps, project_id).where(*running))


def count_steps(tx: Tx, project_id: str, run_id: str) -> int:
    """Return how many steps a run has."""
    counted = sa.select(sa.func.count()).select_from(steps)
    mine_ = (steps.c.project_id == project_id, steps.c.run_id == run_id)
    return tx.execute(counted.where(*mine_)).scalar_one()


def find_results(
    tx: Tx, project_id: str, key: str, *, run_id: str | None = None, limit: int = 5
) -> list[StepRecord]:
    """Return finished steps that have this cache key and were executed, newest first.

    Args:
        tx: the transaction.
        project_id: the project.
        key: the cache key.
        run_id: only steps of this run, also those whose results are not used by other runs.
        limit: how many.
    """
    query = mine(steps, project_id).where(
        steps.c.key == key, steps.c.state == RunState.DONE.value, steps.c.result.is_not(None)
    )
    if run_id is None:
        query = query.where(steps.c.source == "", steps.c.note == "")
    else:
        query = query.where(steps.c.run_id == run_id)
    return many(tx, StepRecord, query.order_by(steps.c.started_at.desc()).limit(limit))


def values_in_rows(tx: Tx, project_id: str) -> Iterator[tuple[str, int, bytes]]:
    """Yield run, position and encoded value of every result that stands in the row of its step."""
    query = sa.select(steps.c.run_id, steps.c.position, steps.c.result).where(
        steps.c.project_id == project_id,
        sa.cast(steps.c.result, sa.Text).contains('"data"', autoescape=True),
    )
    for run_id, position, result in tx.execute(query):
        yield run_id, position, base64.b64decode(result["data"])


def forget_result(tx: Tx, project_id: str, run_id: str, position: int) -> None:
    """Take the result of a step out of its row: it is executed when it is wanted again."""
    chosen = (steps.c.project_id == project_id, steps.c.run_id == run_id)
    gone = sa.update(steps).where(*chosen, steps.c.position == position)
    tx.execute(gone.values(result=sa.null()))


def save_step_code(tx: Tx, project_id: str, code: StepCode) -> None:
    """Insert what a code digest stands for; the same digest twice is one."""
    insert_missing(tx, step_codes, [to_row(project_id, code, step_codes)])


def get_step_code(tx: Tx, project_id: str, digest: str) -> StepCode | None:
    """Return what a code digest stands for, None if it was not kept."""
    return one(tx, StepCode, mine(step_codes, project_id).where(step_codes.c.digest == digest))


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


def artifacts_under(tx: Tx, project_id: str, owner: str, folder: str) -> list[Artifact]:
    """Return the artifacts of a run or logged model whose names begin with `folder/`, by name."""
    query = mine(artifacts, project_id).where(
        artifacts.c.run_id == owner, begins_with(artifacts.c.name, folder)
    )
    return many(tx, Artifact, query.order_by(artifacts.c.name))


def find_artifact(tx: Tx, project_id: str, owner: str, name: str) -> Artifact | None:
    """Return an artifact of a run or logged model, or None."""
    query = mine(artifacts, project_id)
    return one(tx, Artifact, query.where(artifacts.c.run_id == owner, artifacts.c.name == name))


def remove_artifact(tx: Tx, project_id: str, artifact: Artifact) -> None:
    """Forget an artifact; its bytes stay while something else uses them.

    Raises:
        Refused: a legal hold is on the project, or on what the run read or made.
    """
    holds.refuse_held_run(tx, project_id, artifact.run_id)
    tx.execute(
        sa.delete(artifacts).where(
            artifacts.c.project_id == project_id,
            artifacts.c.run_id == artifact.run_id,
            artifacts.c.name == artifact.name,
        )
    )
    label = f"{artifact.run_id}:{artifact.name}"
    references.remove(tx, project_id, "artifact", label, artifact.digest)


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


def uses_by_run(tx: Tx, project_id: str, run_ids: Iterable[str]) -> dict[str, list[Use]]:
    """Return what each of many runs read and wrote; a run without a use is left out."""
    found: dict[str, list[Use]] = {}
    query = mine(uses, project_id).where(uses.c.run_id.in_(sorted(run_ids)))
    for row in tx.execute(query).mappings():
        found.setdefault(row["run_id"], []).append(from_row(Use, row))
    return found


def datasets_made(tx: Tx, project_id: str, run_ids: Collection[str]) -> dict[str, list[Use]]:
    """Return the dataset versions that each of some runs wrote; a run without is left out."""
    found: dict[str, list[Use]] = {}
    for some in batched(sorted(run_ids)):
        query = mine(uses, project_id).where(
            uses.c.run_id.in_(some), uses.c.direction == "out", uses.c.kind == "dataset"
        )
        for row in tx.execute(query).mappings():
            found.setdefault(row["run_id"], []).append(from_row(Use, row))
    return found


def runs_using(tx: Tx, project_id: str, digest: str) -> list[tuple[str, str]]:
    """Return (run id, direction) of the runs that read or wrote this content."""
    query = sa.select(uses.c.run_id, uses.c.direction).where(
        uses.c.project_id == project_id, uses.c.digest == digest
    )
    return [(row.run_id, row.direction) for row in tx.execute(query)]


def uses_of_content(tx: Tx, project_id: str, digests: Collection[str]) -> list[tuple[str, Use]]:
    """Return (run id, use) of whatever read or wrote one of some contents, by run."""
    found: list[tuple[str, Use]] = []
    for some in batched(sorted(digests)):
        query = mine(uses, project_id).where(uses.c.digest.in_(some)).order_by(uses.c.run_id)
        found += [(row["run_id"], from_row(Use, row)) for row in tx.execute(query).mappings()]
    return found


def get_some(tx: Tx, project_id: str, run_ids: Collection[str]) -> dict[str, Run]:
    """Return runs by their ids; one that is not there is left out."""
    found: dict[str, Run] = {}
    for some in batched(sorted(run_ids)):
        known = many(tx, Run, mine(runs, project_id).where(runs.c.run_id.in_(some)))
        found |= {run.run_id: run for run in known}
    return found


def hold(tx: Tx, project_id: str, *run_ids: str) -> dict[str, Run]:
    """Return runs by their ids, and keep other writers from them until the transaction ends.

    Raises:
        NotFound: there is no such run.
    """
    query = mine(runs, project_id).where(runs.c.run_id.in_(sorted(run_ids)))
    known = {
        run.run_id: run for run in many(tx, Run, query.order_by(runs.c.run_id).with_for_update())
    }
    for run_id in run_ids:
        if run_id not in known:
            raise NotFound(f"Run with id={run_id} not found", "thrive runs list")
    return known


def take_out(tx: Tx, project_id: str, run_id: str, at: int) -> Run:
    """Take a run out of lists and comparisons; its record stays, so that it can be put back.

    Raises:
        NotFound: there is no such run.
        Refused: a legal hold is on the project, on what it read or on a model it made.
    """
    found = hold(tx, project_id, run_id)[run_id]
    holds.refuse_held_run(tx, project_id, run_id)
    gone = msgspec.structs.replace(found, deleted_at=found.deleted_at or at)
    save(tx, project_id, gone)
    return gone


def put_back(tx: Tx, project_id: str, run_id: str) -> Run:
    """Bring a run that was taken out back into lists and comparisons.

    Raises:
        NotFound: there is no such run.
    """
    back = msgspec.structs.replace(hold(tx, project_id, run_id)[run_id], deleted_at=None)
    save(tx, project_id, back)
    return back


def keep_observed(tx: Tx, project_id: str, changed: Sequence[Run]) -> None:
    """Write what observations change of some runs: metrics, parameters and tags."""
    change = (
        sa.update(runs)
        .where(runs.c.project_id == project_id, runs.c.run_id == sa.bindparam("of"))
        .values({name: sa.bindparam(name) for name in _OBSERVED})
    )
    rows = [to_row(project_id, run, runs) for run in changed]
    tx.execute(change, [{"of": row["run_id"], **{n: row[n] for n in _OBSERVED}} for row in rows])


def compact(tx: Tx, project_id: str, run_id: str) -> None:
    """Write the many small chunks of a run's metrics as few large ones, deflated."""
    mine_ = (metric_chunks.c.project_id == project_id, metric_chunks.c.run_id == run_id)
    counted = sa.select(metric_chunks.c.key).where(*mine_).group_by(metric_chunks.c.key)
    worth = (sa.func.count() > 1) | (sa.func.max(metric_chunks.c.points) >= _WORTH)
    keys = tx.execute(counted.having(worth)).scalars().all()
    if not keys:
        return
    from thrive.store.points import pack_ended, unpack

    for key in keys:
        of_key = (*mine_, metric_chunks.c.key == key)
        found = sa.select(metric_chunks.c.seq, metric_chunks.c.data).where(*of_key)
        chunks = tx.execute(found.order_by(metric_chunks.c.seq)).all()
        whole = unpack(chunk.data for chunk in chunks).distinct()
        tx.execute(sa.delete(metric_chunks).where(*of_key))
        parts = [whole.take(slice(at, at + _PACKED)) for at in range(0, len(whole), _PACKED)]
        tx.execute(
            sa.insert(metric_chunks),
            [
                {
                    "project_id": project_id,
                    "run_id": run_id,
                    "key": key,
                    "seq": chunks[0].seq + place,
                    "points": len(part),
                    "data": pack_ended(part),
                }
                for place, part in enumerate(parts)
            ],
        )


def metric_history(tx: Tx, project_id: str, run_id: str, key: str) -> list[MetricPoint]:
    """Return the distinct points of a metric in the order they were logged."""
    found = metric_columns(tx, project_id, run_id, key)
    columns = (found.steps.tolist(), found.moments.tolist(), found.values.tolist())
    return [
        MetricPoint(key=key, value=None if value != value else value, step=step, at=at)  # noqa: PLR0124 - NaN alone differs from itself
        for step, at, value in zip(*columns, strict=True)
    ]


def metric_columns(tx: Tx, project_id: str, run_id: str, key: str) -> "Points":
    """Return the distinct points of a metric as columns, in the order they were logged."""
    from thrive.store.points import unpack

    of_key = _of_metric(project_id, run_id, key)
    query = sa.select(metric_chunks.c.data).where(*of_key).order_by(metric_chunks.c.seq)
    return unpack(tx.execute(query).scalars()).distinct()


ChunkKey = tuple[int, int, int]
"""A chunk of a metric: its place, its points, its bytes; another content has another one."""


def metric_chunk_keys(tx: Tx, project_id: str, run_id: str, key: str) -> list[ChunkKey]:
    """Return which chunks a metric has, in the order they were logged, without their points."""
    of_key = _of_metric(project_id, run_id, key)
    size = sa.func.length(metric_chunks.c.data)
    query = sa.select(metric_chunks.c.seq, metric_chunks.c.points, size).where(*of_key)
    return [tuple(row) for row in tx.execute(query.order_by(metric_chunks.c.seq))]


def metric_chunks_at(
    tx: Tx, project_id: str, run_id: str, key: str, places: Sequence[int]
) -> list[tuple[int, bytes]]:
    """Return some chunks of a metric with their places, in the order they were logged."""
    found: list[tuple[int, bytes]] = []
    query = sa.select(metric_chunks.c.seq, metric_chunks.c.data)
    query = query.where(*_of_metric(project_id, run_id, key)).order_by(metric_chunks.c.seq)
    for part in batched(places):
        found += [tuple(row) for row in tx.execute(query.where(metric_chunks.c.seq.in_(part)))]
    return found


def _of_metric(project_id: str, run_id: str, key: str) -> list[sa.ColumnElement[bool]]:
    return [
        metric_chunks.c.project_id == project_id,
        metric_chunks.c.run_id == run_id,
        metric_chunks.c.key == key,
    ]


def experiments(tx: Tx, project_id: str) -> list[tuple[str, int]]:
    """Return the experiments of a project with their number of runs."""
    query = (
        sa.select(runs.c.experiment, sa.func.count())
        .where(runs.c.project_id == project_id, runs.c.deleted_at.is_(None))
        .group_by(runs.c.experiment)
        .order_by(runs.c.experiment)
    )
    return [(name, count) for name, count in tx.execute(query)]


def last_run_of(tx: Tx, project_id: str, experiment: str) -> Run | None:
    """Return the newest run of an experiment, or None."""
    query = mine(runs, project_id).where(
        runs.c.experiment == experiment, runs.c.deleted_at.is_(None)
    )
    return one(tx, Run, query.order_by(runs.c.run_id.desc()))
