"""Fairness from one table of counts: group x label x prediction.

Each group is compared with all the rest, never the largest with the smallest: the gap between a
maximum and a minimum is positive without any unfairness, and grows with the number of groups. A gap
has two p-values: that it exceeds the tolerance (Holm-corrected over the groups) and that it lies
within it (no correction: every group has to pass). Neither small means there are too few rows to
tell.
"""

import math
from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import Floats, Integers, binary, codes, column, floats, same_length
from thrive.statistics.distributions import chi2_survival, normal_survival
from thrive.statistics.intervals import (
    Interval,
    critical_value,
    difference_of_proportions,
    wilson,
)
from thrive.statistics.metrics import score_bins
from thrive.statistics.multiplicity import holm
from thrive.statistics.paired import placements


class Rate(StrEnum):
    """A share whose equality between groups is a notion of fairness."""

    SELECTION = "selection_rate"
    """predicted positive among all: demographic parity"""
    TRUE_POSITIVE = "true_positive_rate"
    """found among positives: equal opportunity"""
    FALSE_POSITIVE = "false_positive_rate"
    """predicted positive among negatives; with the one above: equalized odds"""
    PRECISION = "precision"
    """positive among those predicted positive: predictive parity"""
    FALSE_OMISSION = "false_omission_rate"
    """positive among those predicted negative"""
    ACCURACY = "accuracy"
    """predicted rightly among all"""


