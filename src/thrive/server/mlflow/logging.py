"""Routes that log into a run: metrics, parameters, tags, and the histories of metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from thrive.domain.actor import ANYONE, BUILDERS
from thrive.domain.clock import machine_now
from thrive.domain.run import MetricPoint, Run
from thrive.server.mlflow import pages
from thrive.server.mlflow.calls import Call, Route
from thrive.server.mlflow.experiments import LONGEST_TAG
from thrive.server.mlflow.fast import fast_batch, fast_metric
from thrive.server.mlflow.given import LARGEST, Given
from thrive.server.mlflow.logbook import Entry
from thrive.server.mlflow.logged_keys import LONGEST_KEY, checked_key
from thrive.server.mlflow.problems import MlflowError, invalid
from thrive.server.mlflow.runs import (
    LONGEST_NAME,
    checked_run_id,
    get_run,
    held_active,
    run_id_of,
)
from thrive.server.mlflow.shapes import MILLISECOND, NAME_TAG
from thrive.store import runs
from thrive.store.observations import Observation
from thrive.store.points import Points

LONGEST_PARAM = 6000
MOST = {"metrics": 1000, "params": 100, "tags": 100}
MOST_TOGETHER = 1000
PAGE = 25_000
MOST_BULK_RUNS = 100
SAMPLES, MOST_SAMPLES = 320, 2500


def _point(given: Given) -> MetricPoint:
    key = checked_key(given.text("key", most=LONGEST_KEY), "metric")
    at = given.integer("timestamp", machine_now() // MILLISECOND)
    if abs(at) >= 1 << 52:
        raise invalid(f"Invalid value {at} for parameter 'timestamp' supplied: in milliseconds.")
    return MetricPoint(
        key=key, value=given.real("value"), step=given.integer("step", 0), at=at * MILLISECOND
    )


def _log(call: Call, seen: Observation, measured: Sequence[Given] = ()) -> Entry:
    """Return what is to be written; points are mirrored onto the models they were made with."""
    run_id = run_id_of(call.given)
    return Entry(run_id, seen, _by_model(run_id, measured))


def _by_model(run_id: str, measured: Sequence[Given]) -> Mapping[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for given in measured:
        model_id = given.maybe_text("model_id")
        if model_id:
            point = _point(given)
            shape: dict[str, Any] = {
                "key": point.key,
                "value": "NaN" if point.value is None else point.value,
                "timestamp": point.at // MILLISECOND,
                "step": point.step,
                "model_id": model_id,
                "run_id": run_id,
            }
            for name in ("dataset_name", "dataset_digest"):
                if text := given.maybe_text(name):
                    shape[name] = text
            found.setdefault(model_id, []).append(shape)
    return found


def _log_metric(call: Call) -> Entry:
    return _log(call, Observation(points=[_point(call.given)]), [call.given])


def _log_parameter(call: Call) -> Entry:
    key = checked_key(call.given.text("key", most=LONGEST_KEY), "parameter")
    value = call.given.maybe_text("value", most=LONGEST_PARAM)
    return _log(call, Observation(params={key: value}))


def _set_tag(call: Call) -> Entry:
    key = checked_key(call.given.text("key", most=LONGEST_KEY), "tag")
    return _log(call, _tagged({key: call.given.maybe_text("value", most=LONGEST_TAG)}))


def _tagged(tags: dict[str, str], **more: Any) -> Observation:
    name = tags.get(NAME_TAG, "")
    if len(name) > LONGEST_NAME:
        raise invalid(f"'run_name' exceeds the maximum length of {LONGEST_NAME} characters.")
    return Observation(tags=tags, name=name, **more)


def _log_batch(call: Call) -> Entry:
    given = call.given
    metrics = given.objects("metrics")
    params = given.pairs("params", key=LONGEST_KEY, value=LONGEST_PARAM)
    tags = given.pairs("tags", key=LONGEST_KEY, value=LONGEST_TAG)
    counts = {name: len(given.raw(name) or ()) for name in MOST}
    for name, count in {**counts, "entities": sum(counts.values())}.items():
        most = MOST.get(name, MOST_TOGETHER)
        if count > most:
            raise invalid(
                f"A batch logging request can contain at most {most} {name}. "
                f"Got {count} {name}. Please split up your requests."
            )
    _refuse_ambiguous(given, params)
    for key in params:
        checked_key(key, "parameter")
    for key in tags:
        checked_key(key, "tag")
    points = [_point(each) for each in metrics]
    return _log(call, _tagged(tags, points=points, params=params), metrics)


def _refuse_ambiguous(given: Given, params: dict[str, str]) -> None:
    for each in given.objects("params"):
        key, value = each.text("key"), each.maybe_text("value")
        if params[key] != value:
            raise invalid(
                f"Duplicate parameter keys have been submitted: '{key}' is both '{value}' "
                f"and '{params[key]}'. Please ensure the request contains only one."
            )


def _delete_tag(call: Call) -> dict[str, Any]:
    ctx, run_id, key = call.ctx, run_id_of(call.given), call.given.text("key")
    with ctx.observe(f"run:{run_id}") as tx:
        run = held_active(tx, ctx.project_id, run_id)
        if key not in run.tags:
            raise MlflowError(
                "RESOURCE_DOES_NOT_EXIST", f"No tag with name: {key} in run with id {run_id}"
            )
        kept = {name: value for name, value in run.tags.items() if name != key}
        runs.keep_observed(tx, ctx.project_id, [msgspec.structs.replace(run, tags=kept)])
    return {}


def _log_model(call: Call) -> dict[str, Any]:
    """Keep what clients before 3.0 say of a model they logged: a tag with its history."""
    ctx, run_id = call.ctx, run_id_of(call.given)
    try:
        logged = msgspec.json.decode(call.given.text("model_json"), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise invalid(f"'model_json' cannot be read: {error}.") from None
    with ctx.observe(f"run:{run_id}") as tx:
        run = held_active(tx, ctx.project_id, run_id)
        text = msgspec.json.encode([*_logged_before(run), logged]).decode()
        tagged = msgspec.structs.replace(run, tags={**run.tags, _HISTORY_TAG: text})
        runs.keep_observed(tx, ctx.project_id, [tagged])
    return {}


_HISTORY_TAG = "mlflow.log-model.history"


def _logged_before(run: Run) -> list[Any]:
    """Return the models a run's tag tells of; a client may have set it to words of its own."""
    try:
        return msgspec.json.decode(run.tags.get(_HISTORY_TAG, "[]"), type=list[Any])
    except (msgspec.MsgspecError, RecursionError):
        return []


