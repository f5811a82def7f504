"""Two versions side by side: rows by key and as a whole, columns, distributions, the page."""

import math
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from thrive.data.comparing import diff
from thrive.data.distributions import alike, compare, sketched_like
from thrive.data.operations import add
from thrive.data.profile import profile
from thrive.data.rowdiff import diff_rows
from thrive.data.tagging import tag
from thrive.domain.errors import NotFound, UsageError

LEFT = pl.LazyFrame(
    {
        "id": [1, 2, 3, None, 5],
        "a": [1.0, None, 3.0, 4.0, 5.0],
        "s": ["x", "y", None, "z", "w"],
        "gone": [1, 1, 1, 1, 1],
    }
)
RIGHT = pl.LazyFrame(
    {
        "id": [6, 5, None, 3, 2],
        "s": ["n", "W", "z", None, "y"],
        "a": [6.0, 5.0, 4.0, 3.5, None],
        "new": [True] * 5,
    }
)


def test_rows_are_matched_by_key_whatever_their_order():
    found = diff_rows(LEFT, RIGHT, ["id"])
    assert (found.added, found.removed, found.changed, found.same) == (1, 1, 2, 2)
    assert found.cells == {"a": 1, "s": 1}


def test_a_key_of_several_columns():
    left = pl.LazyFrame({"d": [1, 1, 2], "k": ["a", "b", "a"], "v": [1, 2, 3]})
    right = pl.LazyFrame({"d": [1, 1, 2], "k": ["a", "b", "c"], "v": [1, 9, 3]})
    found = diff_rows(left, right, ["d", "k"])
    assert (found.added, found.removed, found.changed, found.cells) == (1, 1, 1, {"v": 1})


def test_rows_without_a_key_are_a_multiset():
    left = pl.LazyFrame({"a": [1, 1, 1, 2]})
    right = pl.LazyFrame({"a": [1, 1, 2, 2, 3]})
    found = diff_rows(left, right)
    assert (found.added, found.removed, found.same) == (2, 1, 3)


@pytest.mark.parametrize(
    ("key", "words"), [("nope", "cannot be a key"), ("gone", "cannot be"), ("k", "is no key")]
)
def test_what_is_no_key_is_said(key, words):
    left = LEFT.with_columns(k=pl.lit(1))
    with pytest.raises(UsageError, match=words):
        diff_rows(left, RIGHT.with_columns(k=pl.lit(1)), [key])


def test_an_empty_table_has_a_difference_too():
    found = diff_rows(LEFT, LEFT.head(0), ["id"])
    assert (found.added, found.removed, found.changed) == (0, 5, 0)


@pytest.fixture
def two(project, tmp_path):
    contract = tmp_path / "thrive.toml"
    contract.write_text(
        contract.read_text() + '\n[data.t]\nsource = "t.csv"\nchecks = ["unique(id)"]\n'
    )

    def table(shift: float, colour: str, mail: str) -> None:
        rows = [
            f"{i},{i % 50 + shift},{colour if i % 2 else 'red'},{mail}{i}@planted.example"
            for i in range(500)
        ]
        (tmp_path / "t.csv").write_text("\n".join(["id,x,colour,mail", *rows]) + "\n")
        add(project, name="t")

    table(0, "green", "a")
    table(30, "blue", "b")
    return project


def test_versions_are_compared_by_the_key_of_the_contract(two, tmp_path):
    found = diff(two, "t", 1, 2, html=Path("diff.html"))
    assert found.key == ["id"]
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (0, 0, 500)
    assert {each.column: each.rows for each in found.cells} == {
        "x": 500,
        "mail": 500,
        "colour": 250,
    }
    assert found.moved == ["x", "colour"]
    colour = next(each for each in found.distributions if each.column == "colour")
    shares = dict(zip(colour.labels, zip(colour.before, colour.after, strict=True), strict=True))
    assert shares["green"] == (0.5, 0.0)
    assert shares["(new)"] == (0.0, 0.5)
    page = (tmp_path / "diff.html").read_text()
    with pytest.raises(UsageError, match=r"nowhere/diff\.html cannot be written: No such"):
        diff(two, "t", 1, 2, html=Path("nowhere/diff.html"))
    assert "planted.example" not in page
    assert "mail" not in [each.column for each in found.distributions]
    assert page.count("<svg") == len(found.distributions)
    assert not re.search(r"(?:src|href|url)\s*[=(]", page)
    assert "<script" not in page
    HTMLParser().feed(page)


