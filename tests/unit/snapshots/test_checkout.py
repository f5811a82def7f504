"""Writing a snapshot into a folder: exactly it, touching only what differs, losing nothing."""

import os
from pathlib import Path

import pytest

from thrive.domain.errors import Conflict, Damaged
from thrive.store.snapshots.checkout import UNFINISHED, Target, check_out
from thrive.store.snapshots.states import StateCache


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def silent(*_: object) -> None:
    return


@pytest.fixture
def snapshots(keep, folder):
    """Two snapshots: the second changes, adds and drops a file."""
    for number in range(40):
        (folder / f"{number % 3}").mkdir(exist_ok=True)
        (folder / f"{number % 3}" / f"{number:02}.bin").write_bytes(bytes([number]) * 50)
    (folder / "large.csv").write_bytes(bytes(range(256)) * 8192)
    first = keep().snapshot
    (folder / "0" / "00.bin").write_bytes(b"changed")
    (folder / "0" / "03.bin").unlink()
    (folder / "new.bin").write_bytes(b"new")
    return first, keep(first).snapshot, contents(folder)


def test_a_checkout_gives_the_files_and_touches_none_again(snapshots, blobs, tmp_path):
    _, second, expected = snapshots
    target = Target(tmp_path / "out", StateCache(tmp_path / "states", "out"))
    assert check_out(second, blobs, target, silent).written == len(second)
    assert contents(tmp_path / "out") == expected
    times = {p: p.stat().st_ino for p in (tmp_path / "out").rglob("*")}
    assert check_out(second, blobs, target, silent).written == 0
    assert {p: p.stat().st_ino for p in (tmp_path / "out").rglob("*")} == times


def test_another_version_replaces_only_what_differs(snapshots, blobs, tmp_path):
    first, second, expected = snapshots
    known = set(first.digests)
    cache = StateCache(tmp_path / "states", "out")
    target = Target(tmp_path / "out", cache, known.__contains__)
    check_out(first, blobs, target, silent)
    cache.save(first.name(), *_states(tmp_path / "out", first), 1 << 62)
    (tmp_path / "out" / "mine.txt").write_bytes(b"mine")
    done = check_out(second, blobs, target, silent)
    assert (done.written, done.removed) == (2, 1)
    assert contents(tmp_path / "out") == expected | {"mine.txt": b"mine"}


def test_files_of_a_checkout_just_before_are_removed_unless_somebody_changed_them(
    snapshots, blobs, tmp_path
):
    first, second, expected = snapshots
    cache = StateCache(tmp_path / "states", "out")
    target = Target(tmp_path / "out", cache, set(first.digests).__contains__)
    check_out(first, blobs, target, silent)
    cache.save(first.name(), *_states(tmp_path / "out", first), 0)  # none is settled
    assert check_out(second, blobs, target, silent).removed == 1
    assert contents(tmp_path / "out") == expected
    check_out(first, blobs, target, silent)
    cache.save(first.name(), *_states(tmp_path / "out", first), 0)
    (tmp_path / "out" / "0" / "03.bin").write_bytes(b"mine")
    assert check_out(second, blobs, target, silent).removed == 0
    assert contents(tmp_path / "out") == expected | {"0/03.bin": b"mine"}


def _states(folder, snapshot):
    from thrive.store.snapshots.walk import walk

    return walk(str(folder)), snapshot.digests


def test_what_is_stored_nowhere_is_not_replaced(snapshots, blobs, tmp_path):
    first, second, _ = snapshots
    target = Target(tmp_path / "out", None, set(first.digests).__contains__)
    check_out(first, blobs, target, silent)
    (tmp_path / "out" / "0" / "00.bin").write_bytes(b"my own edit")
    before = contents(tmp_path / "out")
    with pytest.raises(Conflict, match=r"00\.bin holds something else"):
        check_out(second, blobs, target, silent)
    assert contents(tmp_path / "out") == before


def test_damage_is_found_before_a_file_gets_its_name(snapshots, blobs, tmp_path):
    first, _, _ = snapshots
    pack = first.places[0][0].hex()
    path = blobs.root / pack[:2] / pack[2:]
    path.chmod(0o600)
    path.write_bytes(b"X" + path.read_bytes()[1:])
    with pytest.raises(Damaged, match=pack[:12]):
        check_out(first, blobs, Target(tmp_path / "out"), silent)
    assert contents(tmp_path / "out") == {}


def test_only_what_a_killed_checkout_left_long_ago_is_tidied_up(snapshots, blobs, tmp_path):
    target = tmp_path / "out"
    abandoned, living = target / f"{UNFINISHED}1", target / f"{UNFINISHED}2"
    for place in (abandoned, living):
        place.mkdir(parents=True)
        (place / ".half").write_bytes(b"hal")
    os.utime(abandoned, (0, 0))
    check_out(snapshots[0], blobs, Target(target), lambda *_: None)
    assert [each.name for each in target.iterdir() if each.name.startswith(".")] == [living.name]
