"""Rows counted beside the database: the same as with it, and only what files alone can tell."""

import os
from pathlib import Path

import pytest
from tests.planted import PERSON

from thrive.data.reading import find_version
from thrive.data.subjects import rows_in_files, searched_versions
from thrive.flows.erasure.ahead import Ahead, look_ahead
from thrive.flows.erasure.pinned import count_pinned
from thrive.operations import Context
from thrive.store import forked
from thrive.store.forked import Forked
from thrive.store.snapshots.manifest import read_snapshot


def test_pinned_parquet_is_counted_as_the_database_would(planted: Context, tmp_path: Path) -> None:
    counts = count_pinned(tmp_path, (PERSON,), "", "")
    assert {name: sorted(each.values()) for name, each in counts.items()} == {
        "visits": [0, 1],
        "joined": [1],  # it declares no subject: searched by those of the others
        "accounts": [],  # no Parquet: its types are in the database
        "notes": [],
        "orders": [],
        "weather": [],
    }
    assert sorted(count_pinned(tmp_path, ("2.0",), "visits", "amount")["visits"].values()) == [1, 1]
    files = read_snapshot(planted.home.blobs, find_version(planted, "visits").listed_in)
    assert counts["visits"].keys() == {digest.hex() for digest in files.digests}


def test_what_is_known_is_not_read_again(planted: Context) -> None:
    searched = searched_versions(planted, {"visits": "customer"}, "visits")
    files = [digest.hex() for digest in searched[0].snapshot.digests]
    assert rows_in_files(
        planted.home, searched, (PERSON,), {"orders": dict.fromkeys(files, 9)}
    ) == (rows_in_files(planted.home, searched, (PERSON,)))
    for digest in files:
        planted.home.blobs.delete(digest)
    known = {"visits": {files[0]: 7, files[1]: 0}}
    assert rows_in_files(planted.home, searched, (PERSON,), known) == {files[0]: 7}


def test_a_process_that_fails_tells_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    failing = Ahead(lambda: b"" if os.getpid() == 1 else bytes(-1))
    assert failing.counts() == {}
    failing.stop()
    failing.stop()
    assert capfd.readouterr().err == ""
    answering = Forked(lambda: bytes(200_000))
    assert answering.answer() == bytes(200_000)
    answering.stop()


def test_it_is_not_begun_where_nothing_is_won(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look_ahead(tmp_path, (PERSON,), "", "") is None
    monkeypatch.setattr(forked, "sys", type("", (), {"modules": {}, "platform": "linux"}))
    monkeypatch.setattr(forked, "threading", type("", (), {"active_count": lambda: 1}))
    assert look_ahead(tmp_path, (PERSON,), "", "") is None, "there is no home"
    (tmp_path / ".thrive").mkdir()
    (tmp_path / ".thrive" / "home.json").write_text('{"database": "postgresql://h/d"}')
    assert look_ahead(tmp_path, (PERSON,), "", "") is None, "its blobs may be elsewhere"
