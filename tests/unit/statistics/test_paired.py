import math

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar

from thrive.domain.errors import UsageError
from thrive.statistics.metrics import METRICS, row_values
from thrive.statistics.paired import (
    mcnemar,
    needed_rows,
    paired_auc,
    paired_mean,
    smallest_visible_loss,
)
from thrive.statistics.resampling import count_weights, paired_bootstrap, time_blocks


def two_models(seed: int, rows: int, *, ties: bool = False):
    rng = np.random.default_rng(seed)
    labels = rng.random(rows) < 0.3
    base = labels + rng.normal(size=rows)
    a, b = base + 0.5 * rng.normal(size=rows), base + 0.4 * rng.normal(size=rows)
    return (labels, np.round(a), np.round(b)) if ties else (labels, a, b)


def test_paired_mean_is_the_paired_t_test():
    _, a, b = two_models(1, 60)
    ours, theirs = paired_mean(a, b), scipy.stats.ttest_rel(b, a)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    low, high = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9)


def test_clusters_give_the_sandwich_error():
    rng = np.random.default_rng(2)
    subject = np.repeat(np.arange(30), 5)
    a = rng.normal(size=150)
    b = a + 0.1 + np.repeat(rng.normal(size=30), 5)
    fit = sm.OLS(b - a, np.ones(150)).fit(
        cov_type="cluster", cov_kwds={"groups": subject, "use_correction": False}
    )
    ours = paired_mean(a, b, clusters=subject)
    assert ours.standard_error == pytest.approx(fit.bse[0] * math.sqrt(30 / 29), rel=1e-9)
    assert ours.units == 30
    assert ours.standard_error > 1.5 * paired_mean(a, b).standard_error


@pytest.mark.parametrize(("only_a", "only_b"), [(3, 9), (0, 0), (40, 60)])
def test_mcnemar_agrees_with_statsmodels(only_a: int, only_b: int):
    a = np.array([1] * only_a + [0] * only_b + [1] * 100)
    b = np.array([0] * only_a + [1] * only_b + [1] * 100)
    table = [[100, only_a], [only_b, 0]]
    exact = their_mcnemar(table, exact=True).pvalue
    ours = mcnemar(a, b)
    if only_a + only_b < 25:
        assert ours.p_value == pytest.approx(exact, rel=1e-9)
        assert ours.method == "exact binomial"
    else:
        point = scipy.stats.binom.pmf(only_a, only_a + only_b, 0.5)
        assert ours.p_value == pytest.approx(exact - point, rel=1e-9)
        assert ours.method == "mid-p"
    assert ours.difference == pytest.approx((only_b - only_a) / len(a))


def test_agreement_on_few_rows_is_no_certainty():
    few, many = mcnemar([1] * 10, [1] * 10), mcnemar([1] * 10_000, [1] * 10_000)
    assert few.low < -0.1
    assert many.low > -0.001


def delong_by_pairs(labels, a, b):
    """The definition, O(n^2)."""

    def kernel(scores):
        positive, negative = scores[labels][:, None], scores[~labels][None, :]
        return (positive > negative) + 0.5 * (positive == negative)

    ka, kb = kernel(a), kernel(b)
    difference = kb - ka
    rows, columns = difference.mean(1), difference.mean(0)
    return rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns)


@pytest.mark.parametrize("ties", [False, True])
def test_delong_is_its_definition(ties: bool):
    labels, a, b = two_models(3, 300, ties=ties)
    ours = paired_auc(labels, a, b)
    assert ours.auc_a == pytest.approx(roc_auc_score(labels, a), rel=1e-12)
    assert ours.auc_b == pytest.approx(roc_auc_score(labels, b), rel=1e-12)
    assert ours.standard_error**2 == pytest.approx(delong_by_pairs(labels, a, b), rel=1e-9)


@pytest.mark.parametrize(("rows", "ties"), [(300, False), (300, True), (3000, True)])
def test_delong_and_bootstrap_agree(rows: int, ties: bool):
    labels, a, b = two_models(4, rows, ties=ties)
    ours = paired_auc(labels, a, b)
    boot = paired_bootstrap("roc_auc", labels, a, b, draws=1500)
    assert boot.difference == pytest.approx(ours.difference, abs=1e-12)
    assert boot.standard_error == pytest.approx(ours.standard_error, rel=0.08)
    assert boot.low == pytest.approx(ours.low, abs=0.15 * (ours.high - ours.low))


