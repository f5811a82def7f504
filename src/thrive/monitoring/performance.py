"""How good the answers of some rows are: estimated before outcomes come, measured once they do.

Two classes: the calibrated score says how often a decision is right (CBPE). More classes: the
score is the share of the chosen class, calibrated against having been right. Numbers: the absolute
error that rows like these had (direct loss estimation).
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from thrive.contract.schema import Target
from thrive.domain.model import LABEL, SCORE
from thrive.monitoring.bins import Binned, bins_of
from thrive.monitoring.findings import Measured, finite
from thrive.monitoring.frames import DECISION, numbers, truth
from thrive.statistics.arrays import Floats
from thrive.statistics.difficulty import Difficulty, fit_difficulty
from thrive.statistics.estimation import (
    Calibration,
    Estimated,
    estimate_metric,
    estimate_metrics,
    fit_calibration,
)
from thrive.statistics.metrics import mae, roc_auc

if TYPE_CHECKING:
    import polars as pl

LEAST_ROWS = 30
"""Rows below which no performance is stated."""
_LEARNED_FROM = 50_000
"""Rows of the reference, evenly spread, that the expected error of a number is learned from."""
_LEAST_LEARNED = 200
ESTIMATED, REALISED = "estimated", "realised"


class Yardstick(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's answers are judged.

    Attributes:
        binary: two classes by a threshold.
        classes: more classes, by the decision; neither of both: numbers by their error.
        threshold: from which score the decision is yes.
        positive: the value of the label that counts as yes.
        calibration: from a score to the chance of yes, or of having chosen the right class.
        bins: the inputs in bins, and what they say of the error of a number.
    """

    binary: bool
    classes: bool = False
    threshold: float = 0.5
    positive: Any = None
    calibration: Calibration | None = None
    bins: list[Binned] = []
    difficulty: Difficulty | None = None

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals that may raise an alert."""
        if self.binary:
            return ("estimated accuracy", "realised accuracy", "realised roc_auc")
        measure = "accuracy" if self.classes else "mae"
        known = self.calibration is not None or self.difficulty is not None
        return (f"{ESTIMATED} {measure}",) * known + (f"{REALISED} {measure}",)

    def chances(self, frame: "pl.DataFrame") -> Floats | None:
        """Return each row's chance of being right, or the expected error of a number."""
        if self.difficulty is not None:
            return self.difficulty.apply([binned.codes(frame) for binned in self.bins])
        if self.calibration is None:
            return None
        score = numbers(frame, SCORE)
        chance = self.calibration.apply(score)
        return np.where(score >= self.threshold, chance, 1.0 - chance) if self.binary else chance

    def right(self, frame: "pl.DataFrame") -> Floats:
        """Return whether each labelled row was right (1 or 0), or the error of a number."""
        if not self.binary and not self.classes:
            return np.abs(numbers(frame, SCORE) - numbers(frame, LABEL))
        if self.binary:
            hit = truth(frame[LABEL], self.positive)
            return ((numbers(frame, SCORE) >= self.threshold) == hit).astype(np.float64)
        return (_words(frame[DECISION]) == _words(frame[LABEL])).to_numpy().astype(np.float64)


def _words(column: "pl.Series") -> "pl.Series":
    """Return classes as text; whole numbers are spelled without a point."""
    import polars as pl

    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        if (whole.cast(pl.Float64) == column).all():
            column = whole
    if column.dtype == pl.String:
        return column.str.replace(r"^(-?\d+)\.0$", "$1")
    return column.cast(pl.String)


def higher_is_better(signal: str) -> bool:
    """Tell whether more of a signal is good."""
    return not signal.endswith("mae")


def yardstick_of(reference: "pl.DataFrame", target: Target, kinds: Mapping[str, str]) -> Yardstick:
    """Return how answers like those of a reference are judged, with what was learned from it.

    Args:
        reference: out-of-sample rows with `_label`, `_score` and, for classes, `_decision`.
        target: what the contract says of the label.
        kinds: the inputs, numeric or category.
    """
    import polars as pl

    labelled = reference.filter(reference[LABEL].is_not_null())
    if DECISION in reference.columns:
        return _for_classes(labelled)
    labelled = labelled.filter(labelled[SCORE].is_not_null())
    label = labelled[LABEL]
    words = str(label.dtype) in {"Boolean", "String"}
    if not labelled.height or not (words or label.cast(pl.Float64).is_in([0.0, 1.0]).all()):
        return _for_numbers(labelled, kinds)
    hit = truth(label, target.positive)
    calibration = fit_calibration(labelled[SCORE].to_numpy(), hit) if len(set(hit)) > 1 else None
    return Yardstick(
        binary=True, threshold=target.threshold, positive=target.positive, calibration=calibration
    )