class CountTable(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Rows by group, label and prediction: `counts[group, label, prediction]`; tables add up."""

    groups: tuple[str, ...]
    counts: Integers

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.groups), 2, 2):
            raise UsageError(
                f"counts have the shape {self.counts.shape}, {len(self.groups)} groups were named",
                "pass an array groups x 2 labels x 2 predictions",
            )

    def of(self, rate: Rate) -> tuple[Integers, Integers]:
        """The rate's successes and trials a group."""
        c = self.counts
        if rate is Rate.SELECTION:
            return c[:, :, 1].sum(axis=1), c.sum(axis=(1, 2))
        if rate is Rate.TRUE_POSITIVE:
            return c[:, 1, 1], c[:, 1, :].sum(axis=1)
        if rate is Rate.FALSE_POSITIVE:
            return c[:, 0, 1], c[:, 0, :].sum(axis=1)
        if rate is Rate.PRECISION:
            return c[:, 1, 1], c[:, :, 1].sum(axis=1)
        if rate is Rate.FALSE_OMISSION:
            return c[:, 1, 0], c[:, :, 0].sum(axis=1)
        return c[:, 0, 0] + c[:, 1, 1], c.sum(axis=(1, 2))


class GroupRates(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one group, with Wilson intervals."""

    group: str
    rows: int
    positives: int
    rates: dict[Rate, Interval]


class GroupGap(msgspec.Struct, frozen=True, kw_only=True):
    """One group against all the rest: gap = rate of the group minus rate of the rest.

    `p_exceeds` is of "the gap is within the tolerance": small means unfair; `p_exceeds_holm` is
    corrected for the number of groups. `p_within` is of "the gap exceeds it": small means fair.
    """

    group: str
    rate: Rate
    rows: int
    rest_rows: int
    gap: Interval
    tolerance: float
    p_exceeds: float
    p_exceeds_holm: float
    p_within: float


class GroupCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """How well a score means what it says within one group.

    `expected` is the error that perfect calibration would show on so few rows; `p_value` is that of
    perfect calibration (Hosmer and Lemeshow 1980, no parameter fitted).
    """

    group: str
    rows: int
    error: float
    expected: float
    mean_score: float
    rate: float
    p_value: float


def count_table(groups: ArrayLike, labels: ArrayLike, predictions: ArrayLike) -> CountTable:
    """Count rows by group, label and prediction.

    Args:
        groups: the group of each row; for an intersection, the joined names.
        labels: 0 or 1 a row.
        predictions: predicted class, 0 or 1 a row.
    """
    named, y, p = column(groups, "groups"), binary(labels), binary(predictions, "predictions")
    same_length(groups=named, labels=y, predictions=p)
    code, many = codes(named, "groups")
    flat = np.bincount(code * 4 + y * 2 + p, minlength=many * 4)
    names = tuple(str(name) for name in np.unique(named))
    return CountTable(groups=names, counts=flat.reshape(many, 2, 2).astype(np.int64))


def group_rates(table: CountTable, confidence: float = 0.95) -> list[GroupRates]:
    """Every rate of every group with its Wilson interval."""
    pairs = {rate: table.of(rate) for rate in Rate}
    return [
        GroupRates(
            group=name,
            rows=int(table.counts[index].sum()),
            positives=int(table.counts[index, 1].sum()),
            rates={
                rate: wilson(int(hits[index]), int(trials[index]), confidence)
                for rate, (hits, trials) in pairs.items()
            },
        )
        for index, name in enumerate(table.groups)
    ]


def _tail(distance: float, error: float) -> float:
    return normal_survival(distance / error) if error > 0.0 else 0.5


def _added(successes: float, trials: float) -> tuple[float, float]:
    """Share and its variance with a success and a failure added (Agresti and Caffo 2000)."""
    share = (successes + 1.0) / (trials + 2.0)
    return share, share * (1.0 - share) / (trials + 2.0)


def gaps(
    table: CountTable, rate: Rate, tolerance: float, confidence: float = 0.95
) -> list[GroupGap]:
    """Test each group's rate against that of the rest, with a tolerance.

    Args:
        table: the counts.
        rate: which rate.
        tolerance: accepted absolute difference, for example 0.10.
        confidence: of the interval of the gap (Newcombe).
    """
    hits, trials = table.of(rate)
    tests = [
        _gap_tests(int(h), int(n), int(hits.sum() - h), int(trials.sum() - n), tolerance)
        for h, n in zip(hits, trials, strict=True)
    ]
    corrected = holm([exceeds for exceeds, _ in tests])
    return [
        GroupGap(
            group=name,
            rate=rate,
            rows=int(trials[i]),
            rest_rows=int(trials.sum() - trials[i]),
            gap=difference_of_proportions(
                int(hits.sum() - hits[i]),
                int(trials.sum() - trials[i]),
                int(hits[i]),
                int(trials[i]),
                confidence,
            ),
            tolerance=tolerance,
            p_exceeds=tests[i][0],
            p_exceeds_holm=float(corrected[i]),
            p_within=tests[i][1],
        )
        for i, name in enumerate(table.groups)
    ]


def _gap_tests(
    hits: int, trials: int, rest_hits: int, rest_trials: int, tolerance: float
) -> tuple[float, float]:
    """P-values of (within the tolerance, beyond it); (1, 1) when a side is empty."""
    if not trials or not rest_trials:
        return 1.0, 1.0
    share, variance = _added(hits, trials)
    rest, rest_variance = _added(rest_hits, rest_trials)
    error = math.sqrt(variance + rest_variance)
    gap = abs(share - rest)
    return min(1.0, 2.0 * _tail(gap - tolerance, error)), _tail(tolerance - gap, error)


class GroupRatio(msgspec.Struct, frozen=True, kw_only=True):
    """The four-fifths rule for one group: the smaller rate over the larger, group against rest.

    `low` and `high` are the ratios that the linear test does not tell apart (Fieller 1954).
    """

    group: str
    ratio: float
    low: float
    high: float
    least: float
    p_below: float
    p_below_holm: float
    p_above: float


def ratios(
    table: CountTable,
    rate: Rate = Rate.SELECTION,
    least: float = 0.8,
    confidence: float = 0.90,
) -> list[GroupRatio]:
    """Test that each group's rate and that of the rest are within a ratio, either way.

    `p_below` small: the ratio is under `least`; `p_above` small: it is over it. The test is linear,
    smaller rate minus least times larger rate, so it stands where a rate is zero.

    Args:
        table: the counts.
        rate: which rate.
        least: the smallest ratio that is accepted.
        confidence: of the intervals, two-sided.
    """
    hits, trials = table.of(rate)
    pairs = [
        (int(h), int(n), int(hits.sum() - h), int(trials.sum() - n))
        for h, n in zip(hits, trials, strict=True)
    ]
    tests = [_ratio_tests(*pair, least) for pair in pairs]
    ends = [_ratio_ends(*pair, critical_value(confidence)) for pair in pairs]
    corrected = holm([below for _, below, _ in tests])
    return [
        GroupRatio(
            group=name,
            ratio=ratio,
            low=ends[i][0],
            high=ends[i][1],
            least=least,
            p_below=below,
            p_below_holm=float(corrected[i]),
            p_above=above,
        )
        for i, (name, (ratio, below, above)) in enumerate(zip(table.groups, tests, strict=True))
    ]


def _ratio_tests(
    hits: int, trials: int, rest_hits: int, rest_trials: int, least: float
) -> tuple[float, float, float]:
    if not trials or not rest_trials:
        return math.nan, 1.0, 1.0
    pair = sorted([_added(hits, trials), _added(rest_hits, rest_trials)])
    (small, small_variance), (large, large_variance) = pair
    error = math.sqrt(small_variance + least**2 * large_variance)
    distance = small - least * large
    low, high = sorted([hits / trials, rest_hits / rest_trials])
    ratio = low / high if high else 1.0
    return ratio, min(1.0, 2.0 * _tail(-distance, error)), _tail(distance, error)


def _ratio_ends(
    hits: int, trials: int, rest_hits: int, rest_trials: int, z: float
) -> tuple[float, float]:
    """Return the smallest and largest ratio r whose smaller rate - r larger rate may be zero."""
    if not trials or not rest_trials:
        return 0.0, 1.0
    pair = sorted([_added(hits, trials), _added(rest_hits, rest_trials)])
    (small, small_variance), (large, large_variance) = pair
    squared = large**2 - z**2 * large_variance
    if squared <= 0.0:  # the larger rate may be zero: any ratio may be
        return 0.0, 1.0
    centre = small * large / squared
    under = centre**2 - (small**2 - z**2 * small_variance) / squared
    half = math.sqrt(max(0.0, under))
    return max(0.0, centre - half), min(1.0, centre + half)


def group_calibration(
    groups: ArrayLike, labels: ArrayLike, scores: ArrayLike, bins: int = 10
) -> list[GroupCalibration]:
    """Calibration error of a probability within each group, over equal-width bins.

    Args:
        groups: the group of each row.
        labels: 0 or 1 a row.
        scores: predicted probability a row.
        bins: how many bins of the score.
    """
    named, y, s = column(groups, "groups"), binary(labels), floats(scores, "scores")
    same_length(groups=named, labels=y, scores=s)
    code, many = codes(named, "groups")
    cell = code * bins + score_bins(s, bins)
    weights: Sequence[Floats] = (np.ones(len(s)), y.astype(np.float64), s, s * (1.0 - s))
    rows, hits, total, spread = (
        np.bincount(cell, weights=w, minlength=many * bins).reshape(many, bins) for w in weights
    )
    names = [str(name) for name in np.unique(named)]
    return [
        _calibration(name, *(part[i] for part in (rows, hits, total, spread)))
        for i, name in enumerate(names)
    ]


def _calibration(
    group: str, rows: Floats, hits: Floats, total: Floats, spread: Floats
) -> GroupCalibration:
    n = float(rows.sum())
    gap = hits - total
    judged = spread > 0.0
    statistic = float(np.sum(gap[judged] ** 2 / spread[judged]))
    return GroupCalibration(
        group=group,
        rows=int(n),
        error=float(np.abs(gap).sum() / n),
        expected=float(np.sqrt(2.0 / math.pi * spread).sum() / n),
        mean_score=float(total.sum() / n),
        rate=float(hits.sum() / n),
        p_value=chi2_survival(statistic, int(judged.sum())),
    )


def area(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Area under the ROC curve of one set of rows, and its variance (DeLong 1988, ties by half).

    Args:
        labels: 0 or 1 a row.
        scores: any score a row.

    Returns:
        (NaN, NaN) where a class has fewer than two rows.
    """
    y, s = binary(labels), floats(scores, "scores")
    same_length(labels=y, scores=s)
    if min(int(y.sum()), int((~y).sum())) < 2:
        return math.nan, math.nan
    positive, negative = placements(s[y], s[~y])
    variance = positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative)
    return float(positive.mean()), float(variance)
