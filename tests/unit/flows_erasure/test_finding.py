"""Finding a person: in every version and format, by runs and models, in answers."""

import io
import sys
from pathlib import Path

import pytest
from tests.planted import NUMBER, PERSON

from thrive.cli.main import run
from thrive.domain.errors import NotFound, UsageError
from thrive.flows.erasure.erasing import erase
from thrive.flows.erasure.exporting import export_subject
from thrive.flows.erasure.finding import find_subject
from thrive.operations import Context
from thrive.store import audit


def test_every_version_of_every_dataset_is_searched(planted: Context) -> None:
    found = find_subject(planted, PERSON)
    assert [(each.dataset, each.version, each.rows, each.files) for each in found.versions] == [
        ("joined", 1, 1, 1),
        ("notes", 1, 1, 1),
        ("orders", 1, 1, 1),
        ("orders", 2, 1, 1),
        ("visits", 1, 1, 1),
    ]
    assert found.rows == 5
    assert [each.dataset for each in found.unsearched] == ["weather"]


def test_runs_and_models_that_learned_from_the_person_are_named(planted: Context) -> None:
    found = find_subject(planted, PERSON)
    assert [(each.dataset, each.version, each.direction) for each in found.runs] == [
        ("orders", 1, "in")
    ]
    assert [(each.model, each.version, each.trained_on) for each in found.models] == [
        ("value", 1, "orders@1")
    ]


def test_answers_that_are_not_sealed_yet_are_found_with_their_outcomes(planted: Context) -> None:
    found = find_subject(planted, PERSON)
    assert [(each.model, each.predictions, each.outcomes) for each in found.answers] == [
        ("value", 2, 1)
    ]


def test_people_may_be_numbers(planted: Context) -> None:
    found = find_subject(planted, str(NUMBER))
    assert [(each.dataset, each.rows) for each in found.versions] == [("accounts", 1)]


def test_where_nobody_was_looked_for_is_said_with_what_to_type(planted: Context) -> None:
    text = (planted.local_folder() / "thrive.toml").read_text()
    said = text.replace('amount = "none" }', 'amount = "salary" }')
    (planted.local_folder() / "thrive.toml").write_text(said)
    found = find_subject(planted, "10.5")
    looked = {each.dataset: each for each in found.looked}
    assert found.rows == 0
    assert looked["orders"].columns == ["customer"]
    assert looked["orders"].versions == 2
    assert looked["orders"].others == ["amount"]
    assert looked["orders"].next_hint == "thrive data find-subject --dataset orders --column amount"
    assert looked["weather"].columns == looked["weather"].others == []
    again = find_subject(planted, "10.5", dataset="orders", column="amount")
    assert [each.others for each in again.looked] == [["customer"]]
    report = erase(planted, "10.5", reason="asked on 3 May")
    assert "looked in customer of orders (2 versions)" in report.notes
    assert any("amount of orders hold personal data too" in each for each in report.notes)
    made = export_subject(planted, "10.5", to=Path("out"), column="amount")
    assert {each.dataset: each.columns for each in made.looked}["orders"] == ["amount"]


def test_nobody_is_found_where_nobody_is(planted: Context) -> None:
    found = find_subject(planted, "nobody@example.org")
    assert (found.rows, found.predictions, found.models, found.next_hint) == (0, 0, [], "")


def test_a_column_may_be_named_by_hand(planted: Context) -> None:
    found = find_subject(planted, "Bonn", dataset="accounts", column="town")
    assert [(each.dataset, each.rows) for each in found.versions] == [("accounts", 1)]


def test_without_a_subject_column_the_line_to_write_is_said(
    planted: Context, tmp_path: Path
) -> None:
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    with pytest.raises(UsageError, match="subject = "):
        find_subject(planted, PERSON)


def test_the_value_comes_from_a_file_or_standard_input(
    planted: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "who").write_text(f"{PERSON}\nmore\n")
    assert run(["data", "find-subject", "--from-file", "who", "--json"]) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PERSON}\n"))
    assert run(["data", "find-subject", "-", "--json"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == printed[1]
    assert '"rows":5' in printed[0]
    assert PERSON not in printed[0]


def test_without_a_value_or_with_a_missing_file_it_is_said(
    planted: Context, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="Who"):
        find_subject(planted)
    with pytest.raises(NotFound, match="cannot be read"):
        find_subject(planted, from_file=tmp_path / "nothing")
    with pytest.raises(NotFound, match="no dataset"):
        find_subject(planted, PERSON, dataset="nothing")


def test_finding_leaves_no_audit_row(planted: Context) -> None:
    with planted.read() as tx:
        before = audit.entries(tx, planted.project_id)
    find_subject(planted, PERSON)
    with planted.read() as tx:
        assert audit.entries(tx, planted.project_id) == before
