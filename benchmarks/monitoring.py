"""Drift, performance without labels, the join of outcomes and the tick, against the peers.

usage: python benchmarks/monitoring.py [--only drift,million,stream,cbpe,join,tick] [--rows N]

Both sides get the same rows: 20 numbers and 10 categories, from the same Parquet files, already
read when the clock starts. Evidently runs its default drift preset, NannyML its univariate default
(Jensen-Shannon) and CBPE on the real census of its own wheel, each in an environment of its own in
~/.cache/thrive-bench. Every part runs in a fresh process.
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
PEERS = Path.home() / ".cache" / "thrive-bench"
QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}
"""No peer waits for a server that counts its users."""
DAY = 86_400_000_000
CARDINALITIES = (2, 3, 5, 8, 12, 20, 40, 60, 100, 200)
PARTS = ("drift", "million", "stream", "cbpe", "join", "tick")


def rows(rng: np.random.Generator, count: int) -> pl.DataFrame:
    """Return 20 numbers and 10 categories."""
    made = {f"n{place}": rng.normal(size=count) for place in range(20)}
    for place, size in enumerate(CARDINALITIES):
        chance = 1 / np.arange(1, size + 1)
        values = np.array([f"v{number}" for number in range(size)])
        made[f"c{place}"] = values[rng.choice(size, count, p=chance / chance.sum())]
    return pl.DataFrame(made)


def peer(name: str) -> Path:
    """Return the Python of a peer's environment, made if there is none."""
    lines = (HERE / "monitoring_peers.txt").read_text().splitlines()
    wanted = next(line.split() for line in lines if line.startswith(f"{name}=="))
    place = PEERS / wanted[0].replace("==", "-")
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        packages = [*wanted, "pyarrow"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def run(code: str, *given: object, python: Path | str = sys.executable) -> dict:
    """Run a piece in its own process; its last line is JSON."""
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", code, *map(str, given)],
        check=True, stdout=subprocess.PIPE, text=True, cwd=HERE.parent,
        env=os.environ | QUIET | {"PYTHONPATH": "src" if python == sys.executable else ""},
    )  # fmt: skip
    return json.loads(done.stdout.strip().split("\n")[-1])


OURS = """
import json, sys, time
import polars as pl
from thrive.contract.schema import ACTION_DEFAULTS, Contract, ModelTerms
from thrive.monitoring.terms import TermsInForce
from thrive.monitoring.baseline import build
from thrive.monitoring.measure import sketches
from thrive.monitoring.judge import columns
terms = TermsInForce(contract=Contract(), model=ModelTerms(actions=ACTION_DEFAULTS))
def read(path):
    return pl.read_parquet(path).with_columns(
        pl.lit(None, pl.Float64).alias("_label"), pl.lit(0.5).alias("_score"))
def peak():
    return int(next(l for l in open("/proc/self/status") if "VmHWM" in l).split()[1]) / 1024
"""
DRIFT = (
    OURS
    + """
reference, current = read(sys.argv[1]), read(sys.argv[2])
took = []
for _ in range(3):
    began = time.perf_counter()
    baseline = build(reference, terms)
    known = baseline.sketches()
    found = columns(baseline, known, sketches(current, baseline.kinds, known), 0)
    took.append(time.perf_counter() - began)
print(json.dumps({"s": min(took), "columns": len(found), "drifted": sum(c.drifted for c in found)}))
"""
)
EVIDENTLY = """
import json, sys, time
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
reference, current = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2])
began = time.perf_counter()
Report([DataDriftPreset()]).run(current, reference).dict()
print(json.dumps({"s": time.perf_counter() - began}))
"""
NANNYML = """
import json, sys, time
import pandas as pd
import nannyml
reference, current = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2])
took = []
for _ in range(2):
    began = time.perf_counter()
    found = nannyml.UnivariateDriftCalculator(
        column_names=list(reference.columns), chunk_number=1,
        continuous_methods=["jensen_shannon"], categorical_methods=["jensen_shannon"],
    ).fit(reference).calculate(current)
    took.append(time.perf_counter() - began)
print(json.dumps({"s": min(took)}))
"""


