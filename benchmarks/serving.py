"""The model server against `mlflow models serve`, BentoML, MLServer and LitServe.

usage: python benchmarks/serving.py [--peers mlflow,litserve,bentoml,mlserver] [--models lr,hgb]
                                    [--seconds 4] [--keep FILE]

A logistic regression and a histogram gradient boosting classifier of 20 numbers, one worker each,
loaded by wrk on the same machine. Thrive answers through its whole path, with the prediction log
on; no peer keeps one. Each peer lives in an environment of its own in ~/.cache/thrive-bench with
the pins of `serving_peers.txt`, is trained on the same rows there, and serves the way its own
documentation shows. Memory is the proportional memory of all processes of a server, 3 s after its
first answer. The cold start of Thrive and of mlflow is the median of three, ours each time in a
folder that never served. The last line holds, of the two models, the worse. With --keep the models
may be measured one after the other: what the file knows of the other one counts too.
"""

import argparse
import contextlib
import http.client
import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from bytecode import compile_ours

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers import free_ports
from tests.serving_home import CONTRACT, MODEL, add_version, live, make_home, route

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "thrive-bench"
PINS = dict(
    line.split("==") for line in (HERE / "serving_peers.txt").read_text().split() if "==" in line
)
WITH = {"mlserver": ["mlserver-sklearn", "uvloop"]}
MODELS = ("lr", "hgb")
FEATURES = [f"x{number}" for number in range(20)]
PLAIN = CONTRACT.replace('entity = ["flight_id"]\nsegments = ["origin"]\n', "")
UNLOGGED = PLAIN.replace("fallback = 0.2", "fallback = 0.2\nlog = { sample = 0.0 }")
IDLE_S = 3.0
COLD_STARTS = 3
START_S = 120.0

FIT = """
import sys
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
kind = sys.argv[1]
rows = np.load("rows.npz")
made = {"lr": LogisticRegression(max_iter=1000), "hgb": HistGradientBoostingClassifier()}[kind]
model = made.fit(rows["x"], rows["y"])
"""
SAVE = {
    "mlflow": """
import mlflow
mlflow.sklearn.save_model(model, f"model-{kind}", serialization_format="cloudpickle",
                          pyfunc_predict_fn="predict_proba", input_example=rows["x"][:2])
""",
    "bentoml": "import joblib; joblib.dump(model, f'model-{kind}.joblib')",
    "litserve": "import joblib; joblib.dump(model, f'model-{kind}.joblib')",
    "mlserver": """
import joblib, json, pathlib
folder = pathlib.Path(f"model-{kind}")
folder.mkdir()
joblib.dump(model, folder / "model.joblib")
(folder / "model-settings.json").write_text(json.dumps({
    "name": "model", "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./model.joblib"}}))
""",
}
BENTO = """
import bentoml, joblib, os
import numpy as np
@bentoml.service(workers=1)
class Model:
    def __init__(self):
        self.model = joblib.load(os.environ["BENCH_MODEL"])
    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(rows)
"""
LIT = """
import joblib, os, sys
import numpy as np
import litserve as ls
class Model(ls.LitAPI):
    def setup(self, device):
        self.model = joblib.load(os.environ["BENCH_MODEL"])
    def decode_request(self, request):
        return np.array(request["rows"])
    def predict(self, rows):
        return self.model.predict_proba(rows)
    def encode_response(self, output):
        return {"output": output.tolist()}
if __name__ == "__main__":
    server = ls.LitServer(Model(), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", num_api_servers=1, log_level="warning",
               generate_client_file=False)
"""
ECHO = """
import sys
import msgspec, uvicorn
async def app(scope, receive, send):
    message = await receive()
    body = msgspec.json.encode(msgspec.json.decode(message["body"]))
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools",
            ws="none", lifespan="off", access_log=False, log_level="warning", server_header=False,
            date_header=False)
"""
LUA = """
wrk.method = "POST"
wrk.body = io.open("{body}"):read("*a")
wrk.headers["Content-Type"] = "application/json"
"""
READ_PIDS = re.compile(r"Pss:\s+(\d+)")


