"""Sources that are no local files: SQLite, Delta, DVC's pins; servers are in tests/contract."""

import hashlib
import json
import sqlite3
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from thrive.domain.errors import Damaged, NotFound, UsageError
from thrive.settings import read_settings
from thrive.store.sources import Reach, brought, mark_of
from thrive.store.sources.block_yaml import read_yaml
from thrive.store.sources.delta import write


@pytest.fixture
def reach(tmp_path):
    (tmp_path / "tmp").mkdir()
    database = sqlite3.connect(tmp_path / "lake.db")
    database.execute("create table trips (id integer, who text, fare real, day date)")
    rows = [(i, None if i % 7 == 0 else f"r{i}", i / 4, "2024-01-02") for i in range(1, 2001)]
    database.executemany("insert into trips values (?, ?, ?, ?)", rows)
    database.commit()
    return Reach(
        base=tmp_path,
        temporary=tmp_path / "tmp",
        connections=read_settings(
            {"THRIVE_CONNECTIONS": "lake=sqlite:///lake.db"}
        ).named_connections(),
    )


def table(source: str, reach: Reach) -> pl.DataFrame:
    with brought(source, reach) as found:
        return pl.read_parquet(found.path)


def test_a_query_becomes_a_table(reach, monkeypatch):
    monkeypatch.setattr("thrive.store.sources.sql.CHUNK", 300)
    frame = table("lake: select id, who, fare from trips where fare > 1.5 order by id", reach)
    assert frame.shape == (1994, 3)
    assert frame["who"].null_count() == 285
    assert frame.row(0) == (7, None, 1.75)
    assert table("lake: select * from trips where id < 0", reach).columns == [
        "id",
        "who",
        "fare",
        "day",
    ]


def test_the_same_rows_are_the_same_bytes(reach):
    contents = set()
    for _ in range(2):
        with brought(
            "lake: with t as (select * from trips) select * from t order by id", reach
        ) as found:
            contents.add(hashlib.sha256(Path(found.path).read_bytes()).hexdigest())
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("lake: select * from nowhere", "no such table: nowhere"),
        ("lake: with x as (select 1) delete from trips", "readonly|read-only|cannot be read"),
        ("lake: select id, id from trips", "two columns 'id'"),
        ("lake: select 1; select 2", "cannot be read"),
    ],
)
def test_a_query_that_cannot_be_read(reach, source, words):
    with pytest.raises(UsageError, match=words):
        table(source, reach)
    assert table("lake: select count(*) as n from trips", reach).item() == 2000


def test_a_connection_that_is_not_there(reach):
    with pytest.raises(NotFound, match="no connection 'warehouse' in the settings; there are lake"):
        table("warehouse: select 1 as x", reach)
    with pytest.raises(UsageError, match="names 'lake' without an address"):
        read_settings({"THRIVE_CONNECTIONS": "lake"}).named_connections()


def test_a_delta_table_at_a_version(reach):
    first = pl.DataFrame({"id": [1, 2], "day": [date(2024, 1, 1), None]})
    target = reach.base / "lake" / "t"
    assert write(first, target, "t@1") == 0
    assert write(first.with_columns(id=pl.col("id") * 10), target, "t@2") == 1
    assert table("delta:lake/t@0", reach)["id"].to_list() == [1, 2]
    with brought("lake/t", reach) as found:
        assert found.source == "delta:lake/t@1"
        assert pl.read_parquet(found.path)["id"].to_list() == [10, 20]
    assert mark_of("lake/t", reach) != mark_of("delta:lake/t@0", reach)
    with pytest.raises(NotFound, match="cannot be opened"):
        table("delta:lake/t@9", reach)
    with pytest.raises(UsageError, match="no Delta table and not empty"):
        write(first, reach.base, "t@1")


@pytest.fixture
def repository(reach):
    """A DVC repository as version 3 leaves it: a file, a folder, a stage, some pushed."""
    base = reach.base
    (base / ".dvc").mkdir()
    (base / ".dvc" / "config").write_text(
        "[core]\n    remote = shelf\n['remote \"shelf\"']\n    url = ../shelf\n"
    )

    def kept(content: bytes, suffix: str = "", place: str = ".dvc/cache/files/md5") -> str:
        md5 = hashlib.md5(content).hexdigest() + suffix
        path = base / place / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return md5

    one = kept(b"a,b\n1,2\n")
    listed = kept(b"a,b\n3,4\n", place="shelf/files/md5")
    listing = json.dumps(
        [{"md5": one, "relpath": "one.csv"}, {"md5": listed, "relpath": "in/two.csv"}]
    )
    folder = kept(listing.encode(), ".dir")
    (base / "data.csv.dvc").write_text(
        f"outs:\n- md5: {one}\n  size: 8\n  hash: md5\n  path: data.csv\n"
    )
    (base / "parts.dvc").write_text(
        f"outs:\n- md5: {folder}\n  nfiles: 2\n  hash: md5\n  path: parts\n"
    )
    old = kept(b"x\n1\n", place=".dvc/cache")
    (base / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  prepare:\n    cmd: python p.py\n    deps:\n    - path: p.py\n"
        f"      md5: aa\n    outs:\n    - path: out/old.csv\n      md5: {old}\n      size: 4\n"
        f"  train:\n    cmd: t\n    outs:\n    - path: out/new.csv\n      hash: md5\n      md5: {one}\n"
    )
    return reach


def test_what_dvc_pinned_is_read_from_its_cache_and_remote(repository):
    with brought("data.csv.dvc", repository) as found:
        assert Path(found.path).read_text() == "a,b\n1,2\n"
        assert found.mark.startswith("md5:")
    with brought("parts.dvc", repository) as found:
        assert pl.read_csv(f"{found.path}/one.csv").row(0) == (1, 2)
        assert pl.read_csv(f"{found.path}/in/two.csv").row(0) == (3, 4)
    with brought("dvc.lock:out/old.csv", repository) as found:
        assert Path(found.path).read_text() == "x\n1\n"
    with brought("dvc.lock:out/new.csv", repository) as found:
        assert Path(found.path).read_text() == "a,b\n1,2\n"


def test_what_dvc_lacks_is_said(repository):
    with (
        pytest.raises(NotFound, match=r"names 2 outputs; dvc.lock has out/old.csv, out/new.csv"),
        brought("dvc.lock", repository),
    ):
        pass
    for path in (repository.base / ".dvc" / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(b"other")
    with pytest.raises(Damaged, match="has the MD5"), brought("data.csv.dvc", repository):
        pass
    for path in (repository.base / ".dvc" / "cache").rglob("*"):
        if path.is_file():
            path.unlink()
    with (
        pytest.raises(NotFound, match=r"data.csv .* is not in the cache"),
        brought("data.csv.dvc", repository),
    ):
        pass


def test_the_yaml_of_dvc(tmp_path):
    text = """\
# made by DVC
outs:
- md5: 'it''s'
  size: 12
  meta: {}
  remote: null
  path: "a \\"b\\".csv"
- path: c
deps:
  - path: x: y
    frozen: true
desc: two words
"""
    assert read_yaml(text, tmp_path) == {
        "outs": [
            {"md5": "it's", "size": 12, "meta": "{}", "remote": None, "path": 'a "b".csv'},
            {"path": "c"},
        ],
        "deps": [{"path": "x: y", "frozen": True}],
        "desc": "two words",
    }
    with pytest.raises(UsageError, match="cannot be read at '&anchor'"):
        read_yaml("outs:\n&anchor\n", tmp_path)
