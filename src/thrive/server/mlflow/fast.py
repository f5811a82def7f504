"""Metrics in the form in which clients send them, read at once instead of field by field.

Whatever has another form (texts for numbers, camelCase, NaN, further fields, anything wrong) is
left to the handlers of `logging`, which take every form and have the words for refusals.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from thrive.domain.identifiers import is_id
from thrive.domain.run import MetricPoint
from thrive.server.mlflow.logbook import Entry
from thrive.server.mlflow.logged_keys import LONGEST_KEY, checked_key
from thrive.server.mlflow.problems import MlflowError
from thrive.store.observations import Observation
from thrive.store.points import Points

MILLISECOND = 1000
LATEST = 1 << 52
"""Bound of times in milliseconds."""
MOST_METRICS = 1000
_FEW = 4
"""Up to so many points a metric they are kept one by one."""
_INT64 = 1 << 63


class _Metric(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    value: float
    timestamp: int
    step: int = 0
    run_id: str = ""
    run_uuid: str = ""


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    metrics: list[_Metric]
    run_id: str = ""


_metric = msgspec.json.Decoder(_Metric).decode
_batch = msgspec.json.Decoder(_Batch).decode


def fast_metric(body: bytes) -> Entry | None:
    """Return one metric to be logged, None for another form of it."""
    try:
        metric = _metric(body)
    except msgspec.MsgspecError:
        return None
    if not (is_id(metric.run_id) and _is_good(metric)):
        return None
    return Entry(metric.run_id, Observation(points=(_point(metric),)))


def fast_batch(body: bytes) -> Entry | None:
    """Return a batch of metrics alone to be logged, None for another form of it."""
    try:
        batch = _batch(body)
    except msgspec.MsgspecError:
        return None
    if not is_id(batch.run_id) or len(batch.metrics) > MOST_METRICS:
        return None
    by_key: dict[str, list[_Metric]] = {}
    for metric in batch.metrics:
        if metric.run_id or not _is_good(metric):
            return None
        by_key.setdefault(metric.key, []).append(metric)
    few = [_point(one) for group in by_key.values() if len(group) <= _FEW for one in group]
    many = {key: _columns(group) for key, group in by_key.items() if len(group) > _FEW}
    return Entry(batch.run_id, Observation(points=few, columns=many))


def _is_good(metric: _Metric) -> bool:
    """Tell whether a metric needs no word about it."""
    if not (abs(metric.timestamp) < LATEST and -_INT64 <= metric.step < _INT64):
        return False
    try:
        return 0 < len(metric.key) <= LONGEST_KEY and checked_key(metric.key, "metric") != ""
    except MlflowError:
        return False


def _point(metric: _Metric) -> MetricPoint:
    at = metric.timestamp * MILLISECOND
    return MetricPoint(key=metric.key, value=metric.value, step=metric.step, at=at)


def _columns(group: Sequence[_Metric]) -> Points:
    count = len(group)
    return Points(
        np.fromiter((one.step for one in group), np.int64, count),
        np.fromiter((one.timestamp for one in group), np.int64, count) * MILLISECOND,
        np.fromiter((one.value for one in group), np.float64, count),
    )
