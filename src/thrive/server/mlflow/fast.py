"""Metrics in the form in which clients send them, read at once instead of field by field.

Whatever has another form (texts for numbers, camelCase, NaN, further fields, anything wrong) is
left to the handlers of `logging`, which take every form and have the words for refusals.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
import numpy as np

from thrive.domain.identifiers import is_id
from thrive.domain.run import MetricPoint
from thrive.server.mlflow.logbook import Entry
from thrive.server.mlflow.logged_keys import LONGEST_KEY, checked_key
from thrive.server.mlflow.problems import MlflowError
from thrive.store.few_points import FEW
from thrive.store.observations import Observation
from thrive.store.points import Points

MILLISECOND = 1000
LATEST = 1 << 52
"""Bound of times in milliseconds."""
MOST_METRICS = 1000
_INT64 = 1 << 63


class _Metric(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    value: float
    timestamp: int
    step: int = 0


class _OfRun(_Metric, forbid_unknown_fields=True, kw_only=True):
    run_id: str
    run_uuid: str = ""


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    run_id: str
    metrics: list[_Metric]


_metric = msgspec.json.Decoder(_OfRun).decode
_batch = msgspec.json.Decoder(_Batch).decode


def fast_metric(body: bytes) -> Entry | None:
    """Return one metric to be logged, None for another form of it."""
    try:
        metric = _metric(body)
    except msgspec.MsgspecError:
        return None
    point = _point(metric) if is_id(metric.run_id) and _is_key(metric.key) else None
    return point and Entry(metric.run_id, Observation(points=(point,)))


def _point(metric: _Metric) -> MetricPoint | None:
    """Return a point, None where a number of it has too many bits."""
    if abs(metric.timestamp) >= LATEST or not -_INT64 <= metric.step < _INT64:
        return None
    at = metric.timestamp * MILLISECOND
    return MetricPoint(key=metric.key, value=metric.value, step=metric.step, at=at)


def fast_batch(body: bytes) -> Entry | None:
    """Return a batch of metrics alone to be logged, None for another form of it."""
    try:
        batch = _batch(body)
    except msgspec.MsgspecError:
        return None
    if not is_id(batch.run_id) or len(batch.metrics) > MOST_METRICS:
        return None
    keys = [metric.key for metric in batch.metrics]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    if not all(map(_is_key, places)):
        return None
    if len(keys) <= FEW * len(places):
        points = [point for metric in batch.metrics if (point := _point(metric)) is not None]
        whole = len(points) == len(keys)
        return Entry(batch.run_id, Observation(points=points)) if whole else None
    columns = _columns(batch.metrics, keys, places)
    return None if columns is None else Entry(batch.run_id, Observation(columns=columns))


def _columns(
    metrics: Sequence[_Metric], keys: Sequence[str], places: Mapping[str, int]
) -> dict[str, Points] | None:
    """Return many metrics as columns by key, None where a number of them has too many bits."""
    try:
        points = Points(
            np.array([metric.step for metric in metrics], np.int64),
            np.array([metric.timestamp for metric in metrics], np.int64),
            np.array([metric.value for metric in metrics], np.float64),
        )
    except OverflowError:
        return None
    if len(points) and np.abs(points.moments).max() >= LATEST:
        return None
    points.moments *= MILLISECOND
    codes = np.fromiter(map(places.__getitem__, keys), np.int64, len(keys))
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes)).tolist()
    sorted_ = points.take(order)
    return {
        key: sorted_.take(slice(begin, end))
        for key, begin, end in zip(places, [0, *ends], ends, strict=False)
    }


@lru_cache(maxsize=4096)
def _is_key(key: str) -> bool:
    """Tell whether a key needs no word about it."""
    try:
        return 0 < len(key) <= LONGEST_KEY and checked_key(key, "metric") == key
    except MlflowError:
        return False
