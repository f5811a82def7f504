"""Writing a snapshot into a folder: exactly it, touching only what differs, losing nothing."""

import fcntl
import os
import resource
import shutil
from pathlib import Path

import pytest

from thrive.domain.errors import Conflict, Damaged
from thrive.store.snapshots import packs
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


def test_what_a_killed_checkout_left_is_tidied_up_and_no_living_one(snapshots, blobs, tmp_path):
    target = tmp_path / "out"
    names = ("killed", "living", "beginning")
    killed, living, beginning = (target / f"{UNFINISHED}{name}" for name in names)
    for place in (killed, living, beginning):
        place.mkdir(parents=True)
        (place / "half").write_bytes(b"hal")
        if place != beginning:
            os.utime(place, (0, 0))
    handle = os.open(living, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    check_out(snapshots[0], blobs, Target(target), silent)
    os.close(handle)
    left = {each for each in target.iterdir() if each.name.startswith(".")}
    assert left == {living, beginning}


def test_a_file_may_become_a_folder_and_a_folder_a_file(keep, folder, blobs, tmp_path):
    (folder / "name").write_bytes(b"a file")
    (folder / "other" / "deep").mkdir(parents=True)
    (folder / "other" / "deep" / "file").write_bytes(b"deep")
    first, before = keep().snapshot, contents(folder)
    (folder / "name").unlink()
    (folder / "name").mkdir()
    (folder / "name" / "file").write_bytes(b"inside")
    shutil.rmtree(folder / "other")
    (folder / "other").write_bytes(b"flat")
    second, after = keep(first).snapshot, contents(folder)
    target = Target(tmp_path / "out", StateCache(tmp_path / "states", "out"))
    for snapshot, expected in ((first, before), (second, after), (first, before)):
        check_out(snapshot, blobs, target, silent)
        assert contents(tmp_path / "out") == expected
    (tmp_path / "out" / "other" / "mine").write_bytes(b"mine")
    with pytest.raises(Conflict, match="out/other holds something else"):
        check_out(second, blobs, target, silent)
    assert contents(tmp_path / "out") == before | {"other/mine": b"mine"}


def test_a_file_of_others_is_not_taken_for_a_folder(keep, folder, blobs, tmp_path):
    (folder / "name").mkdir()
    (folder / "name" / "file").write_bytes(b"inside")
    snapshot = keep().snapshot
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "name").write_bytes(b"mine")
    with pytest.raises(Conflict, match="out/name holds something else"):
        check_out(snapshot, blobs, Target(tmp_path / "out"), silent)


def test_folders_that_a_checkout_empties_go(snapshots, keep, folder, blobs, tmp_path):
    first = snapshots[0]
    shutil.rmtree(folder / "2")
    target = Target(tmp_path / "out", StateCache(tmp_path / "states", "out"))
    check_out(first, blobs, target, silent)
    (tmp_path / "out" / "1" / "mine").write_bytes(b"mine")
    check_out(keep(first).snapshot, blobs, target, silent)
    assert not (tmp_path / "out" / "2").exists()
    assert (tmp_path / "out" / "1" / "mine").exists()


def test_names_as_long_as_the_disk_allows_come_back(keep, folder, blobs, tmp_path):
    for name in ("\u5927" * 85, "\u00e9" * 127, "x" * 255):
        (folder / name).write_bytes(name.encode() * 10_000)
    check_out(keep().snapshot, blobs, Target(tmp_path / "out"), silent)
    assert contents(tmp_path / "out") == contents(folder)


def test_more_packs_than_may_be_open_come_back(keep, folder, blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(packs, "PACK_BYTES", 100)
    for number in range(200):
        (folder / f"{number:03}.bin").write_bytes(bytes([number]) * 100)
    snapshot = keep().snapshot
    assert len({place[0] for place in snapshot.places}) == 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 100, hard))
    try:
        check_out(snapshot, blobs, Target(tmp_path / "out"), silent)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert contents(tmp_path / "out") == contents(folder)
