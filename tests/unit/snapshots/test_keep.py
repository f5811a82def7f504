"""What keeping a folder stores: each content once, small files together, large ones in chunks."""

import os
import random
import signal
from pathlib import Path

import pytest
from blake3 import blake3

from thrive.domain.errors import Conflict, Damaged, UsageError
from thrive.store.snapshots import chunker
from thrive.store.snapshots import keep as keeping
from thrive.store.snapshots.bring import all_blobs, local_files
from thrive.store.snapshots.chunker import CHUNKER, OF_LARGE, Chunker, Cutter
from thrive.store.snapshots.journal import Journal
from thrive.store.snapshots.manifest import SnapshotReader, read_snapshot, write_manifest
from thrive.store.snapshots.recipes import named, read_recipe
from thrive.store.snapshots.snapshot import PIECES, Snapshot
from thrive.store.snapshots.walk import walk


def stored(blobs) -> int:
    return sum(blobs.size(digest) for digest in blobs.digests())


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def many(folder: Path, count: int = 100) -> None:
    for number in range(count):
        inside = folder / f"{number % 7}"
        inside.mkdir(exist_ok=True)
        (inside / f"{number:03}.bin").write_bytes(noise(100, number))


def test_many_small_files_become_one_pack_and_come_back(keep, folder, blobs):
    many(folder)
    (folder / "empty").touch()
    snapshot = keep().snapshot
    assert len(list(blobs.digests())) == 1
    assert stored(blobs) == 100 * 100
    paths = local_files(blobs, snapshot)
    found = {name: path.read_bytes() for name, path in zip(snapshot.paths, paths, strict=True)}
    assert found == {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_equal_contents_are_stored_once(keep, folder, blobs):
    for number in range(50):
        (folder / f"{number}.txt").write_bytes(b"the same")
    first = keep().snapshot
    assert stored(blobs) == len(b"the same")
    (folder / "50.txt").write_bytes(b"the same")
    keep(first)
    assert stored(blobs) == len(b"the same")


def test_a_changed_file_is_all_that_is_stored_and_read(keep, folder, blobs, monkeypatch):
    many(folder)
    before = keep()
    remembered = dict(zip(before.states, before.snapshot.digests, strict=True))
    size = stored(blobs)
    (folder / "3" / "003.bin").write_bytes(b"changed")
    read: list[str] = []
    plain = keeping._read_file
    monkeypatch.setattr(
        keeping, "_read_file", lambda path, *more: read.append(path) or plain(path, *more)
    )
    after = keep(before.snapshot, remembered=remembered).snapshot
    assert read == [f"{folder}/3/003.bin"]
    assert stored(blobs) - size == len(b"changed")
    assert after.name() != before.snapshot.name()


def test_a_file_that_changes_while_it_is_read_is_read_again_or_named(keep, folder, monkeypatch):
    (folder / "log.txt").write_bytes(b"one")
    plain, times = os.fstat, [1]

    def touch(handle: int) -> os.stat_result:
        if times[0]:
            times[0] -= 1
            with (folder / "log.txt").open("ab") as file:
                file.write(b"+")
        return plain(handle)

    monkeypatch.setattr(keeping.os, "fstat", touch)
    kept = keep()
    assert kept.snapshot.sizes == [4]
    times[0] = 99
    with pytest.raises(Conflict, match=r"log\.txt changed while"):
        keep()


def test_a_file_that_went_is_named(keep, folder, monkeypatch):
    (folder / "gone.txt").write_bytes(b"one")
    states = walk(str(folder))
    (folder / "gone.txt").unlink()
    monkeypatch.setattr("tests.unit.snapshots.conftest.walk", lambda _: states)
    with pytest.raises(Conflict, match=r"gone\.txt changed while"):
        keep()


@pytest.fixture
def two(monkeypatch) -> None:
    """Have a second process keep half of as few files as there are here."""
    monkeypatch.setattr(keeping, "_WORTH", 2)


@pytest.mark.usefixtures("two")
def test_two_processes_keep_what_one_keeps(keep, folder, blobs, tmp_path):
    many(folder)
    reported: list[tuple[int, int]] = []
    kept = keep(helped=True, report=lambda done, of, _: reported.append((done, of)))
    assert len({place[0] for place in kept.snapshot.places}) == 2
    assert reported[-1] == (100, 100)
    found = [path.read_bytes() for path in local_files(blobs, kept.snapshot)]
    assert found == [(folder / path).read_bytes() for path in kept.snapshot.paths]
    noted = Journal(tmp_path / "journal").read(blobs)
    assert {state: digest for state, (digest, _) in noted.items()} == dict(
        zip(kept.states, kept.snapshot.digests, strict=True)
    )
    alone = keep()
    assert (alone.states, alone.snapshot.name()) == (kept.states, kept.snapshot.name())


@pytest.mark.usefixtures("two")
def test_what_both_processes_read_has_one_place(keep, folder, blobs):
    many(folder)
    (folder / "0" / "first.txt").write_bytes(b"the same")
    (folder / "6" / "last.txt").write_bytes(b"the same")
    snapshot = keep(helped=True).snapshot
    places = dict(zip(snapshot.paths, snapshot.places, strict=True))
    assert places["0/first.txt"] == places["6/last.txt"]
    assert [path.read_bytes() for path in local_files(blobs, snapshot)] == [
        (folder / path).read_bytes() for path in snapshot.paths
    ]


@pytest.mark.usefixtures("two")
def test_a_file_that_changes_in_the_other_half_has_its_new_state(keep, folder, monkeypatch):
    many(folder)
    plain, touched = os.fstat, [False]
    last = folder / "6" / "097.bin"

    def touch(handle: int) -> os.stat_result:
        if not touched[0] and plain(handle).st_ino == last.stat().st_ino:
            touched[0] = True
            with last.open("ab") as file:
                file.write(b"+")
        return plain(handle)

    monkeypatch.setattr(keeping.os, "fstat", touch)
    kept = keep(helped=True)
    assert not touched[0], "another process read it"
    assert kept.states == walk(str(folder))
    assert kept.snapshot.sizes[kept.snapshot.paths.index("6/097.bin")] == 101


@pytest.mark.usefixtures("two")
def test_what_another_process_could_not_keep_is_kept_here(keep, folder, blobs, monkeypatch):
    many(folder)
    here, plain = os.getpid(), keeping._read_file

    def only_here(path: str, *more) -> bool:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(path, *more)

    monkeypatch.setattr(keeping, "_read_file", only_here)
    snapshot = keep(helped=True).snapshot
    assert len(local_files(blobs, snapshot)) == 100


def test_an_edit_of_a_large_file_stores_what_is_new(keep, folder, blobs):
    data = noise(6 << 20)
    (folder / "large.csv").write_bytes(data)
    first = keep().snapshot
    assert first.places[0][1] == PIECES
    assert local_files(blobs, first)[0].name == first.digests[0].hex()[2:]
    size = stored(blobs)
    edited = data[: 2 << 20] + b"inserted" + data[2 << 20 :] + noise(200_000, 2)
    (folder / "large.csv").write_bytes(edited)
    second = keep(first).snapshot
    assert stored(blobs) - size < 1 << 20
    assert local_files(blobs, second)[0].read_bytes() == edited
    assert local_files(blobs, first)[0].read_bytes() == data


def test_chunks_of_a_first_version_are_named_when_there_is_a_second(keep, folder, blobs):
    data = noise(5 << 20)
    (folder / "large.csv").write_bytes(data)
    first = keep().snapshot
    plain = read_recipe(blobs, first.places[0][0].hex())
    assert (plain.format, plain.digests, sum(plain.lengths)) == (2, b"", len(data))
    known = named(blobs, plain)
    cuts: list[tuple[bytes, int]] = []
    cutter = Cutter(lambda digest, chunk: cuts.append((digest, len(chunk))))
    cutter.note(cutter.cut(memoryview(data)))
    cutter.finish()
    assert [chunk[:2] for chunk in known.chunks()] == cuts
    (folder / "large.csv").write_bytes(data + b"more")
    second = keep(first).snapshot
    later = read_recipe(blobs, second.places[0][0].hex())
    assert (later.format, len(later.digests)) == (1, 32 * len(later.lengths))
    assert {each[0] for each in later.chunks()} >= {digest for digest, _ in cuts[:-1]}
    assert named(blobs, later) is later
    own = blobs.local_path(first.digests[0].hex())
    own.chmod(0o600)
    own.write_bytes(b"x" + data[1:])
    with pytest.raises(Damaged):
        named(blobs, plain)


def test_a_renamed_large_file_stores_nothing(keep, folder, blobs):
    (folder / "a.csv").write_bytes(noise(3 << 20))
    first = keep().snapshot
    size = stored(blobs)
    (folder / "a.csv").rename(folder / "b.csv")
    keep(first)
    assert stored(blobs) - size < 10_000


def test_compressed_files_stay_whole(keep, folder, blobs):
    (folder / "a.parquet").write_bytes(noise(2 << 20))
    (folder / "a.zip").write_bytes(noise(5 << 20))
    snapshot = keep().snapshot
    assert snapshot.places == [None, None]


def test_a_damaged_pack_is_never_given_out(keep, folder, blobs):
    many(folder)
    snapshot = keep().snapshot
    path = next(blobs.root.glob("??/*"))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(Damaged, match=path.name):
        local_files(blobs, snapshot)


def test_only_the_parts_of_a_list_that_changed_are_written_again(blobs, monkeypatch):
    def snapshot(numbers: list[int]) -> Snapshot:
        digests = [blake3(b"%d" % number).digest() for number in numbers]
        return Snapshot(
            [f"{number:06}" for number in numbers],
            [1] * len(numbers),
            digests,
            [(b"\1" * 32, number) for number in numbers],
        )

    before = write_manifest(snapshot(list(range(9000))), blobs)
    leaves = SnapshotReader(blobs).leaves(before.manifest)
    assert len(leaves) > 5
    made: list[int] = []
    plain = type(blobs).put_many
    monkeypatch.setattr(
        type(blobs), "put_many", lambda self, parts: made.append(len(parts)) or plain(self, parts)
    )
    everything = list(range(9000))
    for numbers in (
        everything,
        everything[:-1],
        [*everything, 9001],
        everything[1:],
        [*everything[:5000], *everything[5001:]],
        everything[:4500],
        everything[8000:],
    ):
        after = write_manifest(snapshot(numbers), blobs, leaves)
        assert made.pop() <= 2
        assert after == write_manifest(snapshot(numbers), blobs)
        made.clear()


def test_a_manifest_says_what_was_written_and_a_change_rewrites_a_leaf(keep, folder, blobs):
    many(folder, 3000)
    first = keep().snapshot
    written = write_manifest(first, blobs)
    again = read_snapshot(blobs, written.manifest)
    assert (again.paths, again.sizes, again.digests) == (first.paths, first.sizes, first.digests)
    assert again.places == first.places
    assert written.name == first.name() != written.manifest
    assert len(written.blobs) >= 3
    (folder / "0" / "000.bin").write_bytes(b"changed")
    second = write_manifest(keep(first).snapshot, blobs)
    assert len(second.blobs - written.blobs) == 2
    assert all(blobs.has(each) for each in all_blobs(blobs, second.manifest))


def test_the_name_of_a_snapshot_does_not_say_where_bytes_lie(keep, folder, blobs):
    many(folder)
    packed = keep().snapshot
    apart = [blobs.put(path.read_bytes()) for path in sorted(folder.rglob("*.bin"))]
    loose = type(packed)(packed.paths, packed.sizes, packed.digests, [None] * len(apart))
    assert loose.name() == packed.name()
    assert write_manifest(loose, blobs).manifest == loose.name()


def test_a_name_that_is_no_text_is_refused(keep, folder):
    (folder / os.fsdecode(b"\xff.bin")).write_bytes(b"x")
    with pytest.raises(UsageError, match="no UTF-8"):
        keep().snapshot.name()


def test_a_link_that_leads_nowhere_or_to_itself_is_left_out(keep, folder):
    (folder / "file").write_bytes(b"x")
    (folder / "nowhere").symlink_to("gone")
    (folder / "itself").symlink_to("itself")
    assert keep().snapshot.paths == ["file"]


@pytest.mark.parametrize("kind", [CHUNKER, OF_LARGE])
def test_the_cuts_are_what_they_always_were(kind: Chunker) -> None:
    """Other cuts would find nothing of what is stored: a new chunker needs a new name."""
    lengths: list[int] = []
    cutter = Cutter(lambda _, data: lengths.append(len(data)), kind)
    data = noise(1 << 20, 7)
    for at in range(0, len(data), 100_000):
        cutter.note(cutter.cut(memoryview(data)[at : at + 100_000]))
    cutter.finish()
    whole: list[int] = []
    cutter = Cutter(lambda _, data: whole.append(len(data)), kind)
    cutter.note(cutter.cut(memoryview(data)))
    cutter.finish()
    assert lengths == whole
    assert lengths == GOLDEN[kind.least]


GOLDEN = {
    CHUNKER.least: [
        111090,
        67285,
        86090,
        221300,
        99418,
        125415,
        134887,
        71542,
        103858,
        23090,
        4601,
    ],
    OF_LARGE.least: [111090, 67285, 86090, 221300, 99418, 125415, 134887, 71542, 103858, 27691],
}


def test_a_file_that_grows_is_cut_as_its_first_version_was(keep, folder, blobs, monkeypatch):
    data = noise(4 << 20)
    (folder / "grows.csv").write_bytes(data)
    first = keep().snapshot
    monkeypatch.setattr(chunker, "LARGE", 1)
    (folder / "grows.csv").write_bytes(data + noise(200_000, 2))
    size = stored(blobs)
    second = keep(first).snapshot
    assert read_recipe(blobs, second.places[0][0].hex()).chunker == CHUNKER
    assert stored(blobs) - size < 1 << 20
    (folder / "new.csv").write_bytes(noise(3 << 20, 9))
    third = keep(second).snapshot
    recipe = read_recipe(blobs, third.places[third.paths.index("new.csv")][0].hex())
    assert recipe.chunker == OF_LARGE
