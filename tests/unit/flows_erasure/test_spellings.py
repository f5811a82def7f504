"""A person is found and erased however programs write the value that names them."""

import json
import struct
import unicodedata
from pathlib import Path

import polars as pl
import pytest
from tests.planted import CONTRACT

from thrive.data.operations import add
from thrive.data.reading import find_version, scan_version
from thrive.flows.erasure.erasing import erase
from thrive.flows.erasure.finding import find_subject
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context

WHY = "request 17"
COMPOSED = unicodedata.normalize("NFC", "jos\u00e9@example.org")
APART = unicodedata.normalize("NFD", COMPOSED)


@pytest.fixture
def project(context: Context, tmp_path: Path) -> Context:
    (tmp_path / "thrive.toml").write_text(CONTRACT)
    return context


def rows_of(ctx: Context, value: str) -> dict[str, int]:
    return {each.dataset: each.rows for each in find_subject(ctx, value).versions}


@pytest.mark.parametrize("asked", [COMPOSED, APART])
def test_accents_may_be_letters_of_their_own(project: Context, tmp_path: Path, asked) -> None:
    (tmp_path / "orders.csv").write_text(f"customer,amount\n{COMPOSED},1\n{APART},2\njo@a.org,3\n")
    lines = [{"customer": each, "text": "x"} for each in (COMPOSED, APART, "jo@a.org")]
    (tmp_path / "notes.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    add(project, name="orders")
    add(project, name="notes")
    assert rows_of(project, asked) == {"orders": 2, "notes": 2}
    report = erase(project, asked, reason=WHY, yes=True)
    assert (report.state, report.rows) == ("done", 4)
    for name in ("orders", "notes"):
        frame = scan_version(find_version(project, name), project.home.blobs).collect()
        assert frame["customer"].to_list() == ["jo@a.org"]


@pytest.mark.parametrize("asked", ["7734881234", "7734881234.0"])
def test_whole_numbers_may_end_in_a_point_and_zeros(
    project: Context, tmp_path: Path, asked
) -> None:
    whole, gaps, text = [7_734_881_234, 5], [7_734_881_234.0, None], ["7734881234.0", "x"]
    for name, values in (("whole", whole), ("gaps", gaps), ("text", text)):
        pl.DataFrame({"account": values}).write_parquet(tmp_path / f"{name}.parquet")
        add(project, f"{name}.parquet", name=name)
    assert rows_of(project, asked) == {"whole": 1, "gaps": 1, "text": 1}
    assert erase(project, asked, reason=WHY, yes=True).state == "done"
    assert rows_of(project, asked) == {}


def test_a_number_with_zeros_before_it_is_not_sought_everywhere(
    project: Context, tmp_path: Path
) -> None:
    (tmp_path / "orders.csv").write_text("customer,amount\n000000012,1\na,12\nb,3\n")
    add(project, name="orders")
    report = erase(project, "000000012", reason=WHY, yes=True)
    assert (report.state, report.rows) == ("done", 1)
    frame = scan_version(find_version(project, "orders"), project.home.blobs).collect()
    assert frame["amount"].to_list() == [12, 3]
    sought = Sought("000000012")
    assert sought.redacted({"depth": 12, "who": "000000012"})["depth"] == 12
    assert not frame.select(sought.rows_naming(frame).any()).item()
    assert not sought.named_in(struct.pack("<q", 12))


def test_a_column_of_lists_is_said_not_to_be_searched(project: Context, tmp_path: Path) -> None:
    pl.DataFrame({"customer": [["a@example.org"]]}).write_parquet(tmp_path / "lists.parquet")
    add(project, "lists.parquet", name="lists")
    found = find_subject(project, "a@example.org")
    assert [each.why for each in found.unsearched] == [
        "its column customer holds lists or structures"
    ]


def test_a_profile_that_another_version_has_too_is_left_alone(
    project: Context, tmp_path: Path
) -> None:
    for name, person in (("orders", "ada@example.org"), ("visits", "bob@example.org")):
        (tmp_path / f"{name}.csv").write_text(f"customer,amount\n{person},1\nx@example.org,2\n")
        add(project, f"{name}.csv", name=name)
    profiles = [find_version(project, each).profile["sketches"] for each in ("orders", "visits")]
    assert profiles[0] == profiles[1]
    report = erase(project, "ada@example.org", reason=WHY, yes=True)
    assert (report.state, report.left) == ("done", [])
    assert find_version(project, "visits").profile["sketches"] == profiles[1]
    assert project.home.blobs.has(profiles[1])
