"""Performance without labels for classes and for numbers."""

import numpy as np
import polars as pl
import pytest
from tests.real_streams import terms
from tests.streams import Stream

from thrive.domain.clock import DAY
from thrive.monitoring.baseline import build
from thrive.monitoring.closing import close_windows
from thrive.monitoring.frames import answered
from thrive.monitoring.operations import monitors_explain
from thrive.monitoring.performance import performance, yardstick_of
from thrive.operations import Context
from thrive.statistics.difficulty import fit_difficulty

CLASSES = ["red", "green", "blue"]


def coloured(rng: np.random.Generator, count: int, sure: float, day: int = 0) -> pl.DataFrame:
    """Return rows whose shares of three classes are what their labels follow."""
    raw = np.exp(sure * rng.normal(size=(count, 3)))
    shares = raw / raw.sum(axis=1, keepdims=True)
    label = [str(rng.choice(CLASSES, p=row)) for row in shares]
    return pl.DataFrame({"a": rng.normal(size=count), "_label": label}).with_columns(
        pl.Series("_score", shares.tolist()), pl.lit(day * DAY).alias("_time")
    )


def test_the_accuracy_of_three_classes_is_estimated_from_the_share_of_the_chosen_one() -> None:
    rng = np.random.default_rng(1)
    past = answered(coloured(rng, 8000, 1.5), CLASSES)
    yardstick = yardstick_of(past, terms().model.target, {"a": "numeric"})
    assert yardstick.signals == ("estimated accuracy", "realised accuracy")
    for sure in (0.5, 1.0, 2.0):
        live = answered(coloured(rng, 8000, sure), CLASSES)
        found = performance(live, yardstick)
        estimated, real = found["estimated accuracy"], found["realised accuracy"]
        assert estimated.value == pytest.approx(real.value, abs=0.03)
        # the straightforward way: the mean calibrated share of the chosen class
        share = np.interp(
            live["_score"].to_numpy(),
            yardstick.calibration.scores,  # type: ignore[union-attr]
            yardstick.calibration.probabilities,  # type: ignore[union-attr]
        )
        assert estimated.value == pytest.approx(share.mean(), abs=1e-9)


def test_a_class_alone_is_judged_once_outcomes_come() -> None:
    rng = np.random.default_rng(2)
    past = answered(coloured(rng, 400, 1.0), CLASSES).drop("_score").rename({"_decision": "_score"})
    bare = answered(past, CLASSES)
    yardstick = yardstick_of(bare, terms().model.target, {"a": "numeric"})
    assert yardstick.signals == ("realised accuracy",)
    assert set(performance(bare, yardstick)) == {"realised accuracy"}


def priced(rng: np.random.Generator, count: int, far: float, day: int = 0) -> pl.DataFrame:
    """Return a number that is harder to tell the larger `a` is, and where `kind` is odd."""
    a, odd = rng.uniform(0, far, count), rng.random(count) < 0.3
    score = 10 * a
    noise = rng.normal(size=count) * (1 + 2 * a + 3 * odd)
    return pl.DataFrame(
        {
            "a": a,
            "kind": np.where(odd, "odd", "even"),
            "_score": score,
            "_label": score + noise,
            "_time": np.full(count, day * DAY),
        }
    )


def test_the_error_of_numbers_is_estimated_and_follows_the_inputs() -> None:
    rng = np.random.default_rng(3)
    past = pl.concat([priced(rng, 600, 1.0, day) for day in range(20)])
    baseline = build(past, terms())
    assert baseline.yardstick.signals == ("estimated mae", "realised mae")
    assert [limit.higher_is_better for limit in baseline.limits] == [False, False]
    for share in (0.2, 0.5, 1.0):
        found = performance(priced(rng, 4000, share), baseline.yardstick)
        estimated, real = found["estimated mae"], found["realised mae"]
        assert estimated.value == pytest.approx(real.value, rel=0.08)
        assert abs((estimated.value or 0) - (real.value or 0)) < 4 * (estimated.error or 0) + 0.05
    harder = priced(rng, 2000, 1.0).with_columns(kind=pl.lit("odd"))
    worse = performance(harder, baseline.yardstick)["estimated mae"]
    assert baseline.limits[0].breach(worse) is not None


def test_an_additive_error_is_learned_as_a_direct_least_squares_fit_would() -> None:
    rng = np.random.default_rng(4)
    codes = [rng.integers(0, 4, 20_000), rng.integers(0, 3, 20_000)]
    off = np.abs(rng.normal(size=20_000)) * 0.1 + 1.0 * codes[0] + 0.5 * codes[1]
    learned = fit_difficulty(codes, [4, 3], off)
    design = np.concatenate([np.eye(4)[codes[0]], np.eye(3)[codes[1]]], axis=1)
    direct = design @ np.linalg.lstsq(design, off, rcond=None)[0]
    assert np.abs(learned.apply(codes) - direct).max() < 0.02


def test_the_track_record_says_how_far_estimates_lay_from_what_came(context: Context) -> None:
    stream = Stream(context)
    for shift in (-1.5, 0.0, 1.0, 2.0):
        stream.live_day(shift=shift)
        stream.advance(0.1)
        close_windows(context, "m")
    (accuracy, area) = monitors_explain(context, "m", version=1).track
    assert (accuracy.metric, area.metric, accuracy.windows) == ("accuracy", "roc_auc", 4)
    assert accuracy.mean_error < 0.05
    assert abs(accuracy.bias) <= accuracy.mean_error
    assert accuracy.within >= 0.5
    assert (accuracy.correlation or 0) > 0.8
