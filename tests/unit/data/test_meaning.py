"""What a version means: its schema against the one before, its profile, its checks."""

import numpy as np
import polars as pl
import pytest

from thrive.contract.checks import parse_check
from thrive.data.operations import add, decide
from thrive.data.profile import EXACT_ROWS, pack_sketches, profile, unpack_sketches
from thrive.data.reading import find_version
from thrive.domain.errors import UsageError
from thrive.flows.data_show import show
from thrive.statistics.distinct import sketch_distinct
from thrive.statistics.sketch import merge_numeric


@pytest.fixture
def table(project, tmp_path):
    """Add a version of the table `t` from rows of CSV."""

    def added(text: str):
        (tmp_path / "t.csv").write_text(text)
        return add(project, "t.csv", name="t")

    return added


def test_a_removed_or_retyped_column_waits_for_a_person(project, table):
    table("a,b,c\n1,x,2\n")
    second = table("a,b,c\nq,x,2\n")
    assert second.failed == ["schema: the column 'a' was Int64 and is String"]
    assert not second.trainable
    third = table("a,b\n1,x\n")
    assert third.failed == ["schema: the column 'c' (Int64) is gone"]
    decide(project, "t@3", trainable=True, reason="c was never filled")
    assert table("a,b\n2,x\n").failed == []


def test_an_added_column_is_told_and_trains_on_once_it_is_named(project, table):
    table("a\n1\n")
    second = table("a,b\n1,2\n")
    assert (second.trainable, second.failed) == (False, [])
    assert "the column 'b' (Int64) is new" in second.note
    assert [each.asked for each in show(project, "t").columns] == [False, True]


def test_an_empty_column_of_a_text_file_keeps_its_type(project, table):
    table("a,at\n1,2024-01-01\n")
    assert table("a,at\n1,\n").failed == []
    assert {each.name: each.type for each in show(project, "t").columns}["at"] == "Date"


def test_whole_numbers_are_numbers_too(project, table):
    table("a,b\n1.5,1\n")
    assert table("a,b\n2,3\n").failed == []
    assert {each.name: each.type for each in show(project, "t").columns} == {
        "a": "Float64",
        "b": "Int64",
    }
    assert table("a,b\n2,3.5\n").failed == ["schema: the column 'b' was Int64 and is Float64"]


@pytest.mark.parametrize(
    ("check", "found"),
    [
        ("expect(a <= b)", "1 row breaks it"),
        ("expect(b - a > 0 or s = 'y')", ""),
        ("expect(s in ('x', 'y') and length(s) = 1)", ""),
        ("expect(s like 'x%')", "1 row breaks it"),
        ("expect(a + b)", "its answer is Int64, not yes or no"),
        ("expect(a >)", 'it is no expression; write e.g. "expect(arrival >= departure)"'),
        ("expect(s > 1)", "it cannot be judged on columns of these types"),
        ("expect(nope is null)", "there is no column 'nope'"),
    ],
)
def test_an_expression_is_judged_on_each_row(project, table, tmp_path, check, found):
    contract = tmp_path / "thrive.toml"
    contract.write_text(
        f'{contract.read_text()}\n[data.t]\nsource = "t.csv"\nchecks = ["{check}"]\n'
    )
    added = table("a,b,s\n1,2,x\n5,4,y\n,3,x\n")
    assert added.failed == ([f"{check}: {found}"] if found else [])


@pytest.mark.parametrize(
    "text",
    [
        "expect(read_csv('/etc/passwd') = 1)",
        "expect(a = 1; drop table t)",
        "expect((a = 1)",
        "expect(1 = 1)",
        "expect(a = `ls`)",
        "expect(a))(b)",
    ],
)
def test_an_expression_outside_the_grammar_is_no_check(text):
    with pytest.raises(UsageError):
        parse_check(text)


def test_a_profile_of_batches_is_that_of_the_whole(monkeypatch, tmp_path):
    rng = np.random.default_rng(7)
    rows = EXACT_ROWS + 50_000
    frame = pl.DataFrame(
        {
            "x": rng.normal(100, 15, rows),
            "n": rng.integers(0, 5000, rows),
            "s": rng.choice(["red", "green", "blue"], rows, p=[0.6, 0.3, 0.1]),
            "key": [f"k{i}" for i in range(rows)],
            "flag": rng.random(rows) < 0.25,
            "at": pl.datetime_range(
                pl.datetime(2024, 1, 1), pl.datetime(2024, 12, 31), interval="2m", eager=True
            ).head(rows),
        }
    )
    frame.write_parquet(tmp_path / "f.parquet", row_group_size=40_000)
    monkeypatch.setattr("thrive.data.profile.BATCH_ROWS", 60_000)
    found = profile(pl.scan_parquet(tmp_path / "f.parquet"))
    columns = found.columns
    assert found.rows == rows
    for share, value in columns["x"]["quantiles"].items():
        assert value == pytest.approx(frame["x"].quantile(float(share)), abs=0.6)
    assert columns["x"]["mean"] == pytest.approx(frame["x"].mean())
    assert columns["x"]["std"] == pytest.approx(frame["x"].std(), rel=1e-6)
    assert columns["x"]["distinct"] == pytest.approx(rows, rel=0.05)
    assert columns["n"]["distinct"] == pytest.approx(5000, rel=0.05)
    assert (columns["n"]["min"], columns["n"]["max"]) == (0, 4999)
    assert sum(columns["n"]["histogram"]["counts"]) == rows
    assert dict(columns["s"]["top"])["red"] == int((frame["s"] == "red").sum())
    assert dict(columns["flag"]["top"])[True] == int(frame["flag"].sum())
    assert columns["key"]["top"] == []
    assert len(columns["at"]["histogram"]["edges"]) == 21


def test_the_sketches_of_a_version_are_kept_and_add_up(project, table):
    table("a,s\n" + "".join(f"{i},w{i % 3}\n" for i in range(1000)))
    digest = find_version(project, "t").profile["sketches"]
    kept = unpack_sketches(project.home.blobs.get(digest))
    assert kept["a"].rows == 1000
    assert kept["s"].names == ("w0", "w1", "w2")
    assert merge_numeric([kept["a"], kept["a"]]).present == 2000
    assert pack_sketches(unpack_sketches(pack_sketches(kept))) == pack_sketches(kept)


def test_different_values_are_counted_to_some_percent_and_add_up():
    hashes = pl.Series(range(300_000)).hash().to_numpy()
    assert sketch_distinct(hashes).estimate() == pytest.approx(300_000, rel=0.05)
    few = pl.Series([1, 2, 3] * 1000).hash().to_numpy()
    assert sketch_distinct(few).estimate() == 3
    halves = sketch_distinct(hashes[:200_000]) + sketch_distinct(hashes[100_000:])
    assert halves.estimate() == sketch_distinct(hashes).estimate()


def test_thousands_of_columns_are_no_burden():
    wide = pl.DataFrame({f"c{i}": [1.0 * i, 2.0, 3.0] for i in range(3000)})
    found = profile(wide)
    assert found.columns["c7"]["max"] == 7.0
    assert len(found.columns) == 3000
