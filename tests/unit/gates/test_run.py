"""Planted defects, each caught by its own check; the verdict, its record and its proof."""

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.unit.gates.registry import CONTRACT, FEATURES, START, flights_version, table, trees

from thrive.domain.clock import DAY
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.gate import Answer
from thrive.gates.operations import history, run, show, verify_verdict
from thrive.packaging.package import pack
from thrive.store import datasets, gates


def not_passed(verdict):
    return {one.check: one.answer.value for one in verdict.results if one.answer is not Answer.PASS}


def result(verdict, check):
    return next(one for one in verdict.results if one.check == check)


@pytest.fixture
def live(registry, trained, sound):
    """A sound version in production."""
    version = registry.add(*trained, table(seed=2), package=sound)
    registry.make_live(version)
    return version


def test_a_first_version_is_compared_with_the_baseline(context, registry, trained, sound):
    registry.add(*trained, table(seed=2), package=sound)
    verdict = run(context, "delay")
    assert (verdict.answer, verdict.against, verdict.baseline) == (Answer.PASS, None, "prior")
    assert verdict.exit_code == 0
    quality = result(verdict, "quality")
    assert quality.evidence["rival"] == pytest.approx(0.5)
    assert quality.evidence["low"] > 0.25
    assert "the baseline 'prior'" in quality.summary
    assert result(verdict, "speed").evidence["p99"] < 1_000_000


def test_the_same_model_passes_and_its_record_is_the_same_bytes(
    context, registry, trained, sound, live
):
    registry.add(*trained, table(seed=2), package=sound)
    first, second = run(context, "delay@2"), run(context, "delay@2")
    assert (first.answer, first.against) == (Answer.PASS, live.version)
    assert result(first, "quality").evidence["gain"] == 0.0
    assert first.record == second.record
    assert first.verdict_id != second.verdict_id
    lines = history(context, "delay")
    assert [line.verdict_id for line in lines] == [second.verdict_id, first.verdict_id]
    assert show(context, "delay@2") == second
    assert show(context, first.verdict_id) == first


def test_a_worse_model_fails_on_quality(context, registry, live):
    rows = table(seed=1)
    worse = trees(rows.with_columns(wind=pl.col("wind").shuffle(seed=1)))
    registry.add(*worse, table(seed=2))
    verdict = run(context, "delay")
    assert verdict.answer is Answer.FAIL
    assert verdict.exit_code == 1
    assert {"quality": "fail", "slices": "fail"}.items() <= not_passed(verdict).items()
    assert set(not_passed(verdict)) <= {"quality", "slices", "equal opportunity"}


def test_a_model_that_fails_one_slice_is_caught_by_the_slices(context, registry, trained, live):
    rows = table(seed=1, rows=6000)
    spoiled = rows.with_columns(
        _label=pl.when(pl.col("origin") == "LGA").then(~pl.col("_label")).otherwise("_label")
    )
    contract = CONTRACT.replace("margin = 0.02", "margin = 0.5").replace(
        'slices = ["origin"]', 'slices = ["origin", "carrier"]'
    )
    registry.add(*trees(spoiled), table(seed=2), contract=contract)
    verdict = run(context, "delay")
    assert not_passed(verdict) == {"slices": "fail"}
    evidence = result(verdict, "slices").evidence
    assert evidence["slices"][0]["slice"] == "origin=LGA"
    assert [one["answer"] for one in evidence["slices"][1:]] == ["pass"] * 5


def test_a_biased_model_is_caught_by_the_bias_check(context, registry, live):
    rows = table(seed=1, rows=6000)
    hard = (pl.col("carrier") == "UA") & (pl.col("_label").rank("ordinal") % 3 > 0)
    unfair = rows.with_columns(_label=pl.col("_label") & ~hard)
    contract = CONTRACT.replace("margin = 0.02", "margin = 0.5")
    registry.add(*trees(unfair), table(seed=2), contract=contract)
    verdict = run(context, "delay")
    assert not_passed(verdict) == {"equal opportunity": "fail"}
    worst = result(verdict, "equal opportunity").evidence["groups"][0]
    assert worst["group"] == "carrier=UA"
    assert worst["gap"] < -0.3
    assert worst["change"] < -0.3


def test_a_slow_model_is_caught_by_the_speed_check(context, registry, sound, trained):
    registry.make_live(registry.add(*trained, table(seed=2), package=sound))
    registry.add(*trees(table(seed=1), iterations=600), table(seed=2), contract=lenient())
    verdict = run(context, "delay")
    assert not_passed(verdict) == {"speed": "fail"}
    sizes = result(verdict, "speed").evidence["sizes"]
    assert all(one["low"] > 1.5 for one in sizes)


def lenient():
    return CONTRACT.replace("margin = 0.02", "margin = 0.2")


def test_a_model_that_cannot_take_missing_values_is_caught(context, registry, trained, sound):
    registry.make_live(registry.add(*trained, table(seed=2), package=sound))
    rows = table(seed=1)
    inputs = rows.select("wind", "hour").cast(pl.Float64)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        inputs.to_numpy(), rows["_label"]
    )
    package = pack(model, inputs, created=1)
    fields = tuple(
        msgspec.structs.replace(field, nullable=True) for field in package.manifest.signature.inputs
    )
    signature = msgspec.structs.replace(package.manifest.signature, inputs=fields)
    claims = pack(model, inputs, signature=signature, created=1)
    registry.add(None, None, table(seed=2), package=claims)
    verdict = run(context, "delay")
    assert not_passed(verdict) == {"missing values": "fail"}
    assert set(result(verdict, "missing values").evidence["failed"]) == {"wind", "hour"}


