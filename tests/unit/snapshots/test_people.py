"""The index of people counts what a reading of every row counts."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from thrive.domain.dataset import Column, FileEntry
from thrive.store.snapshots import people
from thrive.store.snapshots.matching import Wanted, count_rows
from thrive.store.snapshots.people import PeopleIndex

ROWS = 3000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "LEAST_BYTES", 1)


def stored(folder: Path, frame: pl.DataFrame, suffix: str, column: str = "who") -> Wanted:
    path = folder / f"{len(list(folder.iterdir()))}.{suffix}"
    frame.write_parquet(path) if suffix == "parquet" else frame.write_csv(path)
    digest = str(len(list(folder.iterdir()))) * 64
    entry = FileEntry(path=path.name, digest=digest[:64], size=path.stat().st_size)
    types = [Column(name=name, dtype=str(kind)) for name, kind in frame.schema.items()]
    return Wanted(entry, path, types, [column])


WHO = {
    "texts": pl.Series([f"p{n % 700}@example.org" for n in range(ROWS)]),
    "with gaps": pl.Series([None if n % 3 else f"p{n % 50}" for n in range(ROWS)]),
    "numbers": pl.Series([n % 321 for n in range(ROWS)]),
    "decimals": pl.Series([float(n % 11) for n in range(ROWS)]),
    "bytes": pl.Series([b"p%d" % (n % 5) for n in range(ROWS)]),
    "categories": pl.Series([f"p{n % 7}" for n in range(ROWS)], dtype=pl.Categorical),
    "dates": pl.date_range(pl.date(1950, 1, 1), pl.date(1958, 3, 18), eager=True),
}
P4 = ("p4@example.org",)
ASKED = ["p4@example.org", "p4", "7", "007", "7.0", "nobody", "1951-02-03", ""]


FORMS = [(kind, suffix) for kind in WHO for suffix in ("parquet", "csv")]
FORMS.remove(("bytes", "csv"))  # a text file holds none


@pytest.mark.parametrize(("kind", "suffix"), FORMS)
def test_it_counts_what_reading_counts(tmp_path: Path, kind: str, suffix: str) -> None:
    (tmp_path / "files").mkdir()
    file = stored(tmp_path / "files", pl.DataFrame({"who": WHO[kind]}), suffix)
    index = PeopleIndex(tmp_path)
    spelled = [(value,) for value in ASKED]
    for person in [*spelled, ("p4@example.org", "p5@example.org", "8"), ("7", "007", "p4")]:
        assert index.count([file], person) == count_rows([file], person), person


@pytest.mark.parametrize("kind", WHO)
def test_a_column_in_memory_gives_the_index_that_its_file_gives(tmp_path: Path, kind: str) -> None:
    (tmp_path / "files").mkdir()
    frame = pl.DataFrame({"who": WHO[kind]})
    file = stored(tmp_path / "files", frame, "parquet")
    index = PeopleIndex(tmp_path)
    made: list[dict[str, bytes]] = []
    counts = index.counted(file.entry.size, frame["who"])
    for make in (lambda: counts and index.take(file, counts), lambda: index.make([file])):
        make()
        paths = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        made.append({path.name: path.read_bytes() for path in paths})
        index.forget()
    assert made[0] == made[1]
    assert bool(made[0]) is (kind not in {"decimals", "bytes"})


def test_a_file_too_large_for_an_index_is_read(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "files").mkdir()
    file = stored(tmp_path / "files", pl.DataFrame({"who": WHO["texts"]}), "parquet")
    monkeypatch.setattr(people, "MOST_BYTES", file.entry.size - 1)
    index = PeopleIndex(tmp_path)
    index.make([file])
    assert not list((tmp_path / "cache").rglob("*"))
    assert index.count([file], P4) == {file.entry.digest: 5}


def test_what_is_indexed_is_not_read_again_until_the_index_goes(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    file = stored(tmp_path / "files", pl.DataFrame({"who": WHO["texts"]}), "parquet")
    index = PeopleIndex(tmp_path)
    index.make([file])
    file.path.unlink()
    assert index.count([file], P4) == {file.entry.digest: 5}
    assert not any(
        b"example" in each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()
    )
    index.forget()
    with pytest.raises(Exception, match=r"No such file|not found|No files"):
        index.count([file], P4)


def test_a_person_is_found_in_an_index_without_the_library_that_made_it(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    file = stored(tmp_path / "files", pl.DataFrame({"who": WHO["texts"]}), "parquet")
    PeopleIndex(tmp_path).make([file])
    program = f"""
import sys
from pathlib import Path
from thrive.domain.dataset import FileEntry
from thrive.store.snapshots.matching import Wanted
from thrive.store.snapshots.people import PeopleIndex, LEAST_BYTES
entry = FileEntry(path="f.parquet", digest={file.entry.digest!r}, size=LEAST_BYTES)
file = Wanted(entry, Path(), (), ["who"])
print(PeopleIndex(Path({str(tmp_path)!r})).known([file], {P4!r}), {{"polars", "numpy"}} & {{*sys.modules}})
"""
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"{{{file.entry.digest!r}: 5}} set()"


def test_a_damaged_index_is_made_anew_and_another_column_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    frame = pl.DataFrame({"who": WHO["texts"], "boss": ["p4@example.org"] * ROWS})
    file = stored(tmp_path / "files", frame, "parquet")
    index = PeopleIndex(tmp_path)
    index.make([file])
    (made,) = [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]
    made.write_bytes(made.read_bytes()[:-3])
    assert index.count([file], P4) == {file.entry.digest: 5}
    assert made.stat().st_size % 4 == 0
    other = file._replace(columns=["boss"])
    assert index.count([other], P4) == {file.entry.digest: ROWS}
    both = file._replace(columns=["who", "boss"])
    assert index.count([both], P4) == count_rows([both], P4)
    absent = file._replace(columns=["nobody"])
    assert index.count([absent], P4) == {file.entry.digest: 0}


def test_a_column_without_a_value_is_indexed_as_nobody(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    frame = pl.DataFrame({"who": pl.Series([None] * ROWS, dtype=pl.String), "n": range(ROWS)})
    index = PeopleIndex(tmp_path)
    file = stored(tmp_path / "files", frame, "csv")
    index.make([file])
    file.path.unlink()
    assert index.count([file], P4) == {file.entry.digest: 0}
