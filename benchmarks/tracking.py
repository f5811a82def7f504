"""Tracking and registry against MLflow's own server, in one run, by the same raw HTTP load.

usage: python benchmarks/tracking.py [--seconds 4] [--runs 10000] [--many 100000] [--only PART ...]

Both servers run with their defaults on SQLite and a folder, one after the other, on databases
that exist already. The load is prepared bytes on keep-alive connections; a part that searches
asks for 100 runs of `runs` by a metric and a parameter, ordered by a metric. The load generator
shares the machine with the server. Ratios are MLflow's time over Thrive's. Metrics are logged to
Thrive twice: as by default, and with THRIVE_DURABILITY=full (`log_metric_full`), where each answer
waits for the disk as MLflow's do (SQLite's default is FULL). Thrive's state changes always are
FULL. The peer lives in an environment of its own in ~/.cache/thrive-bench, its pins printed first.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from bytecode import compile_ours

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.tracking_runs import fill_mlflow, fill_thrive

PEER_VERSION = "3.17.2"
PEER = Path.home() / ".cache" / "thrive-bench" / f"mlflow-client-{PEER_VERSION}"
API = "/api/2.0/mlflow/"
CONNECTIONS = 32
HISTORY = 100_000
IDLE_S = 3.0

CLIENT_LOOP = """
import time, mlflow
mlflow.set_experiment("loop")
def one():
    with mlflow.start_run():
        mlflow.log_params({f"p{i}": i for i in range(10)})
        for step in range(100):
            mlflow.log_metrics({f"m{i}": step * i / 7 for i in range(20)}, step=step)
one_warm = mlflow.start_run(); mlflow.end_run()
took = []
for _ in range(5):
    began = time.perf_counter(); one(); took.append(time.perf_counter() - began)
print(min(took))
"""
NATIVE_LOOP = """
import sys, time, thrive
run = thrive.run("native", folder=sys.argv[1])
seconds, keys = float(sys.argv[2]), [f"m{i}" for i in range(int(sys.argv[3]))]
count, began = 0, time.perf_counter()
while time.perf_counter() < began + seconds:
    for _ in range(100):
        run.log({key: 0.25 for key in keys})
    count += 100 * len(keys)
run.finish()
print(count / (time.perf_counter() - began))
"""
SLOWDOWN_LOOP = """
import sys, time, numpy, thrive
logs = sys.argv[2] == "log"
run = thrive.run("training", folder=sys.argv[1])
def work():
    return sum(i * i for i in range(200_000))
work()
clock, cpu = time.perf_counter(), time.process_time()
for step in range(300):
    work()
    if logs:
        run.log({f"m{i}": step / 7 for i in range(10)}, step=step)
spent = time.perf_counter() - clock, time.process_time() - cpu
run.finish()
print(*spent)
"""


class Server:
    """A running server of either kind, and how it is asked."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, token: str, start: float):
        self.process, self.url, self.token, self.start_s = process, url, token, start
        self.answer_s = float("nan")

    def sent(self, method: str, path: str, body: Any = None, query: str = "") -> bytes:
        """Return a request as bytes."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {API}{path}{'?' + query if query else ''} HTTP/1.1",
            f"Host: {self.url.removeprefix('http://')}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
        ]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request and return its answer; also where an event loop runs already."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        sent = urllib.request.Request(f"{self.url}{API}{path}", content, headers, method=method)
        with urllib.request.urlopen(sent, timeout=60) as answer:
            return json.load(answer)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.url.removeprefix("http://").split(":")
        return await asyncio.open_connection(host, int(port), limit=1 << 26)

    def stop(self) -> None:
        """Stop the server and all its processes, and wait for them."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def memory_mb(self) -> float:
        """Return the proportional memory of all processes of the server."""
        total = 0
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                if os.getpgid(int(folder.name)) == self.process.pid:
                    text = (folder / "smaps_rollup").read_text()
                    total += int(text.partition("Pss:")[2].split()[0])
            except (OSError, IndexError):
                continue
        return total / 1024


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes
) -> bytes:
    """Send a request and return the body of its answer, which must be 200."""
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(
            int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        )
    assert head.startswith(b"HTTP/1.1 200"), (head, body[:500])
    return body


def started(
    command: list[str], folder: Path, url: Callable[[], str], token: Callable[[], str], **more: str
) -> Server:
    """Start a server in a process group of its own; it has started at its first 200.

    What it takes until a question to the store is answered is kept beside that: `/health` may be
    answered by less than the whole server.
    """
    began = time.perf_counter()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **more},
        )
    while True:
        assert process.poll() is None, (folder / "server.log").read_text()[-3000:]
        try:
            urllib.request.urlopen(url() + "/health", timeout=60).close()
            server = Server(process, url(), token(), time.perf_counter() - began)
        except (urllib.error.URLError, OSError, ValueError):
            time.sleep(0.01)
        else:
            server.ask("POST", "experiments/search", {"max_results": 1})
            server.answer_s = time.perf_counter() - began
            return server


