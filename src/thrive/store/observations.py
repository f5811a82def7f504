"""What is seen of running runs, written for many of them at once.

Points of one metric become one chunk, whatever number of writers logged them; a run's row keeps
the latest value, the extremes and the number of points of each metric. Only the columns that
observations touch are read and written.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from thrive.domain.errors import Conflict, NotFound, ThriveError, UsageError
from thrive.domain.run import MetricPoint, MetricSummary
from thrive.store.database import Tx
from thrive.store.few_points import FEW, pack_few
from thrive.store.rows import insert_missing
from thrive.store.tables.runs import metric_chunks, runs

if TYPE_CHECKING:
    from thrive.store.points import Points, Seen

_Chunk = tuple[str, str, int, bytes]
"""Run, metric, number of points, bytes."""
MOST_KEYS = {"metrics": 100_000, "params": 10_000, "tags": 10_000}
"""Names that a run keeps: its row is written whole each time."""
_JSON = ("metrics", "summaries", "params", "tags")
_decoders: dict[str, Any] = {
    "metrics": msgspec.json.Decoder(dict[str, float | None], strict=False).decode,
    "summaries": msgspec.json.Decoder(dict[str, MetricSummary] | None, strict=False).decode,
    "params": msgspec.json.Decoder(dict[str, Any]).decode,
    "tags": msgspec.json.Decoder(dict[str, str]).decode,
}


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one run: points in the order they were logged, parameters, tags, name.

    Many points of one metric come as `columns`, by key.
    """

    points: Sequence[MetricPoint] = ()
    columns: "Mapping[str, Points]" = {}
    params: Mapping[str, Any] = {}
    tags: Mapping[str, str] = {}
    name: str = ""


class ObservedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What of a run observations change."""

    run_id: str
    name: str
    metrics: dict[str, float | None]
    summaries: dict[str, MetricSummary] | None
    params: dict[str, Any]
    tags: dict[str, str]
    deleted_at: int | None


_held = (
    sa.select(
        runs.c.run_id,
        runs.c.name,
        runs.c.deleted_at,
        *(sa.cast(runs.c[name], sa.Text).label(name) for name in _JSON),
    )
    .where(
        runs.c.project_id == sa.bindparam("project"),
        runs.c.run_id.in_(sa.bindparam("several", expanding=True)),
    )
    .order_by(runs.c.run_id)
    .with_for_update()
)
_of_run = sa.update(runs).where(
    runs.c.project_id == sa.bindparam("project"), runs.c.run_id == sa.bindparam("of")
)
_MEASURED = ("metrics", "summaries")
_NAMED = ("name", "params", "tags")
_write_measured = _of_run.values({name: sa.bindparam(name) for name in _MEASURED})
_write_whole = _of_run.values({name: sa.bindparam(name) for name in (*_MEASURED, *_NAMED)})


def observe(
    tx: Tx, project_id: str, several: Sequence[tuple[str, Observation]]
) -> list[ObservedRun | ThriveError]:
    """Add what was seen of runs; return, for each entry, its run as it stands then, or its error.

    An entry with an error adds nothing, and the others stand. A point that stays the latest is
    the one with the highest step, then moment, then value. Each run is held against other
    writers until the transaction ends.
    """
    known = _hold(tx, project_id, sorted({run_id for run_id, _ in several}))
    before = dict(known)
    results: list[ObservedRun | ThriveError] = []
    changed: dict[str, ObservedRun] = {}
    points: dict[str, dict[str, list[MetricPoint]]] = {}
    columns: list[tuple[str, Mapping[str, Points]]] = []
    for run_id, seen in several:
        try:
            run = _with(_active(known, run_id), seen)
        except ThriveError as error:
            results.append(error)
            continue
        known[run_id] = changed[run_id] = run
        results.append(run)
        for point in seen.points:
            points.setdefault(run_id, {}).setdefault(point.key, []).append(point)
        columns.append((run_id, seen.columns))
    _write_runs(tx, project_id, before, changed.values())
    _append(tx, project_id, points, columns)
    return results


def observe_one(tx: Tx, project_id: str, run_id: str, seen: Observation) -> ObservedRun:
    """Add what was seen of one run, and return it as it stands now.

    Raises:
        NotFound: there is no such run.
        UsageError: a parameter has another value already, the run is deleted or holds too much.
    """
    (result,) = observe(tx, project_id, [(run_id, seen)])
    if isinstance(result, ThriveError):
        raise result
    return result


def _hold(tx: Tx, project_id: str, run_ids: Sequence[str]) -> dict[str, ObservedRun]:
    found: dict[str, ObservedRun] = {}
    for row in tx.execute(_held, {"project": project_id, "several": run_ids}):
        texts = {name: decode(getattr(row, name) or "null") for name, decode in _decoders.items()}
        found[row.run_id] = ObservedRun(
            run_id=row.run_id, name=row.name, deleted_at=row.deleted_at, **texts
        )
    return found


def _active(known: Mapping[str, ObservedRun], run_id: str) -> ObservedRun:
    run = known.get(run_id)
    if run is None:
        raise NotFound(f"Run with id={run_id} not found", "thrive runs list")
    if run.deleted_at is not None:
        raise UsageError(
            f"The run {run_id} must be in the 'active' state. Current state is deleted.",
            "log into another run",
        )
    return run


def _write_runs(
    tx: Tx, project_id: str, before: Mapping[str, ObservedRun], changed: Iterable[ObservedRun]
) -> None:
    """Write runs; of most nothing but metrics was seen, and their parameters may be many."""
    measured: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    for run in changed:
        row: dict[str, Any] = {
            "project": project_id,
            "of": run.run_id,
            "metrics": run.metrics,
            "summaries": run.summaries and msgspec.to_builtins(run.summaries),
        }
        known = before[run.run_id]
        if all(getattr(run, name) is getattr(known, name) for name in _NAMED):
            measured.append(row)
        else:
            whole.append(row | {name: getattr(run, name) for name in _NAMED})
    for statement, rows in ((_write_measured, measured), (_write_whole, whole)):
        if rows:
            tx.execute(statement, rows)


def _with(run: ObservedRun, seen: Observation) -> ObservedRun:
    for key, value in seen.params.items():
        if key in run.params and str(run.params[key]) != str(value):
            raise UsageError(
                "Changing param values is not allowed. Param with key='"
                f"{key}' was already logged with value='{run.params[key]}' for run ID="
                f"'{run.run_id}'. Attempted logging new value '{value}'.",
                "log it under another name, or in another run",
            )
    metrics, summaries = dict(run.metrics), dict(run.summaries or {})
    for point in seen.points:
        before = summaries.get(point.key)
        if before is None or _is_later(point, before, metrics.get(point.key)):
            metrics[point.key] = point.value
        summaries[point.key] = _summary(point, before)
    if seen.columns:
        _take_columns(seen.columns, metrics, summaries)
    after = msgspec.structs.replace(
        run,
        name=seen.name or run.name,
        metrics=metrics,
        summaries=summaries or None,
        params={**run.params, **seen.params} if seen.params else run.params,
        tags={**run.tags, **seen.tags} if seen.tags else run.tags,
    )
    _refuse_too_many(after)
    return after


def _refuse_too_many(run: ObservedRun) -> None:
    for kind, most in MOST_KEYS.items():
        if len(getattr(run, kind)) > most:
            raise UsageError(
                f"The run {run.run_id} would have more than {most:,} {kind}.",
                "log them as a file (log_dict), or into several runs",
            )


def _is_later(point: MetricPoint, before: MetricSummary, value: float | None) -> bool:
    if (point.step, point.at) != (before.step, before.at):
        return (point.step, point.at) > (before.step, before.at)
    if value is None or point.value is None:
        return value is None
    return point.value > value


def _summary(point: MetricPoint, before: MetricSummary | None) -> MetricSummary:
    if before is None:
        return MetricSummary(point.step, point.at, point.value, point.value, 1)
    step, at = max((point.step, point.at), (before.step, before.at))
    low, high = before.low, before.high
    if point.value is not None:
        low = point.value if low is None else min(low, point.value)
        high = point.value if high is None else max(high, point.value)
    return MetricSummary(step, at, low, high, before.points + 1)


def _take_columns(
    columns: "Mapping[str, Points]",
    metrics: dict[str, float | None],
    summaries: dict[str, MetricSummary],
) -> None:
    from thrive.store.points import summarized

    several = list(columns.values())
    for key, points, each in zip(columns, several, summarized(several), strict=True):
        metrics[key], summaries[key] = _with_columns(
            each, len(points), summaries.get(key), metrics.get(key)
        )


def _with_columns(
    seen: "Seen", count: int, before: MetricSummary | None, value: float | None
) -> tuple[float | None, MetricSummary]:
    """Return the latest value and the summary of a metric to which many points were added."""
    if before is None:
        return seen.value, MetricSummary(seen.step, seen.at, seen.low, seen.high, count)
    point = MetricPoint(key="", value=seen.value, step=seen.step, at=seen.at)
    if _is_later(point, before, value):
        value = seen.value
    step, at = max((seen.step, seen.at), (before.step, before.at))
    lows = [each for each in (before.low, seen.low) if each is not None]
    highs = [each for each in (before.high, seen.high) if each is not None]
    low, high = min(lows, default=None), max(highs, default=None)
    return value, MetricSummary(step, at, low, high, before.points + count)


def append_points(tx: Tx, project_id: str, points: Mapping[str, Sequence[MetricPoint]]) -> None:
    """Append points of runs to their histories; the runs' rows stay as they are."""
    grouped: dict[str, dict[str, list[MetricPoint]]] = {}
    for run_id, logged in points.items():
        for point in logged:
            grouped.setdefault(run_id, {}).setdefault(point.key, []).append(point)
    _append(tx, project_id, grouped, ())


