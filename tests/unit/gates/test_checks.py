"""Checks on given scores: planted defects, honest doubt, and the policy of the contract."""

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.unit.gates.registry import CONTRACT, flights_version, table

from thrive.contract.parse import parse
from thrive.contract.schema import Unclear
from thrive.domain.errors import UsageError
from thrive.domain.gate import Answer, CheckResult
from thrive.domain.model import ModelVersion
from thrive.gates.bias import check_bias
from thrive.gates.case import GateCase, Rival, clusters_of, labels_of
from thrive.gates.comparison import Comparison, compare
from thrive.gates.found_slices import check_found_slices
from thrive.gates.labels import check_labels
from thrive.gates.policy import check_contract, check_data, check_package
from thrive.gates.quality import check_calibration, check_quality
from thrive.gates.robustness import strained_results
from thrive.gates.slices import check_slices
from thrive.gates.speed import Paced
from thrive.gates.verdict import combine
from thrive.packaging.inference import infer_signature
from thrive.packaging.manifest import PackageManifest
from thrive.packaging.signature import Output, OutputKind, Signature
from thrive.statistics.metrics import METRICS


def version(number=2, **changes):
    fields = {
        "model": "delay", "version": number, "package": f"p{number}", "signature": {},
        "metrics": {}, "run_id": "", "contract": "", "commit": "c", "dirty": False,
        "created_at": 0, "actor": "tester", "training": {"flights": "d" * 64},
    }  # fmt: skip
    return ModelVersion(**{**fields, **changes})


def manifest(kind=OutputKind.PROBABILITY, model_format="trees"):
    signature = Signature(inputs=(), output=Output(kind=kind))
    return PackageManifest(model_format=model_format, files={}, signature=signature)


def case(frame, candidate, other, *, terms=CONTRACT, kind=OutputKind.PROBABILITY, **changes):
    fields = {
        "version": version(2),
        "manifest": manifest(kind),
        "terms": parse(terms).contract.model["delay"],
        "rival": Rival.PRODUCTION,
        "against": version(1),
        "frame": frame,
        "labels": labels_of(frame, True),
        "candidate": candidate,
        "other": other,
    }
    return GateCase(**{**fields, **changes})


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture(scope="module")
def rows():
    return table(rows=6000, seed=3)


@pytest.fixture(scope="module")
def good(rows):
    """The chance of being late as the rows were made."""
    return sigmoid((rows["wind"].to_numpy() + rows["hour"].to_numpy() / 12 - 1) / 0.7)


def noisy(scores, amount, seed=0):
    rng = np.random.default_rng(seed)
    return sigmoid(np.log(scores / (1 - scores)) + amount * rng.normal(size=len(scores)))


def answers(found):
    results = [check_quality(found), check_slices(found)]
    every = [one for one in [*results, *check_bias(found)] if one is not None]
    return {one.check: one.answer.value for one in every if one.answer is not Answer.PASS}


def looking_alike(labels, *names):
    """Return the check of labels on rows of these columns."""
    frame = pl.DataFrame(dict(names))
    signature = infer_signature(frame, Output(kind=OutputKind.PROBABILITY, positive=True))
    packed = PackageManifest(model_format="trees", files={}, signature=signature)
    judged = case(frame.with_columns(_label=pl.Series(labels)), None, None, manifest=packed)
    return check_labels(judged)


def test_labels_that_contradict_each_other_are_counted_as_by_hand():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 12, 3000), rng.choice(["x", "y", "label"], 3000)
    labels = (a > 5) ^ (rng.random(3000) < 0.1)
    found = looking_alike(labels.astype(float), ("a", a), ("label", b))
    by_hand = {}
    for key, label in zip(zip(a.tolist(), b.tolist(), strict=True), labels.tolist(), strict=True):
        by_hand.setdefault(key, []).append(label)
    groups = [each for each in by_hand.values() if len(each) > 1]
    assert found.evidence["repeated"] == sum(map(len, groups)) == 3000
    rarer = sum(len(each) - max(each.count(True), each.count(False)) for each in groups)
    assert found.evidence["contrary"] == rarer
    assert found.evidence["low"] < 0.1 < found.evidence["high"]
    assert found.advisory
    assert "another label than most that look the same" in found.summary


def test_labels_of_rows_that_differ_say_that_they_show_nothing():
    found = looking_alike(np.ones(50), ("a", np.arange(50)))
    assert found.answer is Answer.PASS
    assert "show no noise of the labels" in found.summary
    assert check_labels(case(table(rows=9), None, None, kind=OutputKind.NUMBER)) is None


def test_an_equal_model_passes_every_check(rows, good):
    assert answers(case(rows, noisy(good, 0.2, 1), noisy(good, 0.2, 2))) == {}


def test_a_worse_model_fails_on_quality(rows, good):
    found = case(rows, noisy(good, 2.0), good)
    assert check_quality(found).answer is Answer.FAIL
    assert "worse than what is accepted" in check_quality(found).summary