def test_what_names_rows_is_not_said_to_have_moved_and_shares_of_categories_are_told(
    project, tmp_path
):
    def rows(first: int, left: int) -> str:
        lines = (f"c{first + n},{n},{'left' if n < left else 'stays'}\n" for n in range(500))
        return "customer,n,state\n" + "".join(lines)

    for first, left in ((0, 100), (1000, 150)):
        (tmp_path / "t.csv").write_text(rows(first, left))
        add(project, "t.csv", name="t")
    found = diff(project, "t", html=Path("diff.html"))
    assert (found.before, found.after, found.moved) == (1, 2, [])
    assert [each.column for each in found.distributions] == ["n", "state"]
    told = [each for each in found.columns if each.change.startswith("share of")]
    assert [(each.change, each.before, each.after) for each in told] == [
        ("share of stays", 0.8, 0.7),
        ("share of left", 0.2, 0.3),
    ]
    page = (tmp_path / "diff.html").read_text()
    assert ">stays</text>" in page
    assert "(other)" not in page
    assert "-0.000" not in page


def test_the_same_version_has_no_difference(two):
    found = diff(two, "t", 2, 2)
    assert (found.same, found.rows_added, found.rows_changed, found.columns) == (True, 0, 0, [])


def test_another_key_can_be_named(two):
    assert diff(two, "t", 1, 2, key="id, colour").rows_changed == 250
    with pytest.raises(UsageError, match="'nope' cannot be a key"):
        diff(two, "t", 1, 2, key="nope")


def test_case_82_labels_that_were_turned_around_are_named_by_the_difference(project, tmp_path):
    """Case 82 of the attack list: of 500 labels 5 are turned around between two versions."""
    contract = tmp_path / "thrive.toml"
    contract.write_text(
        contract.read_text() + '\n[data.p]\nsource = "p.csv"\nchecks = ["unique(id)"]\n'
    )
    for turned in (0, 5):
        rows = [f"{i},{i % 7},{int((i % 2 == 0) != (i < turned))}" for i in range(500)]
        (tmp_path / "p.csv").write_text("\n".join(["id,x,late", *rows]) + "\n")
        add(project, name="p")
    found = diff(project, "p", 1, 2)
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (0, 0, 5)
    assert [(each.column, each.rows) for each in found.cells] == [("late", 5)]


def test_tables_without_a_common_column_have_no_row_in_common():
    other = pl.LazyFrame({"z": range(5)})
    found = diff_rows(pl.LazyFrame({"a": [1, 2]}), other)
    assert (found.removed, found.added, found.same) == (2, 5, 0)


@pytest.mark.parametrize("seed", range(12))
def test_rows_in_memory_are_compared_as_those_that_are_streamed(seed: int) -> None:
    rng = random.Random(seed)
    rows = [(n, rng.choice("abc"), rng.choice([None, 1.0, math.nan])) for n in range(40)]
    later = [row for row in rows if rng.random() > seed / 40]
    later = [(n, w, rng.choice([x, 2.0])) if rng.random() < 0.1 else (n, w, x) for n, w, x in later]
    later += [(100 + n, "new", 1.0) for n in range(seed % 3)]
    if seed % 4 == 3:
        rng.shuffle(later)
    first, second = (pl.DataFrame(each, ["n", "w", "x"], orient="row") for each in (rows, later))
    for key in (["n"], ["w", "n"]):
        held = diff_rows(first, second, key)
        assert held == diff_rows(first.lazy(), second.lazy(), key)
        there, now = {row[0]: row[1:] for row in rows}, {row[0]: row[1:] for row in later}
        same = sum(repr(now[n]) == repr(there[n]) for n in now.keys() & there.keys())
        assert (held.same, held.added) == (same, len(now.keys() - there.keys()))