def _append(
    tx: Tx,
    project_id: str,
    points: Mapping[str, Mapping[str, Sequence[MetricPoint]]],
    columns: "Sequence[tuple[str, Mapping[str, Points]]]",
) -> None:
    """Append points of runs: one chunk a metric of single ones, one for each of many."""
    chunks: list[_Chunk] = []
    many: list[tuple[str, str, Any]] = []
    for run_id, by_key in points.items():
        for key, group in by_key.items():
            if len(group) <= FEW:
                chunks.append((run_id, key, len(group), pack_few(group)))
            else:
                many.append((run_id, key, group))
    for run_id, by_key in columns:
        many += [(run_id, key, each) for key, each in by_key.items()]
    chunks += _packed(many) if many else []
    if chunks:
        _append_chunks(tx, project_id, chunks)


def _packed(many: "Sequence[tuple[str, str, Points | Sequence[MetricPoint]]]") -> list[_Chunk]:
    from thrive.store.points import Points, columns_of, pack

    several = [each if isinstance(each, Points) else columns_of(each) for _, _, each in many]
    return [
        (run_id, key, len(points), data)
        for (run_id, key, _), points, data in zip(many, several, pack(several), strict=True)
    ]


def _append_chunks(tx: Tx, project_id: str, chunks: Sequence[_Chunk]) -> None:
    number = time.time_ns()
    rows = [
        {
            "project_id": project_id,
            "run_id": run_id,
            "key": key,
            "seq": number + place,
            "points": count,
            "data": data,
        }
        for place, (run_id, key, count, data) in enumerate(chunks)
    ]
    written = insert_missing(tx, metric_chunks, rows)
    if written < len(rows):  # another writer of the same metric took the same nanosecond
        raise Conflict("Two writers logged the same metric at the same moment.", "try again")
