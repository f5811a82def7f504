"""Bias from one table of counts: each measure finds its own planted defect, and nothing else."""

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from tests.unit.gates.registry import CONTRACT
from tests.unit.gates.test_checks import case

from thrive.contract.loosened import loosened
from thrive.contract.parse import parse
from thrive.domain.gate import Answer
from thrive.gates.bias import check_bias
from thrive.gates.counting import count_cells
from thrive.packaging.signature import Output, OutputKind

ROWS = 8000
BIAS = 'bias = { groups = ["carrier"], equal_opportunity = 0.15 }'


def terms(text):
    assert BIAS in CONTRACT
    return CONTRACT.replace(BIAS, f"bias = {{ {text} }}")


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    chance = rng.beta(2, 2, ROWS)
    return pl.DataFrame(
        {
            "carrier": rng.choice(["AA", "B6", "UA"], ROWS),
            "origin": rng.choice(["EWR", "JFK"], ROWS),
            "_label": rng.random(ROWS) < chance,
            "chance": chance,
        }
    )


def answers(rows, candidate, text, other=None):
    rival = rows["chance"].to_numpy() if other is None else other
    found = check_bias(case(rows, candidate, rival, terms=terms(text)))
    return {one.check: one for one in found if one.check != "groups"}


EVERY = (
    'groups = ["carrier"], equal_opportunity = 0.1, equalized_odds = 0.1, '
    "demographic_parity = 0.1, selection_ratio = 0.8, predictive_parity = 0.1, accuracy = 0.1, "
    "auc = 0.1, calibration = 0.05, change = 0.05"
)


def test_a_fair_model_passes_every_measure_and_says_what_it_can_see(rows):
    found = answers(rows, rows["chance"].to_numpy(), EVERY)
    assert len(found) == 9
    assert {one.answer for one in found.values()} == {Answer.PASS}
    assert all(0 < one.smallest_visible < 0.2 for one in found.values())


@pytest.mark.parametrize(
    ("limit", "spoil"),
    [
        ("equal_opportunity = 0.1", lambda s, y, there: np.where(there & y, s * 0.6, s)),
        ("demographic_parity = 0.1", lambda s, y, there: np.where(there, s * 0.8, s)),
        ("selection_ratio = 0.8", lambda s, y, there: np.where(there, s * 0.7, s)),
        ("predictive_parity = 0.1", lambda s, y, there: np.where(there & ~y, s**0.3, s)),
        ("accuracy = 0.1", lambda s, y, there: np.where(there, 1 - s, s)),
        ("auc = 0.1", lambda s, y, there: np.where(there, (s * 97) % 1.0, s)),
        ("calibration = 0.05", lambda s, y, there: np.where(there, s**0.5, s)),
        ("change = 0.05", lambda s, y, there: np.where(there, 1 - s, s)),
    ],
)
def test_a_planted_defect_of_one_group_is_found(rows, limit, spoil):
    there = (rows["carrier"] == "B6").to_numpy()
    spoiled = spoil(rows["chance"].to_numpy(), rows["_label"].to_numpy(), there)
    [found] = answers(rows, spoiled, f'groups = ["carrier"], {limit}').values()
    assert found.answer is Answer.FAIL
    widest = found.evidence["groups"][0]
    assert (widest["group"], widest["answer"]) == ("carrier=B6", "fail")


def test_a_defect_of_an_intersection_is_found_there_alone(rows):
    b6, jfk = (rows["carrier"] == "B6").to_numpy(), (rows["origin"] == "JFK").to_numpy()
    share = np.where(b6, np.where(jfk, 0.15, 0.85), np.where(jfk, 0.675, 0.325))
    spoiled = (np.random.default_rng(1).random(ROWS) < share).astype(float)
    limit = 'groups = ["carrier", "origin"], demographic_parity = 0.2'
    [found] = answers(rows, spoiled, limit).values()
    assert found.answer is Answer.FAIL
    assert not [one for one in found.evidence["groups"] if one["answer"] == "fail"]
    failed = {one["group"] for one in found.evidence["intersections"] if one["answer"] == "fail"}
    assert failed == {"carrier=B6 & origin=EWR", "carrier=B6 & origin=JFK"}


def test_few_rows_cannot_tell_and_how_many_more_would(rows):
    few = rows.head(120)
    [found] = answers(
        few, few["chance"].to_numpy(), 'groups = ["carrier"], equal_opportunity = 0.2'
    ).values()
    assert found.answer is Answer.CANNOT_TELL
    enough = 120 + found.more_rows
    assert 130 < enough < 2000
    more = pl.concat([rows] * 2).head(int(enough * 2))
    [found] = answers(
        more, more["chance"].to_numpy(), 'groups = ["carrier"], equal_opportunity = 0.2'
    ).values()
    assert found.answer is Answer.PASS


