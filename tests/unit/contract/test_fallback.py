"""Rules for when no version answers: read, refused, and which rows they fit."""

import pytest

from thrive.contract.fallback import answer_by_rules, parse_rule
from thrive.contract.parse import parse
from thrive.domain.errors import ContractError, UsageError

MODEL = '[model.m]\nfallback = 0.2\nfallback_rules = ["{}"]\n'


@pytest.mark.parametrize(
    ("text", "fits", "others"),
    [
        ("1 if a >= 2", [{"a": 2}, {"a": 2.5}], [{"a": 1}, {"a": "3"}, {"a": True}, {}]),
        ("1 if a != 2", [{"a": 3}], [{"a": 2}, {"a": None}, {"a": "3"}]),
        ("1 if a = 'it and b'", [{"a": "it and b"}], [{"a": "it"}, {"a": 1}]),
        (
            "1 if a = true and b < -1e3",
            [{"a": True, "b": -2e3}],
            [{"a": 1, "b": -2e3}, {"a": True}],
        ),
        ("1 if a is missing", [{}, {"a": None}], [{"a": 0}, {"a": ""}]),
    ],
)
def test_a_rule_fits_rows_of_its_kind_alone(text, fits, others):
    rule = parse_rule(text)
    assert [rule.fits(row) for row in (*fits, *others)] == [True] * len(fits) + [False] * len(
        others
    )


def test_the_first_rule_that_fits_answers_and_else_the_constant():
    rules = [parse_rule("0.9 if a >= 2"), parse_rule("0.5 if a >= 1"), parse_rule("'no' if b = 1")]
    rows = [{"a": 3}, {"a": 1}, {"b": 1}, {}]
    assert answer_by_rules(rules, rows, 0.2) == [0.9, 0.5, "no", 0.2]
    assert answer_by_rules(rules, rows, None)[-1] is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.9", "is no rule"),
        ("0.9 if a >= 'x'", "has no size"),
        ("true if a = 1", "answers true"),
        ("0.9 if a = 1 or b = 2", "'or b = 2'"),
        ("0.9 if __import__('os').system('true') = 1", "is no condition"),
    ],
)
def test_what_is_no_rule_is_refused_in_words(text, words):
    with pytest.raises(UsageError, match=words):
        parse_rule(text)


def test_the_contract_names_the_line_of_a_wrong_rule():
    assert parse(MODEL.format("0.9 if a > 1")).contract.model["m"].fallback_rules == [
        "0.9 if a > 1"
    ]
    with pytest.raises(ContractError, match=r"thrive\.toml:3: .*fallback_rules.*is no rule"):
        parse(MODEL.format("late"))
