"""A source names files; files become a table."""

import gzip
import re
import zipfile
from pathlib import Path

import polars as pl
import pytest

from thrive.domain.errors import NotFound, UsageError
from thrive.store.sources import FileKind, ReadOptions, file_kind, resolve, scan

CSV = "id,delay,at\n1,2.5,2013-01-01\n2,NA,2013-01-02\n"


@pytest.fixture
def project(tmp_path) -> Path:
    base = tmp_path / "project"
    flights = base / "data" / "flights"
    flights.mkdir(parents=True)
    for month in (2, 1):
        frame = pl.DataFrame({"id": [month * 10, month * 10 + 1], "delay": [1.0, None]})
        frame.write_parquet(flights / f"2013-{month:02}.parquet")
    (flights / "README.md").write_text("not data")
    (flights / ".cache").mkdir()
    frame.write_parquet(flights / ".cache" / "old.parquet")
    (base / "data" / "weather.csv").write_text(CSV)
    return base


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("data/weather.csv", ["weather.csv"]),
        ("data/flights", ["2013-01.parquet", "2013-02.parquet"]),
        ("data/flights/", ["2013-01.parquet", "2013-02.parquet"]),
        ("data/flights/*.parquet", ["2013-01.parquet", "2013-02.parquet"]),
        ("data/flights/*-02*", ["2013-02.parquet"]),
        ("data/**/*.parquet", ["2013-01.parquet", "2013-02.parquet"]),
        ("data/fl*", ["2013-01.parquet", "2013-02.parquet"]),
        ("./data/../data/weather.csv", ["weather.csv"]),
        ("data/flights/2013-0[12].parquet", ["2013-01.parquet", "2013-02.parquet"]),
    ],
)
def test_paths_folders_and_globs(project, source, names):
    found = resolve(source, project)
    assert [path.name for path in found] == names
    assert all(path.is_file() for path in found)


def test_files_outside_the_project_are_allowed(project, tmp_path, monkeypatch):
    outside = tmp_path / "outside.csv"
    outside.write_text(CSV)
    assert resolve("../outside.csv", project) == [outside]
    assert resolve(str(outside), project) == [outside]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/outside.csv", project) == [outside]


def test_a_name_with_brackets_is_a_name_first(project):
    odd = project / "data[1].csv"
    odd.write_text(CSV)
    assert resolve("data[1].csv", project) == [odd]


@pytest.mark.parametrize(
    ("source", "what", "hint"),
    [
        ("data/wether.csv", "no file or folder .*wether.csv", "did you mean .*weather.csv"),
        ("dta/flights/x.csv", "no file or folder .*dta", "did you mean .*data"),
        ("data/flights/*.csv", "No file matches .*flights/", "exists and holds no"),
        ("data/flights/*.md", "no file to read in what matches", "parquet"),
        ("zzz", "no file or folder .*zzz", "exists and holds no zzz"),
        ("data/flights/.cache/..//.cache/../../empty", "no file or folder", "holds no empty"),
    ],
)
def test_what_is_not_there_is_named_with_a_way_on(project, source, what, hint):
    with pytest.raises(NotFound, match=what) as caught:
        resolve(source, project)
    assert re.search(hint, caught.value.hint)


def test_a_project_in_a_folder_with_brackets(tmp_path):
    base = tmp_path / "copy[1]"
    base.mkdir()
    (base / "x.csv").write_text(CSV)
    assert resolve("*.csv", base) == [base / "x.csv"]


def test_a_folder_without_data_says_what_is_read(project):
    (project / "empty").mkdir()
    with pytest.raises(NotFound, match="no file to read in the folder") as caught:
        resolve("empty", project)
    assert ".parquet" in caught.value.hint


@pytest.mark.parametrize(
    "source",
    [
        "",
        "  ",
        "s3://bucket/x.parquet",
        "https://example.org/x.csv",
        "delta:data/table",
        "SELECT * FROM flights",
        "with a as (select 1) select * from a",
        "data/flights.dvc",
        "data\0x",
        "data/flights/README.md",
    ],
)
def test_other_kinds_of_source_are_refused_with_what_works(project, source):
    with pytest.raises(UsageError) as caught:
        resolve(source, project)
    assert caught.value.hint