def _for_classes(labelled: "pl.DataFrame") -> Yardstick:
    plain = Yardstick(binary=False, classes=True)
    scored = labelled.filter(labelled[SCORE].is_not_null())
    if scored.height < LEAST_ROWS:
        return plain
    right = plain.right(scored)
    calibration = fit_calibration(scored[SCORE].to_numpy(), right)
    return msgspec.structs.replace(plain, calibration=calibration)


def _for_numbers(labelled: "pl.DataFrame", kinds: Mapping[str, str]) -> Yardstick:
    plain = Yardstick(binary=False)
    if labelled.height < _LEAST_LEARNED:
        return plain
    rows = labelled.gather_every(max(1, labelled.height // _LEARNED_FROM))
    bins = bins_of(rows, kinds)
    codes = [binned.codes(rows) for binned in bins]
    off = plain.right(rows)
    learned = fit_difficulty(codes, [binned.size for binned in bins], off)
    return msgspec.structs.replace(plain, bins=bins, difficulty=learned)


def performance(frame: "pl.DataFrame", yardstick: Yardstick) -> dict[str, Measured]:
    """Return every signal of performance that the rows allow, by name."""
    scored = frame if yardstick.classes else frame.filter(frame[SCORE].is_finite())
    found: dict[str, Measured] = {}
    if scored.height >= LEAST_ROWS:
        found = {
            f"{ESTIMATED} {item.metric}": Measured(
                value=finite(item.estimate), error=finite(item.standard_error), rows=item.rows
            )
            for item in _estimated(scored, yardstick)
        }
    if LABEL in frame.columns:
        labelled = scored.filter(scored[LABEL].is_not_null())
        if labelled.height >= LEAST_ROWS:
            found |= _realised(labelled, yardstick)
    return found


def estimated_only(found: Mapping[str, Measured]) -> dict[str, Measured]:
    """Return the signals that need no outcome."""
    return {name: item for name, item in found.items() if name.startswith(ESTIMATED)}


def _estimated(scored: "pl.DataFrame", yardstick: Yardstick) -> Sequence[Estimated]:
    if yardstick.difficulty is not None:
        codes = [binned.codes(scored) for binned in yardstick.bins]
        return [yardstick.difficulty.estimate(codes)]
    if yardstick.calibration is None:
        return []
    score = numbers(scored, SCORE)
    if not yardstick.binary:
        if not np.isfinite(score).all():
            return []
        chance = yardstick.calibration.apply(score)
        return [estimate_metric("accuracy", chance, np.ones(len(chance)))]
    decided = score >= yardstick.threshold
    found = estimate_metrics(yardstick.calibration, score, decided, ("accuracy", "roc_auc"))
    return list(found.values())


def _realised(labelled: "pl.DataFrame", yardstick: Yardstick) -> dict[str, Measured]:
    rows = labelled.height
    if not yardstick.binary and not yardstick.classes:
        score, label = numbers(labelled, SCORE), numbers(labelled, LABEL)
        error = float(np.abs(score - label).std()) / math.sqrt(rows)
        return {"realised mae": Measured(value=finite(mae(label, score)), error=error, rows=rows)}
    right = float(yardstick.right(labelled).mean())
    spread = math.sqrt(max(right * (1 - right), 1e-9) / rows)
    found = {"realised accuracy": Measured(value=right, error=spread, rows=rows)}
    if not yardstick.binary:
        return found
    score, label = numbers(labelled, SCORE), truth(labelled[LABEL], yardstick.positive)
    positives = int(label.sum())
    if min(positives, rows - positives) >= 10:
        area = roc_auc(label, score)
        found["realised roc_auc"] = Measured(
            value=finite(area), error=_auc_error(area, positives, rows - positives), rows=rows
        )
    return found


def _auc_error(area: float, positives: int, negatives: int) -> float:
    """Return the standard error of an AUC (Hanley and McNeil 1982)."""
    q1, q2 = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    variance = area * (1.0 - area) + (positives - 1) * (q1 - area**2)
    variance += (negatives - 1) * (q2 - area**2)
    return math.sqrt(max(variance, 0.0) / (positives * negatives))
