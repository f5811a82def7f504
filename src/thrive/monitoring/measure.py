"""Measuring one window's rows: counters, performance with and without labels, segments."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from thrive.domain.model import LABEL, SCORE
from thrive.monitoring.findings import Measured, Segment, finite
from thrive.monitoring.frames import NUMERIC, numbers, truth, value_counts
from thrive.statistics.estimation import Calibration, estimate_metric
from thrive.statistics.metrics import accuracy, mae, roc_auc
from thrive.statistics.sketch import (
    CategorySketch,
    NumericSketch,
    sketch_categories,
    sketch_numeric,
)

if TYPE_CHECKING:
    import polars as pl

Sketch: TypeAlias = NumericSketch | CategorySketch

LEAST_ROWS = 30
"""Rows below which no performance is stated."""
SEGMENT_VALUES = 20
"""Values of a segment that are listed, by rows."""


class Yardstick(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's answers are judged: two classes by a threshold, or numbers by their error."""

    binary: bool
    threshold: float = 0.5
    positive: Any = None
    calibration: Calibration | None = None

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals that may raise an alert."""
        if self.binary:
            return ("estimated accuracy", "realised accuracy", "realised roc_auc")
        return ("realised mae",)


def higher_is_better(signal: str) -> bool:
    """Tell whether more of a signal is good."""
    return not signal.endswith("mae")


def sketches(
    frame: "pl.DataFrame", kinds: Mapping[str, str], baseline: Mapping[str, Sketch] | None = None
) -> dict[str, Sketch]:
    """Return the counters of each input and of the score.

    Args:
        frame: rows in the shape of a reference table.
        kinds: the inputs, numeric or category.
        baseline: the counters that fix cells and names; None to make such.
    """
    made: dict[str, Sketch] = {}
    for name, kind in {**kinds, SCORE: NUMERIC}.items():
        fixed = baseline[name] if baseline is not None else None
        if kind == NUMERIC:
            assert fixed is None or isinstance(fixed, NumericSketch)
            made[name] = sketch_numeric(numbers(frame, name), fixed)
        else:
            assert fixed is None or isinstance(fixed, CategorySketch)
            made[name] = sketch_categories(value_counts(frame, name), fixed)
    return made


def performance(frame: "pl.DataFrame", yardstick: Yardstick) -> dict[str, Measured]:
    """Return every signal of performance that the rows allow, by name."""
    scored = frame.filter(frame[SCORE].is_not_null() & frame[SCORE].is_finite())
    found = _estimated(scored, yardstick) if yardstick.binary else {}
    if LABEL in frame.columns:
        labelled = scored.filter(scored[LABEL].is_not_null())
        if labelled.height >= LEAST_ROWS:
            found |= _realised(labelled, yardstick)
    return found


def _estimated(scored: "pl.DataFrame", yardstick: Yardstick) -> dict[str, Measured]:
    if yardstick.calibration is None or scored.height < LEAST_ROWS:
        return {}
    score = scored[SCORE].to_numpy()
    probability = yardstick.calibration.apply(score)
    decided = score >= yardstick.threshold
    made = {
        f"estimated {metric}": estimate_metric(metric, probability, decided, score)
        for metric in ("accuracy", "roc_auc")
    }
    return {
        name: Measured(
            value=finite(item.estimate), error=finite(item.standard_error), rows=item.rows
        )
        for name, item in made.items()
    }


def _realised(labelled: "pl.DataFrame", yardstick: Yardstick) -> dict[str, Measured]:
    score, rows = labelled[SCORE].to_numpy(), labelled.height
    if not yardstick.binary:
        label = numbers(labelled, LABEL)
        off = np.abs(score - label)
        error = float(off.std()) / math.sqrt(rows)
        return {"realised mae": Measured(value=finite(mae(label, score)), error=error, rows=rows)}
    label = truth(labelled[LABEL], yardstick.positive)
    right = accuracy(label, score >= yardstick.threshold)
    found = {
        "realised accuracy": Measured(
            value=right, error=math.sqrt(max(right * (1 - right), 1e-9) / rows), rows=rows
        )
    }
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


def segments(frame: "pl.DataFrame", columns: list[str], yardstick: Yardstick) -> list[Segment]:
    """Return each declared segment's values with their rows and performance, most rows first."""
    import polars as pl

    present = [name for name in columns if name in frame.columns]
    if not present or not frame.height:
        return []
    judged = frame.with_columns(_goodness(frame, yardstick))
    found: list[Segment] = []
    for name in present:
        grouped = judged.group_by(pl.col(name).cast(pl.String).alias("value")).agg(
            pl.len().alias("rows"),
            pl.col(SCORE).mean().alias("score"),
            pl.col("_estimated").mean(),
            pl.col("_realised").mean(),
        )
        ranked = grouped.drop_nulls("value").sort("rows", "value", descending=[True, False])
        found += [
            Segment(
                column=name,
                value=row["value"],
                rows=row["rows"],
                score=row["score"],
                estimated=row["_estimated"],
                realised=row["_realised"],
            )
            for row in ranked.head(SEGMENT_VALUES).to_dicts()
        ]
    return found


def _goodness(frame: "pl.DataFrame", yardstick: Yardstick) -> "list[pl.Series]":
    """Return a row's chance of being right, and whether it was (or its absolute error)."""
    import polars as pl

    score = frame[SCORE].cast(pl.Float64)
    empty = pl.Series([None] * frame.height, dtype=pl.Float64)
    label = frame[LABEL] if LABEL in frame.columns else empty
    if not yardstick.binary:
        return [
            empty.alias("_estimated"),
            (score - label.cast(pl.Float64)).abs().alias("_realised"),
        ]
    decided = score >= yardstick.threshold
    estimated = empty
    if yardstick.calibration is not None:
        chance = pl.Series(yardstick.calibration.apply(score.fill_null(float("nan")).to_numpy()))
        estimated = (
            pl.DataFrame({"d": decided, "p": chance})
            .select(pl.when("d").then("p").otherwise(1.0 - pl.col("p")).fill_nan(None))
            .to_series()
        )
    known = label.is_not_null()
    right = pl.Series(
        truth(
            label.fill_null(strategy="zero") if label.dtype != pl.String else label.fill_null(""),
            yardstick.positive,
        )
    )
    realised = (decided == right).cast(pl.Float64).set(~known, None)
    return [estimated.alias("_estimated"), realised.alias("_realised")]
