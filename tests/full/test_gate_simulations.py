"""Simulations: what each gate's answers are worth, judged by the 99 % binomial bound.

Of 2 000 trials with a nominal error of 5 %, at most 123 may err (the 99.5 % point of the binomial
is 124); the power that a printed sample size promises must be met within 5 points.
"""

import math

import numpy as np
import polars as pl
import pytest

from thrive.domain.gate import Answer
from thrive.gates.bias import _corrected
from thrive.gates.comparison import CONFIDENCE, compare, compare_rankings
from thrive.gates.counting import cells_of
from thrive.gates.group_tests import change_tests, rate_tests, ratio_tests
from thrive.statistics.fairness import Rate
from thrive.statistics.metrics import METRICS
from thrive.statistics.paired import mcnemar, needed_rows, paired_auc, paired_mean

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

TRIALS, BOUND = 2000, 123


def passes(answers):
    return sum(one is Answer.PASS for one in answers)


def binary_rows(rng, rows=800, noise=1.0):
    signal = rng.normal(size=rows)
    truth = (rng.random(rows) < 1 / (1 + np.exp(-2 * signal))).astype(float)
    return (
        truth,
        1 / (1 + np.exp(-2 * signal)),
        1 / (1 + np.exp(-2 * (signal + noise * rng.normal(size=rows)))),
    )


def true_gain(name, prepared, draws=60, rows=40_000):
    """Return the candidate's true gain from very many rows."""
    gains = []
    for seed in range(draws):
        truth, rival, candidate = prepared(np.random.default_rng(10_000 + seed), rows)
        gains.append(compare(METRICS[name], truth, rival, candidate, None).gain)
    return float(np.mean(gains))


def classes(rng, rows=800):
    truth, rival, candidate = binary_rows(rng, rows)
    return truth, (rival >= 0.5).astype(float), (candidate >= 0.5).astype(float)


def numbers(rng, rows=800):
    truth = rng.normal(size=rows)
    return truth, truth + rng.normal(size=rows), truth + 1.2 * rng.standard_t(6, size=rows)


def squared(rng, rows=800):
    """Errors whose squares are as skewed as those of normal noise are.

    Of heavier tails (t with 6 degrees, whose squares have no third moment) 400 rows let 7.5 %
    through by the best of the methods compared (percentile 9.3 %, BCa 8.4 %, t 9.1 %).
    """
    truth = rng.normal(size=rows)
    return truth, truth + rng.normal(size=rows), truth + 1.3 * rng.normal(size=rows)


