"""A home with one model, registered by hand, and a server over it: for tests of serving."""

import atexit
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Self

import msgspec
import polars as pl

from thrive.contract.parse import parse
from thrive.domain.clock import machine_now
from thrive.domain.identifiers import new_id
from thrive.domain.model import Model, ModelVersion
from thrive.domain.project import StoredContract
from thrive.domain.release import RoutingTable, Variant
from thrive.packaging.formats.constant import Constant
from thrive.packaging.package import Package, pack
from thrive.store import changes, models, projects, releases
from thrive.store.home import Home, create_home, open_home

MODEL = "delay"
CONTRACT = """
[team.desk]
channel = "mailto:desk@example.org"
[model.delay]
purpose = "delay-warning: say which flights will be late."
owner = "desk"
users = ["desk board"]
where = "http"
risk = "minimal"
target = { column = "late", positive = true, threshold = 0.5 }
entity = ["flight_id"]
segments = ["origin"]
sla = { p99_ms = 25, availability = 99.9, max_age = "90 days", outcomes_within = "1 day" }
fallback = 0.2
[model.delay.release]
phases = ["shadow 1h", "ab 50% 1d", "full"]
guard = { error_rate = 0.01, p99_ms = 25 }
"""

SAMPLE = pl.DataFrame({"origin": ["EWR", "JFK", "LGA"], "wind": [1.0, None, 3.5]})


def constant_package(value: float = 0.5, **groups: float) -> Package:
    model = Constant(value=value, by="origin" if groups else "", groups=groups)
    return pack(model, SAMPLE, positive=True, created=1)


@cache
def _template() -> Path:
    """Return an empty home to copy: migrating a new database takes most of a second."""
    folder = Path(tempfile.mkdtemp(prefix="thrive-home-"))
    create_home(folder, "flights").close()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def make_home(folder: Path, contract: str = CONTRACT) -> Home:
    shutil.copytree(_template(), folder, dirs_exist_ok=True)
    return with_model(open_home(folder), contract)


def with_model(home: Home, contract: str = CONTRACT) -> Home:
    """Register the model and its contract in a home."""
    parsed = parse(contract)
    with home.write() as tx:
        stored = StoredContract(
            digest=parsed.digest, text=contract, commit="", stored_at=machine_now()
        )
        projects.store_contract(tx, home.project_id, stored)
        models.save(
            tx,
            home.project_id,
            Model(name=MODEL, owner="desk", purpose="warn", created_at=machine_now()),
        )
    return home


def add_version(
    home: Home, package: Package, *, contract: str = CONTRACT, **changed
) -> ModelVersion:
    files = [home.blobs.put(data) for data in package.files.values()]
    digest = home.blobs.put(package.manifest.to_bytes())
    with home.write() as tx:
        version = ModelVersion(
            model=MODEL,
            version=models.next_version(tx, home.project_id, MODEL),
            package=digest,
            signature=msgspec.to_builtins(package.manifest.signature),
            metrics={},
            run_id=new_id(),
            contract=parse(contract).digest,
            commit="",
            created_at=machine_now(),
            actor="ada",
            **{"evaluation": home.blobs.put(b"rows"), "dirty": False, **changed},
        )
        models.insert_version(tx, home.project_id, version, files)
        changes.append(tx, home.project_id, "model", MODEL)
    return version


def route(home: Home, *variants: Variant, fallback: float | None = 0.2, salt: str = "s") -> int:
    """Put a routing table in force without the checks of a release."""
    with home.write() as tx:
        current = releases.current_routing(tx, home.project_id, MODEL)
        revision = (current.revision if current else 0) + 1
        table = RoutingTable(
            model=MODEL,
            revision=revision,
            variants=list(variants),
            fallback=fallback,
            salt=salt,
            at=machine_now(),
            reason="test",
            actor="test",
        )
        releases.move_routing(tx, home.project_id, table, revision - 1)
        changes.append(tx, home.project_id, "model", MODEL)
    return revision


def live(version: ModelVersion, share: float = 1.0, *, shadow: bool = False) -> Variant:
    return Variant(version=version.version, package=version.package, share=share, shadow=shadow)


_SERVE = """
import sys
from pathlib import Path
from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.serving.serve import serve
from thrive.store.home import open_home
home = open_home(Path(sys.argv[1]))
ctx = Context(home, local_actor("test"), folder=Path(sys.argv[1]), operation="serve")
print(serve(ctx, port=0, workers=int(sys.argv[2])))
"""


class Server:
    """A running `serve` process over a project's folder."""

    def __init__(self, folder: Path, workers: int = 1, log: str = "serve.log") -> None:
        self.folder = folder
        self.log = folder / log
        self.process = subprocess.Popen(
            self._command(workers), cwd=folder, stdout=subprocess.PIPE, stderr=self.log.open("wb")
        )
        self.port = self._wait_for_port()

    def _command(self, workers: int) -> list[str]:
        return [sys.executable, "-c", _SERVE, str(self.folder), str(workers)]

    def _wait_for_port(self) -> int:
        announcement = self.folder / ".thrive" / "cache" / "serving.json"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if announcement.exists():
                said = json.loads(announcement.read_bytes())
                if said["pid"] == self.process.pid:
                    return int(said["url"].rpartition(":")[2])
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        raise AssertionError(self.log.read_text())

    def ask(self, path: str, body=None, *, raw: bytes | None = None, **headers):
        """Return (status, decoded body) of a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            names = {"Content-Type": "application/json", **names}
        try:
            connection.request("POST" if data is not None else "GET", path, data, names)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        is_json = "json" in response.headers["content-type"]
        return response.status, json.loads(content) if is_json else content.decode()

    def predict(self, rows, **headers):
        status, answer = self.ask(f"/predict/{MODEL}", {"rows": rows}, **headers)
        assert status == 200, answer
        return answer

    def wait_for_revision(self, revision: int) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.ask("/health")[1]["revisions"].get(MODEL) == revision:
                return
            time.sleep(0.02)
        raise AssertionError(f"revision {revision} was never reached: {self.ask('/health')}")

    def worker_pids(self) -> list[int]:
        return [each["pid"] for each in self.ask("/health")[1]["workers"]]

    def stop(self) -> str:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
        return self.process.communicate(timeout=90)[0].decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.stop()


class RemoteHost(Server):
    """A running `thrive serve --home URL` in a folder that holds nothing of the home."""

    def __init__(self, folder: Path, url: str, token: str, workers: int = 1) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(token + "\n")
        self._url = url
        super().__init__(folder, workers)

    def _command(self, workers: int) -> list[str]:
        words = ["serve", "--home", self._url, "--token-file", "token", "--port", "0"]
        return [sys.executable, "-m", "thrive", *words, "--workers", str(workers)]
