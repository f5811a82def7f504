"""An unchanged folder is known by its states; what could have changed unseen is not."""

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrive.domain.errors import UsageError
from thrive.store.snapshots.states import JOURNAL, StateCache
from thrive.store.snapshots.walk import walk


def remember(cache, folder, started: int) -> list:
    states = walk(str(folder))
    cache.save("ab" * 32, states, [bytes([n]) * 32 for n in range(len(states))], started)
    return states


def test_what_is_settled_is_known_again(tmp_path, folder, later):
    (folder / "a.txt").write_bytes(b"one")
    (folder / "b").mkdir()
    (folder / "b" / "c.txt").write_bytes(b"two")
    cache = StateCache(tmp_path / "states", str(folder))
    states = remember(cache, folder, later)
    found = cache.load()
    assert found.is_same(walk(str(folder)))
    assert found.digests() == {states[0]: b"\0" * 32, states[1]: b"\1" * 32}
    (folder / "b" / "d.txt").touch()
    assert not found.is_same(walk(str(folder)))


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path, folder, later):
    path = folder / "a.txt"
    path.write_bytes(b"one")
    cache = StateCache(tmp_path / "states", str(folder))
    remember(cache, folder, later)
    seen = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert not cache.load().is_same(walk(str(folder)))


def test_a_file_written_just_before_it_was_read_is_read_again(tmp_path, folder):
    path = folder / "a.txt"
    path.write_bytes(b"one")
    cache = StateCache(tmp_path / "states", str(folder))
    states = remember(cache, folder, path.stat().st_mtime_ns + 1000)
    assert not cache.load().is_same(states)
    assert states[0] not in cache.load().digests()


def test_whole_seconds_need_a_longer_wait(tmp_path, folder, monkeypatch):
    second = 1_700_000_000_000_000_000
    coarse = [("a.txt", 3, second, second, 1)]
    cache = StateCache(tmp_path / "states", str(folder))
    for after, known in ((1_000_000_000, False), (2_500_000_000, True)):
        cache.save("ab" * 32, coarse, [b"\0" * 32], second + after)
        assert cache.load().is_same(coarse) is known


def test_a_damaged_or_missing_cache_is_nothing(tmp_path, folder, later):
    cache = StateCache(tmp_path / "states", str(folder))
    assert cache.load().digests() == {}
    (folder / "a.txt").write_bytes(b"one")
    remember(cache, folder, later)
    cache.path.write_bytes(cache.path.read_bytes()[:-1] + b"\xff")
    assert cache.load().digests() == {}
    cache.path.write_bytes(b"")
    assert cache.load().digests() == {}


def test_hidden_files_and_links_to_folders_stay_outside(folder):
    (folder / ".git").mkdir()
    (folder / ".git" / "config").touch()
    (folder / "real.txt").write_bytes(b"x")
    (folder / "link.txt").symlink_to(folder / "real.txt")
    (folder / "broken").symlink_to(folder / "nowhere")
    (folder / "around").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    assert [state[0] for state in walk(str(folder))] == ["link.txt", "real.txt"]


def test_files_are_matched_across_those_that_came_went_and_changed(tmp_path, folder, later):
    states = [(f"{number:05}.bin", 5, number, number, number) for number in range(3000)]
    cache = StateCache(tmp_path / "states", str(folder))
    cache.save("ab" * 32, states, [bytes(32)] * len(states), later)
    now = [state for state in states if state[2] not in (0, 700, 701, 2999)]
    now[100] = (*now[100][:4], 9999)
    now += [("00000.a", 1, 1, 1, 1), ("01500.bin+", 1, 1, 1, 1), ("zz", 1, 1, 1, 1)]
    now.sort()
    known = {state: number for number, state in enumerate(states)}
    assert cache.load().match(now) == [known.get(state, -1) for state in now]
    assert cache.load().match([]) == []
    assert StateCache(tmp_path / "states", "another").load().match(now) == [-1] * len(now)


@given(
    changes=st.lists(
        st.tuples(st.sampled_from(["goes", "changes", "comes"]), st.integers(0, 1299)), max_size=8
    )
)
def test_files_are_matched_whatever_came_went_and_changed(tmp_path_factory, changes):
    states = [(f"{number:05}.bin", 5, number, number, number) for number in range(1300)]
    cache = StateCache(tmp_path_factory.mktemp("states"), "folder")
    cache.save("ab" * 32, states, [bytes(32)] * len(states), 10**19)
    now = {state[0]: state for state in states}
    for change, number in changes:
        name = f"{number:05}.bin"
        if change == "goes":
            now.pop(name, None)
        elif change == "changes":
            now[name] = (name, 6, 1, 1, 1)
        else:
            now[f"{name}+"] = (f"{name}+", 5, number, number, number)
    files = sorted(now.values())
    known = {state: number for number, state in enumerate(states)}
    assert cache.load().match(files) == [known.get(state, -1) for state in files]


def test_a_name_that_holds_what_another_file_is_written_as_is_matched(tmp_path, later):
    inner, around = ("a", 5, 1, 1, 1), ("\u3561a", 5, 1, 1, 1)
    assert msgspec.msgpack.encode(around).endswith(msgspec.msgpack.encode(inner))
    states = [("0", 5, 1, 1, 1), around]
    cache = StateCache(tmp_path / "states", "folder")
    cache.save("ab" * 32, states, [bytes(32)] * 2, later)
    for now in ([inner], [("0", 5, 1, 1, 2), inner], [around], states):
        known = {state: number for number, state in enumerate(states)}
        assert cache.load().match(now) == [known.get(state, -1) for state in now]


def test_a_draft_that_a_kill_left_goes_a_day_later_and_the_journal_stays(tmp_path, folder, later):
    cache = StateCache(tmp_path / "states", str(folder))
    left, fresh = (cache.draft("ab" * 32, [], [], later) for _ in range(2))
    journal = cache.path.with_suffix(JOURNAL)
    journal.write_bytes(b"what was read")
    for path in (left, journal):
        os.utime(path, (0, 0))
    cache.save("ab" * 32, [], [], later)
    assert (left.exists(), fresh.exists(), journal.exists()) == (False, True, True)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    cache = StateCache(tmp_path, "a")
    cache.save("name", [("file", 1, 1, 1, 1)], [bytes(32)], 1 << 62)
    known = cache.load()
    files = [("file", 1, 1, 1, 1), (os.fsdecode(b"\xff"), 1, 1, 1, 1)]
    for ask in (known.is_same, known.match):
        with pytest.raises(UsageError, match="no UTF-8"):
            ask(files)