def drift(folder: Path, count: int) -> dict[str, float]:
    """Time a drift report of 30 columns."""
    rng = np.random.default_rng(1)
    paths = [folder / "reference.parquet", folder / "current.parquet"]
    for path in paths:
        rows(rng, count).write_parquet(path)
    ours = run(DRIFT, *paths)
    theirs = {
        name: run(code, *paths, python=peer(name))
        for name, code in (("evidently", EVIDENTLY), ("nannyml", NANNYML))
    }
    print(f"drift, {count:,} x {count:,}: ours {ours}, theirs {theirs}")
    return {
        "drift_vs_evidently": theirs["evidently"]["s"] / ours["s"],
        "drift_vs_nannyml": theirs["nannyml"]["s"] / ours["s"],
    }


MILLION = (
    OURS
    + """
baseline = build(read(sys.argv[1]), terms)
known = baseline.sketches()
current = read(sys.argv[2])
took = []
for _ in range(3):
    began = time.perf_counter()
    found = columns(baseline, known, sketches(current, baseline.kinds, known), 0)
    took.append(time.perf_counter() - began)
print(json.dumps({"s": min(took), "mb": peak(), "rows": current.height}))
"""
)


def million(folder: Path, count: int) -> dict[str, float]:
    """Time a report of ten times the rows, and its memory."""
    rng = np.random.default_rng(2)
    reference, current = folder / "past.parquet", folder / "million.parquet"
    rows(rng, count).write_parquet(reference)
    rows(rng, 10 * count).write_parquet(current)
    found = run(MILLION, reference, current)
    print(f"report of {found['rows']:,} rows: {found['s']:.2f} s, {found['mb']:.0f} MB")
    return {"million_s": found["s"], "peak_mb": found["mb"]}


STREAM = (
    OURS
    + """
baseline = build(read(sys.argv[1]), terms)
known = baseline.sketches()
current = read(sys.argv[2])
batch = int(sys.argv[3])
parts = [current.slice(at, batch) for at in range(0, current.height, batch)]
took = []
for _ in range(2):
    began = time.perf_counter()
    whole = None
    for part in parts:
        seen = sketches(part, baseline.kinds, known)
        whole = seen if whole is None else {name: whole[name] + seen[name] for name in seen}
    took.append(time.perf_counter() - began)
assert all(item.rows == current.height for item in whole.values())
print(json.dumps({"rows_s": current.height / min(took)}))
"""
)