class Load(NamedTuple):
    """What wrk said: requests a second, the 50th and 99th percentile in ms, answers not 2xx."""

    rps: float
    p50: float
    p99: float
    wrong: int


def rows_of_training(folder: Path) -> None:
    """Write the rows that everybody trains on."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8000, len(FEATURES)))
    y = (x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * rng.normal(size=len(x)) > 0).astype(int)
    np.savez(folder / "rows.npz", x=x, y=y)


def wrk(port: int, path: str, body: Path, connections: int, seconds: float) -> Load:
    """Load a server, for whole seconds; a wrong answer ends the benchmark."""
    script = body.with_suffix(".lua")
    script.write_text(LUA.format(body=body))
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
        "--timeout",
        "30s",
    ]
    done = subprocess.run(
        [*command, "-s", str(script), f"http://127.0.0.1:{port}{path}"],
        check=True,
        capture_output=True,
        text=True,
    )
    said = done.stdout
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    if wrong or "Socket errors" in said:
        raise SystemExit(f"{path} was not answered:\n{said}")
    rps = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rps, said
    return Load(float(rps[1]), _ms(said, "50%"), _ms(said, "99%"), 0)


def _ms(said: str, share: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", said)
    assert found, said
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


class Running:
    """A server process, from its start to its first right answer."""

    def __init__(self, command: list[str], folder: Path, environment: dict, ask: "Ask") -> None:
        self.log = folder / "server.log"
        began = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not ask.answered():
            if self.process.poll() is not None or time.perf_counter() - began > START_S:
                self.stop()
                raise SystemExit(f"{command} did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.005)
        self.cold_s = time.perf_counter() - began

    def memory_mb(self) -> float:
        """Return the proportional memory of the process and all its children."""
        total = 0
        for pid in family(self.process.pid):
            with contextlib.suppress(OSError):
                found = READ_PIDS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
                total += int(found[1]) if found else 0
        return total / 1024

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=15)
        for pid in family(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def family(pid: int) -> list[int]:
    """Return a process and everything below it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        for path in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += map(int, path.read_text().split())
    return found


