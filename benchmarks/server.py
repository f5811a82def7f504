"""How fast a server answers: a read and a write at 1 and 32 connections, its start, its memory.

usage: python benchmarks/server.py [--seconds 5] [--backend embedded|team]

On both backends: SQLite and a folder, PostgreSQL (durable) and an S3 service. The read is
`jobs list` (a query, nothing cached); the write is `tokens revoke`, a state change with its audit
row and its change row in one transaction that is on the disk before the answer. The load
generator and the database share the machine with the server. The last line speaks of the
embedded backend at 32 connections.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from bytecode import compile_ours

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers import postgresql_server, s3_server

from thrive.store.home import create_home

CONNECTIONS = (1, 32)
IDLE_S = 3.0


def start(folder: Path, words: list[str]) -> tuple[subprocess.Popen[bytes], dict, float]:
    """Start a server; return it, its `server.json`, and the seconds to its first 200."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "thrive", "server", "--port", "0", "--no-worker", *words]
    environment = os.environ | {"THRIVE_LOG_LEVEL": "info"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log, stdout=log)
    file = folder / ".thrive" / "server.json"
    while not file.exists():
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.005)
    known = json.loads(file.read_text())
    while True:
        try:
            urllib.request.urlopen(known["url"] + "/health", timeout=60).close()
            return process, known, time.perf_counter() - began
        except urllib.error.URLError:
            time.sleep(0.005)


def idle_mb(pid: int) -> float:
    """Return the proportional memory of a process in MB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("Pss:")[2].split()[0]) / 1024


def request(known: dict, method: str, target: str, body: bytes = b"") -> bytes:
    place = known["url"].removeprefix("http://")
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {place}",
        f"Authorization: Bearer {known['token']}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def caller(place: str, sent: bytes, until: float, took: list[float]) -> None:
    """Send one request after another on one connection; each must be answered with 200."""
    host, port = place.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        took.append(time.perf_counter() - began)
    writer.close()


def measure(known: dict, sent: bytes, connections: int, seconds: float) -> tuple[float, float]:
    """Return requests a second and the 99th percentile in milliseconds."""
    took: list[float] = []
    place = known["url"].removeprefix("http://")

    async def all_callers() -> float:
        began = time.perf_counter()
        until = began + seconds
        await asyncio.gather(*(caller(place, sent, until, took) for _ in range(connections)))
        return time.perf_counter() - began

    asyncio.run(all_callers())  # warm
    took.clear()
    spent = asyncio.run(all_callers())
    return len(took) / spent, sorted(took)[int(len(took) * 0.99)] * 1000


def revoked_token(known: dict) -> str:
    """Create a token and return its id."""
    body = json.dumps({"name": "bench", "role": ["auditor"]}).encode()
    asked = urllib.request.Request(
        known["url"] + "/api/tokens/create",
        body,
        {"Authorization": f"Bearer {known['token']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)["token_id"]


def measured(folder: Path, words: list[str], label: str, seconds: float) -> dict[str, float]:
    """Start a server, ask it, stop it; return what was measured, by name."""
    process, known, start_s = start(folder, words)
    found = {"start_s": start_s}
    try:
        time.sleep(IDLE_S)
        found["idle_mb"] = idle_mb(process.pid)
        body = json.dumps({"token_id": revoked_token(known)}).encode()
        requests = {
            "read": request(known, "GET", "/api/jobs/list"),
            "write": request(known, "POST", "/api/tokens/revoke", body),
        }
        for kind, sent in requests.items():
            for connections in CONNECTIONS:
                rate, p99 = measure(known, sent, connections, seconds)
                found[f"{kind}_rps"] = rate
                line = f"{label} {kind:5} {connections:2} connections"
                print(f"{line} {rate:8.0f}/s p99 {p99:7.1f} ms", flush=True)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    print(f"{label} first 200 after {start_s:.2f} s, {found['idle_mb']:.0f} MB when idle")
    return found


def embedded(folder: Path, seconds: float) -> dict[str, float]:
    """Measure a server of one folder."""
    (folder / "thrive.toml").write_text("contract = 1\n")
    create_home(folder, "bench").close()
    return measured(folder, [], "sqlite+folder", seconds)


def of_a_team(folder: Path, seconds: float) -> dict[str, float]:
    """Measure a server on PostgreSQL and S3."""
    with s3_server() as objects, postgresql_server(durable=True) as database:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": objects.access_key,
            "AWS_SECRET_ACCESS_KEY": objects.secret_key,
            "AWS_ENDPOINT_URL": objects.endpoint,
            "AWS_REGION": "us-east-1",
        }
        place = f"s3://{objects.bucket}/bench"
        words = ["--database", database.new_database(), "--objects", place, "--project", "bench"]
        (folder / "first").mkdir()
        first, _, _ = start(folder / "first", words)  # it makes the schema, which is not measured
        first.send_signal(signal.SIGTERM)
        first.wait(timeout=60)
        return measured(folder, words, "postgresql+s3", seconds)


BACKENDS = {"embedded": embedded, "team": of_a_team}


def main() -> None:
    compile_ours()
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--backend", choices=BACKENDS)
    options = parser.parse_args()
    found: dict[str, float] = {}
    for name, backend in BACKENDS.items():
        if options.backend in {None, name}:
            with tempfile.TemporaryDirectory() as folder:
                found = backend(Path(folder), options.seconds) | found
    rates = f"read_rps={found['read_rps']:.0f} write_rps={found['write_rps']:.0f}"
    print(f"BAR server {rates} start_s={found['start_s']:.2f} idle_mb={found['idle_mb']:.0f}")


if __name__ == "__main__":
    main()
