"""One comparison of two models on the same rows, whatever the metric; more gain is better."""

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UsageError
from thrive.domain.gate import Answer
from thrive.statistics.arrays import codes
from thrive.statistics.distributions import student_survival
from thrive.statistics.influence import by_unit, influence, moments
from thrive.statistics.intervals import Estimate, skewed_bounds, without_skew
from thrive.statistics.metrics import Metric, ndcg_by_query, row_values
from thrive.statistics.paired import (
    mcnemar,
    needed_rows,
    paired_auc,
    paired_mean,
    smallest_visible_loss,
)
from thrive.statistics.resampling import Bootstrap, paired_bootstrap

Floats = NDArray[np.float64]
CONFIDENCE = 0.90
"""Two-sided: each end is a one-sided bound at 95 %."""
DRAWS = 1000
SEED = 20130
LEAST_QUERIES = 10
MIN_ROWS, MIN_CLASS = 30, 10
"""Fewer rows, or fewer of either class, are too small to judge."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Candidate against rival: `gain` is positive when the candidate is better.

    `units` counts what was independent (rows or clusters); `variance` is that of one row,
    `skewness` that of a unit's part in the gain.
    """

    metric: str
    method: str
    rival: float
    candidate: float
    gain: float
    low: float
    high: float
    standard_error: float
    variance: float
    rows: int
    units: int
    skewness: float = 0.0

    def answer(self, margin: float) -> Answer:
        """Tell whether the candidate is not worse by more than the margin."""
        if self.low >= -margin:
            return Answer.PASS
        return Answer.FAIL if self.high < -margin else Answer.CANNOT_TELL

    def better(self) -> Answer:
        """Tell whether the candidate is better."""
        if self.low > 0.0:
            return Answer.PASS
        return Answer.FAIL if self.high <= 0.0 else Answer.CANNOT_TELL

    def p_worse(self, margin: float) -> float:
        """One-sided p-value of "not worse by more than the margin"."""
        distance = self.gain + margin
        if not self.standard_error > 0.0:
            return 0.0 if distance < 0.0 else 1.0
        statistic = without_skew(distance / self.standard_error, self.skewness, self.units)
        return 1.0 - student_survival(statistic, max(1, self.units - 1))

    def needed(self, margin: float) -> int | None:
        """Rows that would settle it for two equal models; for a baseline, at the gain seen."""
        distance = margin or self.gain
        known = math.isfinite(self.variance) and self.variance > 0.0
        return needed_rows(self.variance, distance) if known and distance > 0.0 else None

    def more(self, margin: float) -> int | None:
        """Rows that are missing, planned for equal models; None where it is not known.

        Where equal models would need no more than there are, it is planned for the gain seen.
        """
        needed = self.needed(margin)
        if needed is not None and needed <= self.rows:
            return self.more_as_seen(margin)
        return None if needed is None else max(0, needed - self.rows)

    def more_as_seen(self, margin: float) -> int | None:
        """Rows that are missing if the models differ as they do here; None at the margin itself."""
        distance = abs(margin + self.gain)
        known = math.isfinite(self.variance) and self.variance > 0.0
        if not known or not distance > 0.0:
            return None
        return max(0, needed_rows(self.variance, distance) - self.rows)

    def visible(self) -> float | None:
        """The smallest loss these rows can show; None where it is not known."""
        known = math.isfinite(self.variance) and self.variance > 0.0
        return smallest_visible_loss(self.variance, self.rows) if known else None


def too_small(labels: Floats, *, binary: bool) -> str:
    """Return why rows are too few to judge on, or nothing."""
    if len(labels) < MIN_ROWS:
        return f"{len(labels)} rows, {MIN_ROWS} are the least"
    if binary:
        positives = int(labels.sum())
        least = min(positives, len(labels) - positives)
        if least < MIN_CLASS:
            return f"{least} rows of the rarer class, {MIN_CLASS} are the least"
    return ""


