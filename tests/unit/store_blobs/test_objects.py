"""A bucket behind a network that fails: requests are tried again, half answers are not kept."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from blake3 import blake3

from thrive.domain.errors import Damaged, StoreUnavailable
from thrive.store.blobs import ObjectBlobs, ObjectOptions, open_blobs

DATA = b"the whole answer" * 1000
DIGEST = blake3(DATA).hexdigest()


class Bucket(ThreadingHTTPServer):
    """The least of S3: it keeps objects in memory and can be told to misbehave."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.failures = 0
        self.asked = 0
        self.answer = 1.0

    def blobs(self, cache: Path, **changes) -> ObjectBlobs:
        options = {
            "endpoint": f"http://127.0.0.1:{self.server_address[1]}",
            "region": "us-east-1",
            "access_key": "k",
            "secret_key": "s",
            "cache": cache,
        }
        blobs = open_blobs("s3://bucket", ObjectOptions(**(options | changes)))
        assert isinstance(blobs, ObjectBlobs)
        return blobs


class Handler(BaseHTTPRequestHandler):
    server: Bucket

    def respond(self, status: int, body: bytes = b"", *, sent: float = 1.0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"etag"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: round(len(body) * sent)])

    def serve(self) -> None:
        server = self.server
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        server.asked += 1
        if server.failures > 0:
            server.failures -= 1
            self.respond(503)
        elif self.command == "PUT":
            server.objects[self.path] = body
            self.respond(200)
        elif self.path in server.objects:
            self.respond(200, server.objects[self.path], sent=server.answer)
        else:
            self.respond(404)
        self.close_connection = True

    do_GET = do_HEAD = do_PUT = serve  # noqa: N815 - the names http.server calls

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_what_is_put_again_much_later_is_written_again(bucket, tmp_path):
    """A clean-up goes by age: what lay there unused must stay for whoever puts it now."""
    bucket.blobs(tmp_path / "a").put(b"unused")
    (name,) = bucket.objects
    bucket.objects[name] = b"marked"
    bucket.blobs(tmp_path / "b").put(b"unused")
    assert bucket.objects[name] == b"unused"


def test_a_busy_store_is_asked_again(bucket, tmp_path):
    bucket.failures = 3
    assert bucket.blobs(tmp_path / "a").put(DATA) == DIGEST
    assert bucket.asked == 5  # three failures, a look, a put
    bucket.failures = 2
    assert bucket.blobs(tmp_path / "b").get(DIGEST) == DATA


def test_a_store_that_stays_busy_is_unavailable(bucket, tmp_path):
    bucket.failures = 1000
    blobs = bucket.blobs(tmp_path, max_retries=2)
    with pytest.raises(StoreUnavailable, match=r"s3://bucket does not answer"):
        blobs.put(DATA)
    assert bucket.asked == 3
    assert bucket.objects == {}


def test_half_an_answer_is_never_kept(bucket, tmp_path):
    bucket.blobs(tmp_path / "a").put(DATA)
    reader = bucket.blobs(tmp_path / "b", max_retries=1, timeout_s=5)
    bucket.answer = 0.5
    with pytest.raises((StoreUnavailable, Damaged)):
        reader.get(DIGEST)
    assert list(reader.cache.digests()) == []
    bucket.answer = 1.0
    assert reader.get(DIGEST) == DATA


def test_what_is_cached_needs_no_network(bucket, tmp_path):
    blobs = bucket.blobs(tmp_path)
    blobs.put(DATA)
    asked = bucket.asked
    assert blobs.get(DIGEST) == DATA
    assert blobs.local_path(DIGEST)
    assert bucket.asked == asked


def test_a_damaged_cache_never_reaches_the_bucket(bucket, tmp_path):
    blobs = bucket.blobs(tmp_path)
    copy = blobs.cache.local_path(blobs.cache.put(DATA))
    copy.chmod(0o644)
    copy.write_bytes(b"!" + DATA[1:])
    assert blobs.put(DATA) == DIGEST
    assert list(bucket.objects.values()) == [DATA]
    assert blobs.get(DIGEST) == DATA
