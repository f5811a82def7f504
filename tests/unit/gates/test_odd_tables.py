"""Evaluation tables as they come: strange labels, many groups, columns that hold no groups."""

import numpy as np
import polars as pl
import pytest
from tests.unit.gates.registry import CONTRACT, table
from tests.unit.gates.test_checks import case

from thrive.domain.gate import Answer
from thrive.flows.gating import run
from thrive.gates.bias import check_bias
from thrive.gates.case import labels_of, strange_labels, words_of
from thrive.gates.found_slices import check_found_slices
from thrive.gates.slices import check_slices


@pytest.mark.parametrize(
    ("labels", "positive", "classes", "known"),
    [
        ([0, 1, 1], None, (), [0, 1, 1]),
        ([1, 2, 2], 2, (), [0, 1, 1]),
        ([1, 2, 2], True, (), [1, None, None]),
        (["no", "yes", "yes"], "yes", (), [0, 1, 1]),
        (["no", "yes", "yes"], None, (), [None, None, None]),
        (["no", "yes", "yes"], 1, (), [None, None, None]),
        ([0.0, float("inf"), 1.0], None, (), [0, None, 1]),
        (["a", "b", "?"], None, ("a", "b"), [0, 1, None]),
        ([], None, (), []),
    ],
)
def test_labels_are_numbers_and_those_that_mean_nothing_are_told(labels, positive, classes, known):
    frame = pl.DataFrame({"_label": labels}, strict=False)
    found = labels_of(frame, positive, classes, binary=not classes)
    assert [None if np.isnan(each) else each for each in found.tolist()] == known
    strange = [repr(each) for each, label in zip(labels, known, strict=True) if label is None]
    words = strange_labels(frame, found)
    assert bool(words) is bool(strange)
    assert all(each in words for each in strange)


def test_a_column_names_groups_unless_it_holds_lists_or_bytes():
    assert words_of(pl.Series([1.5, float("nan"), None])).to_list() == [
        "1.5", "(missing)", "(missing)",
    ]  # fmt: skip
    assert words_of(pl.Series([True, None])).to_list() == ["true", "(missing)"]
    assert words_of(pl.Series(["東京", ""])).to_list() == ["東京", ""]
    for values in ([[1.0, 2.0]], [{"a": 1}], [b"x"]):
        assert words_of(pl.Series(values)) is None


def test_lists_beside_the_rows_stop_no_check():
    rows = table(seed=3).with_columns(embedding=pl.concat_list("wind", "hour"))
    good = np.where(rows["_label"], 0.7, 0.3)
    named = CONTRACT.replace('["carrier"]', '["embedding"]').replace('["origin"]', '["embedding"]')
    assert check_found_slices(case(rows, good, good)).answer is Answer.PASS
    (bias,) = check_bias(case(rows, good, good, terms=named))
    slices = check_slices(case(rows, good, good, terms=named))
    for found in (bias, slices):
        assert found.answer is Answer.CANNOT_TELL
        assert "no groups by embedding" in found.summary


def test_of_very_many_groups_the_largest_are_judged_and_the_rest_is_not_forgotten():
    """Two hundred alike groups of many are no evidence for the others."""
    rows = table(rows=6000, seed=3).with_columns(
        carrier=pl.when(pl.int_range(pl.len()) < 2400)
        .then(pl.int_range(pl.len()) % 2)
        .otherwise(pl.int_range(pl.len()) % 900 + 10)
    )
    good = np.where(rows["_label"], 0.7, 0.3)
    first, groups = check_bias(case(rows, good, good))
    assert first.answer is Answer.CANNOT_TELL
    assert first.summary.startswith("2 of 902 groups lie within 0.15 of the rest (40% of rows)")
    assert "only the 200 largest of a column are looked at" in first.summary
    assert len(first.evidence["counts"]) == len(first.evidence["groups"]) == 200
    assert groups.summary.startswith("50 of 902 groups")


def test_one_group_has_no_rest():
    rows = table(seed=3).with_columns(carrier=pl.lit(None, pl.String))
    good = np.where(rows["_label"], 0.7, 0.3)
    first = check_bias(case(rows, good, good))[0]
    assert first.answer is Answer.CANNOT_TELL
    assert first.summary.startswith("All rows are of one group")


def test_labels_that_the_model_has_no_class_for_are_named(context, registry, trained, sound):
    rows = table(rows=200, seed=2)
    registry.make_live(registry.add(*trained, rows, package=sound))
    for label, words in (
        (pl.lit("late"), "200 rows have labels that this model has no class for ('late')"),
        (pl.lit(None, pl.Boolean), "No row has a label"),
    ):
        registry.add(*trained, rows.with_columns(_label=label), package=sound)
        verdict = run(context, "delay")
        quality = next(one for one in verdict.results if one.check == "quality")
        assert (verdict.answer, quality.answer) == (Answer.CANNOT_TELL, Answer.CANNOT_TELL)
        assert words in quality.summary