def _history(call: Call) -> dict[str, Any]:
    given, run_id = call.given, run_id_of(call.given)
    key = given.text("metric_key")
    points = _columns(call, run_id, key)
    limit = given.count("max_results", PAGE, PAGE) if given.has("max_results") else len(points)
    begin = pages.offset_of(given.maybe_text("page_token"))
    shapes = _shapes(key, points.take(slice(begin, begin + limit)))
    end = begin + limit
    after = pages.token(key, end) if end < len(points) else ""
    return pages.answer("metrics", shapes, after)


def _columns(call: Call, run_id: str, key: str) -> Points:
    with call.ctx.read() as tx:
        get_run(tx, call.ctx.project_id, run_id)
        return runs.metric_columns(tx, call.ctx.project_id, run_id, key)


class _Shape(msgspec.Struct, gc=False):
    """A point as it is answered: there are many, and a dict each takes twice as long."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str | msgspec.UnsetType = msgspec.UNSET


def _shapes(key: str, points: Points, run_id: str = "") -> list[_Shape]:
    """Return points as they are answered; infinities are the largest numbers, as in the store."""
    of = run_id or msgspec.UNSET
    values: list[float | str] = np.clip(points.values, -LARGEST, LARGEST).tolist()
    for place in np.flatnonzero(np.isnan(points.values)).tolist():
        values[place] = "NaN"
    moments = (points.moments // MILLISECOND).tolist()
    return [
        _Shape(key, value, at, step, of)
        for value, at, step in zip(values, moments, points.steps.tolist(), strict=True)
    ]


def _bulk_runs(given: Given, name: str) -> list[str]:
    found = given.texts(name)
    if not found:
        raise invalid(f"Missing value for required parameter '{name}'.")
    if len(found) > MOST_BULK_RUNS:
        raise invalid(f"'{name}' names {len(found)} runs; at most {MOST_BULK_RUNS} are answered.")
    return [checked_run_id(each) for each in found]


def _history_bulk(call: Call) -> dict[str, Any]:
    key = call.given.text("metric_key")
    limit = call.given.count("max_results", PAGE, PAGE)
    shapes: list[_Shape] = []
    for run_id in _bulk_runs(call.given, "run_id"):
        left = slice(0, limit - len(shapes))
        shapes += _shapes(key, _by_step(_columns(call, run_id, key)).take(left), run_id)
    return {"metrics": shapes}


def _by_step(points: Points) -> Points:
    return points.take(np.lexsort((points.moments, points.steps)))


def _history_interval(call: Call) -> dict[str, Any]:
    """Answer with the points of some steps, evenly chosen where there are more than wanted."""
    given = call.given
    key = given.text("metric_key")
    limit = given.count("max_results", SAMPLES, MOST_SAMPLES)
    first = given.integer("start_step", -(1 << 63))
    last = given.integer("end_step", (1 << 63) - 1)
    if first > last:
        raise invalid(f"end_step {last} must be at least start_step {first}.")
    shapes: list[_Shape] = []
    for run_id in _bulk_runs(given, "run_ids"):
        points = _by_step(_columns(call, run_id, key))
        within = points.take(np.flatnonzero((points.steps >= first) & (points.steps <= last)))
        if len(within) > limit:
            within = within.take(np.linspace(0, len(within) - 1, limit).round().astype(np.intp))
        shapes += _shapes(key, within, run_id)
    return {"metrics": shapes}


ROUTES = (
    Route("POST", "runs/log-metric", BUILDERS, _log_metric, fast_metric),
    Route("POST", "runs/log-parameter", BUILDERS, _log_parameter),
    Route("POST", "runs/log-batch", BUILDERS, _log_batch, fast_batch),
    Route("POST", "runs/log-model", BUILDERS, _log_model),
    Route("POST", "runs/set-tag", BUILDERS, _set_tag),
    Route("POST", "runs/delete-tag", BUILDERS, _delete_tag),
    Route("GET", "metrics/get-history", ANYONE, _history),
    Route("GET", "metrics/get-history-bulk", ANYONE, _history_bulk),
    Route("GET", "metrics/get-history-bulk-interval", ANYONE, _history_interval),
)
