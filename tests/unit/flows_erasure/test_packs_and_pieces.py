"""Erasing from packs of small files and from the pieces of large ones, shared between versions."""

import shutil
from pathlib import Path

import pytest
from tests.planted import CONTRACT, OTHERS, PERSON

from thrive.data.cleaning import rm
from thrive.data.moving import pull, push
from thrive.data.operations import add
from thrive.data.reading import find_version, scan_version
from thrive.domain.errors import Refused
from thrive.flows.erasure.erasing import erase
from thrive.operations import Context
from thrive.store.home import create_home
from thrive.store.snapshots.bring import all_blobs
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.snapshot import PIECES

WHY = "request 17"


@pytest.fixture
def project(context: Context, tmp_path: Path) -> Context:
    (tmp_path / "thrive.toml").write_text(CONTRACT)
    return context


def holds(ctx: Context, value: bytes) -> bool:
    return any(value in ctx.home.blobs.get(digest) for digest in ctx.home.blobs.digests())


def test_a_pack_is_written_anew_without_the_rows(project: Context, tmp_path: Path) -> None:
    folder = tmp_path / "visits"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.csv").write_text(f"customer,amount\n{OTHERS[0]},{number}\n")
    with (folder / "30.csv").open("a") as file:
        file.write(f"{PERSON},1\n")
    add(project, name="visits")
    (folder / "59.csv").write_text(f"customer,amount\n{OTHERS[1]},7\n")
    add(project, name="visits")
    before = read_snapshot(project.home.blobs, find_version(project, "visits@2").listed_in)
    assert any(before.places)
    assert holds(project, PERSON.encode())

    assert erase(project, PERSON, reason=WHY, yes=True).left == []

    assert not holds(project, PERSON.encode())
    for number in (1, 2):
        version = find_version(project, f"visits@{number}")
        snapshot = read_snapshot(project.home.blobs, version.listed_in)
        assert any(snapshot.places)
        frame = scan_version(version, project.home.blobs).collect()
        assert frame.height == 60
        assert PERSON not in frame["customer"].to_list()


def test_versions_that_share_a_pack_and_never_held_the_person_keep_their_digest(
    project: Context, tmp_path: Path
) -> None:
    folder = tmp_path / "visits"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.csv").write_text(f"customer,amount\n{OTHERS[0]},{number}\n")
    (folder / "30.csv").write_text(f"customer,amount\n{PERSON},1\n{OTHERS[2]},1\n")
    add(project, name="visits")
    (folder / "30.csv").unlink()
    add(project, name="visits")
    clean = find_version(project, "visits@2")

    assert erase(project, PERSON, reason=WHY, yes=True).left == []

    after = find_version(project, "visits@2")
    assert after.digest == clean.digest
    assert after.manifest != clean.manifest
    assert scan_version(after, project.home.blobs).collect().height == 59
    assert not holds(project, PERSON.encode())


def test_pieces_that_versions_share_are_written_anew(project: Context, tmp_path: Path) -> None:
    rows = [f"{OTHERS[number % 3]},{number}" for number in range(120_000)]
    rows[60_000] = f"{PERSON},60000"
    path = tmp_path / "orders.csv"
    path.write_text("\n".join(["customer,amount", *rows, ""]))
    add(project, name="orders")
    path.write_text("\n".join(["customer,amount", *rows, "new@example.org,1", ""]))
    add(project, name="orders")
    places = read_snapshot(project.home.blobs, find_version(project, "orders@2").listed_in).places
    assert [place[1] if place else 0 for place in places] == [PIECES]

    assert erase(project, PERSON, reason=WHY, yes=True).left == []

    assert not holds(project, PERSON.encode())
    for number, count in ((1, 119_999), (2, 120_000)):
        version = find_version(project, f"orders@{number}")
        frame = scan_version(version, project.home.blobs).collect()
        assert frame.height == count
        assert PERSON not in frame["customer"].to_list()
    needed = [
        all_blobs(project.home.blobs, find_version(project, f"orders@{number}").listed_in)
        for number in (1, 2)
    ]
    assert needed[0] & needed[1]


@pytest.fixture
def removed(project: Context, tmp_path: Path) -> Context:
    """A project in which the versions that named the person were pushed and then removed."""
    folder = tmp_path / "visits"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.csv").write_text(f"customer,amount\n{OTHERS[0]},{number}\n")
    rows = [f"{OTHERS[number % 3]},{number}" for number in range(120_000)]
    for named in ([f"{PERSON},1"], []):
        (folder / "30.csv").write_text("\n".join(["customer,amount", *named, f"{OTHERS[2]},1", ""]))
        lines = ["customer,amount", *rows[:60_000], *named, *rows[60_000:], ""]
        (tmp_path / "orders.csv").write_text("\n".join(lines))
        add(project, name="visits")
        add(project, name="orders")
        push(project.acting(project.actor, "data push"), str(tmp_path / "shelf"))
    for name in ("visits@1", "orders@1"):
        rm(project, name, reason="asked for")
    return project


def test_what_versions_that_were_removed_left_in_packs_and_pieces_goes(removed: Context) -> None:
    before = {name: find_version(removed, name) for name in ("visits", "orders")}
    rows = {name: scan_version(each, removed.home.blobs).collect() for name, each in before.items()}
    assert holds(removed, PERSON.encode())

    assert erase(removed, PERSON, reason=WHY, yes=True).left == []

    assert not holds(removed, PERSON.encode())
    for name, version in before.items():
        after = find_version(removed, name)
        assert after.digest == version.digest
        assert scan_version(after, removed.home.blobs).collect().equals(rows[name])


def test_versions_that_were_pushed_and_removed_go_where_they_were_pushed(
    removed: Context, tmp_path: Path
) -> None:
    def holding() -> list[Path]:
        files = (path for path in (tmp_path / "shelf").rglob("*") if path.is_file())
        return [path for path in files if PERSON.encode() in path.read_bytes()]

    assert holding()
    assert erase(removed, PERSON, reason=WHY, yes=True).left == []
    assert holding() == []
    moved = push(removed.acting(removed.actor, "data push"), str(tmp_path / "shelf"))
    assert {each.copied for each in moved} == {0}


def test_others_keep_what_was_pushed_and_removed(removed: Context, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    before = {path: path.read_bytes() for path in shelf.rglob("*") if path.is_file()}
    assert erase(removed, "nobody@example.org", reason=WHY, yes=True).left == []
    assert {path: path.read_bytes() for path in shelf.rglob("*") if path.is_file()} == before


def test_no_version_of_another_clone_brings_an_erased_file_back(
    project: Context, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for place in (tmp_path, other):
        (place / "visits").mkdir(parents=True)
        (place / "visits" / "a.csv").write_text(f"customer,amount\n{PERSON},1\n{OTHERS[0]},1\n")
    (other / "visits" / "b.csv").write_text(f"customer,amount\n{OTHERS[1]},1\n")
    (other / "thrive.toml").write_text(CONTRACT)
    home = create_home(other, "shop")
    clone = Context(home, project.actor, folder=other, operation="test")
    add(clone, name="visits")
    push(clone, str(tmp_path / "shelf"))
    home.close()
    add(project, name="visits")
    assert erase(project, PERSON, reason=WHY, yes=True).left == []
    shutil.copy(other / "thrive.lock", tmp_path)
    with pytest.raises(Refused, match=r"visits@1/a\.csv was erased"):
        pull(project, str(tmp_path / "shelf"))
    assert not holds(project, PERSON.encode())
