"""Gates: bias beside fairlearn, the paired test of AUC beside its bootstrap, a whole default gate.

usage: make bench-gates

fairlearn is no dependency: it is installed once, with the pins below, into a folder of its own.
Both sides get the same arrays, and answer the same question: selection rate, true and false
positive rate, precision and accuracy by group of two columns, on a million rows.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
import polars as pl
from bytecode import compile_ours

PEER = Path.home() / ".cache/thrive-bench/fairlearn"
PINS = (
    "fairlearn==0.12.0",
    "scikit-learn==1.6.1",
    "pandas==2.2.3",
    "numpy==2.2.6",
    "scipy==1.14.1",
)
ROWS, GATE_ROWS, REPEATS = 1_000_000, 100_000, 5


def made(rows):
    rng = np.random.default_rng(7)
    score = rng.random(rows)
    return pl.DataFrame(
        {
            "sex": rng.choice(["f", "m", "x"], rows, p=[0.48, 0.48, 0.04]),
            "region": rng.choice([f"r{i:02d}" for i in range(12)], rows),
            "label": (rng.random(rows) < score).astype(np.int8),
            "decision": (score >= 0.5).astype(np.int8),
        }
    )


PEER_PROGRAM = """
import json, sys, time
import pandas as pd
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from sklearn.metrics import accuracy_score, precision_score
rows = pd.read_csv(sys.argv[1])
metrics = dict(selection_rate=selection_rate, true_positive_rate=true_positive_rate,
               false_positive_rate=false_positive_rate, precision=precision_score,
               accuracy=accuracy_score)
spent, rates = [], {}
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    for name in ("sex", "region"):
        frame = MetricFrame(metrics=metrics, y_true=rows["label"], y_pred=rows["decision"],
                            sensitive_features=rows[name])
        rates[name] = {m: {str(k): v for k, v in frame.by_group[m].items()} for m in metrics}
    spent.append(time.perf_counter() - started)
print(json.dumps({"seconds": spent, "rates": rates}))
"""


def peer():
    """Return the interpreter of fairlearn's environment, made when it is first needed."""
    python = PEER / "bin/python"
    if not python.exists():
        venv.create(PEER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PINS], check=True)
    return python


def ours(rows):
    from thrive.gates.counting import cells_of
    from thrive.statistics.fairness import group_rates

    given = rows.select(
        "sex",
        "region",
        pl.col("label").alias("_gate_label"),
        pl.col("decision").alias("_gate_own"),
        pl.col("decision").alias("_gate_other"),
    )
    started = time.perf_counter()
    cells = cells_of(given, ["sex", "region"])
    rates = {name: group_rates(cells.table([name])) for name in cells.columns}
    return time.perf_counter() - started, rates


def bias():
    rows = made(ROWS)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/rows.csv"
        rows.write_csv(path)
        told = subprocess.run(
            [peer(), "-c", PEER_PROGRAM, path, "3"], check=True, capture_output=True, text=True
        )
    theirs = json.loads(told.stdout)
    spent = [ours(rows) for _ in range(2 * REPEATS)]
    worst = 0.0
    for name, groups in spent[0][1].items():
        for each in groups:
            for rate, interval in each.rates.items():
                if rate.value not in theirs["rates"][name]:  # fairlearn has no false omission rate
                    continue
                peer_rate = theirs["rates"][name][rate.value][each.group.partition("=")[2]]
                worst = max(worst, abs(peer_rate - interval.estimate))
    assert worst < 1e-9, f"rates differ by {worst}"
    mine, peers = statistics.median(s for s, _ in spent), statistics.median(theirs["seconds"])
    print(
        f"bias, {ROWS:,} rows x 2 columns: thrive {mine * 1e3:.1f} ms (with Wilson intervals), "
        f"fairlearn {peers:.2f} s, rates agree to {worst:.0e}"
    )
    return peers / mine


