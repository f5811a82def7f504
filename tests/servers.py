"""Real servers for tests, started from wheels on free loopback ports."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from thrive.domain.errors import ThriveError
from thrive.store.blobs import ObjectOptions, open_blobs


class S3Server(NamedTuple):
    """A running S3 service and the key that may do everything on it."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    pid: int

    def options(self, **changes) -> ObjectOptions:
        known = {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key": self.access_key,
            "secret_key": self.secret_key,
        }
        return ObjectOptions(**(known | changes))


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address that nobody used a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run SeaweedFS (`weed server -s3`) with one bucket until the block ends."""
    program = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    folder = Path(tempfile.mkdtemp(prefix="thrive-s3-"))
    process = None
    try:
        process, server = _start(program, folder)
        yield server
    finally:
        if process:
            process.kill()  # it may take over 10 s to leave when asked politely
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _start(program: str, folder: Path) -> tuple[subprocess.Popen[bytes], S3Server]:
    key, secret, bucket = "test-key", "test-secret", "thrive"
    config = folder / "s3.json"
    who = {"name": "test", "credentials": [{"accessKey": key, "secretKey": secret}]}
    config.write_text(json.dumps({"identities": [who | {"actions": ["Admin", "Read", "Write"]}]}))
    names = ["s3", "filer", "master", "volume"]
    ports = free_ports(2 * len(names))
    flags = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
    flags += [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[4:], strict=True)]
    (folder / "data").mkdir()
    command = [program, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-s3", f"-s3.config={config}", *flags]
    command += ["-volume.max=20", "-master.volumeSizeLimitMB=64"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    server = S3Server(f"http://127.0.0.1:{ports[0]}", key, secret, bucket, process.pid)
    try:
        _make_bucket(server, process)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process, server


def _make_bucket(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server takes a bucket and an object in it."""
    import urllib.request

    from obstore.store import S3Store

    signer = S3Store(
        server.bucket,
        config={
            "endpoint": server.endpoint,
            "region": "us-east-1",
            "access_key_id": server.access_key,
            "secret_access_key": server.secret_key,
        },
        client_options={"allow_http": True},
    )
    deadline = time.monotonic() + 60
    last: Exception | None = None
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(_create_bucket_request(signer), timeout=5)
        try:
            open_blobs(f"s3://{server.bucket}/start", server.options(max_retries=0)).probe()
        except ThriveError as error:
            last = error
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the S3 server did not start: exit {process.poll()}, {last}")


def _create_bucket_request(signer):
    import urllib.request
    from datetime import timedelta

    import obstore

    url = obstore.sign(signer, "PUT", "", timedelta(minutes=1))
    return urllib.request.Request(url, method="PUT")
