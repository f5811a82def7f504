"""Paired bootstrap by count weights: how often each row is drawn, not which rows.

A draw is a vector of counts. Metrics that are formulas over sums need one matrix product a batch
of draws; the area under the ROC curve needs one cumulative sum over rows sorted once. Rows that
belong together (a subject, a day) are drawn together: give them as `clusters`; for time series the
clusters are blocks of time (`time_blocks`).
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import Floats, Integers, binary, codes, column, floats, same_length
from thrive.statistics.influence import by_unit, slope, with_weight
from thrive.statistics.metrics import Metric, metric_named

Statistic: TypeAlias = Callable[[NDArray[Any], NDArray[Any], Floats], float]
"""(truth, prediction, weights a row) -> value."""
Counts: TypeAlias = NDArray[np.uint8]
_Batched: TypeAlias = Callable[[Counts], Floats]

POISSON_FROM = 1000
"""Units from which Poisson counts replace multinomial ones: as good there, and much faster."""
_BATCH_CELLS = 2_000_000


class Bootstrap(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Resampled difference b - a of two models on the same rows.

    The interval is studentized where the metric is a smooth formula over sums, else that of
    percentiles.
    """

    value_a: float
    value_b: float
    difference: float
    standard_error: float
    low: float
    high: float
    confidence: float
    p_value: float
    rows: int
    units: int
    draws: Floats

    @property
    def variance(self) -> float:
        """Variance a row, as `paired.needed_rows` takes it."""
        return self.standard_error**2 * self.rows


def time_blocks(times: ArrayLike, length: int) -> Integers:
    """The block of each time: whole lengths since 1970 (both in microseconds)."""
    return column(times, "times").astype(np.int64) // length


def _poisson_table() -> Counts:
    """Poisson(1) counts for every 16-bit random number."""
    cumulative = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(9)])
    table = np.searchsorted(cumulative, (np.arange(65_536) + 0.5) / 65_536)
    return table.astype(np.uint8)


_POISSON = _poisson_table()


