"""A source looked at by a process beside: the same version as without, and none where it cannot be."""

import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import polars as pl
import pytest

from thrive.store import datasets, forked
from thrive.store.home import create_home, open_home
from thrive.store.sources.beside import Beside, look_beside

IMPORTED_FIRST = (
    "import sqlalchemy, sys; from thrive.cli.main import run; sys.exit(run(sys.argv[1:]))"
)


def added(folder: Path, *how: str, path: str = "data") -> dict:
    words = ["data", "add", path, "--name", "d", "--json"]
    told = subprocess.run(
        [sys.executable, *how, *words], cwd=folder, capture_output=True, check=True
    )
    return msgspec.json.decode(told.stdout)


def project(folder: Path, name: str, files: int = 50) -> Path:
    made = folder / name
    (made / "data").mkdir(parents=True)
    (made / "thrive.toml").write_text('contract = 1\n[project]\nname = "p"\n')
    create_home(made, "p").close()
    for number in range(files):
        (made / "data" / f"{number}.bin").write_bytes(b"%d" % number * 100)
    return made


def test_a_version_is_the_same_with_and_without_a_process_beside(tmp_path: Path) -> None:
    with_it, without = project(tmp_path, "one"), project(tmp_path, "two")
    first = added(with_it, "-m", "thrive")
    assert first == added(without, "-c", IMPORTED_FIRST)
    assert first["is_new"]
    (with_it / "data" / "7.bin").write_bytes(b"changed")
    again = added(with_it, "-m", "thrive")
    assert (again["version"], again["files"]) == (2, 50)


CONTRACT = """contract = 1
[project]
name = "p"
[data.d]
source = "d.parquet"
subject = "who"
checks = ["unique(id)", "amount between 0 and 5", "fresh(2 days)"]
"""
WITHOUT_POLARS = (
    "from thrive.cli.main import run; import sys; code = run(sys.argv[1:]); "
    "sys.exit(code or ('polars' in sys.modules))"
)


def test_rows_read_beside_show_what_they_show_here(tmp_path: Path) -> None:
    rows = pl.DataFrame({"id": [*range(30_000), 7], "amount": [2.5] * 30_000 + [9.0]})
    rows = rows.with_columns(who="user" + (pl.col("id") % 5000).cast(pl.String) + "@example.org")
    versions, indexes = [], []
    for name, code in (("one", WITHOUT_POLARS), ("two", IMPORTED_FIRST)):
        folder = project(tmp_path, name)
        (folder / "thrive.toml").write_text(CONTRACT)
        rows.write_parquet(folder / "d.parquet")
        (folder / ".thrive" / "people.key").write_text(bytes(32).hex())
        told = added(folder, "-c", code, path="d.parquet")
        assert len(told["failed"]) == 2
        assert told["rows"] == 30_001
        home = open_home(folder)
        with home.read() as tx:
            version = datasets.get_version(tx, home.project_id, "d", 1)
        home.close()
        versions.append(msgspec.structs.replace(version, created_at=0))
        cache = folder / ".thrive" / "cache" / "people"
        indexes.append([each.read_bytes() for each in cache.rglob("*") if each.is_file()])
    assert versions[0] == versions[1]
    assert indexes[0] == indexes[1] != []


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process look like one that has not imported the database."""
    monkeypatch.setattr(forked, "sys", type("", (), {"modules": {}, "platform": "linux"}))
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.mark.usefixtures("alone")
def test_what_cannot_be_looked_at_is_left_to_the_command(tmp_path: Path) -> None:
    folder = project(tmp_path, "one")
    assert look_beside("s3://bucket/data", folder, lambda *_: None) is None
    assert look_beside("data", tmp_path, lambda *_: None) is None
    missing = look_beside("nothing", folder, lambda *_: None)
    assert missing is not None
    assert missing.found() is None
    assert missing.kept() is None
    missing.stop()


@pytest.mark.usefixtures("alone")
def test_a_process_that_is_not_waited_for_ends(tmp_path: Path) -> None:
    looking = Beside("data", lambda _: threading.Event().wait() and None)
    looking.stop()
    looking.stop()
    assert looking.found() is None


@pytest.mark.usefixtures("alone")
def test_a_change_is_prepared_from_the_last_snapshot(tmp_path: Path) -> None:
    folder = project(tmp_path, "one", 20)  # few: each may be too young to be known by its times
    added(folder, "-m", "thrive")
    state = next((folder / ".thrive" / "cache" / "states").iterdir())
    (folder / "data" / "7.bin").write_bytes(b"changed")
    looking = look_beside("data", folder, lambda *_: None)
    assert looking is not None
    preparing, prepared = looking.preparing(), looking.prepared()
    assert preparing is not None
    assert prepared is not None
    assert (looking.found(), looking.kept()) == (None, None)
    assert looking.drafted()
    assert Path(preparing.draft).exists()
    looking.stop()
    assert list(state.parent.iterdir()) == [state], "what no version names is not remembered"
    again = added(folder, "-c", IMPORTED_FIRST)
    assert (again["digest"], again["files"]) == (prepared.name, prepared.files)


@pytest.mark.usefixtures("alone")
def test_much_that_is_new_is_left_to_whoever_knows_older_versions(tmp_path: Path) -> None:
    folder = project(tmp_path, "one")
    added(folder, "-m", "thrive")
    for number in range(40):
        (folder / "data" / f"{number}.bin").write_bytes(b"new %d" % number)
    looking = look_beside("data", folder, lambda *_: None)
    assert looking is not None
    assert looking.preparing() is None
    found = looking.found()
    looking.stop()
    assert found is not None
    assert len(found.states) == 50
    assert added(folder, "-m", "thrive")["version"] == 2


def test_what_was_prepared_from_something_else_is_not_used(tmp_path: Path) -> None:
    folder = project(tmp_path, "one")
    added(folder, "-m", "thrive")
    words = ["data", "add", "data", "--name", "other", "--json"]
    told = subprocess.run(
        [sys.executable, "-m", "thrive", *words], cwd=folder, capture_output=True, check=True
    )
    other = msgspec.json.decode(told.stdout)
    assert (other["dataset"], other["version"], other["files"]) == ("other", 1, 50)
    assert len(list((folder / ".thrive" / "cache" / "states").iterdir())) == 1
