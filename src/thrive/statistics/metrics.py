"""Metrics of models, in numpy, each written once.

Most metrics are a formula over sums of per-row terms (`terms` gives an array rows x k, `finish`
maps weighted sums to the value). One definition therefore serves the point value, row weights and
the vectorised bootstrap of `resampling`. Only the area under the ROC curve needs ranks.

`METRICS` is the table of all, by name.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from thrive.domain.errors import NotFound
from thrive.statistics.arrays import Booleans, Floats, binary, column, floats, same_length

Terms: TypeAlias = Callable[[ArrayLike, ArrayLike], Floats]
"""(truth, prediction) -> terms a row, an array rows x k."""
Finish: TypeAlias = Callable[[Floats, Floats], Floats]
"""(sums with shape (..., k), total weight with shape (...)) -> value with shape (...)."""


class Needs(StrEnum):
    """What a metric compares the truth with."""

    SCORE = "score"
    """a probability (or, for roc_auc, any score) of the positive class"""
    CLASS = "class"
    """a predicted class: 0 or 1 (any values for accuracy)"""
    VALUE = "value"
    """a predicted number"""


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: how to compute it and how to read it.

    `smooth` tells whether its formula has a slope everywhere, so that small changes of the weights
    add up.
    """

    name: str
    function: Callable[..., float]
    task: str
    needs: Needs
    greater_is_better: bool
    mean_type: bool = False
    terms: Terms | None = None
    finish: Finish | None = None
    smooth: bool = True


def _safe_ratio(above: Floats, below: Floats, empty: float = 0.0) -> Floats:
    value: Floats = np.where(below > 0, above / np.where(below > 0, below, 1.0), empty)
    return value


def _mean(sums: Floats, total: Floats) -> Floats:
    return _safe_ratio(sums[..., 0], total, np.nan)


def _rooted(sums: Floats, total: Floats) -> Floats:
    return np.sqrt(_mean(sums, total))


def _precision(sums: Floats, total: Floats) -> Floats:
    del total
    return _safe_ratio(sums[..., 0], sums[..., 0] + sums[..., 1])


def _recall(sums: Floats, total: Floats) -> Floats:
    del total
    return _safe_ratio(sums[..., 0], sums[..., 0] + sums[..., 2])


def _f1(sums: Floats, total: Floats) -> Floats:
    del total
    return _safe_ratio(2.0 * sums[..., 0], 2.0 * sums[..., 0] + sums[..., 1] + sums[..., 2])


def _r2(sums: Floats, total: Floats) -> Floats:
    spread = sums[..., 2] - _safe_ratio(sums[..., 1] ** 2, total)
    return 1.0 - _safe_ratio(sums[..., 0], spread, np.nan)


def _calibration_gap(sums: Floats, total: Floats) -> Floats:
    return _safe_ratio(np.abs(sums).sum(axis=-1), total, np.nan)


def _hits(truth: ArrayLike, predicted: ArrayLike) -> Floats:
    a, b = column(truth, "truth"), column(predicted, "predicted")
    same_length(truth=a, predicted=b)
    return (a == b).astype(np.float64)[:, None]


def _classes(truth: ArrayLike, predicted: ArrayLike) -> tuple[Booleans, Booleans]:
    y, p = binary(truth, "truth"), binary(predicted, "predicted")
    same_length(truth=y, predicted=p)
    return y, p


def _confusion(truth: ArrayLike, predicted: ArrayLike) -> Floats:
    y, p = _classes(truth, predicted)
    return np.stack([y & p, ~y & p, y & ~p], axis=1).astype(np.float64)


def _scored(truth: ArrayLike, score: ArrayLike) -> tuple[Booleans, Floats]:
    y, s = binary(truth, "truth"), floats(score, "score")
    same_length(truth=y, score=s)
    return y, s


def _log_loss_terms(truth: ArrayLike, score: ArrayLike) -> Floats:
    y, s = _scored(truth, score)
    floor = np.finfo(np.float64).eps
    clipped = np.clip(s, floor, 1.0 - floor)
    return -np.where(y, np.log(clipped), np.log1p(-clipped))[:, None]


def _brier_terms(truth: ArrayLike, score: ArrayLike) -> Floats:
    y, s = _scored(truth, score)
    return ((s - y) ** 2)[:, None]


def _error(truth: ArrayLike, value: ArrayLike) -> tuple[Floats, Floats]:
    y, p = floats(truth, "truth"), floats(value, "value")
    same_length(truth=y, value=p)
    return y, p - y


def _absolute_terms(truth: ArrayLike, value: ArrayLike) -> Floats:
    return np.abs(_error(truth, value)[1])[:, None]


def _squared_terms(truth: ArrayLike, value: ArrayLike) -> Floats:
    return (_error(truth, value)[1] ** 2)[:, None]


def _r2_terms(truth: ArrayLike, value: ArrayLike) -> Floats:
    y, error = _error(truth, value)
    centred = y - y.mean()  # sums of squares about zero would cancel
    return np.stack([error**2, centred, centred**2], axis=1)