def test_each_row_its_own_cluster_is_no_clustering():
    labels, a, b = two_models(5, 2000)
    plain, own = paired_auc(labels, a, b), paired_auc(labels, a, b, clusters=np.arange(2000))
    assert own.standard_error == pytest.approx(plain.standard_error, rel=2e-3)
    twice = [np.concatenate([x, x]) for x in (labels, a, b, np.arange(2000))]
    doubled = paired_auc(*twice[:3], clusters=twice[3])
    assert doubled.standard_error == pytest.approx(own.standard_error, rel=1e-9)


def test_one_class_alone_cannot_be_ranked():
    with pytest.raises(UsageError, match="no ROC curve"):
        paired_auc([1, 1], [0.1, 0.2], [0.1, 0.2])


def test_needed_rows_of_the_reference():
    assert needed_rows(0.05, 0.005) == pytest.approx(12_360, abs=10)
    assert needed_rows(0.02, 0.01) == pytest.approx(1_236, abs=2)
    assert smallest_visible_loss(0.05, 12_366) == pytest.approx(0.005, rel=1e-3)
    assert needed_rows(0.05, 0.005, difference=0.005) < 0.3 * needed_rows(0.05, 0.005)
    with pytest.raises(UsageError, match="not inside the margin"):
        needed_rows(0.05, 0.005, difference=-0.005)


def test_the_planned_rows_have_the_planned_power():
    rng = np.random.default_rng(6)
    rows = needed_rows(1.0, 0.25)
    passes = [
        paired_mean(np.zeros(rows), rng.normal(size=rows), 0.90).low > -0.25 for _ in range(600)
    ]
    assert 0.74 <= np.mean(passes) <= 0.86


@pytest.mark.parametrize("name", ["accuracy", "f1", "log_loss", "mae", "rmse", "r2", "ece"])
def test_the_vectorised_bootstrap_is_the_weighted_metric(name: str):
    labels, a, b = two_models(7, 200)
    metric = METRICS[name]
    if metric.needs == "score":
        a, b = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))
    elif metric.needs == "class":
        a, b = a > 0.5, b > 0.5
    truth = labels if metric.task == "binary" else labels + 0.5
    boot = paired_bootstrap(name, truth, a, b, draws=50, seed=9)
    weights = np.concatenate(list(count_weights(200, 50, 9)))
    slow = [metric.function(truth, b, w) - metric.function(truth, a, w) for w in weights]
    assert boot.draws == pytest.approx(slow, abs=1e-12)
    by_hand = paired_bootstrap(metric.function, truth, a, b, draws=50, seed=9)
    assert by_hand.draws == pytest.approx(slow, abs=1e-12)


def test_clusters_are_drawn_whole():
    labels, a, b = two_models(8, 600)
    day = time_blocks(np.arange(600) * 3_600_000_000, 86_400_000_000)
    assert len(set(day.tolist())) == 25
    for name in ("roc_auc", "brier"):
        score = (1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b)))
        boot = paired_bootstrap(name, labels, *score, draws=40, seed=1, clusters=day)
        weights = np.concatenate(list(count_weights(25, 40, 1)))[:, day]
        function = METRICS[name].function
        slow = [function(labels, score[1], w) - function(labels, score[0], w) for w in weights]
        assert boot.draws == pytest.approx(slow, abs=1e-12)
        assert boot.units == 25


def test_the_bootstrap_of_a_mean_is_its_closed_form():
    labels, a, b = two_models(9, 2000)
    score = (1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b)))
    brier = METRICS["brier"]
    closed = paired_mean(*(row_values(brier, labels, s) for s in score))
    boot = paired_bootstrap("brier", labels, *score, draws=1500)
    assert boot.standard_error == pytest.approx(closed.standard_error, rel=0.08)
    assert boot.difference == pytest.approx(closed.estimate, rel=1e-9)


def test_counts_are_draws_with_replacement():
    few = np.concatenate(list(count_weights(50, 400, 1)))
    assert np.all(few.sum(axis=1) == 50)
    many = np.concatenate(list(count_weights(5000, 100, 1)))
    assert many.mean() == pytest.approx(1.0, abs=0.01)
    assert many.var() == pytest.approx(1.0, abs=0.01)
    again = np.concatenate(list(count_weights(5000, 100, 1)))
    assert np.array_equal(many, again)


def test_a_class_too_rare_for_resampling_is_said():
    labels = np.zeros(1500)
    with pytest.raises(UsageError, match="no value"):
        paired_bootstrap("roc_auc", labels, labels, labels, draws=20)
