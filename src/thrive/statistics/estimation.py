"""Performance without labels: what a calibrated score itself says about its hits and misses (CBPE).

Scores are calibrated once on labelled reference rows (isotonic regression). Then a row with
probability p that is predicted 1 adds p to the true positives and 1 - p to the false ones, and so
on; the metrics follow from these expected counts. This sees covariate shift, not concept drift:
when the meaning of the inputs changes, the estimate is wrong and does not know it. Show it beside
the real performance and the share of rows that have labels.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from thrive.domain.errors import NotFound
from thrive.statistics.arrays import Floats, binary, floats, same_length
from thrive.statistics.intervals import Interval, critical_value

_MOST_PASSES = 40


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A rising map from score to probability: straight lines between points, flat outside."""

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def apply(self, scores: ArrayLike) -> Floats:
        """The probability of the positive class for each score."""
        given = floats(scores, "scores")
        order = np.argsort(given)  # in rising order each one is found beside the one before it
        found = np.empty(len(given))
        found[order] = self.apply_sorted(given[order])
        return found

    def apply_sorted(self, scores: Floats) -> Floats:
        """The probability of the positive class for scores in rising order."""
        return np.interp(scores, self.scores, self.probabilities)


class Estimated(msgspec.Struct, frozen=True, kw_only=True):
    """A metric estimated from probabilities alone.

    `standard_error` is that of the real metric of these rows around its expectation: rows and
    labels both vary. The error of the calibration is not in it.
    """

    metric: str
    estimate: float
    standard_error: float
    rows: int

    def interval(self, confidence: float = 0.95) -> Interval:
        """Where the real value of these rows is expected, were the calibration right."""
        half = critical_value(confidence) * self.standard_error
        low, high = max(0.0, self.estimate - half), min(1.0, self.estimate + half)
        return Interval(estimate=self.estimate, low=low, high=high, confidence=confidence)


