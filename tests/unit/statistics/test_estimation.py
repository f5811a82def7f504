import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression, isotonic_regression

from thrive.domain.errors import NotFound
from thrive.statistics.estimation import (
    ESTIMABLE,
    Calibration,
    estimate_metric,
    estimate_metrics,
    estimate_performance,
    fit_calibration,
    isotonic,
)
from thrive.statistics.metrics import METRICS

LEVELS = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 9)), min_size=1, max_size=80)


@given(LEVELS)
def test_isotonic_agrees_with_scikit_learn(pairs):
    values, weights = (np.array(x) for x in zip(*pairs, strict=True))
    expected = isotonic_regression(values, sample_weight=weights)
    assert isotonic(values, weights) == pytest.approx(expected, abs=1e-9)


def test_isotonic_of_the_sequence_that_needs_most_passes():
    values = np.append(np.arange(3000.0), -1e6)
    expected = isotonic_regression(values)
    assert isotonic(values) == pytest.approx(expected, rel=1e-9)
    assert len(isotonic([])) == 0


@pytest.mark.parametrize("digits", [2, 6])
def test_calibration_agrees_with_scikit_learn(digits: int):
    rng = np.random.default_rng(digits)
    scores = np.round(rng.random(3000), digits)
    labels = rng.random(3000) < scores**2
    weights = rng.random(3000) + 0.1
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, labels, sample_weight=weights)
    ours = fit_calibration(scores, labels, weights)
    fresh = np.linspace(-0.5, 1.5, 777)
    assert ours.apply(fresh) == pytest.approx(theirs.predict(fresh), abs=1e-9)
    assert len(ours.scores) < 400


def simulated(seed: int, rows: int, shift: float = 0.0):
    rng = np.random.default_rng(seed)
    score = 1 / (1 + np.exp(-rng.normal(shift, 1.5, rows)))
    return np.round(score, 3), rng.random(rows) < score


def test_estimates_are_the_expected_metrics():
    """Average the real metrics of drawn labels: they must surround the estimate."""
    score, _ = simulated(1, 3000)
    rng = np.random.default_rng(2)
    draws = [rng.random(3000) < score for _ in range(300)]
    for name in ESTIMABLE:
        prediction = score if name == "roc_auc" else score >= 0.5
        real = [METRICS[name].function(labels, prediction) for labels in draws]
        ours = estimate_metric(name, score, score >= 0.5)
        assert ours.estimate == pytest.approx(np.mean(real), abs=4 * np.std(real) / math.sqrt(300))


def test_the_standard_error_is_that_of_new_windows():
    real: dict[str, list[float]] = {name: [] for name in ESTIMABLE}
    for seed in range(300):
        score, labels = simulated(seed, 800)
        for name in ESTIMABLE:
            prediction = score if name == "roc_auc" else score >= 0.5
            real[name].append(METRICS[name].function(labels, prediction))
    score, _ = simulated(1000, 800)
    for name in ESTIMABLE:
        error = estimate_metric(name, score, score >= 0.5).standard_error
        assert error == pytest.approx(np.std(real[name]), rel=0.15)


def test_a_shift_of_the_inputs_is_seen_without_labels():
    raw, labels = simulated(3, 20_000)
    calibration = fit_calibration(raw**2, labels)  # squared: no longer a probability
    for shift in (0.0, 1.0, 3.0):
        score, truth = simulated(int(10 + shift), 20_000, shift)
        estimated = estimate_performance(calibration, score**2, threshold=0.25)
        real = METRICS["accuracy"].function(truth, score >= 0.5)
        assert estimated["accuracy"].estimate == pytest.approx(real, abs=0.012)
        interval = estimated["accuracy"].interval(0.9999)
        assert interval.low <= estimated["accuracy"].estimate <= interval.high
        assert estimated["roc_auc"].estimate == pytest.approx(
            METRICS["roc_auc"].function(truth, score), abs=0.02
        )


def test_nothing_to_estimate():
    certain = Calibration(scores=(0.0, 1.0), probabilities=(0.0, 0.0))
    estimated = estimate_performance(certain, [0.1, 0.2])
    assert estimated["accuracy"].estimate == 1.0
    assert math.isnan(estimated["roc_auc"].estimate)
    assert math.isnan(estimated["precision"].standard_error)
    with pytest.raises(NotFound, match="cannot be estimated"):
        estimate_metric("log_loss", [0.1], [0])


@settings(max_examples=40, deadline=None)
@given(
    scores=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8, 1.0]), min_size=2, max_size=60),
    seed=st.integers(0, 99),
)
def test_many_metrics_at_once_are_each_alone(scores: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    calibration = fit_calibration(rng.random(50), rng.integers(0, 2, 50))
    decided = rng.integers(0, 2, len(scores))
    together = estimate_metrics(calibration, scores, decided)
    for name, found in together.items():
        alone = estimate_metric(name, calibration.apply(scores), decided, scores)
        assert found.estimate == pytest.approx(alone.estimate, abs=1e-12, nan_ok=True)
        assert found.standard_error == pytest.approx(alone.standard_error, abs=1e-9, nan_ok=True)