def test_counts_are_those_of_plain_loops_for_crossed_columns(rows):
    few = rows.head(300)
    scores = few["chance"].to_numpy()
    found = count_cells(case(few, scores, 1 - scores), ["carrier", "origin"])
    table = found.table(["carrier", "origin"])
    for group, counts in zip(table.groups, table.counts, strict=True):
        carrier, origin = (part.split("=")[1] for part in group.split(" & "))
        mine = few.filter((pl.col("carrier") == carrier) & (pl.col("origin") == origin))
        for label in (0, 1):
            for decision in (0, 1):
                expected = mine.filter(
                    (pl.col("_label") == bool(label))
                    & ((pl.col("chance") >= 0.5) == bool(decision))
                ).height
                assert counts[label, decision] == expected
    rows_own = found.discordant(["carrier"])
    assert sum(rows for rows, _, _ in rows_own.values()) == 300


def test_a_lower_ratio_loosens_the_contract_and_a_higher_one_does_not():
    strict = parse(terms('groups = ["carrier"], selection_ratio = 0.8')).contract
    loose = parse(terms('groups = ["carrier"], selection_ratio = 0.6')).contract
    assert loosened(strict, loose, "delay") == ["gates.bias.selection_ratio: 0.6 instead of 0.8."]
    assert loosened(loose, strict, "delay") == []


def test_without_a_version_before_there_is_no_change_to_judge(rows):
    s = rows["chance"].to_numpy()
    found = case(rows, s, s, terms=terms('groups = ["carrier"], change = 0.05'))
    assert [one.check for one in check_bias(msgspec.structs.replace(found, against=None))] == [
        "groups"
    ]


def of_kind(found, kind, classes=()):
    output = Output(kind=kind, classes=classes)
    signature = msgspec.structs.replace(found.manifest.signature, output=output)
    manifest = msgspec.structs.replace(found.manifest, signature=signature)
    return msgspec.structs.replace(found, manifest=manifest)


def test_numbers_are_judged_by_their_errors_in_each_group(rows):
    truth = np.random.default_rng(2).normal(10.0, 3.0, ROWS)
    there = (rows["carrier"] == "B6").to_numpy()
    noise = np.random.default_rng(3).normal(0.0, 1.0, ROWS)
    limits = 'groups = ["carrier"], mean_error = 0.5, mean_absolute_error = 0.5'

    def judged(candidate, text=limits):
        found = case(rows, candidate, truth, terms=terms(text), labels=truth)
        return {one.check: one for one in check_bias(of_kind(found, OutputKind.NUMBER))}

    assert {one.answer for one in judged(truth + noise).values()} == {Answer.PASS}
    shifted = judged(truth + noise + there)
    assert shifted["mean error"].answer is Answer.FAIL
    assert shifted["mean error"].evidence["groups"][0]["gap"] == pytest.approx(1.0, abs=0.1)
    wild = judged(truth + noise * np.where(there, 3.0, 1.0))
    assert wild["mean absolute error"].answer is Answer.FAIL
    assert wild["mean error"].answer is Answer.PASS
    rates = {one["group"]: one["rates"] for one in wild["groups"].evidence["rates"]}
    assert rates["carrier=B6"]["mean_absolute_error"][0] == pytest.approx(
        np.abs(3 * noise[there]).mean()
    )
    misfit = judged(truth, 'groups = ["carrier"], auc = 0.1')["auc"]
    assert (misfit.answer, "mean_error" in misfit.summary) == (Answer.CANNOT_TELL, True)


def test_many_classes_are_judged_by_right_answers(rows):
    labels = np.random.default_rng(2).integers(0, 3, ROWS).astype(float)
    there = (rows["carrier"] == "B6").to_numpy()
    wrong = np.where(there & (np.arange(ROWS) % 2 == 0), (labels + 1) % 3, labels)
    text = terms('groups = ["carrier"], accuracy = 0.1, change = 0.1')
    found = case(rows, wrong, labels, terms=text, labels=labels)
    judged = {one.check: one for one in check_bias(of_kind(found, OutputKind.CLASS, (0, 1, 2)))}
    assert {judged[name].answer for name in ("accuracy", "change")} == {Answer.FAIL}
    assert judged["accuracy"].evidence["groups"][0]["value"] == pytest.approx(0.5, abs=0.02)


def test_areas_of_groups_are_those_of_scikit_learn(rows):
    few = rows.head(900)
    scores = few["chance"].to_numpy()
    found = check_bias(case(few, scores, scores, terms=terms('groups = ["carrier"], auc = 0.1')))
    shown = {one["group"]: one["value"] for one in found[0].evidence["groups"]}
    for carrier in ("AA", "B6", "UA"):
        mask = (few["carrier"] == carrier).to_numpy()
        expected = roc_auc_score(few["_label"].to_numpy()[mask], scores[mask])
        assert shown[f"carrier={carrier}"] == pytest.approx(expected, abs=1e-12)