def test_sketches_of_two_deliveries_are_compared_without_reading_them_again() -> None:
    rng = np.random.default_rng(3)
    tables = [
        pl.DataFrame(
            {
                "x": rng.normal(3, 2, rows),
                "n": rng.integers(0, 50, rows),
                "w": rng.choice(["a", "b", top], rows),
            }
        )
        for rows, top in ((300_000, "c"), (250_000, "d"))
    ]
    old, new = (profile(table).sketches for table in tables)
    found = alike(old, new)
    counted = sketched_like(tables[1].lazy(), old)
    assert found.keys() == counted.keys() == old.keys()
    for name, sketch in found.items():
        mine, theirs = compare(old[name], sketch, name), compare(old[name], counted[name], name)
        assert mine.before == theirs.before
        assert mine.after == theirs.after
        assert mine.p_value == pytest.approx(theirs.p_value)
        assert mine.distance == pytest.approx(theirs.distance)
    assert compare(old["w"], found["w"], "w").after[-1] == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize(
    "words",
    [("t", 1, 2), ("t", "1", "2"), ("t@1", "t@2"), ("t@1", 2), ("t",), ("t@1",), ("t@first", "2")],
)
def test_versions_are_named_in_any_way(two, words):
    tag(two, "t@1", "first")
    found = diff(two, *words)
    assert (found.before, found.after, found.same) == (1, 2, False)


def test_a_version_against_itself_is_the_same_however_it_is_named(two):
    assert diff(two, "t@2", "t@2").same
    assert diff(two, "t", 1, 1).same


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("t@1", 1, 2), UsageError, "three versions"),
        (("t", "trips@1", 2), UsageError, "trips@1 is no version of t"),
        (("t", "spring", 2), NotFound, "no tag 'spring'"),
        (("t", 1, 7), NotFound, "t@7"),
    ],
)
def test_what_is_no_version_is_said(two, words, error, said):
    with pytest.raises(error, match=said):
        diff(two, *words)


def test_one_version_has_nothing_before_it(project, added):
    with pytest.raises(NotFound, match="no version before trips@1"):
        diff(project, "trips")


@pytest.fixture
def photos(project, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.png").write_bytes(b"\x89PNG" + name.encode())
    add(project, "photos", name="photos")
    (folder / "b.png").write_bytes(b"\x89PNG other")
    (folder / "c.png").rename(folder / "<d>.png")
    add(project, "photos", name="photos")
    return project


def test_folders_are_compared_by_their_files(photos, tmp_path):
    found = diff(photos, "photos", html=tmp_path / "diff.html")
    assert [(each.path, each.change) for each in found.files] == [
        ("<d>.png", "added"),
        ("b.png", "changed"),
        ("c.png", "removed"),
    ]
    assert (found.files_added, found.files_removed, found.files_changed) == (1, 1, 1)
    assert (found.rows_before, found.rows_added, found.rows_removed, found.rows_changed) == (
        3,
        1,
        1,
        1,
    )
    page = (tmp_path / "diff.html").read_text()
    assert "Files that changed" in page
    assert "&lt;d&gt;.png" in page
    assert "<d>" not in page
    with pytest.raises(UsageError, match="photos@2 is no table: it has no column 'id'"):
        diff(photos, "photos", key="id")
    assert diff(photos, "photos", 2, 2).files == []


def test_a_folder_that_became_a_table_is_compared_by_its_files(photos, tmp_path):
    (tmp_path / "t.csv").write_text("id\n1\n2\n")
    add(photos, "t.csv", name="photos")
    found = diff(photos, "photos", 2, 3)
    assert (found.is_table, found.files_added, found.files_removed) == (False, 1, 3)
    assert [each.column for each in found.columns] == ["id"]


def test_a_changed_file_of_a_table_is_one_file(two):
    found = diff(two, "t", 1, 2)
    assert (found.files_added, found.files_removed, found.files_changed, found.files) == (
        0,
        0,
        1,
        [],
    )