def start_thrive(folder: Path, durability: str = "normal") -> Server:
    """Start `thrive server` on the home of a folder."""
    file = folder / ".thrive" / "server.json"
    command = [sys.executable, "-m", "thrive", "server", "--port", "0", "--no-worker"]
    return started(
        command,
        folder,
        lambda: json.loads(file.read_text())["url"],
        lambda: json.loads(file.read_text())["token"],
        THRIVE_DURABILITY=durability,
    )


def start_mlflow(folder: Path) -> Server:
    """Start `mlflow server` on the database of a folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # of nobody: another server's answers would be measured
    url = f"http://127.0.0.1:{port}"
    command = [str(PEER / "bin/mlflow"), "server", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    return started(command, folder, lambda: url, lambda: "")


async def _load(server: Server, requests: list[Callable[[], bytes]], seconds: float) -> list[float]:
    """Send requests on one connection each until the time is over; return how long each took."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def caller(make: Callable[[], bytes]) -> None:
        reader, writer = await server.connect()
        while (began := time.perf_counter()) < until:
            await exchange(reader, writer, make())
            took.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(caller(make) for make in requests))
    return took


def rate(server: Server, requests: list[Callable[[], bytes]], seconds: float) -> float:
    """Return requests a second, after half a second of warming up."""
    asyncio.run(_load(server, requests, min(0.5, seconds)))
    began = time.perf_counter()
    took = asyncio.run(_load(server, requests, seconds))
    return len(took) / (time.perf_counter() - began)


def p50(server: Server, sent: bytes, times: int) -> float:
    """Return the median of how long a request takes, in seconds, after one that is not counted."""

    async def ask() -> list[float]:
        reader, writer = await server.connect()
        took: list[float] = []
        for _ in range(times + 1):
            began = time.perf_counter()
            await exchange(reader, writer, sent)
            took.append(time.perf_counter() - began)
        writer.close()
        return took[1:]

    return statistics.median(asyncio.run(ask()))


def new_run(server: Server, experiment: str) -> str:
    body = {"experiment_id": experiment, "start_time": int(time.time() * 1000)}
    return server.ask("POST", "runs/create", body)["run"]["info"]["run_id"]


def log_metric(server: Server, experiment: str, seconds: float, connections: int) -> float:
    """Return single metrics a second, each connection into a run of its own."""

    def requests(run_id: str) -> Callable[[], bytes]:
        step = iter(range(1 << 60))

        def make() -> bytes:
            number = next(step)
            body = {"run_id": run_id, "key": "loss", "value": 1 / (number + 1), "step": number}
            body["timestamp"] = int(time.time() * 1000)
            return server.sent("POST", "runs/log-metric", body)

        return make

    ids = [new_run(server, experiment) for _ in range(connections)]
    return rate(server, [requests(run_id) for run_id in ids], seconds)


