import tomllib
from pathlib import Path

import pytest

from thrive.contract.answer import with_answer
from thrive.contract.gaps import gaps
from thrive.contract.parse import parse
from thrive.contract.template import new_contract
from thrive.domain.errors import ContractError, UsageError

WHOLE = (Path(__file__).parent / "whole.toml").read_text()


def test_an_answer_is_replaced_where_it_stands():
    changed = with_answer(WHOLE, ("model", "flight-delay", "risk"), "high")
    assert changed == WHOLE.replace('risk      = "minimal" ', 'risk      = "high" ')
    assert changed != WHOLE


def test_an_answer_inside_an_inline_table_is_replaced_or_added():
    keys = ("model", "flight-delay", "log", "sample")
    assert "log       = { sample = 0.5, mask = [] }" in with_answer(WHOLE, keys, 0.5)
    approved = with_answer(WHOLE, ("model", "flight-delay", "approvals", "staging"), 2)
    assert "approvals = { production = 1, staging = 2 }" in approved


def test_a_new_answer_goes_to_the_end_of_its_table():
    changed = with_answer(WHOLE, ("model", "flight-delay", "gates", "on_unclear"), "warn")
    assert 'p50_ratio = 1.10 }\non_unclear = "warn"\n\n[model.flight-delay.release]' in changed
    assert with_answer("[a]  # note", ("a", "b"), 1) == "[a]  # note\nb = 1\n"
    assert with_answer("[a]\n[b]\n", ("a", "x"), 1) == "[a]\nx = 1\n[b]\n"


def test_a_table_that_is_missing_is_added_at_the_end():
    changed = with_answer(WHOLE, ("team", "x.y", "channel"), "mailto:x@example.org")
    assert changed.startswith(WHOLE.rstrip())
    assert changed.endswith('\n\n[team."x.y"]\nchannel = "mailto:x@example.org"\n')
    assert with_answer("# hi\n[a]\n", ("contract",), 1) == "contract = 1\n# hi\n[a]\n"


def test_windows_line_ends_stay():
    assert with_answer("[a]\r\nx = 1\r\n", ("a", "y"), [True]) == "[a]\r\nx = 1\r\ny = [true]\r\n"


def test_what_cannot_be_written_is_refused_and_not_guessed():
    with pytest.raises(UsageError, match="by hand"):
        with_answer(WHOLE, ("model", "flight-delay"), 1)
    with pytest.raises(UsageError, match="by hand"):
        with_answer(WHOLE, ("contract", "x"), 1)
    with pytest.raises(UsageError, match="by hand"):
        with_answer("a.b = 1\n[c]\n", ("a", "d"), 1)
    with pytest.raises(ContractError, match="not TOML"):
        with_answer("a =", ("a",), 1)


def test_answering_every_gap_of_a_new_project_opens_production():
    text = new_contract("rides", "rides.csv", owner="us", purpose="x", target="tip")
    purpose = "rides: tell drivers before a ride what tip to expect, so that they choose."
    sla = {"p99_ms": 25, "availability": 99.9, "max_age": "90 days", "outcomes_within": "1 day"}
    answers = {
        ("model", "rides", "purpose"): purpose,
        ("model", "rides", "users"): ["drivers"],
        ("model", "rides", "where"): "http",
        ("model", "rides", "risk"): "minimal",
        ("model", "rides", "sla"): sla,
        ("data", "rides", "owner"): "us",
        ("data", "rides", "why"): "rides with tips",
        ("data", "rides", "personal"): {"driver": "pseudonym"},
        ("data", "rides", "legal_basis"): "contract",
        ("data", "rides", "licence"): "CC0-1.0",
        ("data", "rides", "retention"): "1 year",
        ("team", "us", "channel"): "mailto:us@example.org",
    }
    left = len(gaps(parse(text), {"us"}))
    for keys, value in answers.items():
        text = with_answer(text, keys, value)
        now = len(gaps(parse(text), {"us"}))
        assert now == left - 1
        left = now
    assert left == 0
    assert "# high | limited | minimal" in text
    assert tomllib.loads(text)["model"]["rides"]["target"] == {"column": "tip"}
