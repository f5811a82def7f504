"""Whether retraining could help: is there anything in the newest labelled rows to learn?

On the older half of the labelled rows since trouble began, a small additive model of the binned
inputs is fitted; on the newer half it stands against the scores that were served. Better: there is
something to learn. Surely no better than next to chance, as the scores are: the inputs say nothing
any more. Few rows show neither.
"""

import math
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from thrive.domain.model import LABEL, SCORE, TIME
from thrive.monitoring.baseline import Baseline
from thrive.monitoring.bins import bins_of
from thrive.monitoring.frames import numbers, truth
from thrive.statistics.arrays import Booleans, Floats
from thrive.statistics.difficulty import fit_difficulty
from thrive.statistics.metrics import roc_auc

if TYPE_CHECKING:
    import polars as pl

LEAST_LABELS = 500
"""Labelled rows below which nothing can be said."""
_MOST_ROWS = 100_000
_SURE = 2.0
_USEFUL = 0.6
"""An area below which ranking helps nobody; what may still be above it is not called lost."""
_LEAST_CLASS = 30


class Lesson(StrEnum):
    """What a model fitted on the newest labelled rows shows."""

    GAIN = "gain"
    NO_GAIN = "no gain"
    LOST = "lost"


class Learnable(msgspec.Struct, frozen=True, kw_only=True):
    """The area under the ROC curve of the scores served, and of a model fitted on newer rows."""

    lesson: Lesson
    served: float
    fitted: float
    rows: int


def learnable(frame: "pl.DataFrame", baseline: Baseline) -> Learnable | None:
    """Return what could be learned from labelled rows; None where that cannot be told.

    Args:
        frame: answered rows in the shape of a reference table, in order of time.
        baseline: of a model of two classes; for others nothing is told.
    """
    yardstick = baseline.yardstick
    rated = frame.filter(frame[LABEL].is_not_null() & frame[SCORE].is_not_null()).sort(TIME)
    if not yardstick.binary or rated.height < LEAST_LABELS:
        return None
    rated = rated.tail(_MOST_ROWS)
    half = rated.height // 2
    older, newer = rated.head(half), rated.tail(rated.height - half)
    bins = [each for each in bins_of(older, baseline.kinds) if each.name != SCORE]
    hit = truth(older[LABEL], yardstick.positive).astype(np.float64)
    fitted = fit_difficulty([each.codes(older) for each in bins], [each.size for each in bins], hit)
    label = truth(newer[LABEL], yardstick.positive)
    if min(int(label.sum()), int((~label).sum())) < _LEAST_CLASS:
        return None
    own = fitted.apply([each.codes(newer) for each in bins])
    return _judged(label, numbers(newer, SCORE), own)


def _judged(label: Booleans, served: Floats, fitted: Floats) -> Learnable:
    """Compare two rankings of the same rows (placement values, DeLong 1988)."""
    first, second = roc_auc(label, served), roc_auc(label, fitted)
    error = _error_of_difference(label, served, fitted)
    chance = 0.5 / math.sqrt(min(int(label.sum()), int((~label).sum())))
    if second - first > _SURE * error:
        lesson = Lesson.GAIN
    elif max(first, second) + _SURE * chance < _USEFUL:
        lesson = Lesson.LOST
    else:
        lesson = Lesson.NO_GAIN
    return Learnable(lesson=lesson, served=first, fitted=second, rows=len(label))


def _error_of_difference(label: Booleans, one: Floats, other: Floats) -> float:
    placed = [_placements(label, scores) for scores in (one, other)]
    up = placed[0][0] - placed[1][0]
    down = placed[0][1] - placed[1][1]
    return math.sqrt(float(up.var()) / len(up) + float(down.var()) / len(down))


def _placements(label: Booleans, scores: Floats) -> tuple[Floats, Floats]:
    """Return for each positive the share of negatives below it, and for each negative above."""
    high, low = np.sort(scores[label]), np.sort(scores[~label])
    below = np.searchsorted(low, scores[label], "left") + np.searchsorted(
        low, scores[label], "right"
    )
    above = np.searchsorted(high, scores[~label], "left") + np.searchsorted(
        high, scores[~label], "right"
    )
    return below / (2.0 * len(low)), 1.0 - above / (2.0 * len(high))