def count_weights(
    units: int, draws: int, seed: int, *, batch: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield batches (draws x units) of how often each unit is drawn, the same for the same seed.

    Multinomial counts below `POISSON_FROM` units (their total is exactly `units`), Poisson from
    there.
    """
    rng = np.random.Generator(np.random.SFC64(seed))
    size = batch or max(1, min(draws, _BATCH_CELLS // max(units, 1)))
    for start in range(0, draws, size):
        count = min(size, draws - start)
        yield _poisson(rng, count, units) if units >= POISSON_FROM else _exact(rng, count, units)


def _poisson(rng: np.random.Generator, draws: int, units: int) -> Counts:
    bits = np.frombuffer(rng.bytes(2 * draws * units), dtype=np.uint16)
    return _POISSON[bits].reshape(draws, units)


def _exact(rng: np.random.Generator, draws: int, units: int) -> Counts:
    chosen = rng.integers(0, units, size=(draws, units))
    flat = np.arange(draws)[:, None] * units + chosen
    counts = np.bincount(flat.ravel(), minlength=draws * units)
    return np.minimum(counts, 255).astype(np.uint8).reshape(draws, units)


class _Summed:
    """The difference of a formula over sums of two models' terms, and its error, draw by draw.

    The sums of a draw, and of the products of terms, are one matrix product. Rows whose terms are
    counts fall into few cells: from many rows the cells are drawn, not the rows.
    """

    def __init__(
        self, metric: Metric, tables: tuple[Floats, Floats], code: Integers | None, units: int
    ) -> None:
        assert metric.finish is not None
        self._finish = metric.finish
        self._smooth = metric.smooth
        self._width = tables[0].shape[1]
        joint = _by_unit(with_weight(np.concatenate(tables, axis=1)), code, units)
        self._sizes: Integers | None = None
        if code is None and units >= POISSON_FROM and not np.any(joint % 1.0):
            joint, self._sizes = np.unique(joint, axis=0, return_counts=True)
        self._pairs = np.triu_indices(joint.shape[1])
        products = [joint[:, i] * joint[:, j] for i, j in zip(*self._pairs, strict=True)]
        self._table = np.concatenate(
            [joint, np.stack(products, axis=1)] if self._smooth else [joint], axis=1
        )
        self._columns = joint.shape[1]

    def counts(self, units: int, draws: int, seed: int) -> Iterator[NDArray[Any]]:
        """Yield batches of draws: how often each unit, or each cell, is drawn."""
        if self._sizes is None:
            return count_weights(units, draws, seed)
        rng = np.random.Generator(np.random.SFC64(seed))
        return iter([rng.multinomial(units, self._sizes / units, size=draws)])

    def whole(self, units: int) -> NDArray[Any]:
        """Return the counts of all rows, each once."""
        return np.ones((1, units), dtype=np.uint8) if self._sizes is None else self._sizes[None]

    def __call__(self, counts: NDArray[Any]) -> tuple[Floats, Floats, Floats | None]:
        """Return of each draw the two values, and the standard error of their difference."""
        sums = counts.astype(np.float64) @ self._table
        first, second = self._parts(sums[:, : self._columns])
        values = tuple(self._finish(each[:, :-1], each[:, -1]) for each in (first, second))
        if not self._smooth:
            return values[0], values[1], None
        slopes = self._slopes(first, second)
        spread = np.zeros(len(sums))
        for place, (i, j) in enumerate(zip(*self._pairs, strict=True)):
            times = 1.0 if i == j else 2.0
            spread += times * slopes[:, i] * slopes[:, j] * sums[:, self._columns + place]
        return values[0], values[1], np.sqrt(np.maximum(spread, 0.0))

    def _parts(self, sums: Floats) -> tuple[Floats, Floats]:
        weight, width = sums[:, -1:], self._width
        return (
            np.concatenate([sums[:, :width], weight], axis=1),
            np.concatenate([sums[:, width:-1], weight], axis=1),
        )

    def _slopes(self, first: Floats, second: Floats) -> Floats:
        """Return the slope of the difference in each joint sum."""
        a, b = slope(self._finish, first), slope(self._finish, second)
        return np.concatenate([-a[:, :-1], b[:, :-1], b[:, -1:] - a[:, -1:]], axis=1)


def _by_unit(table: Floats, code: Integers | None, units: int) -> Floats:
    if code is None:
        return table
    return np.stack([by_unit(each, code, units) for each in table.T], axis=1)


def _ranked(truth: ArrayLike, score: ArrayLike, code: Integers | None) -> _Batched:
    y, s = binary(truth, "truth"), floats(score, "score")
    rows = np.arange(len(y)) if code is None else code
    order = np.argsort(s[~y], kind="stable")
    ranked, negative = s[~y][order], rows[~y][order]
    by_score = np.argsort(s[y], kind="stable")
    positive = rows[y][by_score]
    first = np.searchsorted(ranked, s[y][by_score], "left")
    last = np.searchsorted(ranked, s[y][by_score], "right")
    tied = bool(np.any(first != last))

    def one(counts: Counts) -> float:
        below = np.zeros(len(negative) + 1, dtype=np.int64)
        np.cumsum(counts[negative], out=below[1:])
        weight = counts[positive]
        wins = below[first]
        doubled = wins + below[last] if tied else 2 * wins
        pairs = float(weight.sum(dtype=np.int64)) * float(below[-1])
        return float(doubled @ weight) / (2.0 * pairs) if pairs else math.nan

    return lambda counts: np.array([one(row) for row in counts])


class _Apart:
    """The values of two models, each computed for itself, draw by draw."""

    def __init__(self, first: _Batched, second: _Batched) -> None:
        self._first, self._second = first, second

    def counts(self, units: int, draws: int, seed: int) -> Iterator[NDArray[Any]]:
        """Yield batches of draws: how often each unit is drawn."""
        return count_weights(units, draws, seed)

    def whole(self, units: int) -> NDArray[Any]:
        """Return the counts of all rows, each once."""
        return np.ones((1, units), dtype=np.uint8)

    def __call__(self, counts: NDArray[Any]) -> tuple[Floats, Floats, None]:
        """Return of each draw the two values; there is no formula to take a slope of."""
        return self._first(counts), self._second(counts), None


def _any_statistic(
    statistic: Statistic, truth: ArrayLike, prediction: ArrayLike, code: Integers | None
) -> _Batched:
    y, p = column(truth, "truth"), column(prediction, "prediction")

    def one(counts: Counts) -> float:
        weights = counts if code is None else counts[code]
        return float(statistic(y, p, weights.astype(np.float64)))

    return lambda counts: np.array([one(row) for row in counts])


def _prepared(
    metric: Metric | Statistic,
    truth: ArrayLike,
    predictions: tuple[ArrayLike, ArrayLike],
    code: Integers | None,
    units: int,
) -> _Summed | _Apart:
    if isinstance(metric, Metric):
        if metric.terms is not None:
            first, second = (metric.terms(truth, each) for each in predictions)
            return _Summed(metric, (first, second), code, units)
        return _Apart(*(_ranked(truth, each, code) for each in predictions))
    return _Apart(*(_any_statistic(metric, truth, each, code) for each in predictions))


def paired_bootstrap(
    metric: str | Metric | Statistic,
    truth: ArrayLike,
    prediction_a: ArrayLike,
    prediction_b: ArrayLike,
    *,
    draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    clusters: ArrayLike | None = None,
) -> Bootstrap:
    """Bootstrap the difference of a metric between two models on the same rows.

    Args:
        metric: a name of `metrics.METRICS`, a Metric, or a function (truth, prediction, weights).
        truth: what happened, one a row.
        prediction_a: production's prediction, of the kind the metric needs.
        prediction_b: the candidate's prediction.
        draws: number of resamples; the interval's ends are noisy under 1000.
        seed: the same seed gives the same bytes.
        confidence: two-sided.
        clusters: rows with the same value are drawn together (subject, or block of time).

    Raises:
        UsageError: if the metric has no value in most draws (a class is too rare).
    """
    known = metric_named(metric) if isinstance(metric, str) else metric
    y, a, b = column(truth, "truth"), column(prediction_a, "a"), column(prediction_b, "b")
    rows = same_length(truth=y, a=a, b=b)
    code, units = (None, rows) if clusters is None else codes(clusters)
    if code is not None:
        same_length(clusters=code, truth=y)
    prepared = _prepared(known, y, (a, b), code, units)
    first, second, error = prepared(prepared.whole(units))
    values = float(first[0]), float(second[0])
    parts = [prepared(counts) for counts in prepared.counts(units, draws, seed)]
    drawn = np.concatenate([after - before for before, after, _ in parts])
    plain = _summarised(values, _finite(drawn), confidence, rows, units)
    errors = [each for _, _, each in parts if each is not None]
    if error is None or units < 2:
        return plain
    low, high = _studentized(
        plain.difference, float(error[0]), drawn, np.concatenate(errors), confidence
    )
    return msgspec.structs.replace(plain, low=low, high=high)


def _studentized(
    difference: float, error: float, drawn: Floats, errors: Floats, confidence: float
) -> tuple[float, float]:
    """Return the bounds of the studentized bootstrap (bootstrap-t, Efron 1981; Hall 1988).

    Each draw is measured in its own standard error, so that skewed data keep the level: where a
    percentile interval lets 7.9 % through for 5 % meant (squares of Laplace noise), it lets 5.6 %.
    """
    known = np.isfinite(drawn) & np.isfinite(errors) & (errors > 0.0)
    if int(known.sum()) < max(2, len(drawn) // 2):
        return difference, difference
    t = (drawn[known] - difference) / errors[known]
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(t, [1.0 - tail, tail])
    return difference - float(low) * error, difference - float(high) * error


def _finite(differences: Floats) -> Floats:
    kept = differences[np.isfinite(differences)]
    if len(kept) < max(2, len(differences) // 2):
        lost = len(differences) - len(kept)
        raise UsageError(
            f"the metric has no value in {lost} of {len(differences)} draws",
            "judge on more rows of the rare class",
        )
    return kept


def _summarised(
    values: tuple[float, float], kept: Floats, confidence: float, rows: int, units: int
) -> Bootstrap:
    value_a, value_b = values
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(kept, [tail, 1.0 - tail])
    beyond = min(int(np.sum(kept <= 0.0)), int(np.sum(kept >= 0.0)))
    return Bootstrap(
        value_a=value_a,
        value_b=value_b,
        difference=value_b - value_a,
        standard_error=float(kept.std(ddof=1)) if units > 1 else math.nan,
        low=float(low) if units > 1 else -math.inf,
        high=float(high) if units > 1 else math.inf,
        confidence=confidence,
        p_value=min(1.0, 2.0 * (beyond + 1) / (len(kept) + 1)),
        rows=rows,
        units=units,
        draws=kept,
    )
