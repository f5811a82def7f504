"""A folder of blobs: full disks, crashes, and addresses."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from blake3 import blake3

from thrive.domain.errors import DiskFull, UsageError
from thrive.store import disk
from thrive.store.blobs import FolderBlobs, ObjectBlobs, copying, folder, open_blobs


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.fixture
def large_file(tmp_path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(300_000))
    return path


@pytest.fixture
def small_file_limit():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_space_keeps_nothing_and_says_where(tmp_path, small_file_limit):
    blobs = FolderBlobs(tmp_path / "blobs")
    with pytest.raises(DiskFull, match="blobs"):
        blobs.put(b"x" * 300_000)
    assert files(tmp_path) == []
    assert blobs.get(blobs.put(b"small")) == b"small"


def test_no_space_for_a_file_keeps_nothing(large_file, tmp_path, small_file_limit):
    with pytest.raises(DiskFull):
        FolderBlobs(tmp_path / "blobs").put_file(large_file)
    assert files(tmp_path) == [large_file]


def test_enospc_at_the_last_moment_keeps_nothing(tmp_path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    blobs = FolderBlobs(tmp_path)
    monkeypatch.setattr(folder.os, "fsync", full)
    with pytest.raises(DiskFull, match="No space left"):
        blobs.put(b"written, but the disk could not promise it")
    assert files(tmp_path) == []


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(OSError, match="denied"), disk.full_disk(tmp_path):
        raise PermissionError(errno.EACCES, "denied")


def test_killed_writers_leave_whole_blobs_and_sweepable_rest(tmp_path):
    code = (
        "import sys, os, pathlib\n"
        "from thrive.store.blobs import FolderBlobs\n"
        "blobs = FolderBlobs(pathlib.Path(sys.argv[1]))\n"
        "while True: print(blobs.put(os.urandom(200_000)), flush=True)\n"
    )
    acknowledged = []
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout
        acknowledged += [child.stdout.readline().strip() for _ in range(5)]
        child.kill()
        rest = child.stdout.read().splitlines()
        acknowledged += [line for line in rest if len(line) == 64]
        child.wait()
    blobs = FolderBlobs(tmp_path)
    assert set(acknowledged) <= set(blobs.digests())
    for digest in blobs.digests():
        assert len(blobs.get(digest)) == 200_000
    blobs.sweep(older_than=0)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_sweep_spares_the_young(tmp_path):
    blobs = FolderBlobs(tmp_path)
    young, old = tmp_path / "tmp" / "young", tmp_path / "tmp" / "old"
    young.write_bytes(b"being written")
    old.write_bytes(b"its writer died")
    os.utime(old, (time.time() - 7200,) * 2)
    assert blobs.sweep(older_than=3600 * 1_000_000) == 1
    assert young.exists()
    assert not old.exists()


def test_blobs_are_read_only_files_of_their_own(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"mine")
    blobs = FolderBlobs(tmp_path / "blobs")
    path = blobs.local_path(blobs.put_file(source))
    assert path.stat().st_mode & 0o222 == 0
    assert path.stat().st_nlink == 1
    assert path.stat().st_ino != source.stat().st_ino


def test_a_stream_received_under_a_wrong_name_is_not_kept(tmp_path):
    from thrive.domain.errors import Damaged

    blobs = FolderBlobs(tmp_path)
    name = "0" * 64
    with pytest.raises(Damaged, match=name):
        blobs.put_stream(lambda handle: disk.write_all(handle, b"other"), name)
    assert files(tmp_path) == []


def test_a_clone_shares_nothing_or_everything(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"content")
    with source.open("rb") as one, target.open("wb") as two:
        cloned = disk.clone(one.fileno(), two.fileno())
    assert target.read_bytes() == (b"content" if cloned else b"")


def test_addresses(tmp_path):
    assert isinstance(open_blobs(str(tmp_path / "x")), FolderBlobs)
    assert isinstance(open_blobs("s3://bucket/some/prefix"), ObjectBlobs)
    for wrong in ("ftp://host/x", "s3:///x", "http://host"):
        with pytest.raises(UsageError, match="s3://bucket/prefix"):
            open_blobs(wrong)


def test_large_parts_of_any_length_and_address_are_one_blob(tmp_path):
    data = memoryview(os.urandom(copying.BESIDE + 12_345))
    cuts = [0, 1, 4097, 5 << 20, (9 << 20) + 3, len(data)]
    parts = [data[first:last] for first, last in zip(cuts, cuts[1:], strict=False)]
    digest = blake3(data).hexdigest()
    blobs = FolderBlobs(tmp_path)
    blobs.put_parts(parts, digest)
    assert blobs.get(digest) == data


def test_no_space_for_large_parts_keeps_nothing(tmp_path, small_file_limit):
    with pytest.raises(DiskFull, match="blobs"):
        FolderBlobs(tmp_path / "blobs").put(bytes(copying.BESIDE))
    assert files(tmp_path) == []


@pytest.fixture
def past_cache(monkeypatch):
    """Have files of any size go past the page cache, in blocks of a few pages."""
    monkeypatch.setattr(folder, "BESIDE", 0)
    monkeypatch.setattr(copying, "DIRECT", 1)
    monkeypatch.setattr(copying, "_BLOCK", 16_384)
    monkeypatch.setattr(folder, "clone", lambda *_: False)


@pytest.mark.parametrize("size", [1, 4096, 16_384, 16_385, 500_000, 524_288])
def test_a_file_that_several_threads_write_is_the_file(tmp_path, past_cache, size):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    blobs = FolderBlobs(tmp_path / "blobs")
    digest = blobs.put_file(source)
    assert digest == blake3(source.read_bytes()).hexdigest()
    assert blobs.get(digest) == source.read_bytes()


def test_a_file_system_that_takes_no_writes_past_its_cache_gets_others(
    tmp_path, past_cache, monkeypatch
):
    real = os.pwrite

    def refuse(handle, data, at):
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no")
        return real(handle, data, at)

    def refuse_space(*_):
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(os, "pwrite", refuse)
    monkeypatch.setattr(os, "posix_fallocate", refuse_space)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_001))
    blobs = FolderBlobs(tmp_path / "blobs")
    assert blobs.get(blobs.put_file(source)) == source.read_bytes()


def test_a_file_that_shrinks_while_it_is_copied_is_kept_as_it_was_read(
    tmp_path, past_cache, monkeypatch
):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    real = os.posix_fallocate

    def shrink(handle, at, size):
        os.truncate(source, 70_001)
        real(handle, at, size)

    monkeypatch.setattr(os, "posix_fallocate", shrink)
    blobs = FolderBlobs(tmp_path / "blobs")
    digest = blobs.put_file(source)
    assert blobs.get(digest) == source.read_bytes()
    assert blobs.size(digest) == 70_001


def test_a_write_that_fails_in_one_of_several_threads_keeps_nothing(
    tmp_path, past_cache, monkeypatch
):
    def fail(handle, data, at):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", fail)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_000))
    with pytest.raises(DiskFull, match="blobs"):
        FolderBlobs(tmp_path / "blobs").put_file(source)
    assert files(tmp_path / "blobs") == []
