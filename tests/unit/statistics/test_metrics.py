import math

import numpy as np
import pytest
import sklearn.metrics as sk

from thrive.domain.errors import NotFound, UsageError
from thrive.statistics import metrics as m

RNG = np.random.default_rng(5)
N = 400
TRUTH = RNG.random(N) < 0.3
SCORE = np.round(np.clip(TRUTH * 0.2 + RNG.random(N) * 0.8, 0, 1), 2)  # rounding makes ties
CLASS = SCORE > 0.5
WEIGHTS = RNG.integers(0, 4, N).astype(float)
Y = RNG.normal(1e6, 3, N)
P = Y + RNG.normal(0, 2, N)

CASES = [
    (m.roc_auc, sk.roc_auc_score, TRUTH, SCORE),
    (m.log_loss, sk.log_loss, TRUTH, np.clip(SCORE, 0, 1)),
    (m.brier, sk.brier_score_loss, TRUTH, SCORE),
    (m.accuracy, sk.accuracy_score, TRUTH, CLASS),
    (m.f1, sk.f1_score, TRUTH, CLASS),
    (m.precision, sk.precision_score, TRUTH, CLASS),
    (m.recall, sk.recall_score, TRUTH, CLASS),
    (m.mae, sk.mean_absolute_error, Y, P),
    (m.mse, sk.mean_squared_error, Y, P),
    (m.rmse, sk.root_mean_squared_error, Y, P),
    (m.r2, sk.r2_score, Y, P),
]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize(("ours", "theirs", "truth", "prediction"), CASES)
def test_agrees_with_scikit_learn(ours, theirs, truth, prediction, weights):
    expected = theirs(truth, prediction, sample_weight=weights)
    assert ours(truth, prediction, weights) == pytest.approx(expected, rel=1e-9)


def test_calibration_error_is_the_weighted_gap_of_the_bins():
    truth, score = [0, 1, 1, 1], [0.12, 0.18, 0.95, 1.0]
    # bin 1: mean score .15 against rate .5; bin 9: mean score .975 against rate 1
    assert m.ece(truth, score) == pytest.approx((2 * 0.35 + 2 * 0.025) / 4)


def test_scores_that_mean_what_they_say_have_the_error_of_chance():
    rng = np.random.default_rng(8)
    score = rng.random(800)
    errors = [m.ece(rng.random(800) < score, score) for _ in range(300)]
    mean, spread = m.ece_by_chance(score)
    assert mean == pytest.approx(np.mean(errors), rel=0.04)
    assert spread == pytest.approx(np.std(errors), rel=0.12)


def test_accuracy_takes_names_of_classes():
    assert m.accuracy(["a", "b", "c"], ["a", "b", "x"]) == pytest.approx(2 / 3)


def test_without_a_class_there_is_no_curve():
    assert math.isnan(m.roc_auc([1, 1], [0.2, 0.3]))
    assert m.precision([1, 0], [0, 0]) == 0.0


def test_the_table_tells_what_each_metric_needs():
    assert list(m.METRICS) == [metric.name for metric in m.METRICS.values()]
    assert m.metric_named("mae").task == "regression"
    assert m.metric_named("f1").needs is m.Needs.CLASS
    assert not m.metric_named("rmse").mean_type
    assert m.row_values(m.metric_named("mae"), [1.0, 2.0], [2.0, 4.0]).tolist() == [1.0, 2.0]
    with pytest.raises(NotFound, match="not a mean"):
        m.row_values(m.metric_named("f1"), [1], [1])
    with pytest.raises(NotFound, match="use one of: roc_auc"):
        m.metric_named("rocauc")


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="lengths differ"):
        m.mae([1.0], [1.0, 2.0])
    with pytest.raises(UsageError, match="other values than 0 and 1"):
        m.f1([1, 2], [1, 0])
    with pytest.raises(UsageError, match="no rows"):
        m.brier([], [])
    with pytest.raises(UsageError, match="2 dimensions"):
        m.roc_auc([0, 1], [[0.5, 0.5], [0.2, 0.8]])
