"""What every blob store promises, held on a folder and on a real S3 server."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3
from tests.servers import S3Server

from thrive.domain.errors import Damaged, NotFound, Refused, StoreUnavailable, UsageError
from thrive.domain.identifiers import new_id
from thrive.store.blobs import BlobStore, FolderBlobs, ObjectBlobs, open_blobs

SIZES = [0, 1, 1000, (1 << 20) + 1]


@pytest.fixture(params=["folder", "s3"])
def blobs(request, tmp_path) -> BlobStore:
    if request.param == "folder":
        return open_blobs(tmp_path / "blobs")
    server: S3Server = request.getfixturevalue("s3")
    options = server.options(cache=tmp_path / "cache")
    return open_blobs(f"s3://{server.bucket}/{new_id()}", options)


def forget_local(blobs: BlobStore) -> None:
    """Make the next read go to the bucket."""
    if isinstance(blobs, ObjectBlobs):
        for digest in list(blobs.cache.digests()):
            blobs.cache.delete(digest)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_put_comes_back_by_its_blake3(blobs, size):
    data = os.urandom(size)
    digest = blobs.put(data)
    assert digest == blake3(data).hexdigest()
    forget_local(blobs)
    assert blobs.get(digest) == data
    assert blobs.size(digest) == size
    assert blobs.has(digest)


def test_a_memoryview_is_data(blobs):
    assert blobs.get(blobs.put(memoryview(b"abcdef")[2:4])) == b"cd"


@pytest.mark.parametrize("size", [0, 70_000, 20 << 20])
def test_a_file_is_copied_not_referenced(blobs, tmp_path, size):
    source = tmp_path / "source.bin"
    data = os.urandom(size)
    source.write_bytes(data)
    digest = blobs.put_file(source)
    source.write_bytes(b"edited in place")
    forget_local(blobs)
    assert digest == blake3(data).hexdigest()
    assert blobs.get(digest) == data


def test_open_streams_and_local_path_maps(blobs):
    data = os.urandom(100_000)
    digest = blobs.put(data)
    forget_local(blobs)
    with blobs.open(digest) as stream:
        assert stream.read(10) == data[:10]
        assert stream.read() == data[10:]
    forget_local(blobs)
    path = blobs.local_path(digest)
    assert path is not None
    assert path.read_bytes() == data


def test_what_is_not_there_is_named(blobs):
    digest = blake3(b"nobody put this").hexdigest()
    assert not blobs.has(digest)
    for read in (blobs.get, blobs.open, blobs.local_path, blobs.size):
        with pytest.raises(NotFound, match=digest):
            read(digest)
    with pytest.raises(NotFound, match="nowhere"):
        blobs.put_file(Path("/nowhere/at/all"))


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "ab" * 31, "ab" * 32 + "\n"])
def test_only_digests_become_names(blobs, name):
    for door in (blobs.get, blobs.open, blobs.local_path, blobs.size, blobs.has, blobs.delete):
        with pytest.raises(UsageError, match="not a digest"):
            door(name)


def test_putting_twice_keeps_one(blobs):
    first = blobs.put(b"same bytes")
    assert blobs.put(b"same bytes") == first
    assert list(blobs.digests()) == [first]


def test_digests_lists_all_and_delete_removes_one(blobs):
    kept = {blobs.put(str(number).encode()) for number in range(20)}
    assert set(blobs.digests()) == kept
    gone = kept.pop()
    blobs.delete(gone)
    blobs.delete(gone)
    assert set(blobs.digests()) == kept
    with pytest.raises(NotFound):
        blobs.get(gone)


def test_many_threads_put_the_same_and_different_bytes(blobs):
    chunks = [os.urandom(2000) for _ in range(10)] * 4
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(blobs.put, chunks))
    forget_local(blobs)
    assert [blobs.get(digest) for digest in digests] == chunks


def test_probe_sees_what_is_promised_and_leaves_nothing(blobs):
    seen = blobs.probe()
    assert seen.create_if_absent
    assert seen.read_after_write
    assert seen.checked_at > 0
    assert list(blobs.digests()) == []


def damage(blobs: BlobStore, digest: str) -> None:
    """Change a stored byte behind the store's back."""
    if isinstance(blobs, FolderBlobs):
        path = blobs.local_path(digest)
        path.chmod(0o644)
        path.write_bytes(b"x" + path.read_bytes()[1:])
        return
    import obstore

    forget_local(blobs)
    assert isinstance(blobs, ObjectBlobs)
    obstore.put(blobs._store, f"{digest[:2]}/{digest[2:]}", b"something else")


def test_damaged_bytes_are_never_handed_out(blobs):
    digest = blobs.put(b"precious")
    damage(blobs, digest)
    for read in (blobs.get, blobs.open, blobs.local_path):
        with pytest.raises(Damaged, match=digest):
            read(digest)


def test_a_damaged_local_copy_is_fetched_again(s3, tmp_path):
    blobs = open_blobs(f"s3://{s3.bucket}/{new_id()}", s3.options(cache=tmp_path))
    assert isinstance(blobs, ObjectBlobs)
    digest = blobs.put(b"precious")
    copy = blobs.cache.local_path(digest)
    copy.chmod(0o644)
    copy.write_bytes(b"rotten!!")
    assert blobs.get(digest) == b"precious"
    assert copy.read_bytes() == b"precious"


def test_a_second_host_reads_what_the_first_put(s3, tmp_path):
    address = f"s3://{s3.bucket}/{new_id()}"
    digest = open_blobs(address, s3.options(cache=tmp_path / "a")).put(b"shared")
    assert open_blobs(address, s3.options()).get(digest) == b"shared"


def test_a_wrong_key_is_refused_and_not_shown(s3):
    with pytest.raises(Refused, match="refuses our credentials") as caught:
        open_blobs("s3://thrive/x", s3.options(secret_key="very-secret")).put(b"x")
    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in repr(s3.options(secret_key="very-secret"))


def test_a_silent_server_is_unavailable_and_transient(s3):
    nobody = s3.options(endpoint="http://127.0.0.1:9", max_retries=1, timeout_s=3)
    with pytest.raises(StoreUnavailable, match="does not answer") as caught:
        open_blobs("s3://thrive/x", nobody).put(b"x")
    assert caught.value.transient
