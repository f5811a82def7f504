"""Feature views against Feast: training set, materialisation, online reads, in one run.

usage: python benchmarks/features.py [--rows 1000000] [--without-file]

Feast's file source takes minutes and 15 GB for a million rows, so it is timed once; with
`--without-file` it is left out, and the last line lacks `join_vs_feast`.

The work: 3 views of `rows` rows and 5 numbers each, joined to `rows` questions at their time with
a TTL of 3 days; 3 views of 100,000 keys brought into SQLite; 1 and 100 keys read from all three.
Both sides read the same Parquet files and give the same sums. Feast lives in an environment of
its own in ~/.cache/thrive-bench, with the pins of `features_feast.txt`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from bytecode import compile_ours

HERE = Path(__file__).parent
PEER = Path.home() / ".cache" / "thrive-bench" / "feast-0.67.0"
DAY = 86_400_000_000
ENTITIES = 20_000
"""Keys of the histories: each is seen often enough that its TTL leaves most rows a value."""
KEYS = 100_000
"""Keys that are brought online."""
ONE = """
@feature_view(entity="k", event_time="at", source="{source}", ttl="3 days")
def {name}(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows
"""


def write_data(folder: Path, rows: int) -> None:
    """Write the histories, the newest rows and the questions."""
    random = np.random.default_rng(7)
    now = int(time.time()) * 1_000_000

    def times(count: int, days: int) -> pl.Series:
        at = now - random.integers(1, days * 86_400, count) * 1_000_000
        return pl.Series(at).cast(pl.Datetime("us", "UTC"))

    for number in range(3):

        def values(count: int, number: int = number) -> dict:
            return {f"v{number}_{c}": random.random(count) for c in range(5)}

        history = {"k": random.integers(0, ENTITIES, rows), "at": times(rows, 30), **values(rows)}
        pl.DataFrame(history).unique(["k", "at"]).write_parquet(folder / f"history{number}.parquet")
        newest = {"k": np.arange(KEYS), "at": times(KEYS, 2), **values(KEYS)}
        pl.DataFrame(newest).write_parquet(folder / f"newest{number}.parquet")
    asked = {"k": random.integers(0, ENTITIES, rows), "at": times(rows, 28)}
    pl.DataFrame(asked).write_parquet(folder / "entities.parquet")


def make_project(folder: Path) -> Path:
    """Make a project with six views over the same files."""
    project = folder / "project"
    project.mkdir()
    views = [
        ONE.format(source=f"{kind}{n}", name=f"{kind}{n}")
        for kind in ("history", "newest")
        for n in range(3)
    ]
    head = "import polars as pl\nfrom thrive import feature_view\n"
    (project / "features.py").write_text(head + "".join(views))
    run(project, "init")
    for kind in ("history", "newest"):
        for number in range(3):
            name = f"{kind}{number}"
            run(project, "data", "add", str(folder / f"{name}.parquet"), "--name", name)
    return project


def run(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "thrive", *words]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


JOIN = """
import json, sys, time
import polars as pl
from thrive import features
rows = pl.scan_parquet(sys.argv[1])
times = []
for _ in range(2):  # the peer is timed twice as well: the better one counts
    began, busy = time.perf_counter(), time.process_time()
    found = features.training_set(rows, ["history0", "history1", "history2"], time="at")
    times.append((time.perf_counter() - began, time.process_time() - busy))
took, cpu = (min(part) for part in zip(*times))
peak = int(next(l for l in open("/proc/self/status") if "VmHWM" in l).split()[1]) / 1024
sums = {name: found[name].sum() for name in ("v0_0", "v2_4")}
print(json.dumps({"s": took, "cpu_s": cpu, "rows": found.height, "peak_mb": peak, "sums": sums}))
"""
ONLINE = """
import json, sys, time
import thrive
from thrive import features
views = ["newest0", "newest1", "newest2"]
with thrive.open() as workspace:
    workspace.features.plan()  # both sides have imported what they need
    began, busy = time.perf_counter(), time.process_time()
    workspace.features.materialize(views)
    found = {
        "materialize_s": time.perf_counter() - began,
        "materialize_cpu_s": time.process_time() - busy,
    }
for count, turns in ((1, 20000), (100, 1000)):
    keys = [{"k": (n * 37) % 100_000} for n in range(count)]
    times = []
    for _ in range(turns):
        began = time.perf_counter()
        answer = features.online(views, keys)
        times.append(time.perf_counter() - began)
    found[f"online{count}_ms"] = sorted(times)[turns // 2] * 1000
    found[f"sample{count}"] = answer.values["v1_1"][0]
print(json.dumps(found))
"""


def ours(project: Path, code: str, *words: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=project, check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout.splitlines()[-1])


def peers(folder: Path, *words: str) -> dict:
    if not (PEER / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
        pins = HERE / "features_feast.txt"
        pip = [str(PEER / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(pins)]
        subprocess.run(pip, check=True)
        (PEER / "ready").touch()
    script = [str(PEER / "bin" / "python"), str(HERE / "features_feast.py"), str(folder), *words]
    environment = os.environ | {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(script, check=True, stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def same(a: dict, b: dict) -> None:
    """Both sides must have computed the same thing."""
    for name, value in a["sums"].items():
        assert abs(value - b["sums"][name]) <= 1e-6 * abs(value), (name, a, b)


def main() -> None:
    compile_ours()
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--without-file", action="store_true")
    options = parser.parse_args()
    rows = options.rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, rows)
        project = make_project(folder)
        joined = ours(project, JOIN, str(folder / "entities.parquet"))
        online = ours(project, ONLINE)
        print("thrive", joined, online, flush=True)
        theirs = peers(folder, "online")
        print("feast online", theirs, flush=True)
        duck = peers(folder, "join", "duckdb")
        print("feast duckdb", duck, flush=True)
        file = None if options.without_file else peers(folder, "join", "file")
        print("feast file  ", file, flush=True)
    assert joined["rows"] == rows
    same(joined, duck)
    assert abs(online["sample1"] - theirs["sample1"]) < 1e-12
    ratios = {} if file is None else {"join_vs_feast": file["s"] / joined["s"]}
    ratios |= {
        "join_vs_feast_duckdb": duck["s"] / joined["s"],
        "materialize_vs_feast": theirs["materialize_s"] / online["materialize_s"],
        "online1_vs_feast": theirs["online1_ms"] / online["online1_ms"],
        "online100_vs_feast": theirs["online100_ms"] / online["online100_ms"],
        "join_peak_mb": joined["peak_mb"],
    }
    cpu = {} if file is None else {"join": file["cpu_s"] / joined["cpu_s"]}
    cpu |= {
        "join_duckdb": duck["cpu_s"] / joined["cpu_s"],
        "materialize": theirs["materialize_cpu_s"] / online["materialize_cpu_s"],
    }
    busy = " ".join(f"{name}={value:.1f}" for name, value in cpu.items())
    print(f"processor time, which other work on the machine hardly changes: {busy}")
    shown = " ".join(f"{name}={value:.1f}" for name, value in ratios.items())
    print(f"BAR features {shown}")


main()
