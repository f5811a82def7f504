"""Is a candidate worse than production where outcomes are known? Three honest answers."""

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.contract.schema import ModelTerms, Target
from thrive.domain.errors import ThriveError
from thrive.packaging.signature import Output, OutputKind
from thrive.statistics.intervals import estimate_from
from thrive.statistics.metrics import Metric, Needs, metric_named, row_values
from thrive.statistics.paired import (
    cluster_error,
    needed_rows,
    paired_auc,
    paired_mean,
    placements,
)
from thrive.statistics.resampling import paired_bootstrap

if TYPE_CHECKING:
    import polars as pl

CONFIDENCE = 0.95
"""Two-sided: each bound holds at 97.5 %, so that two looks share a one-sided 5 %."""
FEWEST = 30
"""Labelled rows a side below which nothing is compared."""
DRAWS = 400

_AUTO = {
    OutputKind.PROBABILITY: "roc_auc",
    OutputKind.NUMBER: "rmse",
    OutputKind.CLASS: "accuracy",
    OutputKind.VECTOR: "accuracy",
}


class Word(StrEnum):
    """What a comparison says."""

    NOT_WORSE = "not worse"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's quality minus production's, turned so that more is better.

    Attributes:
        paired: both answered the same rows (a shadow), else each its own.
        needed: labelled rows a side that would settle it, when they can be named.
    """

    metric: str
    margin: float
    production: float
    candidate: float
    difference: float
    low: float | None
    high: float | None
    rows_production: int
    rows_candidate: int
    paired: bool
    needed: int | None = None

    @property
    def word(self) -> Word:
        """Not worse by more than the margin, worse, or not to tell."""
        if self.low is not None and self.low > -self.margin:
            return Word.NOT_WORSE
        if self.high is not None and self.high < -self.margin:
            return Word.WORSE
        return Word.CANNOT_TELL


class _Side(msgspec.Struct, frozen=True):
    truth: NDArray[Any]
    prediction: NDArray[Any]
    clusters: NDArray[Any]

    def __len__(self) -> int:
        return len(self.truth)


def metric_of(terms: ModelTerms, output: Output) -> Metric:
    """Return the metric that the contract's quality gate names; `auto` goes by the output."""
    name = terms.gates.quality.metric
    return metric_named(_AUTO[output.kind] if name == "auto" else name)


def compare_unpaired(
    production: "pl.DataFrame", candidate: "pl.DataFrame", terms: ModelTerms, output: Output
) -> Quality | None:
    """Compare two groups of rows; keys count as units, as rows of the same key resemble each other.

    The key is what was drawn for a version: the contract's entity, else the request.

    Returns:
        None when a side has too few labelled rows, or the metric has no value on them.
    """
    metric = metric_of(terms, output)
    a = _side(production, metric, terms.target, output)
    b = _side(candidate, metric, terms.target, output)
    if min(len(a), len(b)) < FEWEST:
        return None
    try:
        values, error, units = _estimates(metric, a, b)
    except ThriveError:
        return None
    rows = len(a) + len(b)
    found = estimate_from(
        values[1] - values[0], error, CONFIDENCE, rows=rows, units=max(1, units - 1)
    )
    return _quality(metric, terms, values, found, (len(a), len(b)), paired=False)


def compare_paired(
    production: "pl.DataFrame", candidate: "pl.DataFrame", terms: ModelTerms, output: Output
) -> Quality | None:
    """Compare a shadow with production on the rows both answered; None as `compare_unpaired`."""
    import polars as pl

    live = production.select(
        pl.col("prediction_id").alias("live_id"),
        pl.col("score").alias("_score"),
        pl.col("decision").alias("_decision"),
    )
    both = candidate.join(live, on="live_id", maintain_order="left")
    metric = metric_of(terms, output)
    theirs = both.with_columns(
        pl.col("_score").alias("score"), pl.col("_decision").alias("decision")
    )
    a = _side(theirs, metric, terms.target, output)
    b = _side(both, metric, terms.target, output)
    if len(a) != len(b) or len(b) < FEWEST:
        return None
    try:
        found = _paired(metric, a, b)
        values = (_value(metric, a), _value(metric, b))
    except ThriveError:
        return None
    return _quality(metric, terms, values, found, (len(a), len(b)), paired=True)


def _quality(
    metric: Metric,
    terms: ModelTerms,
    values: tuple[float, float],
    found: Any,
    rows: tuple[int, int],
    *,
    paired: bool,
) -> Quality | None:
    sign = 1.0 if metric.greater_is_better else -1.0
    difference = sign * (values[1] - values[0])
    if not math.isfinite(difference):
        return None
    bounds = sorted((sign * found.low, sign * found.high))
    margin = terms.gates.quality.margin
    needed = None
    if margin > 0 and math.isfinite(found.standard_error):
        total = needed_rows(found.variance, margin, alpha=(1 - CONFIDENCE) / 2)
        needed = total if paired else math.ceil(total / 2)
    return Quality(
        metric=metric.name,
        margin=margin,
        production=values[0],
        candidate=values[1],
        difference=difference,
        low=bounds[0] if math.isfinite(bounds[0]) else None,
        high=bounds[1] if math.isfinite(bounds[1]) else None,
        rows_production=rows[0],
        rows_candidate=rows[1],
        paired=paired,
        needed=needed,
    )


