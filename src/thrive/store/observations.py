"""What is seen of running runs, written for many of them at once.

Points of one metric become one chunk, whatever number of writers logged them; a run's row keeps
the latest value, the extremes and the number of points of each metric. Only the columns that
observations touch are read and written.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from thrive.domain.errors import Conflict, NotFound, ThriveError, UsageError
from thrive.domain.run import MetricPoint, MetricSummary
from thrive.store.database import Tx
from thrive.store.few_points import FEW, pack_few
from thrive.store.json_text import written_text
from thrive.store.rows import add_many, change_many
from thrive.store.tables.runs import metric_chunks, runs

if TYPE_CHECKING:
    from thrive.store.points import Points, Seen

_Chunk = tuple[str, str, int, bytes]
"""Run, metric, number of points, bytes."""
MOST_KEYS = {"metrics": 100_000, "params": 10_000, "tags": 10_000}
"""Names that a run keeps: its row is written whole each time."""
_decoders: dict[str, Any] = {
    "metrics": msgspec.json.Decoder(dict[str, float | None], strict=False).decode,
    "summaries": msgspec.json.Decoder(dict[str, MetricSummary], strict=False).decode,
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


class ObservedRun(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """What of a run observations change."""

    run_id: str
    metrics: dict[str, float | None]
    summaries: dict[str, MetricSummary]
    params: dict[str, Any]
    tags: dict[str, str]
    name: str
    deleted_at: int | None


_MEASURED = ("metrics", "summaries")
_NAMED = ("params", "tags", "name")
_of_run = sa.update(runs).where(
    runs.c.project_id == sa.bindparam("project"), runs.c.run_id == sa.bindparam("of")
)
_write_measured = _of_run.values({name: sa.bindparam(name) for name in _MEASURED})
_write_whole = _of_run.values({name: sa.bindparam(name) for name in (*_MEASURED, *_NAMED)})


@cache
def _held(dialect: str, *names: str) -> Any:
    """Return the query of some columns of runs by their ids; JSON comes as its text."""
    columns = [
        runs.c[name] if name == "name" else sa.cast(runs.c[name], sa.Text).label(name)
        for name in names
    ]
    if dialect == "sqlite":
        several: Any = sa.func.json_each(sa.bindparam("several", type_=sa.Text))
        wanted = runs.c.run_id.in_(sa.select(several.table_valued("value").c.value))
    else:
        wanted = runs.c.run_id.in_(sa.bindparam("several", expanding=True))
    return (
        sa.select(runs.c.run_id, runs.c.deleted_at, *columns)
        .where(runs.c.project_id == sa.bindparam("project"), wanted)
        .order_by(runs.c.run_id)
        .with_for_update()
    )


def observe(
    tx: Tx, project_id: str, several: Sequence[tuple[str, Observation]]
) -> list[ThriveError | None]:
    """Add what was seen of runs; return, for each entry, what is wrong with it.

    An entry with an error adds nothing, and the others stand. A point that stays the latest is
    the one with the highest step, then moment, then value. Each run is held against other
    writers until the transaction ends.
    """
    named = any(seen.params or seen.tags or seen.name for _, seen in several)
    run_ids = sorted({run_id for run_id, _ in several})
    _, errors = _observe(tx, project_id, several, _hold(tx, project_id, run_ids, named=named))
    return errors


def observe_one(tx: Tx, project_id: str, run_id: str, seen: Observation) -> ObservedRun:
    """Add what was seen of one run, and return it as it stands now.

    Raises:
        NotFound: there is no such run.
        UsageError: a parameter has another value already, the run is deleted or holds too much.
    """
    held = _hold(tx, project_id, [run_id], named=True)
    known, (error,) = _observe(tx, project_id, [(run_id, seen)], held)
    if error is not None:
        raise error
    return known[run_id]


def _observe(
    tx: Tx,
    project_id: str,
    several: Sequence[tuple[str, Observation]],
    known: dict[str, ObservedRun],
) -> tuple[dict[str, ObservedRun], list[ThriveError | None]]:
    errors: list[ThriveError | None] = []
    measured: dict[str, None] = {}
    named: dict[str, None] = {}
    points: dict[tuple[str, str], list[MetricPoint]] = {}
    columns: list[tuple[str, Mapping[str, Points]]] = []
    for run_id, seen in several:
        try:
            run = _active(known, run_id)
            _refuse(run, seen)
        except ThriveError as error:
            errors.append(error)
            continue
        errors.append(None)
        _add(run, seen)
        (named if seen.params or seen.tags or seen.name else measured)[run_id] = None
        for point in seen.points:
            points.setdefault((run_id, point.key), []).append(point)
        if seen.columns:
            columns.append((run_id, seen.columns))
    _write(tx, project_id, known, measured.keys() - named.keys(), _MEASURED)
    _write(tx, project_id, known, named, (*_MEASURED, *_NAMED))
    _append(tx, project_id, points, columns)
    return known, errors


def _hold(
    tx: Tx, project_id: str, run_ids: Sequence[str], *, named: bool
) -> dict[str, ObservedRun]:
    """Return runs by id, without parameters, tags and name where those are not to be touched."""
    names = (*_MEASURED, *_NAMED) if named else _MEASURED
    sqlite = tx.dialect.name == "sqlite"
    several = written_text(run_ids) if sqlite else run_ids
    query = _held(tx.dialect.name, *names)
    rows = tx.execute(query, {"project": project_id, "several": several})
    return {row[0]: _read(*row) for row in rows}


def _read(
    run_id: str,
    deleted_at: int | None,
    metrics: str,
    summaries: str | None,
    params: str = "",
    tags: str = "",
    name: str = "",
) -> ObservedRun:
    return ObservedRun(
        run_id=run_id,
        deleted_at=deleted_at,
        metrics=_decoders["metrics"](metrics),
        summaries=_decoders["summaries"](summaries) if summaries else {},
        params=_decoders["params"](params) if params else {},
        tags=_decoders["tags"](tags) if tags else {},
        name=name,
    )


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


def _write(
    tx: Tx,
    project_id: str,
    known: Mapping[str, ObservedRun],
    run_ids: Iterable[str],
    names: tuple[str, ...],
) -> None:
    """Write columns of runs; of most nothing but metrics was seen, and parameters may be many."""
    rows: list[dict[str, Any]] = []
    for run_id in run_ids:
        run = known[run_id]
        row: dict[str, Any] = {"project": project_id, "of": run_id}
        for name in names:
            value = getattr(run, name)
            row[name] = value if name == "name" else written_text(value)
        if not run.summaries:
            row["summaries"] = None
        rows.append(row)
    change_many(tx, _write_measured if names is _MEASURED else _write_whole, rows)


def _refuse(run: ObservedRun, seen: Observation) -> None:
    """Refuse what a run cannot take, before anything of it is taken."""
    for key, value in seen.params.items():
        if key in run.params and str(run.params[key]) != str(value):
            raise UsageError(
                "Changing param values is not allowed. Param with key='"
                f"{key}' was already logged with value='{run.params[key]}' for run ID="
                f"'{run.run_id}'. Attempted logging new value '{value}'.",
                "log it under another name, or in another run",
            )
    if len(run.metrics) + len(seen.points) + len(seen.columns) > MOST_KEYS["metrics"]:
        keys = {point.key for point in seen.points} | seen.columns.keys()
        _refuse_too_many(run, "metrics", run.metrics, keys)
    if seen.params:
        _refuse_too_many(run, "params", run.params, seen.params.keys())
    if seen.tags:
        _refuse_too_many(run, "tags", run.tags, seen.tags.keys())


def _refuse_too_many(
    run: ObservedRun, kind: str, known: Mapping[str, Any], more: Collection[str]
) -> None:
    most = MOST_KEYS[kind]
    if len(known) + len(more) > most and len(known.keys() | more) > most:
        raise UsageError(
            f"The run {run.run_id} would have more than {most:,} {kind}.",
            "log them as a file (log_dict), or into several runs",
        )


def _add(run: ObservedRun, seen: Observation) -> None:
    metrics, summaries = run.metrics, run.summaries
    for point in seen.points:
        before = summaries.get(point.key)
        if before is None or _is_later(point, before, metrics.get(point.key)):
            metrics[point.key] = point.value
        summaries[point.key] = _summary(point, before)
    if seen.columns:
        _take_columns(seen.columns, metrics, summaries)
    run.name = seen.name or run.name
    run.params.update(seen.params)
    run.tags.update(seen.tags)


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
    grouped: dict[tuple[str, str], list[MetricPoint]] = {}
    for run_id, logged in points.items():
        for point in logged:
            grouped.setdefault((run_id, point.key), []).append(point)
    _append(tx, project_id, grouped, ())


def _append(
    tx: Tx,
    project_id: str,
    points: Mapping[tuple[str, str], Sequence[MetricPoint]],
    columns: "Sequence[tuple[str, Mapping[str, Points]]]",
) -> None:
    """Append points of runs: one chunk a metric of single ones, one for each of many."""
    chunks: list[_Chunk] = []
    many: list[tuple[str, str, Any]] = []
    for (run_id, key), group in points.items():
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
    written = add_many(tx, metric_chunks, rows)
    if written < len(rows):  # another writer of the same metric took the same nanosecond
        raise Conflict("Two writers logged the same metric at the same moment.", "try again")
