"""Planted defects, each caught by its own check; the verdict, its record and its proof."""

from pathlib import Path

import msgspec
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.unit.gates.registry import CONTRACT, START, table, trees

from thrive.domain.clock import DAY
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.gate import Answer
from thrive.flows.gating import run
from thrive.gates.operations import history, show, verify_verdict
from thrive.packaging.package import pack
from thrive.packaging.trained_rows import trained_rows
from thrive.store import gates


def not_passed(verdict):
    blocking = (one for one in verdict.results if not one.advisory)
    return {one.check: one.answer.value for one in blocking if one.answer is not Answer.PASS}


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
    proven = verify_verdict(context, verdict.verdict_id)
    assert (proven.holds, proven.exit_code, proven.problems) == (True, 0, [])
    forged = msgspec.structs.replace(verdict, verdict_id="0" * 32, answer=Answer.FAIL)
    with context.home.write() as tx:
        gates.insert_verdict(tx, context.project_id, forged)
    problems = verify_verdict(context, "0" * 32).problems
    assert problems == [
        "the signature is not of this verdict",
        "the answer 'fail' does not follow from the checks",
    ]
    assert verify_verdict(context, "0" * 32).exit_code == 1


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


def test_a_slow_model_is_caught_by_the_speed_check(context, registry, sound, trained):
    registry.make_live(registry.add(*trained, table(seed=2), package=sound))
    registry.add(*trees(table(seed=1), iterations=600), table(seed=2), contract=lenient())
    verdict = run(context, "delay")
    assert not_passed(verdict) == {"speed": "fail"}
    sizes = result(verdict, "speed").evidence["sizes"]
    assert max(one["low"] for one in sizes) > 1.5


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
    assert f"About {quality.more_rows:,} more rows would settle it" in quality.summary


def test_rows_the_rival_may_have_seen_are_left_out(context, registry, trained, sound):
    later = START + 15 * DAY
    registry.make_live(registry.add(*trained, table(seed=3, start=later), package=sound))
    rows = table(seed=2).with_columns(_label=pl.when(pl.int_range(pl.len()) != 1600).then("_label"))
    registry.add(*trained, rows, package=sound)
    evidence = result(run(context, "delay"), "quality").evidence
    assert evidence["from"] == later
    assert evidence["rows_before"] == 1500
    assert evidence["rows"] == 1499


def test_a_model_that_answers_nothing_fails_without_a_crash(context, registry, trained, sound):
    registry.make_live(registry.add(*trained, table(seed=2), package=sound))
    registry.add(*trained, table(seed=2).drop("wind"), package=sound)
    verdict = run(context, "delay")
    assert verdict.answer is Answer.FAIL
    assert [name for name, answer in not_passed(verdict).items() if answer == "fail"] == ["answers"]
    assert "no column 'wind'" in result(verdict, "answers").summary


def test_what_is_not_there_is_said(context, registry, trained, sound):
    with pytest.raises(NotFound, match="no model version"):
        run(context, "delay")
    registry.add(*trained, table(seed=2), package=sound)
    with pytest.raises(NotFound, match="no verdict on delay"):
        show(context, "delay")
    with pytest.raises(NotFound):
        run(context, "delay", against="7")
    with pytest.raises(NotFound, match="no model version delay@7"):
        show(context, "delay@7")
    with pytest.raises(UsageError, match="against itself"):
        run(context, "delay", against="1")
    for word in ("productoin", "other@1", "@", "1.5"):
        with pytest.raises(UsageError, match="nothing that delay can be compared with"):
            run(context, "delay", against=word)


def test_files_that_cannot_be_written_are_refused_before_anything_is_judged(
    context, registry, trained, sound
):
    registry.add(*trained, table(seed=2), package=sound)
    (context.folder / "taken").write_text("")
    for junit in (".", "taken/gate.xml"):
        with pytest.raises(UsageError, match="cannot be written"):
            run(context, "delay", junit=Path(junit), sarif=Path("new/gate.sarif"))
    assert history(context, "delay") == []


def test_a_model_that_was_trained_on_the_rows_it_is_judged_on_is_caught(
    context, registry, trained, sound
):
    rows = table(seed=2)
    columns = ["wind", "hour", "origin", "carrier"]
    keep = context.home.blobs.put
    for seen in (rows.head(100), table(seed=5)):
        kept = keep(trained_rows(seen, columns).to_bytes())
        registry.add(*trained, rows, package=sound, trained_rows=kept)
    leaking = run(context, "delay@1")
    assert not_passed(leaking) == {"leak": "fail"}
    assert result(leaking, "leak").evidence["seen"] == 100
    fresh = result(run(context, "delay@2", against="1"), "leak")
    assert (fresh.answer, fresh.advisory) == (Answer.PASS, False)
    assert "version 1 on 3.3%" in fresh.summary


def test_the_same_rows_are_counted_though_each_model_scored_them(context, registry, trained, sound):
    for score in (0.1, 0.2):
        model, inputs = trained
        scored = table(seed=2).with_columns(pl.lit(score).alias("_score"))
        package = pack(model, inputs, created=int(score * 10))
        registry.add(model, inputs, scored.sample(fraction=1, shuffle=True), package=package)
    registry.add(*trained, table(seed=3), package=sound)
    found = [result(run(context, f"delay@{number}"), "test data reuse") for number in (1, 2, 2, 3)]
    assert [one.evidence["candidates"] for one in found] == [1, 2, 2, 1]


def test_what_to_type_next_follows_the_answer(context, registry, trained, sound):
    registry.add(*trained, table(seed=2), package=sound)
    verdict = run(context, "delay")
    assert verdict.next_hint == 'thrive approvals give delay@1 --reason "..."'
    lost = msgspec.structs.replace(verdict.results[0], answer=Answer.FAIL)
    failed = msgspec.structs.replace(verdict, answer=Answer.FAIL, results=[lost])
    assert "(quality)" in failed.next_hint
    advice = msgspec.structs.replace(lost, check="licence", advisory=True)
    advised = msgspec.structs.replace(failed, results=[lost, advice])
    assert "(quality)" in advised.next_hint