def stream(folder: Path, count: int) -> dict[str, float]:
    """Time windows that are counted as they come and added up: ten batches of a second's rows."""
    rng = np.random.default_rng(3)
    reference, current = folder / "before.parquet", folder / "stream.parquet"
    rows(rng, count).write_parquet(reference)
    rows(rng, 10 * count).write_parquet(current)
    found = run(STREAM, reference, current, count)
    small = run(STREAM, reference, current, count // 10)
    print(f"stream: {found['rows_s']:,.0f} rows/s in batches of {count:,}, ")
    print(f"        {small['rows_s']:,.0f} rows/s in batches of {count // 10:,}")
    return {"stream_rows_s": found["rows_s"]}


CBPE_OURS = """
import json, sys, time
import numpy as np, polars as pl
from thrive.statistics.estimation import estimate_metrics, fit_calibration
folder = sys.argv[1]
past = pl.read_parquet(folder + "/employment_MA_reference.pq")
live = pl.read_parquet(folder + "/employment_MA_analysis.pq")
score, label = past["predicted_probability"].to_numpy(), past["employed"].to_numpy()
now, said = live["predicted_probability"].to_numpy(), live["prediction"].to_numpy()
took = []
for _ in range(3):
    began = time.perf_counter()
    calibration = fit_calibration(score, label)
    found = []
    for at in range(0, len(now), 5000):
        raw, yes = now[at : at + 5000], said[at : at + 5000]
        told = estimate_metrics(calibration, raw, yes, ("roc_auc", "f1", "accuracy"))
        found.append([one.estimate for one in told.values()])
    took.append(time.perf_counter() - began)
print(json.dumps({"s": min(took), "first": found[0], "chunks": len(found)}))
"""
CBPE_NANNYML = """
import json, sys, time
import pandas as pd
import nannyml
folder = sys.argv[1]
past = pd.read_parquet(folder + "/employment_MA_reference.pq")
live = pd.read_parquet(folder + "/employment_MA_analysis.pq")
took = []
for _ in range(2):
    began = time.perf_counter()
    found = nannyml.CBPE(
        problem_type="classification_binary", y_pred="prediction",
        y_pred_proba="predicted_probability", y_true="employed",
        metrics=["roc_auc", "f1", "accuracy"], chunk_size=5000,
    ).fit(past).estimate(live)
    took.append(time.perf_counter() - began)
table = found.filter(period="analysis").to_df()
first = [float(table[(m, "value")].iloc[0]) for m in ("roc_auc", "f1", "accuracy")]
print(json.dumps({"s": min(took), "first": first, "chunks": len(table)}))
"""


def cbpe(_folder: Path, _count: int) -> dict[str, float]:
    """Time the estimate of three metrics on 42 windows of the census."""
    data = run(
        "import json, nannyml, os; print(json.dumps(os.path.dirname(nannyml.__file__)))",
        python=peer("nannyml"),
    )
    folder = f"{data}/datasets/data"
    ours, theirs = run(CBPE_OURS, folder), run(CBPE_NANNYML, folder, python=peer("nannyml"))
    off = max(abs(a - b) for a, b in zip(ours["first"], theirs["first"], strict=True))
    print(f"CBPE: ours {ours['s']:.3f} s, NannyML {theirs['s']:.2f} s, first window off {off:.1e}")
    assert off < 1e-6
    return {"cbpe_vs_nannyml": theirs["s"] / ours["s"]}


JOIN = """
import json, sys, time
from pathlib import Path
from thrive.feedback.grouped import grouped_performance
began = time.perf_counter()
found = grouped_performance([Path(sys.argv[1])], Path(sys.argv[2]), by=("x.segment",), threshold=0.5)
took = time.perf_counter() - began
peak = int(next(l for l in open("/proc/self/status") if "VmHWM" in l).split()[1]) / 1024
print(json.dumps({"s": took, "mb": peak, "groups": found.height, "labelled": int(found["labelled"].sum())}))
"""  # noqa: E501


def join(folder: Path, count: int) -> dict[str, float]:
    """Time 100 times the rows joined with a third of outcomes, some corrected."""
    total = 100 * count
    rng = np.random.default_rng(4)
    logged, outcomes = folder / "log.parquet", folder / "outcomes.parquet"
    ids = pl.select(
        pl.format("{}{}", pl.int_range(total).cast(pl.String).str.pad_start(8, "0"),
                  pl.lit("0123456789abcdef01234567")).alias("prediction_id")
    ).to_series()  # fmt: skip
    pl.DataFrame(
        {
            "prediction_id": ids,
            "time": np.sort(rng.integers(0, 30 * DAY, total)),
            "version": rng.integers(1, 3, total),
            "variant": ["production"] * total,
            "error": [""] * total,
            "score": rng.random(total),
            "live_id": pl.Series([None] * total, dtype=pl.String),
            "x.segment": np.array([f"s{n}" for n in range(20)])[rng.integers(0, 20, total)],
        }
    ).write_parquet(logged)
    told = pl.Series(rng.choice(total, total * 3 // 10, replace=False))
    again = told.head(len(told) // 50)
    frame = pl.DataFrame({"at": pl.concat([told, again])}).with_columns(
        ids.gather(pl.concat([told, again])).alias("prediction_id"),
        pl.Series("value", rng.integers(0, 2, len(told) + len(again)).astype(np.float64)),
        pl.Series("revision", [0] * len(told) + [1] * len(again)),
        pl.Series("recorded_at", rng.integers(30 * DAY, 40 * DAY, len(told) + len(again))),
    )
    frame.drop("at").sample(fraction=1.0, shuffle=True, seed=1).write_parquet(outcomes)
    found = run(JOIN, logged, outcomes)
    print(f"join of {total:,} x {frame.height:,}: {found}")
    return {"join_s": found["s"], "join_mb": found["mb"]}


def tick(folder: Path, count: int) -> dict[str, float]:
    """Time one tick that closes a window of each of a thousand models, a third of it labelled."""
    models = max(10, count // 100)
    found = run(TICK, folder / "home", models, 200)
    print(f"tick of {models:,} models: {found}")
    return {"tick1000_s": found["s"]}


TICK = """
import json, sys, time
from io import BytesIO
from pathlib import Path
import msgspec, numpy as np, polars as pl
sys.path.insert(0, ".")
from tests.streams import START, Stream
from thrive.domain.actor import local_actor
from thrive.domain.clock import DAY
from thrive.domain.identifiers import new_id
from thrive.domain.model import Model
from thrive.domain.prediction import Outcome, SealedLog
from thrive.domain.release import RoutingTable, Variant
from thrive.flows.controller import tick
from thrive.operations import Context
from thrive.store import models, monitoring, predictions, releases
from thrive.store.eventlog import PredictionId
from thrive.store.home import create_home, made
folder, count, rows = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
home = create_home(made(folder), "many")
ctx = Context(home, local_actor("tester"), operation="bench")
stream = Stream(ctx, rows=rows)
names = [f"m{n}" for n in range(1, count)]
stream.live_day()
tick(ctx)  # the first window of one model: its baseline is what all of them are compared with
with home.write() as tx:
    first = models.get_version(tx, ctx.project_id, "m", 1)
    window = monitoring.find_windows(tx, ctx.project_id, "m")[0]
    for name in names:
        models.save(tx, ctx.project_id, Model(name=name, owner="ml", purpose="tell", created_at=START))
        models.insert_version(tx, ctx.project_id, msgspec.structs.replace(first, model=name), [])
        monitoring.insert_window(tx, ctx.project_id, msgspec.structs.replace(window, model=name))
        releases.move_routing(tx, ctx.project_id, RoutingTable(
            model=name, revision=1, variants=[Variant(version=1, package="a" * 64, share=1.0)],
            fallback=0.2, salt=new_id(), at=START + DAY, reason="t", actor="t"), 0)
def serve(day):
    frames = []
    for name in ["m", *names]:
        frame = stream.frame(day)
        frames.append(frame.with_columns(model=pl.lit(name)))
    whole = pl.concat(frames).sort("_time")
    for part in whole.iter_slices(-(-whole.height // 24)):
        stream.segment += 1
        times = part["_time"].to_list()
        ids = [str(PredictionId(time=at, worker=0, segment=stream.segment, offset=64 + 8 * i)) for i, at in enumerate(times)]
        logged = part.select(
            pl.Series("prediction_id", ids), pl.col("_time").alias("time"), "model",
            pl.lit(1, pl.Int64).alias("version"), pl.lit("production").alias("variant"),
            pl.col("_score").alias("score"), (pl.col("_score") >= 0.5).cast(pl.String).alias("decision"),
            pl.lit("").alias("error"), pl.lit(900, pl.Int64).alias("latency_us"),
            pl.lit(None, pl.String).alias("live_id"),
            *(pl.col(n).alias("x." + n) for n in stream.inputs), pl.col("id").alias("k.id"))
        buffer = BytesIO()
        logged.write_parquet(buffer)
        with home.write() as tx:
            predictions.insert_sealed(tx, ctx.project_id, SealedLog(
                worker=0, segment=stream.segment, from_offset=64, to_offset=64 + 8 * len(ids),
                digest=home.blobs.put(buffer.getvalue()), rows=len(ids), min_time=min(times),
                max_time=max(times), host="h", sealed_at=0))
            predictions.insert_outcomes(tx, ctx.project_id, [
                Outcome(prediction_id=i, value=v > 0.5, observed_at=at, recorded_at=at)
                for i, v, at in zip(ids[::3], part["_label"].to_list()[::3], times[::3])])
serve(START // DAY + 1)
stream.advance()
began = time.perf_counter()
report = tick(ctx)
took = time.perf_counter() - began
assert report.windows == count and not report.problems, report
print(json.dumps({"s": took, "windows": report.windows}))
"""  # noqa: E501


def main() -> None:
    """Run the parts, and print the bar."""
    compile_ours()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default=",".join(PARTS))
    options.add_argument("--rows", type=int, default=100_000)
    given = options.parse_args()
    work = dict(zip(PARTS, (drift, million, stream, cbpe, join, tick), strict=True))
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="thrive-bench-") as folder:
        for name in given.only.split(","):
            began = time.perf_counter()
            found |= work[name](Path(folder), given.rows)
            print(f"  [{name}: {time.perf_counter() - began:.0f} s]", flush=True)
    units = {"drift_vs_evidently": "x", "drift_vs_nannyml": "x", "cbpe_vs_nannyml": "x"}
    told = " ".join(
        f"{name}={value:.4g}{units.get(name, '')}" if value < 10_000 else f"{name}={value:.0f}"
        for name, value in found.items()
    )
    print(f"BAR monitoring {told}")


if __name__ == "__main__":
    main()