def test_more_rows_are_the_same_in_words_and_in_number(rows, good):
    """A gain close to the margin needs more rows than equal models would."""
    worse = noisy(good, 0.52)
    found = check_quality(case(rows, worse, good))
    assert found.answer is Answer.CANNOT_TELL
    assert found.evidence["needed_rows"] < found.evidence["rows"]
    assert found.more_rows > 0
    assert f"About {found.more_rows:,} more rows would settle it" in found.summary


def test_more_rows_say_what_they_are_planned_for() -> None:
    found = Comparison(
        metric="accuracy",
        method="McNemar",
        rival=0.8,
        candidate=0.7865,
        gain=-0.0135,
        low=-0.0209,
        high=-0.006,
        standard_error=0.0045,
        variance=0.1215,
        rows=6000,
        units=6000,
    )
    equal, seen = found.more(0.01), found.more_as_seen(0.01)
    assert equal is not None
    assert seen == pytest.approx((equal + 6000) * (0.01 / 0.0035) ** 2 - 6000, abs=20)


def test_one_bad_slice_is_caught_by_the_slices_alone(rows, good):
    there = (rows["origin"] == "LGA").to_numpy()
    loose = CONTRACT.replace("margin = 0.02", "margin = 0.5").replace("= 0.15", "= 0.9")
    spoiled = np.where(there, 1 - good, good)
    found = case(rows, spoiled, good, terms=loose)
    assert answers(found) == {"slices": "fail"}
    evidence = check_slices(found).evidence["slices"]
    assert [one["slice"] for one in evidence if one["answer"] == "fail"] == ["origin=LGA"]


def test_a_bad_slice_that_nobody_named_is_found(rows, good):
    there = ((rows["hour"] < 6) & (rows["origin"] == "LGA")).to_numpy()
    loose = CONTRACT.replace("margin = 0.02", "margin = 0.01").replace(
        'slices = ["origin"]', "slices = []"
    )
    worse = np.where(there, 1 - good, good)
    found = check_found_slices(case(rows, worse, good, terms=loose))
    assert found.answer is Answer.FAIL
    failed = [one["slice"] for one in found.evidence["slices"] if one["answer"] == "fail"]
    assert "origin=LGA" in failed[0]
    assert check_found_slices(case(rows, good, good, terms=loose)).answer is Answer.PASS
    assert check_found_slices(case(rows, worse, good, against=None)) is None


@pytest.mark.parametrize(
    ("count", "power", "answer"),
    [(6000, 1.0, Answer.PASS), (6000, 0.4, Answer.FAIL), (100, 1.0, Answer.CANNOT_TELL)],
)
def test_scores_that_do_not_mean_what_they_say_are_told(rows, good, count, power, answer):
    few, scores = rows.head(count), good[:count] ** power
    found = check_calibration(case(few, scores, good[:count]))
    assert (found.answer, found.advisory) == (answer, True)


def test_a_small_slice_is_listed_and_does_not_block(rows, good):
    few = rows.with_columns(
        origin=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("XXX")).otherwise("origin")
    )
    found = check_slices(case(few, good, good))
    assert found.answer is Answer.PASS
    assert found.evidence["too_small"][0]["slice"] == "origin=XXX"


def test_a_slice_column_that_is_not_there_cannot_be_judged(rows, good):
    assert check_slices(case(rows.drop("origin"), good, good)).answer is Answer.CANNOT_TELL


def test_a_biased_model_is_caught_by_the_bias_check_alone(rows, good):
    lower = np.where((rows["carrier"] == "UA").to_numpy(), good * 0.6, good)
    loose = CONTRACT.replace("margin = 0.02", "margin = 0.1")
    found = case(rows, lower, good, terms=loose)
    assert answers(found) == {"equal opportunity": "fail"}
    worst = check_bias(found)[0].evidence["groups"][0]
    assert worst["group"] == "carrier=UA"
    assert worst["gap"] < -0.2
    assert worst["change"] < -0.2


def test_small_groups_are_never_green(good, rows):
    few = rows.head(60)
    found, _ = check_bias(case(few, good[:60], good[:60]))
    assert found.answer is Answer.CANNOT_TELL
    assert all(one["answer"] != "pass" for one in found.evidence["groups"] if one["small"])


def test_counts_give_the_rates_by_hand(rows, good):
    found, _ = check_bias(case(rows, good, good))
    one = found.evidence["groups"][0]
    mask = (rows["carrier"] == one["group"].partition("=")[2]).to_numpy() & rows[
        "_label"
    ].to_numpy()
    assert one["value"] == pytest.approx((good[mask] >= 0.5).mean())


def test_against_a_baseline_the_candidate_must_be_better(rows, good):
    prior = np.full(len(good), rows["_label"].mean())
    first = {"against": None, "rival": Rival.BASELINE}
    assert answers(case(rows, good, prior, **first)) == {}
    rng = np.random.default_rng(0)
    useless = check_quality(case(rows, rng.random(len(good)), prior, **first))
    assert useless.answer is Answer.CANNOT_TELL
    inverted = check_quality(case(rows, 1 - good, prior, **first))
    assert inverted.answer is Answer.FAIL


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "brier", "f1", "precision", "roc_auc"])
def test_every_metric_passes_the_better_and_fails_the_worse(rows, good, name):
    terms = CONTRACT.replace('"roc_auc"', f'"{name}"').replace("margin = 0.02", "margin = 0.01")
    bad = noisy(good, 3.0)
    better = check_quality(case(rows, good, bad, terms=terms))
    worse = check_quality(case(rows, bad, good, terms=terms))
    assert (better.answer, worse.answer) == (Answer.PASS, Answer.FAIL)
    assert better.evidence["gain"] == pytest.approx(-worse.evidence["gain"])