def log_batch(server: Server, experiment: str, seconds: float) -> float:
    """Return batches of 1,000 points a second: 20 metrics, 50 steps, one connection."""
    run_id = new_run(server, experiment)
    base = iter(range(0, 1 << 60, 50))
    dice = random.Random(5)

    def make() -> bytes:
        first, now = next(base), int(time.time() * 1000)
        metrics = [
            {"key": f"m{k}", "value": dice.random(), "timestamp": now + s, "step": first + s}
            for s in range(50)
            for k in range(20)
        ]
        return server.sent("POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics})

    prepared = [make() for _ in range(1500)]
    turn = iter(range(1 << 60))
    return rate(server, [lambda: prepared[next(turn) % len(prepared)]], seconds)


def search(server: Server, experiment: str, times: int) -> float:
    """Return the median seconds of a search by a metric and a parameter, ordered."""
    body = {
        "experiment_ids": [experiment],
        "filter": "metrics.m0 > 0.9 and params.p0 = 'x'",
        "order_by": ["metrics.m0 DESC"],
        "max_results": 100,
    }
    sent = server.sent("POST", "runs/search", body)
    assert len(server.ask("POST", "runs/search", body)["runs"]) == 100
    return p50(server, sent, times)


def first_search(server: Server, experiment: str) -> float:
    """Return the seconds of the first search, which reads every run."""
    began = time.perf_counter()
    server.ask("POST", "runs/search", {"experiment_ids": [experiment], "max_results": 1})
    return time.perf_counter() - began


def history(server: Server, experiment: str) -> float:
    """Return the seconds in which a client reads 100,000 points, 25,000 a page."""
    run_id = new_run(server, experiment)
    for first in range(0, HISTORY, 1000):
        metrics = [
            {"key": "long", "value": s / 3, "timestamp": 1_700_000_000_000 + s, "step": s}
            for s in range(first, first + 1000)
        ]
        server.ask("POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics})

    async def read() -> float:
        reader, writer = await server.connect()
        began, token, count = time.perf_counter(), "", 0
        while True:
            query = f"run_id={run_id}&metric_key=long&max_results=25000&page_token={token}"
            sent = server.sent("GET", "metrics/get-history", query=query)
            page = msgspec.json.decode(await exchange(reader, writer, sent))
            count += len(page["metrics"])
            token = page.get("next_page_token", "")
            if not token:
                break
        assert count == HISTORY, count
        writer.close()
        return time.perf_counter() - began

    return min(asyncio.run(read()) for _ in range(2))


def create_version(server: Server, experiment: str, seconds: float) -> float:
    """Return versions a second, one connection."""
    body = {"experiment_id": experiment, "start_time": int(time.time() * 1000)}
    info = server.ask("POST", "runs/create", body)["run"]["info"]
    run_id, source = info["run_id"], info["artifact_uri"] + "/model"
    name = f"model-{uuid.uuid4().hex[:8]}"
    server.ask("POST", "registered-models/create", {"name": name})
    sent = server.sent(
        "POST", "model-versions/create", {"name": name, "source": source, "run_id": run_id}
    )
    return rate(server, [lambda: sent], seconds)


def client_loop(server: Server, folder: Path) -> float:
    """Return the seconds of a training loop of the unmodified client: 100 steps, 20 metrics.

    The best of five in one process: a machine that others use too disturbs a single one.
    """
    address = server.url.replace(
        "http://", f"http://a:{server.token}@" if server.token else "http://"
    )
    done = subprocess.run(
        [PEER / "bin/python", "-c", CLIENT_LOOP],
        env={**os.environ, "MLFLOW_TRACKING_URI": address, "PYTHONWARNINGS": "ignore"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout.split()[-1])


def printed(source: str, *words: str) -> list[float]:
    """Run a script in a process of its own and return the numbers it prints."""
    done = subprocess.run(
        [sys.executable, "-c", source, *words], capture_output=True, text=True, check=True
    )
    return [float(word) for word in done.stdout.split()]


def slowdown(place: str) -> tuple[float, float]:
    """Return by how many per cent logging slows a training loop, in wall and in processor time.

    The median over twelve pairs of neighbours, whose order changes each time: a machine that
    grows slower or faster on its way then meets both alike.
    """
    ratios: list[tuple[float, float]] = []
    for turn in range(12):
        order = ("plain", "log") if turn % 2 else ("log", "plain")
        took = {kind: printed(SLOWDOWN_LOOP, place, kind) for kind in order}
        wall, cpu = (log / plain for log, plain in zip(took["log"], took["plain"], strict=True))
        ratios.append((wall, cpu))
    wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
    return (wall - 1) * 100, (cpu - 1) * 100


def import_ms(python: Path | str, module: str, times: int) -> float:
    """Return the median milliseconds of an import in a fresh process."""
    source = f"import time; b = time.perf_counter(); import {module}"
    source += "; print((time.perf_counter() - b) * 1000)"
    numbers = []
    for _ in range(times):
        done = subprocess.run([python, "-c", source], capture_output=True, text=True, check=True)
        numbers.append(float(done.stdout))
    return statistics.median(numbers)


class Measured:
    """What was measured of one server, by part."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: dict[str, float] = {}

    def note(self, part: str, value: float, unit: str) -> None:
        self.found[part] = value
        print(f"{self.name:7} {part:22} {value:12,.3f} {unit}", flush=True)


def measure(server: Server, into: Measured, experiment: str, options: argparse.Namespace) -> None:
    """Measure the parts that both servers answer."""

    def wanted(part: str) -> bool:
        return not options.only or part in options.only

    seconds = options.seconds
    into.note("start", server.start_s, "s")
    into.note("start_answer", server.answer_s, "s to the first answer of the store")
    if wanted("idle"):
        time.sleep(IDLE_S)
        into.note("idle", server.memory_mb(), "MB")
    if wanted("log_metric"):
        into.note("log_metric", log_metric(server, experiment, seconds, CONNECTIONS), "calls/s")
    if wanted("log_metric_1"):
        into.note("log_metric_1", log_metric(server, experiment, seconds, 1), "calls/s")
    if wanted("log_batch"):
        into.note("log_batch", log_batch(server, experiment, seconds), "batches/s")
    if wanted("search10k"):
        into.note("search10k", search(server, experiment, options.times) * 1000, "ms p50")
    if wanted("history"):
        into.note("history", history(server, experiment), "s")
    if wanted("create_version"):
        into.note("create_version", create_version(server, experiment, seconds), "calls/s")
    if wanted("client_loop"):
        into.note("client_loop", client_loop(server, options.folder), "s")


def measure_thrive(folder: Path, options: argparse.Namespace) -> Measured:
    into = Measured("thrive")
    experiment = fill_thrive(folder / "thrive", options.runs)
    server = start_thrive(folder / "thrive")
    try:
        measure(server, into, experiment, options)
    finally:
        server.stop()
    if not options.only or {"log_metric", "log_metric_full"} & {*options.only}:
        careful = start_thrive(folder / "thrive", "full")
        try:
            found = log_metric(careful, experiment, options.seconds, CONNECTIONS)
            into.note("log_metric_full", found, "calls/s")
        finally:
            careful.stop()
    if not options.only or "native" in options.only:
        for keys in (1, 20):
            words = (str(folder / "thrive"), str(options.seconds), str(keys))
            into.note(f"native_{keys}", printed(NATIVE_LOOP, *words)[0], "points/s")
        place = str(folder / "thrive")
        wall, cpu = slowdown(place)
        into.note("native_slowdown", wall, "%")
        into.note("native_slowdown_cpu", cpu, "% of the processor")
    if not options.only or "import" in options.only:
        into.note("import", import_ms(sys.executable, "thrive", 7), "ms")
        into.note("import_run", import_ms(sys.executable, "thrive.flows.own_run", 5), "ms")
    if not options.only or "search100k" in options.only:
        measure_many(folder / "many", into, options)
    return into


def measure_many(folder: Path, into: Measured, options: argparse.Namespace) -> None:
    experiment = fill_thrive(folder, options.many)
    server = start_thrive(folder)
    try:
        into.note("search100k_first", first_search(server, experiment), "s")
        into.note("search100k", search(server, experiment, 15) * 1000, "ms p50")
        into.note("search100k_memory", server.memory_mb(), "MB")
    finally:
        server.stop()


def measure_mlflow(folder: Path, options: argparse.Namespace) -> Measured:
    into = Measured("mlflow")
    (folder / "mlflow").mkdir()
    start_mlflow(folder / "mlflow").stop()
    experiment = fill_mlflow(folder / "mlflow", options.runs)
    server = start_mlflow(folder / "mlflow")
    try:
        measure(server, into, experiment, options)
    finally:
        server.stop()
    if not options.only or "import" in options.only:
        into.note("import", import_ms(PEER / "bin/python", "mlflow", 2), "ms")
    return into


def disk_ms(folder: Path) -> tuple[float, float]:
    """Return the median and the 90th percentile of how long the disk takes to be sure."""
    took: list[float] = []
    with (folder / "disk").open("wb") as file:
        for _ in range(200):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return took[100], took[180]


def last_line(ours: dict[str, float], theirs: dict[str, float]) -> str:
    """Return the line of the bar; a part that was not measured is `nan`."""

    def more(part: str) -> float:
        return ours.get(part, float("nan")) / theirs.get(part, float("nan"))

    def less(part: str) -> float:
        return theirs.get(part, float("nan")) / ours.get(part, float("nan"))

    full = ours.get("log_metric_full", float("nan")) / theirs.get("log_metric", float("nan"))
    return (
        f"BAR tracking log_metric_vs_mlflow={more('log_metric'):.1f} "
        f"log_metric_full_vs_mlflow={full:.1f} "
        f"log_batch_vs_mlflow={more('log_batch'):.1f} "
        f"search10k_vs_mlflow={less('search10k'):.1f} "
        f"search100k_ms={ours.get('search100k', float('nan')):.1f} "
        f"history_vs_mlflow={less('history'):.1f} "
        f"create_version_vs_mlflow={more('create_version'):.1f} "
        f"client_loop_vs_mlflow={less('client_loop'):.1f} "
        f"start_vs_mlflow={less('start'):.1f} "
        f"idle_mb={ours.get('idle', float('nan')):.0f} "
        f"native_points_s={ours.get('native_1', float('nan')):.0f} "
        f"import_ms={ours.get('import', float('nan')):.0f}"
    )


def main() -> None:
    compile_ours()
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--side", choices=("thrive", "mlflow"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        options.folder = Path(name)
        print("disk fdatasync p50 {:.2f} ms, p90 {:.2f} ms".format(*disk_ms(options.folder)))
        ours, theirs = {}, {}
        if options.side != "mlflow":
            ours = measure_thrive(options.folder, options).found
        if options.side != "thrive":
            print(f"mlflow {PEER_VERSION} in {PEER}")
            theirs = measure_mlflow(options.folder, options).found
    print(last_line(ours, theirs))


if __name__ == "__main__":
    main()