def _calibration_terms(truth: ArrayLike, score: ArrayLike, bins: int = 10) -> Floats:
    y, s = _scored(truth, score)
    terms = np.zeros((len(s), bins))
    terms[np.arange(len(s)), score_bins(s, bins)] = s - y
    return terms


def score_bins(score: Floats, bins: int = 10) -> NDArray[np.int64]:
    """The equal-width bin of each score in 0..1."""
    return np.clip((score * bins).astype(np.int64), 0, bins - 1)


def weighted_sums(terms: Floats, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    """Weighted sums of the terms of all rows, and the total weight."""
    if weights is None:
        return terms.sum(axis=0), np.asarray(len(terms), dtype=np.float64)
    w = floats(weights, "weights")
    same_length(weights=w, terms=terms)
    return w @ terms, np.asarray(w.sum())


def _value(
    terms: Terms, finish: Finish, truth: ArrayLike, prediction: ArrayLike, weights: ArrayLike | None
) -> float:
    return float(finish(*weighted_sums(terms(truth, prediction), weights)))


def accuracy(truth: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Share of rows whose predicted class is the true one (any number of classes)."""
    return _value(_hits, _mean, truth, predicted, weights)


def precision(truth: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Share of true among predicted positives; 0 when nothing is predicted positive."""
    return _value(_confusion, _precision, truth, predicted, weights)


def recall(truth: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Share of positives that are found; 0 when there are none."""
    return _value(_confusion, _recall, truth, predicted, weights)


def f1(truth: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Harmonic mean of precision and recall; 0 when there is no positive at all."""
    return _value(_confusion, _f1, truth, predicted, weights)


def log_loss(truth: ArrayLike, score: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean negative log-likelihood of a probability, clipped to machine epsilon."""
    return _value(_log_loss_terms, _mean, truth, score, weights)


def brier(truth: ArrayLike, score: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean squared error of a probability (Brier 1950)."""
    return _value(_brier_terms, _mean, truth, score, weights)


def ece(truth: ArrayLike, score: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Expected calibration error, 10 equal-width bins (Naeini 2015); biased upwards in few rows."""
    return _value(_calibration_terms, _calibration_gap, truth, score, weights)


def ece_by_chance(score: ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation of the `ece` that scores have though they mean what they say.

    By bin the gap is the mean of independent errors, nearly normal: of variance v its absolute
    value has mean sqrt(2 v / pi) and variance (1 - 2 / pi) v.
    """
    s = floats(score, "score")
    spread = np.bincount(score_bins(s), weights=s * (1.0 - s), minlength=10)
    mean = math.sqrt(2.0 / math.pi) * float(np.sqrt(spread).sum())
    return mean / len(s), math.sqrt((1.0 - 2.0 / math.pi) * float(spread.sum())) / len(s)


def mae(truth: ArrayLike, value: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean absolute error."""
    return _value(_absolute_terms, _mean, truth, value, weights)


def mse(truth: ArrayLike, value: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean squared error."""
    return _value(_squared_terms, _mean, truth, value, weights)


def rmse(truth: ArrayLike, value: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Root mean squared error."""
    return _value(_squared_terms, _rooted, truth, value, weights)


def r2(truth: ArrayLike, value: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Share of the variance explained; NaN when the truth does not vary."""
    return _value(_r2_terms, _r2, truth, value, weights)


def roc_auc(truth: ArrayLike, score: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve, ties by half; NaN when a class is absent."""
    y, s = _scored(truth, score)
    w = np.ones(len(s)) if weights is None else floats(weights, "weights")
    same_length(weights=w, score=s)
    order = np.argsort(s[~y], kind="stable")
    negatives = s[~y][order]
    below = np.concatenate(([0.0], np.cumsum(w[~y][order])))
    first = np.searchsorted(negatives, s[y], "left")
    last = np.searchsorted(negatives, s[y], "right")
    pairs = w[y].sum() * below[-1]
    return float(w[y] @ (below[first] + below[last]) / 2.0 / pairs) if pairs > 0 else float("nan")


def _metric(
    function: Callable[..., float], needs: Needs, *, greater: bool, terms: Terms, finish: Finish
) -> Metric:
    return Metric(
        name=function.__name__,
        function=function,
        task="regression" if needs is Needs.VALUE else "binary",
        needs=needs,
        greater_is_better=greater,
        mean_type=finish is _mean,
        terms=terms,
        finish=finish,
        smooth=finish is not _calibration_gap,
    )


_ALL = (
    Metric(
        name="roc_auc", function=roc_auc, task="binary", needs=Needs.SCORE, greater_is_better=True
    ),
    _metric(log_loss, Needs.SCORE, greater=False, terms=_log_loss_terms, finish=_mean),
    _metric(brier, Needs.SCORE, greater=False, terms=_brier_terms, finish=_mean),
    _metric(ece, Needs.SCORE, greater=False, terms=_calibration_terms, finish=_calibration_gap),
    _metric(accuracy, Needs.CLASS, greater=True, terms=_hits, finish=_mean),
    _metric(f1, Needs.CLASS, greater=True, terms=_confusion, finish=_f1),
    _metric(precision, Needs.CLASS, greater=True, terms=_confusion, finish=_precision),
    _metric(recall, Needs.CLASS, greater=True, terms=_confusion, finish=_recall),
    _metric(mae, Needs.VALUE, greater=False, terms=_absolute_terms, finish=_mean),
    _metric(mse, Needs.VALUE, greater=False, terms=_squared_terms, finish=_mean),
    _metric(rmse, Needs.VALUE, greater=False, terms=_squared_terms, finish=_rooted),
    _metric(r2, Needs.VALUE, greater=True, terms=_r2_terms, finish=_r2),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Every metric by its name."""


def metric_named(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        NotFound: if there is none.
    """
    if name not in METRICS:
        raise NotFound(f"there is no metric {name!r}", f"use one of: {', '.join(METRICS)}")
    return METRICS[name]


def row_values(metric: Metric, truth: ArrayLike, prediction: ArrayLike) -> Floats:
    """The per-row values whose mean is the metric, for a metric of `mean_type`.

    Raises:
        NotFound: if the metric is no mean over rows.
    """
    if metric.terms is None or not metric.mean_type:
        raise NotFound(
            f"{metric.name} is not a mean over rows", "use resampling.paired_bootstrap for it"
        )
    return metric.terms(truth, prediction)[:, 0]


def _confusion_counts(truth: ArrayLike, predicted: ArrayLike, classes: int) -> Floats:
    """One row of hits, predicted and true by class: terms of an array rows x 3 * classes."""
    y, p = floats(truth, "truth").astype(np.int64), floats(predicted, "predicted").astype(np.int64)
    rows = np.arange(same_length(truth=y, predicted=p))
    terms = np.zeros((len(rows), 3 * classes))
    terms[rows, p] = y == p
    terms[rows, classes + p] = 1.0
    terms[rows, 2 * classes + y] = 1.0
    return terms


def _macro_f1(sums: Floats, total: Floats, classes: int) -> Floats:
    del total
    hits, predicted, true = (sums[..., i * classes : (i + 1) * classes] for i in range(3))
    each = _safe_ratio(2.0 * hits, predicted + true)
    seen = predicted + true > 0
    return _safe_ratio(each.sum(axis=-1), seen.sum(axis=-1).astype(np.float64), np.nan)


def macro_f1(classes: int) -> Metric:
    """The metric F1, averaged over the classes that occur, for truth and prediction as 0..k-1.

    Args:
        classes: how many there are.
    """
    terms = partial(_confusion_counts, classes=classes)
    finish = partial(_macro_f1, classes=classes)
    return Metric(
        name="macro_f1",
        function=partial(_value, terms, finish, weights=None),
        task="multiclass",
        needs=Needs.CLASS,
        greater_is_better=True,
        terms=terms,
        finish=finish,
    )


def ndcg_by_query(
    relevance: ArrayLike, score: ArrayLike, query: ArrayLike, at: int = 10
) -> tuple[Floats, Booleans]:
    """Return the normalised discounted cumulative gain of each query, and which have any relevance.

    Gain is 2^relevance - 1, discount log2(1 + rank) (Burges 2005). Equal scores share the mean
    gain of their ranks (McSherry and Najork 2008), so that no order is invented.

    Args:
        relevance: how relevant a row is, >= 0.
        score: the higher, the earlier a row stands.
        query: whole numbers 0..q-1: what belongs together, one a row.
        at: ranks after this count nothing.
    """
    y, s = floats(relevance, "relevance"), floats(score, "score")
    code = column(query, "query").astype(np.int64)
    same_length(relevance=y, score=s, query=code)
    queries = int(code.max()) + 1
    gained = _discounted(code, s, np.exp2(y) - 1.0, queries, at)
    best = _discounted(code, y, np.exp2(y) - 1.0, queries, at)
    return _safe_ratio(gained, best, np.nan), best > 0


def _discounted(
    code: NDArray[np.int64], score: Floats, gain: Floats, queries: int, at: int
) -> Floats:
    order = np.lexsort((-score, code))
    sorted_code, sorted_score = code[order], score[order]
    starts = np.searchsorted(sorted_code, np.arange(queries))
    rank = np.arange(len(order)) - starts[sorted_code]
    discount = np.where(rank < at, 1.0 / np.log2(rank + 2.0), 0.0)
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (sorted_code[1:] != sorted_code[:-1]) | (sorted_score[1:] != sorted_score[:-1])
    tie = np.cumsum(new) - 1
    mean = np.bincount(tie, weights=gain[order]) / np.bincount(tie)
    weights: Floats = mean[tie] * discount
    return np.bincount(sorted_code, weights=weights, minlength=queries).astype(np.float64)
