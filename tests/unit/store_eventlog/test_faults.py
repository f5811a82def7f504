"""Killed writers, lost power, full disks: nothing acknowledged is lost, what is lost is counted."""

import errno
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import polars as pl
import pytest

from thrive.domain.errors import DiskFull
from thrive.store.blobs import FolderBlobs
from thrive.store.eventlog import (
    SegmentState,
    SegmentWriter,
    Stretch,
    close_dead,
    gaps,
    read_segment,
    seal,
    segments,
    writer,
)

TIME = 1_700_000_000_000_000

CHILD = """
import pathlib, random, sys
from zlib import crc32
from thrive.store.eventlog import SegmentWriter
writer = SegmentWriter(pathlib.Path(sys.argv[1]), 1, segment_bytes=1 << 16)
source = random.Random(int(sys.argv[2]))
while True:
    lines = []
    for _ in range(source.randrange(1, 20)):  # a kill is to hit the append, not the print
        payload = source.randbytes(source.randrange(2000))
        name = writer.append(1, 1_700_000_000_000_000, payload)
        lines.append(f"{name} {crc32(payload)}")
    print("\\n".join(lines), flush=True)
"""


def kill_a_writer(folder: Path, seed: int, delay: float) -> dict[str, int]:
    """Run a writer, kill it, and return what it acknowledged: id -> checksum of the payload."""
    command = [sys.executable, "-c", CHILD, str(folder), str(seed)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    lines = [child.stdout.readline()]
    time.sleep(delay)
    child.kill()
    lines += child.stdout.read().split("\n")[:-1]
    child.wait()
    return {name: int(check) for name, check in (line.split() for line in lines if line.strip())}


def survive(folder: Path, kills: int) -> None:
    source = random.Random(folder.name)
    acknowledged: dict[str, int] = {}
    for seed in range(kills):
        acknowledged |= kill_a_writer(folder, seed, source.random() * 0.05)
        closed = close_dead(folder)  # two, when killed between a new segment and the end of the old
        assert closed
        assert {each.state for each in closed} == {SegmentState.CLOSED}
    found = [record for each in segments(folder) for record in read_segment(each.path)]
    checks = {record.id: crc32(record.payload) for record in found}
    assert len(checks) == len(found)
    assert {name: checks.get(name) for name in acknowledged} == acknowledged
    assert len(checks) <= len(acknowledged) + 20 * kills
    blobs = FolderBlobs(folder / "blobs", durable=False)
    sealed = seal([Stretch(path=each.path) for each in segments(folder)], ids_only, blobs)
    assert gaps(sealed) == []
    assert sum(row.rows for row in sealed) == len(checks)
    assert sum(row.dropped for row in sealed) == 0


def ids_only(records) -> pl.DataFrame:
    return pl.DataFrame({"id": [record.id for record in records]})


def test_ten_kills_lose_and_tear_nothing(tmp_path):
    survive(tmp_path, kills=10)


@pytest.mark.full
def test_a_hundred_kills_lose_and_tear_nothing(tmp_path):
    survive(tmp_path, kills=100)


def test_a_reader_beside_a_writer_sees_whole_records_only(tmp_path):
    command = [sys.executable, "-c", CHILD, str(tmp_path), "1"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        counts = []
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            ids = [record.id for each in segments(tmp_path) for record in read_segment(each.path)]
            assert len(set(ids)) == len(ids)
            counts.append(len(ids))
    finally:
        child.kill()
        child.wait()
    assert counts == sorted(counts)
    assert counts[-1] > 0


@pytest.fixture
def killed_segment(tmp_path) -> Path:
    """Return a segment of 100 records that nobody closed."""
    with SegmentWriter(tmp_path / "alive", 1) as writer:
        for number in range(100):
            writer.append(1, TIME, b"%03d" % number * 33)
        (alive,) = segments(tmp_path / "alive")
        copy = tmp_path / "dead" / alive.path.name
        copy.parent.mkdir()
        copy.write_bytes(alive.path.read_bytes())
    return copy


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def sealed_rows(path: Path, tmp_path: Path):
    return seal([Stretch(path=path)], ids_only, FolderBlobs(tmp_path / "blobs"))


@pytest.mark.parametrize(
    ("hole", "lost"),
    [
        ((64 + 128 * 10, 128 * 3), 3),
        ((64 + 128 * 10 + 50, 4), 1),
        ((64, 128), 1),
        ((64, 12736), 99),
    ],
)
def test_pages_lost_with_the_power_are_skipped_and_counted(killed_segment, tmp_path, hole, lost):
    start, length = hole
    overwrite(killed_segment, start, bytes(length - 64 if length > 10000 else length))
    (closed,) = close_dead(killed_segment.parent)
    assert closed.state is SegmentState.CLOSED
    (row,) = sealed_rows(killed_segment, tmp_path)
    assert (row.rows, row.dropped, row.final) == (100 - lost, lost, True)
    assert gaps([row]) == []


def test_a_head_that_never_reached_the_disk_is_made_again(killed_segment, tmp_path):
    overwrite(killed_segment, 0, bytes(64))
    (closed,) = close_dead(killed_segment.parent)
    assert (closed.worker, closed.segment) == (1, 1)
    assert len(list(read_segment(killed_segment))) == 100


def test_damage_after_closing_is_counted(killed_segment, tmp_path):
    close_dead(killed_segment.parent)
    overwrite(killed_segment, 64 + 99 * 128 + 30, b"!")
    (row,) = sealed_rows(killed_segment, tmp_path)
    assert (row.rows, row.dropped, row.final) == (99, 1, True)


def test_a_torn_last_record_was_never_there(killed_segment, tmp_path):
    overwrite(killed_segment, 64 + 99 * 128, bytes(4))  # its length was not written yet
    close_dead(killed_segment.parent)
    (row,) = sealed_rows(killed_segment, tmp_path)
    assert (row.rows, row.dropped, row.final) == (99, 0, True)


def test_the_living_are_not_closed(tmp_path):
    with SegmentWriter(tmp_path, 1) as writer:
        writer.append(1, TIME, b"x")
        assert close_dead(tmp_path) == []
        assert [each.state for each in segments(tmp_path)] == [SegmentState.OPEN]


class Disk:
    """Stands for a disk that can be full."""

    def __init__(self, monkeypatch) -> None:
        self.full = True
        self._real = os.posix_fallocate
        monkeypatch.setattr(writer.os, "posix_fallocate", self.allocate)
        monkeypatch.setattr(writer, "_RETRY_S", 0.0)

    def allocate(self, handle: int, start: int, size: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._real(handle, start, size)


def test_a_disk_full_from_the_start_counts_and_recovers(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    with SegmentWriter(tmp_path, 1) as log:
        for rows in (1, 5):
            with pytest.raises(DiskFull, match="No space left"):
                log.append(1, TIME, b"x", rows=rows)
        assert log.dropped == 6
        assert not list(tmp_path.glob(".*.new"))
        disk.full = False
        log.append(1, TIME, b"room again")
    (only,) = segments(tmp_path)
    (row,) = sealed_rows(only.path, tmp_path)
    assert (row.rows, row.dropped) == (1, 6)


def test_a_disk_that_fills_up_keeps_what_was_taken(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    disk.full = False
    with SegmentWriter(tmp_path, 1, segment_bytes=4096) as log:
        taken = [log.append(1, TIME, b"x" * 1000) for _ in range(3)]
        disk.full = True
        for _ in range(4):
            with pytest.raises(DiskFull):
                log.append(1, TIME, b"x" * 1000)
        # The count stands in the mapping: a kill would not lose it either.
        assert [each.dropped for each in segments(tmp_path)] == [4]
        disk.full = False
        taken.append(log.append(1, TIME, b"x" * 1000))
    found = [record.id for each in segments(tmp_path) for record in read_segment(each.path)]
    assert found == taken
    stretches = [Stretch(path=each.path) for each in segments(tmp_path)]
    sealed = seal(stretches, ids_only, FolderBlobs(tmp_path / "b"))
    assert [row.dropped for row in sealed] == [4, 0]
    assert gaps(sealed) == []


def test_a_full_disk_is_not_asked_at_every_request(tmp_path, monkeypatch):
    Disk(monkeypatch)
    monkeypatch.setattr(writer, "_RETRY_S", 60.0)
    with SegmentWriter(tmp_path, 1) as log:
        with pytest.raises(DiskFull, match="No space left"):
            log.append(1, TIME, b"x")
        with pytest.raises(DiskFull, match="Still no space"):
            log.append(1, TIME, b"x")
        assert log.dropped == 2


def test_a_real_full_disk(tmp_path):
    """A tmpfs of 1 MiB, where this user may mount one."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        taken = 0
        with SegmentWriter(small, 1, segment_bytes=1 << 18) as log:
            while not log.dropped:
                with suppress(DiskFull):
                    log.append(1, TIME, b"x" * 1000)
                    taken += 1
        found = [record for each in segments(small) for record in read_segment(each.path)]
        assert len(found) == taken
        assert 500 < taken < 1000
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_disk_that_cannot_synchronise_is_tried_again(tmp_path, monkeypatch):
    calls = []

    def failing(handle: int) -> None:
        calls.append(handle)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = SegmentWriter(tmp_path, 1, sync_every=1)
    log.append(1, TIME, b"x")
    monkeypatch.setattr(writer, "sync_data", failing)
    with pytest.raises(OSError, match="Input/output"):
        log.sync()
    monkeypatch.undo()
    log.sync()
    log.close()
    assert len(calls) >= 1