def _side(frame: "pl.DataFrame", metric: Metric, target: Target, output: Output) -> _Side:
    """Return truth and prediction as the metric needs them; rows without either are left out."""
    import polars as pl

    known = frame.filter(pl.col("outcome").is_not_null())
    if output.kind in (OutputKind.CLASS, OutputKind.VECTOR):
        truth, prediction = _as_text(known["outcome"]), known["decision"]
    elif output.kind is OutputKind.PROBABILITY:
        truth = _is_positive(known["outcome"], target)
        classes = (known["decision"] == "true").cast(pl.Float64)
        prediction = classes if metric.needs is Needs.CLASS else known["score"]
    else:
        truth, prediction = known["outcome"].cast(pl.Float64, strict=False), known["score"]
    usable = truth.is_not_null() & prediction.is_not_null()
    clusters = known["key"].filter(usable).rank("dense").cast(pl.Int64)
    return _Side(
        truth.filter(usable).to_numpy(), prediction.filter(usable).to_numpy(), clusters.to_numpy()
    )


def _as_text(outcome: "pl.Series") -> "pl.Series":
    """Return outcomes as decisions are written in the log."""
    import polars as pl

    if not outcome.dtype.is_float():
        return outcome.cast(pl.String)
    whole = outcome == outcome.round()
    texts = outcome.cast(pl.String)
    return texts.zip_with(~whole, outcome.cast(pl.Int64, strict=False).cast(pl.String))


def _is_positive(outcome: "pl.Series", target: Target) -> "pl.Series":
    import polars as pl

    positive = True if target.positive is None else target.positive
    if outcome.dtype.is_numeric() and not isinstance(positive, str):
        return (outcome == float(positive)).cast(pl.Float64)
    texts = outcome.cast(pl.String).str.to_lowercase()
    return (texts == str(positive).lower()).cast(pl.Float64)


def _value(metric: Metric, side: _Side) -> float:
    return metric.function(side.truth, side.prediction)


def _paired(metric: Metric, a: _Side, b: _Side) -> Any:
    if metric.name == "roc_auc":
        return paired_auc(a.truth, a.prediction, b.prediction, CONFIDENCE, a.clusters)
    if metric.mean_type:
        first = row_values(metric, a.truth, a.prediction)
        second = row_values(metric, b.truth, b.prediction)
        return paired_mean(first, second, CONFIDENCE, a.clusters)
    return paired_bootstrap(
        metric, a.truth, a.prediction, b.prediction, draws=DRAWS, clusters=a.clusters
    )


def _estimates(metric: Metric, a: _Side, b: _Side) -> tuple[tuple[float, float], float, int]:
    """Return both values, the standard error of their difference, and how many units there are."""
    if metric.name == "roc_auc" or metric.mean_type:
        parts = [_influence(metric, side) for side in (a, b)]
        errors = [
            cluster_error(influence, side.clusters)
            for (_, influence), side in zip(parts, (a, b), strict=True)
        ]
        error = math.hypot(errors[0][0], errors[1][0])
        return (parts[0][0], parts[1][0]), error, errors[0][1] + errors[1][1]
    values = (_value(metric, a), _value(metric, b))
    return values, _bootstrapped(metric, a, b), len(a) + len(b)


def _influence(metric: Metric, side: _Side) -> tuple[float, NDArray[np.float64]]:
    """Return a metric and what each row adds to its error (DeLong's placements for the AUC)."""
    if metric.mean_type:
        values = row_values(metric, side.truth, side.prediction)
        mean = float(values.mean())
        return mean, (values - mean) / len(values)
    y = side.truth == 1.0
    positive, negative = placements(side.prediction[y], side.prediction[~y])
    influence = np.full(len(y), math.nan)
    if min(len(positive), len(negative)) < 2:
        return math.nan, influence
    influence[y] = (positive - positive.mean()) / len(positive)
    influence[~y] = (negative - negative.mean()) / len(negative)
    return float(positive.mean()), influence


def _bootstrapped(metric: Metric, a: _Side, b: _Side) -> float:
    """Return the standard error of a difference by drawing requests of both sides together."""
    truth = np.concatenate((a.truth, b.truth))
    scores = np.concatenate((a.prediction, b.prediction))
    index = np.arange(len(truth), dtype=np.float64)
    first = np.where(index < len(a), index, -1.0)
    second = np.where(index >= len(a), index, -1.0)
    clusters = np.concatenate((a.clusters, b.clusters + a.clusters.max()))

    def value(y: NDArray[Any], rows: NDArray[Any], weights: NDArray[np.float64]) -> float:
        mine = rows >= 0
        return metric.function(y[mine], scores[rows[mine].astype(np.int64)], weights[mine])

    found = paired_bootstrap(value, truth, first, second, draws=DRAWS, clusters=clusters)
    return found.standard_error