METHODS = {
    "roc_auc": (binary_rows, "DeLong"),
    "log_loss": (binary_rows, "paired mean"),
    "brier": (binary_rows, "paired mean"),
    "accuracy": (classes, "McNemar"),
    "mae": (numbers, "paired mean"),
    "mse": (squared, "paired mean"),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_closed_form_passes_a_candidate_at_the_margin_one_time_in_twenty(name):
    make, method = METHODS[name]
    margin = -true_gain(name, make, draws=20 if name == "roc_auc" else 60)
    answers = []
    for seed in range(TRIALS):
        truth, rival, candidate = make(np.random.default_rng(seed), 800)
        found = compare(METRICS[name], truth, rival, candidate, None)
        assert found.method == method
        answers.append(found.answer(margin))
    print(name, method, "passed", passes(answers), "of", TRIALS)
    assert passes(answers) <= BOUND


@pytest.mark.parametrize(
    ("name", "make"), [("f1", classes), ("precision", classes), ("rmse", squared), ("r2", squared)]
)
def test_the_bootstrap_passes_a_candidate_at_the_margin_one_time_in_twenty(name, make):
    margin = -true_gain(name, make, draws=20, rows=20_000)
    answers = []
    for seed in range(TRIALS):
        truth, rival, candidate = make(np.random.default_rng(seed), 400)
        answers.append(compare(METRICS[name], truth, rival, candidate, None).answer(margin))
    print(name, "bootstrap passed", passes(answers), "of", TRIALS)
    assert passes(answers) <= BOUND


def test_rows_of_a_subject_are_one_unit():
    answers = []
    for seed in range(TRIALS):
        rng = np.random.default_rng(seed)
        subject = np.repeat(np.arange(80), 10)
        shared = rng.normal(size=80)[subject]
        difference = -0.3 + shared + 0.3 * rng.normal(size=800)
        found = paired_mean(np.zeros(800), difference, CONFIDENCE, subject)
        answers.append(Answer.PASS if found.low >= -0.3 else Answer.FAIL)
    print("clustered mean passed", passes(answers), "of", TRIALS)
    assert passes(answers) <= BOUND


def test_rankings_are_judged_by_query():
    def made(rng, queries):
        query = np.repeat(np.arange(queries), 8)
        truth = rng.integers(0, 3, 8 * queries).astype(float)
        return (
            truth,
            truth + rng.normal(size=len(truth)),
            truth + 1.5 * rng.normal(size=len(truth)),
            query,
        )

    margin = -np.mean(
        [compare_rankings(*made(np.random.default_rng(90 + s), 20_000)).gain for s in range(5)]
    )
    answers = [
        compare_rankings(*made(np.random.default_rng(seed), 150)).answer(margin)
        for seed in range(TRIALS)
    ]
    print("ndcg passed", passes(answers), "of", TRIALS)
    assert passes(answers) <= BOUND


def test_the_printed_rows_give_the_power_they_promise_for_accuracy():
    """Two equal models that disagree on a share of rows: 80 % must pass, within 5 points."""
    for share, margin in ((0.05, 0.01), (0.10, 0.02)):
        rows = needed_rows(share, margin)
        passed = 0
        for seed in range(TRIALS):
            rng = np.random.default_rng(seed)
            kind = rng.random(rows)
            right_a = np.where(kind < share / 2, 1, np.where(kind < share, 0, 1))
            right_b = np.where(kind < share / 2, 0, 1)
            passed += mcnemar(right_a, right_b, CONFIDENCE).low >= -margin
        print("accuracy power", passed / TRIALS, "rows", rows)
        assert abs(passed / TRIALS - 0.80) <= 0.05


def test_the_printed_rows_give_the_power_they_promise_for_auc_and_means():
    def equal(rng, rows):
        signal = rng.normal(size=rows)
        truth = (rng.random(rows) < 1 / (1 + np.exp(-2 * signal))).astype(float)
        return truth, signal + rng.normal(size=rows), signal + rng.normal(size=rows)

    margin = 0.03
    pilot = [paired_auc(*equal(np.random.default_rng(seed), 2000)).variance for seed in range(20)]
    rows = needed_rows(float(np.mean(pilot)), margin)
    passed = sum(
        paired_auc(*equal(np.random.default_rng(100 + seed), rows), CONFIDENCE).low >= -margin
        for seed in range(TRIALS)
    )
    print("auc power", passed / TRIALS, "rows", rows)
    assert abs(passed / TRIALS - 0.80) <= 0.05
    rows = needed_rows(1.0, 0.1)
    passed = 0
    for seed in range(TRIALS):
        difference = np.random.default_rng(seed).normal(size=rows)
        passed += paired_mean(np.zeros(rows), difference, CONFIDENCE).low >= -0.1
    print("mean power", passed / TRIALS, "rows", rows)
    assert abs(passed / TRIALS - 0.80) <= 0.05


def counted(rng, groups, rows, base=0.3, rates=None):
    """Return the joint table of groups whose decisions are positive at given rates."""
    code = np.repeat(np.arange(groups), rows)
    label = (rng.random(len(code)) < base).astype(np.int8)
    chance = np.full(groups, 0.5) if rates is None else np.asarray(rates)
    own = (rng.random(len(code)) < chance[code]).astype(np.int8)
    other = (rng.random(len(code)) < 0.5).astype(np.int8)
    frame = pl.DataFrame({"g": code, "_gate_label": label, "_gate_own": own, "_gate_other": other})
    return cells_of(frame, ["g"])


@pytest.mark.parametrize("groups", [2, 5, 10, 20])
@pytest.mark.parametrize("rows", [60, 300])
def test_equal_groups_set_off_no_false_alarm(groups, rows):
    alarms = dict.fromkeys(("rate", "ratio", "change"), 0)
    for seed in range(TRIALS):
        cells = counted(np.random.default_rng(seed), groups, rows)
        found = {
            "rate": rate_tests(cells, ["g"], Rate.TRUE_POSITIVE, 0.10, before=False),
            "ratio": ratio_tests(cells, ["g"], 0.8),
            "change": change_tests(cells, ["g"], 0.05),
        }
        for name, rows_found in found.items():
            alarms[name] += any(one.answer is Answer.FAIL for one in _corrected(rows_found))
    print(groups, "groups of", rows, alarms)
    assert all(count <= BOUND for count in alarms.values())


@pytest.mark.parametrize("groups", [2, 10, 20])
def test_a_group_exactly_at_the_limit_sets_off_one_alarm_in_twenty_at_most(groups):
    """One group's rate lies exactly the limit below the rest's: the edge of what is accepted."""
    alarms = 0
    for seed in range(TRIALS):
        cells = counted(
            np.random.default_rng(seed), groups, 400, rates=[0.4] + [0.5] * (groups - 1)
        )
        found = _corrected(rate_tests(cells, ["g"], Rate.SELECTION, 0.10, before=False))
        alarms += any(one.answer is Answer.FAIL for one in found)
    print(groups, "groups at the limit", alarms)
    assert alarms <= BOUND


def test_a_group_at_the_limit_is_called_alike_one_time_in_twenty_at_most():
    green = 0
    for seed in range(TRIALS):
        cells = counted(np.random.default_rng(seed), 4, 1000, rates=[0.4, 0.5, 0.5, 0.5])
        found = _corrected(rate_tests(cells, ["g"], Rate.SELECTION, 0.10, before=False))
        green += any(one.group == "g=0" and one.answer is Answer.PASS for one in found)
    print("green at the limit", green)
    assert green <= BOUND


def test_one_unfair_group_in_ten_is_found_with_enough_rows():
    found = 0
    for seed in range(200):
        cells = counted(np.random.default_rng(seed), 10, 1000, rates=[0.3] + [0.5] * 9)
        tests = _corrected(rate_tests(cells, ["g"], Rate.SELECTION, 0.10, before=False))
        found += tests[0].answer is Answer.FAIL and tests[0].group == "g=0"
    assert found >= 190
    assert math.isfinite(tests[0].times_needed)