def test_few_rows_cannot_tell_and_say_how_many_would(context, registry, trained, live):
    registry.add(*trees(table(seed=9)), table(seed=2, rows=60))
    verdict = run(context, "delay")
    assert verdict.answer is Answer.CANNOT_TELL
    assert verdict.exit_code == 3
    quality = result(verdict, "quality")
    assert quality.answer is Answer.CANNOT_TELL
    assert quality.evidence["needed_rows"] > 60
    assert quality.evidence["smallest_visible_loss"] > 0.02
    assert f"About {quality.evidence['needed_rows']:,} rows would settle it" in quality.summary


def test_a_contract_that_only_warns_lets_the_unclear_through(context, registry, live):
    warns = CONTRACT.replace("[model.delay.gates]", '[model.delay.gates]\non_unclear = "warn"')
    registry.add(*trees(table(seed=9)), table(seed=2, rows=60), contract=warns)
    verdict = run(context, "delay")
    assert "cannot tell" in not_passed(verdict).values()
    assert "fail" not in not_passed(verdict).values()
    assert verdict.answer is Answer.PASS


def test_rows_the_rival_may_have_seen_are_left_out(context, registry, trained, sound):
    later = START + 15 * DAY
    registry.make_live(registry.add(*trained, table(seed=3, start=later), package=sound))
    registry.add(*trained, table(seed=2), package=sound)
    evidence = result(run(context, "delay"), "quality").evidence
    assert evidence["from"] == later
    assert evidence["rows_before"] == 1500
    assert evidence["rows"] == 1500
    registry.add(*trained, table(seed=2, start=START - 90 * DAY), package=sound)
    seen = result(run(context, "delay"), "quality")
    assert seen.answer is Answer.CANNOT_TELL
    assert "may have been trained on them" in seen.summary


def test_a_model_that_answers_nothing_fails_without_a_crash(context, registry, trained, sound):
    registry.make_live(registry.add(*trained, table(seed=2), package=sound))
    registry.add(*trained, table(seed=2).drop("wind"), package=sound)
    verdict = run(context, "delay")
    assert verdict.answer is Answer.FAIL
    assert [name for name, answer in not_passed(verdict).items() if answer == "fail"] == ["answers"]
    assert "no column 'wind'" in result(verdict, "answers").summary


@pytest.mark.parametrize(
    ("contract", "change", "check", "words"),
    [
        (CONTRACT.replace('risk = "minimal"\n', ""), {}, "contract", "risk"),
        (CONTRACT.replace('"delay-warning"]', '"marketing"]'), {}, "data", "may serve marketing"),
        (CONTRACT, {"training": {"flights": "e" * 64}}, "data", "no version with this content"),
    ],
)
def test_policy(context, registry, trained, sound, contract, change, check, words):
    version = registry.add(*trained, table(seed=2), package=sound, contract=contract, **change)
    verdict = run(context, f"delay@{version.version}")
    assert not_passed(verdict) == {check: "fail"}
    assert words in result(verdict, check).summary


def test_data_that_may_not_be_trained_on_stops_a_version(context, registry, trained, sound):
    with context.home.write() as tx:
        barred = flights_version(trainable=False)
        datasets.replace_version(tx, context.project_id, barred)
    registry.add(*trained, table(seed=2), package=sound)
    assert "may not be trained on" in result(run(context, "delay"), "data").summary


def test_a_verdict_is_proven_and_a_changed_one_is_not(context, registry, trained, sound):
    registry.add(*trained, table(seed=2), package=sound)
    verdict = run(context, "delay")
    proven = verify_verdict(context, verdict.verdict_id)
    assert (proven.holds, proven.exit_code, proven.problems) == (True, 0, [])
    forged = msgspec.structs.replace(verdict, verdict_id="0" * 32, answer=Answer.FAIL)
    with context.home.write() as tx:
        gates.insert_verdict(tx, context.project_id, forged)
    problems = verify_verdict(context, "0" * 32).problems
    assert problems == ["the answer 'fail' does not follow from the checks"]


def test_what_is_not_there_is_said(context, registry, trained, sound):
    with pytest.raises(NotFound, match="no model version"):
        run(context, "delay")
    registry.add(*trained, table(seed=2), package=sound)
    with pytest.raises(NotFound, match="no verdict on delay"):
        show(context, "delay")
    with pytest.raises(NotFound):
        run(context, "delay", against="7")
    with pytest.raises(UsageError, match="against itself"):
        run(context, "delay", against="1")


def test_labels_that_are_unknown_are_left_out(context, registry, trained, sound):
    rows = table(seed=2).with_columns(_label=pl.when(pl.int_range(pl.len()) % 3 > 0).then("_label"))
    registry.add(*trained, rows, package=sound)
    assert result(run(context, "delay"), "quality").evidence["rows"] == 2000


def test_regression_is_judged_by_its_error(context, registry):
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = table(seed=1).with_columns(_label=pl.col("wind") * 3 + pl.col("hour"))
    contract = CONTRACT.replace('metric = "roc_auc"', 'metric = "auto"').replace(
        'bias = { groups = ["carrier"], equal_opportunity = 0.15 }\n', ""
    )
    inputs = rows.select(FEATURES[:2])
    model = HistGradientBoostingRegressor(max_iter=30, random_state=0).fit(
        inputs, np.asarray(rows["_label"])
    )
    registry.add(model, inputs, rows, contract=contract)
    quality = result(run(context, "delay"), "quality")
    assert quality.answer is Answer.PASS
    assert (quality.evidence["metric"], quality.evidence["method"]) == ("rmse", "paired bootstrap")