def compare(
    metric: Metric, truth: Floats, rival: Floats, candidate: Floats, clusters: NDArray[Any] | None
) -> Comparison:
    """Compare two models' predictions (in the form the metric needs) on the same rows.

    The area under the ROC curve takes DeLong's closed form, a mean over rows its own, without the
    skew of its rows, accuracy without clusters McNemar's, everything else a paired bootstrap by
    count weights.

    Raises:
        UsageError: the rows hold one class only.
    """
    if metric.name == "roc_auc":
        found: Any = paired_auc(truth, rival, candidate, CONFIDENCE, clusters)
        return _told(metric, "DeLong", (found.auc_a, found.auc_b), found.difference, found)
    weights = (np.ones(len(truth)),) if metric.task == "own" else ()
    values = (
        float(metric.function(truth, rival, *weights)),
        float(metric.function(truth, candidate, *weights)),
    )
    if not all(map(math.isfinite, values)):
        raise UsageError(f"{metric.name} has no value on these rows.", "judge on more rows")
    if metric.name == "accuracy" and clusters is None:
        found = mcnemar(truth == rival, truth == candidate, CONFIDENCE)
        return _told(metric, "McNemar", values, found.difference, found)
    if metric.task == "own":
        found = _bootstrapped(metric.function, truth, rival, candidate, clusters)
        return _told(metric, "paired bootstrap", values, found.difference, found)
    skewness = _skewness(influence(metric, truth, rival, candidate), clusters)
    if metric.mean_type:
        first, second = row_values(metric, truth, rival), row_values(metric, truth, candidate)
        plain = paired_mean(first, second, CONFIDENCE, clusters)
        found = unskewed(plain, skewness)
        return _told(metric, "paired mean", values, found.estimate, found, skewness)
    found = _bootstrapped(metric, truth, rival, candidate, clusters)
    return _told(metric, "paired bootstrap", values, found.difference, found, skewness)


def unskewed(found: Estimate, skewness: float) -> Estimate:
    """Return an estimate with bounds that keep their level when its units are skewed."""
    low, high = skewed_bounds(
        found.estimate, found.standard_error, skewness, found.units, found.confidence
    )
    return msgspec.structs.replace(found, low=low, high=high)


def _skewness(moved: Floats | None, clusters: NDArray[Any] | None) -> float:
    """Return the skewness of the units' parts in a difference."""
    if moved is None:
        return 0.0
    code, units = (None, len(moved)) if clusters is None else codes(clusters)
    return moments(by_unit(moved, code, units))[1]


def compare_rankings(
    relevance: Floats, rival: Floats, candidate: Floats, query: NDArray[Any]
) -> Comparison:
    """Compare two rankings by their gain in each query (ndcg, cut at ten): a query is a unit.

    Raises:
        UsageError: fewer than two queries have anything relevant.
    """
    _, code = np.unique(query, return_inverse=True)
    first, known = ndcg_by_query(relevance, rival, code)
    second, _ = ndcg_by_query(relevance, candidate, code)
    if int(known.sum()) < LEAST_QUERIES:
        raise UsageError(f"{int(known.sum())} queries have anything relevant.", "judge on more")
    gained = second[known] - first[known]
    skewness = moments(gained - gained.mean())[1]
    found = unskewed(paired_mean(first[known], second[known], CONFIDENCE), skewness)
    values = float(first[known].mean()), float(second[known].mean())
    rows = len(relevance)
    return Comparison(
        metric="ndcg",
        method="paired mean of queries",
        rival=values[0],
        candidate=values[1],
        gain=found.estimate,
        low=found.low,
        high=found.high,
        standard_error=found.standard_error,
        variance=found.standard_error**2 * rows,
        rows=rows,
        units=int(known.sum()),
        skewness=skewness,
    )


def _bootstrapped(
    metric: Any, truth: Floats, rival: Floats, candidate: Floats, clusters: NDArray[Any] | None
) -> Bootstrap:
    return paired_bootstrap(
        metric,
        truth,
        rival,
        candidate,
        draws=DRAWS,
        seed=SEED,
        confidence=CONFIDENCE,
        clusters=clusters,
    )


def _told(
    metric: Metric,
    method: str,
    values: tuple[float, float],
    difference: float,
    found: Any,
    skewness: float = 0.0,
) -> Comparison:
    sign = 1.0 if metric.greater_is_better else -1.0  # and no -0.0
    low, high = sorted((sign * found.low + 0.0, sign * found.high + 0.0))
    return Comparison(
        metric=metric.name,
        method=method,
        rival=values[0],
        candidate=values[1],
        gain=sign * difference + 0.0,
        low=low,
        high=high,
        standard_error=found.standard_error,
        variance=found.variance,
        rows=found.rows,
        units=getattr(found, "units", found.rows),
        skewness=sign * skewness,
    )