def isotonic(values: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """The closest non-decreasing sequence (weighted least squares, pool adjacent violators).

    Whole falling runs are pooled at once; the few sequences that need more passes than usual are
    finished block by block.
    """
    y = floats(values)
    if not len(y):
        return y.copy()
    w = np.ones(len(y)) if weights is None else floats(weights, "weights")
    same_length(values=y, weights=w)
    mean, mass, size = y, w, np.ones(len(y), dtype=np.int64)
    for _ in range(_MOST_PASSES):
        starts = np.flatnonzero(np.concatenate(([True], mean[1:] > mean[:-1])))
        if len(starts) == len(mean):
            return np.repeat(mean, size)
        total = np.add.reduceat(mean * mass, starts)
        mass = np.add.reduceat(mass, starts)
        size = np.add.reduceat(size, starts)
        mean = total / mass
    return np.repeat(*_pooled_one_by_one(mean, mass, size))


def _pooled_one_by_one(
    mean: Floats, mass: Floats, size: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    blocks: list[tuple[float, float, int]] = []
    for entry in zip(mean.tolist(), mass.tolist(), size.tolist(), strict=True):
        block = entry
        while blocks and blocks[-1][0] >= block[0]:
            m, w, n = blocks.pop()
            weight = w + block[1]
            block = ((m * w + block[0] * block[1]) / weight, weight, n + block[2])
        blocks.append(block)
    return np.array([b[0] for b in blocks]), np.array([b[2] for b in blocks], dtype=np.int64)


def fit_calibration(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> Calibration:
    """Fit the map from score to probability on labelled rows (isotonic, Zadrozny and Elkan 2002).

    Args:
        scores: the model's score a row, higher means more likely positive.
        labels: 0 or 1 a row.
        weights: positive weights a row, for example p_live / p_reference for covariate shift.
    """
    s, y = floats(scores, "scores"), binary(labels)
    same_length(scores=s, labels=y)
    w = np.ones(len(s)) if weights is None else floats(weights, "weights")
    same_length(scores=s, weights=w)
    order = np.argsort(s)  # rows of equal scores are added up, so that their order is all one
    s, hits, w = s[order], (y[order] * w[order]), w[order]
    starts = np.flatnonzero(np.concatenate(([True], s[1:] != s[:-1])))
    mass = np.add.reduceat(w, starts)
    level = isotonic(np.add.reduceat(hits, starts) / mass, mass)
    points = s[starts]
    inner = (level[1:-1] != level[:-2]) | (level[1:-1] != level[2:])
    kept = np.concatenate(([True], inner, [True]))[: len(level)]
    return Calibration(
        scores=tuple(points[kept].tolist()), probabilities=tuple(level[kept].tolist())
    )


def _by_counts(name: str, rows: int, yes: float, positives: float, hits: float) -> Estimated:
    """A metric E[hit] / E[base] from the expected counts of rows by label and decision.

    The error is the delta method's, sqrt(sum (hit - metric * base)^2) / sum base over rows and
    labels; it too is a sum over the four kinds of rows.

    Args:
        name: of the metric.
        rows: how many there are.
        yes: rows that are predicted 1.
        positives: expected rows whose label is 1.
        hits: those of them that are predicted 1.
    """
    false_yes, missed = yes - hits, positives - hits
    if name == "accuracy":
        good = hits + rows - yes - missed
        above, below, squares = good, float(rows), [(good, 1.0, 0.0), (rows - good, 0.0, 1.0)]
    elif name == "precision":
        above, below, squares = hits, yes, [(hits, 1.0, 0.0), (false_yes, 0.0, 1.0)]
    elif name == "recall":
        above, below, squares = hits, positives, [(hits, 1.0, 0.0), (missed, 0.0, 1.0)]
    else:
        above, below = 2.0 * hits, yes + positives
        squares = [(hits, 2.0, 0.0), (false_yes + missed, 0.0, 1.0)]
    if below <= 0.0:
        return Estimated(metric=name, estimate=0.0, standard_error=math.nan, rows=rows)
    value = above / below
    total = sum(count * (on * (1.0 - value) + off * value) ** 2 for count, on, off in squares)
    error = math.sqrt(max(0.0, total)) / below
    return Estimated(metric=name, estimate=value, standard_error=error, rows=rows)


def _estimated_auc(ranked: Floats, chance: Floats) -> Estimated:
    """The area under the ROC curve: a pair of equal scores counts half.

    Args:
        ranked: the scores, in rising order.
        chance: the probability of each.
    """
    rows, positives = len(chance), float(chance.sum())
    negatives = rows - positives
    if positives <= 0.0 or negatives <= 0.0:
        return Estimated(metric="roc_auc", estimate=math.nan, standard_error=math.nan, rows=rows)
    new = np.concatenate(([True], ranked[1:] != ranked[:-1]))
    start = np.flatnonzero(new)
    end = np.append(start[1:], rows)
    cumulative = np.concatenate(([0.0], np.cumsum(chance)))
    positive_below = (cumulative[start] + cumulative[end]) / 2.0
    negative_below = (start + end) / 2.0 - positive_below
    held = cumulative[end] - cumulative[start]
    of_positive, of_negative = negative_below / negatives, 1.0 - positive_below / positives
    auc = float(held @ of_positive) / positives
    variance = (
        float(held @ (of_positive - auc) ** 2) / positives**2
        + float((end - start - held) @ (of_negative - auc) ** 2) / negatives**2
    )
    return Estimated(metric="roc_auc", estimate=auc, standard_error=math.sqrt(variance), rows=rows)


ESTIMABLE = ("accuracy", "roc_auc", "f1", "precision", "recall")
"""Metrics that can be estimated without labels."""


def _estimable(metric: str) -> str:
    if metric not in ESTIMABLE:
        raise NotFound(
            f"{metric!r} cannot be estimated without labels", f"use one of: {', '.join(ESTIMABLE)}"
        )
    return metric


def estimate_metric(
    metric: str, probabilities: ArrayLike, predicted: ArrayLike, scores: ArrayLike | None = None
) -> Estimated:
    """Estimate one metric of unlabelled rows.

    Args:
        metric: one of `ESTIMABLE`.
        probabilities: calibrated, one a row (`Calibration.apply`).
        predicted: predicted class, 0 or 1 a row.
        scores: what the model ranks by, for roc_auc; the probabilities by default.

    Raises:
        NotFound: if the metric cannot be estimated.
    """
    _estimable(metric)
    p, decided = floats(probabilities, "probabilities"), binary(predicted, "predicted")
    same_length(probabilities=p, predicted=decided)
    if metric == "roc_auc":
        ranked = p if scores is None else floats(scores, "scores")
        same_length(probabilities=p, scores=ranked)
        order = np.argsort(ranked)
        return _estimated_auc(ranked[order], p[order])
    yes, hits = float(np.count_nonzero(decided)), float(p[decided].sum())
    return _by_counts(metric, len(p), yes, float(p.sum()), hits)


def estimate_metrics(
    calibration: Calibration,
    scores: ArrayLike,
    predicted: ArrayLike,
    metrics: Sequence[str] = ESTIMABLE,
) -> dict[str, Estimated]:
    """Estimate metrics of a window of unlabelled rows; its scores are sorted once for all.

    Args:
        calibration: fitted on the reference.
        scores: the model's raw scores of the window.
        predicted: predicted class, 0 or 1 a row.
        metrics: which of `ESTIMABLE`.

    Raises:
        NotFound: if one of them cannot be estimated.
    """
    raw, decided = floats(scores, "scores"), binary(predicted, "predicted")
    same_length(scores=raw, predicted=decided)
    ranked, chosen = np.sort(raw), np.sort(raw[decided])
    chance = calibration.apply_sorted(ranked)
    hits = float(calibration.apply_sorted(chosen).sum())
    counts = (len(raw), float(len(chosen)), float(chance.sum()), hits)
    return {
        name: _estimated_auc(ranked, chance)
        if _estimable(name) == "roc_auc"
        else _by_counts(name, *counts)
        for name in metrics
    }


def estimate_performance(
    calibration: Calibration, scores: ArrayLike, threshold: float = 0.5
) -> dict[str, Estimated]:
    """Estimate every metric of a window of unlabelled rows.

    Args:
        calibration: fitted on the reference.
        scores: the model's raw scores of the window.
        threshold: raw scores from here on are predicted 1.
    """
    raw = floats(scores, "scores")
    return estimate_metrics(calibration, raw, raw >= threshold)