def test_kinds_come_from_names_and_parquet_from_bytes(project):
    names = {
        "a.csv": FileKind.CSV,
        "A.CSV.GZ": FileKind.CSV,
        "a.csv.zip": FileKind.CSV,
        "a.tsv": FileKind.CSV,
        "a.jsonl": FileKind.JSONL,
        "a.ndjson": FileKind.JSONL,
    }
    assert {name: file_kind(Path(name)) for name in names} == names
    assert file_kind(resolve("data/flights", project)[0]) is FileKind.PARQUET
    fake = project / "fake.parquet"
    fake.write_text(CSV)
    with pytest.raises(UsageError, match="does not start like it"):
        file_kind(fake)
    with pytest.raises(UsageError, match="no file that can be read"):
        file_kind(Path("a.xlsx"))


def pack(folder: Path, ending: str) -> Path:
    path = folder / f"rows{ending}"
    if ending == ".csv":
        path.write_text(CSV)
    elif ending == ".csv.gz":
        path.write_bytes(gzip.compress(CSV.encode()))
    elif ending == ".csv.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("rows.csv", CSV)
            archive.writestr("__MACOSX/._rows.csv", "clutter")
    return path


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".csv.zip"])
def test_csv_is_read_packed_or_not(tmp_path, ending):
    frame = scan([pack(tmp_path, ending)]).collect()
    assert frame["delay"].to_list() == [2.5, None]
    assert frame.schema == {"id": pl.Int64, "delay": pl.Float64, "at": pl.Date}


def test_other_words_for_what_is_missing_can_be_named(tmp_path):
    options = ReadOptions(null_values=("none",))
    frame = scan([pack(tmp_path, ".csv")], options).collect()
    assert frame["delay"].to_list() == ["2.5", "NA"]


@pytest.mark.parametrize(
    ("separator", "name"), [(";", "x.csv"), ("\t", "x.tsv"), ("|", "x.csv"), (";", "x.csv.zip")]
)
def test_fields_are_parted_by_what_the_header_has(tmp_path, separator, name):
    text = CSV.replace(",", separator)
    path = tmp_path / name
    path.write_text(text)
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.csv", text)
    assert scan([path]).collect()["delay"].to_list() == [2.5, None]


def test_parquet_files_follow_each_other(project):
    frame = scan(resolve("data/flights", project)).collect()
    assert frame["id"].to_list() == [10, 11, 20, 21]


def test_a_wider_type_in_a_later_file_is_met(tmp_path):
    pl.DataFrame({"x": [1.5]}, schema={"x": pl.Float64}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"x": [2.5]}, schema={"x": pl.Float32}).write_parquet(tmp_path / "2.parquet")
    assert scan(resolve(str(tmp_path), tmp_path)).collect()["x"].to_list() == [1.5, 2.5]


def test_csv_files_match_columns_by_name(tmp_path):
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("b,a\n4.5,3\n")
    frame = scan(resolve("*.csv", tmp_path)).collect()
    assert frame.to_dict(as_series=False) == {"a": [1, 3], "b": [2.0, 4.5]}


def test_json_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1, "b": null}\n{"a": 2, "b": "y"}\n')
    assert scan([path]).collect().rows() == [(1, None), (2, "y")]


def test_files_that_are_not_what_they_say(tmp_path, project):
    mixed = [pack(tmp_path, ".csv"), *resolve("data/flights", project)]
    with pytest.raises(UsageError, match="different kinds: csv, parquet"):
        scan(mixed)
    with pytest.raises(UsageError, match="no file to read"):
        scan([])
    with pytest.raises(NotFound, match=r"gone\.csv"):
        scan([tmp_path / "gone.csv"])
    bad = tmp_path / "bad.csv.zip"
    bad.write_text("no zip")
    with pytest.raises(UsageError, match="no zip file"):
        scan([bad])
    with zipfile.ZipFile(tmp_path / "two.csv.zip", "w") as archive:
        archive.writestr("1.csv", CSV)
        archive.writestr("2.csv", CSV)
    with pytest.raises(UsageError, match="holds 2 files"):
        scan([tmp_path / "two.csv.zip"])


def test_text_that_holds_nul_bytes_is_no_table(tmp_path: Path) -> None:
    torn = tmp_path / "torn.csv"
    torn.write_bytes(b"a,b\n\0\0\0,1\n")
    with pytest.raises(UsageError, match="NUL bytes"):
        file_kind(torn)
    wide = tmp_path / "wide.jsonl"
    wide.write_bytes('{"a": 1}\n'.encode("utf-16"))
    with pytest.raises(UsageError, match="UTF-16"):
        file_kind(wide)
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(b"a\n1\n"))
    assert file_kind(packed) is FileKind.CSV
