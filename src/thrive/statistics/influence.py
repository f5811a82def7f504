"""How much each row moves the difference of a metric between two models, to first order.

The influence of a row is what the difference gains by that row's weight. Its sum over rows is
zero, its sum of squares the variance of the difference, whatever the metric; and two differences
on overlapping rows are correlated as their influences are. One array therefore serves the
standard error, its skewness, and the correction of many slices at once.
"""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from thrive.statistics.arrays import Floats, Integers, binary, floats
from thrive.statistics.metrics import Finish, Metric, row_values
from thrive.statistics.paired import placements

Moments: TypeAlias = tuple[float, float]
"""(standard error, skewness of one unit's influence)."""
STEP = 1e-6
"""Of the total weight, by which a sum is moved to see its slope."""


def influence(metric: Metric, truth: ArrayLike, a: ArrayLike, b: ArrayLike) -> Floats | None:
    """Return the influence of each row on metric(b) - metric(a); None where none is known.

    Means have the centred difference of a row, the area under the ROC curve DeLong's placements,
    formulas over sums the slope of the formula times the row's terms (the infinitesimal
    jackknife, Jaeckel 1972).

    Args:
        metric: which; a function of one's own has none.
        truth: what happened, one a row.
        a: production's prediction, of the kind the metric needs.
        b: the candidate's.
    """
    if metric.name == "roc_auc":
        return _of_ranks(truth, floats(b)) - _of_ranks(truth, floats(a))
    if metric.terms is None or metric.finish is None:
        return None
    if metric.mean_type:
        difference = row_values(metric, truth, b) - row_values(metric, truth, a)
        return (difference - difference.mean()) / len(difference)
    finish = metric.finish
    first, second = (with_weight(metric.terms(truth, each)) for each in (a, b))
    slopes = [slope(finish, each.sum(axis=0)[None])[0] for each in (first, second)]
    found: Floats = second @ slopes[1] - first @ slopes[0]
    return found


def with_weight(terms: Floats) -> Floats:
    """Return the terms of rows with a last column of ones: what sums up to the weight."""
    return np.concatenate([terms, np.ones((len(terms), 1))], axis=1)


def slope(finish: Finish, sums: Floats) -> Floats:
    """Return the slope of a metric in each of its sums, the last of which is the total weight.

    Args:
        finish: the metric's formula.
        sums: an array draws x (terms + 1).
    """
    step = STEP * sums[:, -1]
    found = np.empty_like(sums)
    for at in range(sums.shape[1]):
        ends: list[Floats] = []
        for sign in (1.0, -1.0):
            moved = sums.copy()
            moved[:, at] += sign * step
            ends.append(finish(moved[:, :-1], moved[:, -1]))
        found[:, at] = (ends[0] - ends[1]) / (2.0 * step)
    return found


def _of_ranks(truth: ArrayLike, score: Floats) -> Floats:
    y = binary(truth, "truth")
    positive, negative = placements(score[y], score[~y])
    found = np.empty(len(y))
    found[y] = (positive - positive.mean()) / len(positive)
    found[~y] = (negative - negative.mean()) / len(negative)
    return found


def by_unit(values: Floats, code: Integers | None, units: int) -> Floats:
    """Return the influence of each unit: of a row, or the sum over a cluster's rows."""
    if code is None:
        return values
    return np.bincount(code, weights=values, minlength=units).astype(np.float64)


def moments(values: Floats) -> Moments:
    """Return standard error and skewness that the influences of independent units give."""
    units = len(values)
    square = float(values @ values)
    if units < 2 or not square > 0.0:
        return (0.0 if units > 1 else math.nan), 0.0
    cube = float(np.sum(values**3))
    return math.sqrt(square * units / (units - 1)), cube / units / (square / units) ** 1.5
