"""Which metric judges a case, and its truth and predictions in the form that metric needs.

Besides the metrics of `thrive.statistics` a team may bring its own: functions
`(truth, prediction, weights) -> float`, marked by `@metric` and found by the entry point group
`thrive.metrics` under the name that the contract writes.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import msgspec
import numpy as np

from thrive.gates.case import Floats, GateCase
from thrive.packaging.signature import OutputKind
from thrive.statistics.metrics import METRICS, Metric, Needs, macro_f1

ENTRY_POINTS = "thrive.metrics"
DEFAULTS = {
    OutputKind.PROBABILITY: "roc_auc",
    OutputKind.VECTOR: "log_loss",
    OutputKind.CLASS: "accuracy",
    OutputKind.NUMBER: "rmse",
}
NDCG = Metric(
    name="ndcg",
    function=METRICS["mae"].function,
    task="ranking",
    needs=Needs.SCORE,
    greater_is_better=True,
)
"""Judged by the mean over queries; `function` is not asked, as it needs the queries."""
_OF_VECTORS = frozenset({"log_loss", "brier", "accuracy", "macro_f1"})
_TASKS = {OutputKind.PROBABILITY: "binary", OutputKind.NUMBER: "regression"}
OwnMetric = Callable[[Any, Any, Any], float]


def metric(*, greater_is_better: bool = True) -> Callable[[OwnMetric], OwnMetric]:
    """Mark a function (truth, prediction, weights) -> value as a metric of one's own.

    Args:
        greater_is_better: whether more of it is better.
    """

    def marked(function: OwnMetric) -> OwnMetric:
        vars(function)["greater_is_better"] = greater_is_better
        return function

    return marked


def known_metrics() -> list[str]:
    """Return the names that a contract may give its metric on this machine, sorted."""
    own = (point.name for point in entry_points(group=ENTRY_POINTS))
    return sorted({"auto", "macro_f1", NDCG.name, *METRICS, *own})


def metric_of(case: GateCase) -> Metric | None:
    """Return the metric of the contract (or its default), None when it does not fit the model."""
    name = case.terms.gates.quality.metric
    if name == "auto":
        name = DEFAULTS[case.kind]
    if name == "ndcg":
        fits = case.kind in _TASKS and bool(case.terms.gates.quality.query)
        return NDCG if fits else None
    if case.kind in {OutputKind.VECTOR, OutputKind.CLASS}:
        found = _of_classes(name, case)
    else:
        found = METRICS.get(name)
        found = found if found and found.task == _TASKS[case.kind] else None
    return found or _own(name)


def _of_classes(name: str, case: GateCase) -> Metric | None:
    known = {"accuracy", "macro_f1"} if case.kind is OutputKind.CLASS else _OF_VECTORS
    if name not in known:
        return None
    if name == "macro_f1":
        return macro_f1(len(case.classes))
    if name == "brier":
        return msgspec.structs.replace(METRICS["mse"], name="brier")
    return METRICS[name]


def _own(name: str) -> Metric | None:
    """Return a team's own metric of that name, None if no installed package brings one."""
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            function = point.load()
            return Metric(
                name=name,
                function=function,
                task="own",
                needs=Needs.SCORE,
                greater_is_better=getattr(function, "greater_is_better", True),
            )
    return None


def pair_for(case: GateCase, metric: Metric, scores: Floats, rows: Any) -> tuple[Floats, Floats]:
    """Return truth and prediction of some rows in the form a metric needs, both of shape (n,).

    The log-loss of many classes is that of the probability of the true one; the Brier score is the
    squared distance to the corner of the true class.
    """
    truth: Floats = case.labels[rows]
    chosen: Floats = scores[rows]
    if case.kind is OutputKind.VECTOR and metric.task != "own":
        return _of_vectors(metric, truth.astype(np.int64), chosen)
    if metric.needs is Needs.CLASS and case.kind is OutputKind.PROBABILITY:
        return truth, (chosen >= case.threshold).astype(np.float64)
    return truth, chosen


def _of_vectors(metric: Metric, truth: Any, scores: Floats) -> tuple[Floats, Floats]:
    rows = np.arange(len(truth))
    if metric.name == "log_loss":
        return np.ones(len(truth)), scores[rows, truth]
    if metric.name == "brier":
        corner = np.zeros_like(scores)
        corner[rows, truth] = 1.0
        return np.zeros(len(truth)), np.sqrt(((scores - corner) ** 2).sum(axis=1))
    return truth.astype(np.float64), scores.argmax(axis=1).astype(np.float64)
