"""A team's parts on this machine: a real PostgreSQL, a real S3 service, and two servers."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.servers import free_ports, postgresql_server, s3_server


class Team:
    """The addresses of a team's stores, and the servers on them.

    Args:
        database: the PostgreSQL address.
        objects: the bucket and prefix.

    Attributes:
        address: the address of a server, once one was started.
        deputy: the token of the model's deputy, who approves what its owner trained.
    """

    def __init__(self, database: str, objects: str) -> None:
        self.database = database
        self.objects = objects
        self.address = ""
        self.deputy = ""
        self._servers: list[subprocess.Popen[bytes]] = []

    def start_server(self, folder: Path, project: str) -> str:
        """Start one `thrive server` in a folder of its own; return its address."""
        folder.mkdir(parents=True)
        port = free_ports(1)[0]
        words = ["server", "--port", str(port), "--project", project]
        words += ["--database", self.database, "--objects", self.objects]
        with (folder / "server.log").open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "thrive", *words], cwd=folder, stdout=log, stderr=log
            )
        self._servers.append(server)
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/health", folder)
        return address

    def stop(self) -> None:
        """Stop the servers."""
        for server in self._servers:
            server.terminate()
        for server in self._servers:
            server.wait(timeout=30)


@contextmanager
def team() -> Generator[Team]:
    """Run the stores until the block ends; the environment carries the bucket's keys."""
    with ExitStack() as running:
        objects = running.enter_context(s3_server())
        database = running.enter_context(postgresql_server(durable=True))
        os.environ |= {
            "AWS_ACCESS_KEY_ID": objects.access_key,
            "AWS_SECRET_ACCESS_KEY": objects.secret_key,
            "AWS_ENDPOINT_URL": objects.endpoint,
            "AWS_REGION": "us-east-1",
        }
        parts = Team(database.new_database(), f"s3://{objects.bucket}/thrive")
        running.callback(parts.stop)
        yield parts


def _wait_for(url: str, folder: Path) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer; see {folder}/server.log")