class Ask:
    """One request in the form of a server, and whether it is answered rightly."""

    def __init__(self, port: int, path: str, body: bytes) -> None:
        self.port, self.path, self.body = port, path, body

    def answered(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", self.path, self.body, {"Content-Type": "application/json"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def peer(name: str) -> Path:
    """Return the environment of a peer, made once for this machine."""
    place = CACHE / f"serving-{name}-{PINS[name]}"
    if not (place / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        wanted = [name, "scikit-learn", *WITH.get(name, [])]
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        pinned = [f"{each}=={PINS[each]}" if each in PINS else each for each in wanted]
        subprocess.run([*pip, *pinned], check=True)
        (place / "ready").touch()
    return place


def peer_command(name: str, place: Path, port: int, folder: Path, kind: str) -> list[str]:
    """Return how a peer is started with one worker."""
    tool = str(place / "bin" / name)
    if name == "mlflow":
        words = ["models", "serve", "-m", f"model-{kind}", "--env-manager", "local"]
        return [tool, *words, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    if name == "bentoml":
        (folder / "service.py").write_text(BENTO)
        return [tool, "serve", "service:Model", "--host", "127.0.0.1", "--port", str(port)]
    if name == "litserve":
        (folder / "service.py").write_text(LIT)
        return [str(place / "bin" / "python"), "service.py", str(port)]
    own = {"host": "127.0.0.1", "http_port": port, "debug": False, "parallel_workers": 1}
    own["grpc_port"], own["metrics_port"] = free_ports(2)
    (folder / f"model-{kind}" / "settings.json").write_text(json.dumps(own))
    return [tool, "start", f"model-{kind}"]


def peer_body(name: str, rows: list[list[float]]) -> tuple[str, dict]:
    """Return where a peer is asked, and how."""
    if name == "mlflow":
        return "/invocations", {"inputs": rows}
    if name in {"bentoml", "litserve"}:
        return "/predict", {"rows": rows}
    tensor = {"name": "predict", "shape": [len(rows), len(FEATURES)], "datatype": "FP64"}
    body = {"inputs": [{**tensor, "data": rows}], "outputs": [{"name": "predict_proba"}]}
    return "/v2/models/model/infer", body


def measured(running: Running, ask: Ask, thousand: Ask, folder: Path, seconds: float) -> dict:
    """Load a running server at 1, 16 and 64 connections, and with 1,000 rows at 4."""
    time.sleep(IDLE_S)
    found: dict = {"cold_s": running.cold_s, "idle_mb": running.memory_mb()}
    one, many = folder / "one.json", folder / "thousand.json"
    one.write_bytes(ask.body)
    many.write_bytes(thousand.body)
    wrk(ask.port, ask.path, one, 16, 1.0)
    for connections in (1, 16, 64):
        found[f"c{connections}"] = wrk(ask.port, ask.path, one, connections, seconds)
    found["rows1000"] = wrk(ask.port, thousand.path, many, 4, seconds)
    return found


def measure_peer(name: str, kind: str, rows: list, folder: Path, seconds: float) -> dict:
    """Train, save, serve and load one model by one peer."""
    place = peer(name)
    python = str(place / "bin" / "python")
    subprocess.run([python, "-c", FIT + SAVE[name], kind], cwd=folder, check=True)
    (port,) = free_ports(1)
    path, body = peer_body(name, rows[:1])
    _, bodies = peer_body(name, rows)
    ask = Ask(port, path, json.dumps(body).encode())
    thousand = Ask(port, path, json.dumps(bodies).encode())
    environment = {
        "BENCH_MODEL": str(folder / f"model-{kind}.joblib"),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(folder / "bento"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    command = peer_command(name, place, port, folder, kind)
    running = Running(command, folder, environment, ask)
    try:
        found = measured(running, ask, thousand, folder, seconds)
    finally:
        running.stop()
    if name == "mlflow":
        found["cold_s"] = median_cold(
            running.cold_s, lambda _: Running(command, folder, environment, ask)
        )
    return found


def median_cold(first_s: float, start: Callable[[int], Running]) -> float:
    """Return the median time to the first answer of a start that was seen, and of some more."""
    times = [first_s]
    for number in range(1, COLD_STARTS):
        running = start(number)
        running.stop()
        times.append(running.cold_s)
    return statistics.median(times)


def make_project(folder: Path, kind: str, rows: Path, contract: str) -> None:
    """Make a project with one trained model in production."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    from thrive.packaging.package import pack

    known = np.load(rows)
    sample = pl.DataFrame(known["x"], schema=FEATURES)
    made = {"lr": LogisticRegression(max_iter=1000), "hgb": HistGradientBoostingClassifier()}[kind]
    package = pack(made.fit(sample, known["y"]), sample, positive=1)
    folder.mkdir()
    (folder / "thrive.toml").write_text('contract = 1\n[project]\nname = "flights"\n')
    home = make_home(folder, contract)
    route(home, live(add_version(home, package, contract=contract)))
    home.close()


def our_asks(port: int, rows: list[list[float]]) -> tuple[Ask, Ask]:
    named = [dict(zip(FEATURES, row, strict=True)) for row in rows]
    path = f"/predict/{MODEL}"
    table = {"dataframe_split": {"columns": FEATURES, "data": rows}}
    one = Ask(port, path, json.dumps(named[0]).encode())
    return one, Ask(port, "/invocations", json.dumps(table).encode())


def serve(folder: Path, port: int, ask: Ask) -> Running:
    command = [sys.executable, "-m", "thrive", "serve", "--port", str(port)]
    return Running(command, folder, {}, ask)


def measure_ours(kind: str, rows: list, folder: Path, seconds: float) -> dict:
    """Serve and load one model by Thrive: with the log, without it, and with workers killed."""
    found: dict = {}
    for name, contract in (("logged", PLAIN), ("unlogged", UNLOGGED)):
        make_project(folder / name, kind, folder / "rows.npz", contract)
    for number in range(1, COLD_STARTS):
        shutil.copytree(folder / "logged", folder / f"logged-{number}")
    (port, other) = free_ports(2)
    one, thousand = our_asks(port, rows)
    running = serve(folder / "logged", port, one)
    try:
        found = measured(running, one, thousand, folder, seconds)
        unlogged, _ = our_asks(other, rows)
        beside = serve(folder / "unlogged", other, unlogged)
        try:
            found |= log_cost(one, unlogged, folder, seconds)
        finally:
            beside.stop()
    finally:
        running.stop()
    found["cold_s"] = median_cold(
        running.cold_s, lambda number: serve(folder / f"logged-{number}", port, one)
    )
    return found | {"lost_rows": lost_rows(folder / "logged", one)}


def log_cost(logged: Ask, unlogged: Ask, folder: Path, seconds: float) -> dict:
    """Compare both servers in short turns, many times: a machine is not equally fast for long."""
    body = folder / "one.json"
    shares = []
    for number in range(15):
        rates: dict[Ask, float] = {}
        for ask in (logged, unlogged) if number % 2 else (unlogged, logged):
            rates[ask] = wrk(ask.port, ask.path, body, 64, seconds / 8).rps
        shares.append(1 - rates[logged] / rates[unlogged])
    return {"log_cost": statistics.median(shares)}


def lost_rows(folder: Path, ask: Ask) -> int:
    """Kill everything that serves while callers are answered; return what the log lacks."""
    from thrive.serving.sealing import seal_logs
    from thrive.store.home import open_home
    from thrive.store.prediction_frames import predictions_between

    running = serve(folder, ask.port, ask)
    kept: list[str] = []
    stop = threading.Event()
    callers = [threading.Thread(target=keep_asking, args=(ask, kept, stop)) for _ in range(8)]
    for each in callers:
        each.start()
    time.sleep(1.5)
    for pid in reversed(family(running.process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    stop.set()
    for each in callers:
        each.join()
    running.stop()
    home = open_home(folder)
    seal_logs(home, force=True)
    there = set(predictions_between(home, 0, 1 << 53, MODEL)["prediction_id"])
    home.close()
    print(f"  killed after {len(kept)} answers")
    assert len(kept) > 200
    return len(set(kept) - there)


def keep_asking(ask: Ask, kept: list[str], stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", ask.port, timeout=5)
    with contextlib.suppress(OSError, http.client.HTTPException):
        while not stop.is_set():
            connection.request("POST", ask.path, ask.body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            kept += [each["id"] for each in answer["predictions"]]
    connection.close()


def measure_echo(rows: list, folder: Path, seconds: float) -> float:
    """Return the rate of a bare echo of the same request on the same HTTP server."""
    (port,) = free_ports(1)
    ask = Ask(port, "/", our_asks(port, rows)[0].body)
    running = Running([sys.executable, "-c", ECHO, str(port)], folder, {}, ask)
    body = folder / "echo.json"
    body.write_bytes(ask.body)
    try:
        wrk(port, "/", body, 64, 1.0)
        return wrk(port, "/", body, 64, seconds).rps
    finally:
        running.stop()


def shown(name: str, found: dict) -> None:
    loads = {key: each for key, each in found.items() if isinstance(each, Load)}
    words = [f"{k} {each.rps:.0f}/s p99 {each.p99:.2f} ms" for k, each in loads.items()]
    plain = [f"{k}={v:.3g}" for k, v in found.items() if k not in loads]
    print(f"{name:14} " + "; ".join(words) + "; " + " ".join(plain), flush=True)


def bar(ours: dict, peers: dict) -> dict[str, float]:
    """Return what the last line says: of the models, the worse."""
    kinds = list(ours)

    def against(kind: str, name: str) -> dict:
        return peers.get(kind, {}).get(name, {})

    def worst(ratio, *, least: bool = True) -> float:
        values = [ratio(kind) for kind in kinds]
        return min(values) if least else max(values)

    def rate(kind: str, name: str, key: str = "c64") -> float:
        return against(kind, name)[key].rps if against(kind, name) else math.nan

    def mlflow(kind: str, key: str) -> float:
        return ours[kind][key].rps / rate(kind, "mlflow", key)

    def best(kind: str) -> float:
        return ours[kind]["c64"].rps / max(rate(kind, name) for name in peers[kind])

    def p99(kind: str) -> float:
        return ours[kind]["c16"].p99 / min(each["c16"].p99 for each in peers[kind].values())

    def cold(kind: str) -> float:
        return against(kind, "mlflow").get("cold_s", math.nan) / ours[kind]["cold_s"]

    measured_peers = any(peers.get(kind) for kind in kinds)
    return {
        "rps_vs_mlflow": worst(lambda kind: mlflow(kind, "c64")),
        "rps_vs_best": worst(best) if measured_peers else math.nan,
        "p99_vs_best": worst(p99, least=False) if measured_peers else math.nan,
        "rows1000_vs_mlflow": worst(lambda kind: mlflow(kind, "rows1000")),
        "cold_vs_mlflow": worst(cold),
        "idle_mb": max(each["idle_mb"] for each in ours.values()),
        "echo_share": ours["lr"]["c64"].rps / ours["lr"]["echo"] if "lr" in ours else math.nan,
        "log_cost": max(each["log_cost"] for each in ours.values()),
        "lost_rows": sum(each["lost_rows"] for each in ours.values()),
    }


def main() -> None:
    compile_ours()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="mlflow,litserve,bentoml,mlserver")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    ours, peers = kept(options.keep)
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        rows_of_training(top)
        rows = np.load(top / "rows.npz")["x"][:1000].round(6).tolist()
        echo = measure_echo(rows, top, options.seconds)
        print(f"echo           c64 {echo:.0f}/s", flush=True)
        for kind in options.models.split(","):
            ours[kind] = {"echo": echo} | measure_ours(
                kind, rows, folder_of(top, f"thrive-{kind}"), options.seconds
            )
            shown(f"thrive {kind}", ours[kind])
            peers.setdefault(kind, {})
            for name in filter(None, options.peers.split(",")):
                folder = folder_of(top, f"{name}-{kind}")
                peers[kind][name] = measure_peer(name, kind, rows, folder, options.seconds)
                shown(f"{name} {kind}", peers[kind][name])
            if options.keep:
                options.keep.write_text(json.dumps({"ours": ours, "peers": peers}))
    values = bar(ours, peers)
    print("BAR serving " + " ".join(f"{key}={value:.3g}" for key, value in values.items()))


def kept(file: Path | None) -> tuple[dict, dict]:
    """Return what an earlier call measured."""
    if file is None or not file.exists():
        return {}, {}
    known = json.loads(file.read_text())

    def typed(found: dict) -> dict:
        return {key: Load(*each) if isinstance(each, list) else each for key, each in found.items()}

    ours = {kind: typed(found) for kind, found in known["ours"].items()}
    peers = {
        kind: {name: typed(found) for name, found in those.items()}
        for kind, those in known["peers"].items()
    }
    return ours, peers


def folder_of(top: Path, name: str) -> Path:
    """Return a folder with the rows in it."""
    folder = top / name
    folder.mkdir()
    (folder / "rows.npz").symlink_to(top / "rows.npz")
    return folder


if __name__ == "__main__":
    main()