def test_numbers_are_judged_by_their_error(rows, good):
    frame = rows.with_columns(_label=pl.col("wind"))
    terms = CONTRACT.replace('"roc_auc"', '"auto"')
    exact = frame["_label"].to_numpy()
    found = case(frame, exact + 0.1, exact + 0.5, terms=terms, kind=OutputKind.NUMBER)
    quality = check_quality(found)
    assert quality.answer is Answer.PASS
    assert quality.evidence["metric"] == "rmse"
    assert quality.evidence["gain"] == pytest.approx(0.4)
    assert check_bias(found)[0].answer is Answer.CANNOT_TELL


def test_a_metric_that_does_not_fit_cannot_tell(rows, good):
    terms = CONTRACT.replace('"roc_auc"', '"rmse"')
    assert "does not fit" in check_quality(case(rows, good, good, terms=terms)).summary


def test_rows_of_a_day_are_one_unit_when_days_are_many(rows):
    days, unit = clusters_of(rows, [])
    assert unit == "day"
    assert len(np.unique(days)) == 30
    entities = rows.drop("_time").with_columns(who=pl.int_range(pl.len()) % 7)
    assert clusters_of(entities, ["who"])[1] == "who"
    assert clusters_of(rows.head(50), ["wind"]) == (None, "row")


def test_one_class_alone_is_no_evidence(rows, good):
    frame = rows.with_columns(_label=pl.lit(value=True))
    assert check_quality(case(frame, good, good)).answer is Answer.CANNOT_TELL
    with pytest.raises(UsageError):
        compare(METRICS["roc_auc"], np.ones(50), good[:50], good[:50], None)


@pytest.mark.parametrize(
    ("contract", "check", "words"),
    [
        (CONTRACT.replace('risk = "minimal"', 'risk = "undecided"'), "contract", "risk"),
        (CONTRACT.replace('"delay-warning"]', '"marketing"]'), "data", "may serve marketing"),
    ],
)
def test_the_contract_is_obeyed(contract, check, words):
    parsed = parse(contract)
    results = {
        "contract": check_contract(version(), parsed),
        "data": check_data(version(), parsed, {"flights": flights_version()}),
    }
    assert words in results[check].summary
    assert [name for name, one in results.items() if one.answer is Answer.FAIL] == [check]


def test_data_must_be_recorded_and_open_to_training():
    parsed = parse(CONTRACT)
    barred = check_data(version(), parsed, {"flights": flights_version(trainable=False)})
    assert "may not be trained on" in barred.summary
    assert "no version with this" in check_data(version(), parsed, {"flights": None}).summary
    assert check_data(version(), parsed, {}).answer is Answer.CANNOT_TELL
    assert check_contract(version(), None).answer is Answer.FAIL


def test_a_pickle_is_refused_and_a_dirty_tree_is_noted():
    assert check_package(version(), manifest(model_format="pickle")).answer is Answer.FAIL
    dirty = check_package(version(dirty=True), manifest())
    assert dirty.answer is Answer.PASS
    assert "dev alone" in dirty.summary


def test_a_refusal_with_a_message_is_no_crash():
    odd = {"kind": "unseen categories", "field": "origin", "failure": "no value", "refused": True}
    crash = {**odd, "field": "carrier", "failure": "ValueError", "refused": False}
    by_name = {one.check: one for one in strained_results([odd])}
    assert by_name["unseen categories"].answer is Answer.PASS
    assert "Refuses them" in by_name["unseen categories"].summary
    assert strained_results([odd, crash])[1].answer is Answer.FAIL


def check(answer, name="quality"):
    return CheckResult(check=name, group="quality", answer=answer, summary="")


def test_one_verdict_from_many_answers():
    fine, bad, unclear = map(check, (Answer.PASS, Answer.FAIL, Answer.CANNOT_TELL))
    informs = msgspec.structs.replace(unclear, advisory=True)
    assert combine([fine, informs], Unclear.FAIL) is Answer.PASS
    assert combine([fine, unclear], Unclear.FAIL) is Answer.CANNOT_TELL
    assert combine([fine, unclear], Unclear.WARN) is Answer.PASS
    assert combine([fine, bad, unclear], Unclear.WARN) is Answer.FAIL


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(0.9, 1.05, "pass"), (1.2, 1.3, "fail"), (1.0, 1.2, "cannot tell")],
)
def test_a_ratio_of_latencies_is_judged_by_its_interval(low, high, answer):
    times = dict.fromkeys(("candidate_p50", "candidate_p99", "rival_p50", "rival_p99"), 1.0)
    paced = Paced(rows=1, pairs=20, ratio=1.1, low=low, high=high, **times)
    assert paced.answer(1.10).value == answer