def paired_test():
    from thrive.statistics.paired import paired_auc
    from thrive.statistics.resampling import paired_bootstrap

    rng = np.random.default_rng(11)
    label = (rng.random(GATE_ROWS) < 0.2).astype(float)
    a = label + rng.normal(0, 1.5, GATE_ROWS)
    b = a + label * 0.05 + rng.normal(0, 0.5, GATE_ROWS)
    spent = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        found = paired_auc(label, a, b)
        spent.append(time.perf_counter() - started)
    drawn = paired_bootstrap("roc_auc", label, a, b, draws=2000, seed=1)
    off = abs(found.standard_error / drawn.standard_error - 1)
    print(
        f"paired AUC test, {GATE_ROWS:,} rows: {statistics.median(spent):.3f} s, standard error "
        f"{found.standard_error:.6f}, bootstrap's {drawn.standard_error:.6f} ({off:.1%} apart)"
    )
    assert off < 0.05, "the standard error is more than 5% from the bootstrap's"
    return statistics.median(spent)


CONTRACT = """
[team.ours]
channel = "mailto:ours@example.org"
[data.rows]
source = "rows.parquet"
owner = "ours"
why = "Made rows of a benchmark, to time a gate."
personal = {{ group = "none" }}
licence = "CC0-1.0"
retention = "1 year"
[model.speed]
purpose = "bench: tells nobody anything, it is there to time the whole of a default gate run."
owner = "ours"
target = {{ column = "late", positive = 1 }}
[model.speed.gates]
quality = {{ slices = ["group"] }}
bias = {{ groups = ["group"], equal_opportunity = 0.1, demographic_parity = 0.1 }}
"""

PIPELINE = """
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
import thrive

@thrive.step
def fit(trees: int) -> None:
    rows = pl.read_parquet("rows.parquet")
    names = [name for name in rows.columns if name not in {"late", "group"}]
    seen = rows.head(20_000)
    model = HistGradientBoostingClassifier(max_iter=trees, random_state=0)
    model.fit(seen.select(names), seen["late"])
    thrive.register(model, "speed", evaluation=rows.tail(100_000), features=names)

@thrive.pipeline
def train(trees: int = 40) -> None:
    fit(trees)
"""


def default_gate():
    """Time `gates run` of one version against another, on 100 000 rows of 20 features."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(3)
        rows = GATE_ROWS + 20_000
        columns = {f"x{i:02d}": rng.normal(size=rows) for i in range(20)}
        chance = 1 / (1 + np.exp(-sum(columns[f"x{i:02d}"] for i in range(4))))
        frame = pl.DataFrame(columns).with_columns(
            late=pl.Series((rng.random(rows) < chance).astype(np.int8)),
            group=pl.Series(rng.choice(["a", "b", "c", "d"], rows)),
        )
        frame.write_parquet(folder / "rows.parquet")
        (folder / "thrive.toml").write_text(CONTRACT.format())
        (folder / "train.py").write_text(PIPELINE)

        def thrive(*words):
            command = [sys.executable, "-m", "thrive", *words]
            return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

        steps = (["init"], ["data", "add"], ["run", "train.py"], ["run", "train.py", "--trees=41"])
        for words in steps:
            done = thrive(*words)
            assert done.returncode == 0, done.stderr
        spent = []
        for _ in range(3):
            started = time.perf_counter()
            done = thrive("gates", "run", "speed@2", "--against", "1", "--json")
            spent.append(time.perf_counter() - started)
            assert done.returncode in {0, 1, 3}, done.stderr
        results = json.loads(done.stdout)["results"]
        found = {one["check"]: one for one in results}
        assert found["quality"]["evidence"]["rows"] == GATE_ROWS
        answers = ", ".join(f"{name} {one['answer']}" for name, one in found.items())
        taken = statistics.median(spent)
        print(f"a default gate, {GATE_ROWS:,} rows x 20 features: {taken:.1f} s ({answers})")
        return taken


def main():
    compile_ours()
    ratio, auc, gate = bias(), paired_test(), default_gate()
    print(f"BAR gates bias_vs_fairlearn={ratio:.0f} auc_s={auc:.3f} default_gate_s={gate:.1f}")


if __name__ == "__main__":
    main()
