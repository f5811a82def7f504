"""Pipelines against Metaflow, ZenML, Prefect and DVC: five steps, a fan-out, arrays, a rerun.

usage: python benchmarks/training.py [--peers metaflow,zenml,prefect,dvc] [--repeat 3]

The same trivial work is written for each; whole processes are timed, wall and CPU seconds of
the process and all that it waited for, the best of `repeat`. The five steps of each are timed in
turns with ours, so that a machine that grows slower slows everybody. Isolated peers run each task
in a process of its own: Metaflow and DVC. Each peer lives in an environment of its own in
~/.cache/thrive-bench, with the pins of `training_peers.txt`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bytecode import compile_ours

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "thrive-bench"
PINS = dict(
    line.split("==") for line in (HERE / "training_peers.txt").read_text().split() if "==" in line
)
EXTRAS = {"zenml": "zenml[local]"}
ISOLATED = ("metaflow", "dvc")
WIDTH = 100

THRIVE = """\
import time
from thrive import log, pipeline, step
{head}

@step
def first() -> int:
    return 1

@step
def add(x: int) -> int:
    return x + 1

@step{options}
def tiny(x: int) -> int:
    return x + 1

@pipeline
def five():
    x = first()
    for _ in range(4):
        x = add(x)

@pipeline
def wide(count: int = 100):
    began = time.perf_counter()
    total = sum(tiny.map(range(count)))
    log(seconds=time.perf_counter() - began, total=total)

@pipeline
def chain(count: int = 50):
    began = time.perf_counter()
    for number in range(count):
        tiny(number)
    log(seconds=time.perf_counter() - began)
"""
ARRAY = """
import json, sys, tempfile, time
import numpy as np
from thrive.training.artifacts import ArtifactStore
array = np.random.default_rng(0).random(62_500_000)
with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
    store = ArtifactStore(folder, folder)
    began = time.process_time()
    ref = store.keep(array, "the array")
    put = time.process_time() - began
    times = []
    for _ in range(5):
        start = time.perf_counter()
        found = store.fetch(ref)
        times.append(time.perf_counter() - start)
    assert found[7] == array[7] and found.shape == array.shape
print(json.dumps({"put_s": put, "get_ms": min(times) * 1000}))
"""
KEYS = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import many
from thrive.training import sources
from thrive.training.closure import closure_of
sources.remember()
closure_of(many.f0)
began = time.perf_counter()
for number in range(1, 200):
    closure_of(getattr(many, f"f{number}"))
print(json.dumps({"ms": (time.perf_counter() - began) / 199 * 1000}))
"""

METAFLOW_FIVE = """\
from metaflow import FlowSpec, step
class Five(FlowSpec):
    @step
    def start(self):
        self.x = 1
        self.next(self.a)
    @step
    def a(self):
        self.x += 1
        self.next(self.b)
    @step
    def b(self):
        self.x += 1
        self.next(self.c)
    @step
    def c(self):
        self.x += 1
        self.next(self.end)
    @step
    def end(self):
        self.x += 1
if __name__ == "__main__":
    Five()
"""
METAFLOW_WIDE = """\
from metaflow import FlowSpec, step
class Wide(FlowSpec):
    @step
    def start(self):
        self.items = list(range(100))
        self.next(self.tiny, foreach="items")
    @step
    def tiny(self):
        self.y = self.input + 1
        self.next(self.join)
    @step
    def join(self, inputs):
        self.total = sum(i.y for i in inputs)
        self.next(self.end)
    @step
    def end(self):
        assert self.total == 5050
if __name__ == "__main__":
    Wide()
"""
PREFECT_FIVE = """\
from prefect import flow, task
@task
def first(): return 1
@task
def add(x): return x + 1
@flow
def five():
    x = first()
    for _ in range(4):
        x = add(x)
    return x
assert five() == 5
"""
ZENML_FIVE = """\
from zenml import pipeline, step
@step
def first() -> int:
    return 1
@step
def add(x: int) -> int:
    return x + 1
@pipeline(enable_cache=False)
def five():
    x = first()
    for _ in range(4):
        x = add(x)
five()
"""
DVC_STAGE = """\
  s{n}:
    cmd: python3 -c "open('{n}','w').write(str(int(open('{before}').read())+1))"
    deps: ['{before}']
    outs: ['{n}']
"""
DVC_WIDE = """\
stages:
  tiny:
    foreach: {items}
    do:
      cmd: python3 -c "open('o${{item}}','w').write(str(${{item}}+1))"
      outs: ['o${{item}}']
"""


def timed(command: list[str], folder: Path, environment: dict | None = None) -> tuple[float, float]:
    """Return wall and CPU seconds of a command and all that it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def best(times: list[tuple[float, float]]) -> tuple[float, float]:
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


def thrive(folder: Path, *words: str) -> tuple[float, float]:
    return timed([sys.executable, "-m", "thrive", *words], folder)


def metric(folder: Path, *words: str) -> float:
    """Return the metric `seconds` of a run."""
    command = [sys.executable, "-m", "thrive", "--json", "run", *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["metrics"]["seconds"]


def project(folder: Path, name: str, head: str = "", options: str = "") -> Path:
    place = folder / name
    place.mkdir()
    (place / "thrive.toml").write_text(f'contract = 1\n[project]\nname = "{name}"\n')
    (place / "work.py").write_text(THRIVE.format(head=head, options=options))
    thrive(place, "init")
    return place


def measure_ours(folder: Path, repeat: int) -> dict:
    plain = project(folder, "plain")
    wide = best([thrive(plain, "run", "work.py:wide", "--no-cache") for _ in range(repeat)])
    imports = best([timed([sys.executable, "-c", "import work"], plain) for _ in range(repeat)])
    thrive(plain, "run", "work.py:five")
    cached = best([thrive(plain, "run", "work.py:five") for _ in range(repeat)])
    inline = project(folder, "inline", options='(isolation="inline")')
    thousand = best(
        [
            thrive(inline, "run", "work.py:wide", "--count", "1000", "--no-cache")
            for _ in range(repeat)
        ]
    )
    heavy = project(folder, "heavy", head="import sklearn.ensemble, sklearn.linear_model")
    chain = min(metric(heavy, "work.py:chain", "--no-cache") for _ in range(repeat))
    fork = min(
        metric(heavy, "work.py:wide", "--count", "1000", "--no-cache") for _ in range(repeat)
    )
    return {
        "wide": wide,
        "cached_s": cached[0] - imports[0],
        "cached_cpu_s": cached[1] - imports[1],
        "inline1000": thousand,
        "fork1000_s": fork,
        "fork_step_ms": chain / 50 * 1000,
        "array": answer(ARRAY, str(folder)),
        "key_ms": answer(KEYS, str(many_functions(folder)))["ms"],
    }


def answer(code: str, *words: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def many_functions(folder: Path) -> Path:
    """Write a module of 200 functions, each with a helper and a constant of its own."""
    lines = ["import math"]
    for n in range(200):
        lines += [
            f"C{n} = {n}",
            f"def h{n}(x):",
            f"    y = x * C{n}",
            "    for i in range(3):",
            "        y += math.sin(i)",
            "    return y",
            f"def f{n}(x, by=2):",
            f"    z = [h{n}(v) for v in x if v > by]",
            f"    return sum(z) + C{n}",
        ]
    place = folder / "many"
    place.mkdir()
    (place / "many.py").write_text("\n".join(lines))
    return place


def peer(name: str) -> Path:
    """Return the environment of a peer, made once for this machine."""
    place = CACHE / f"training-{name}-{PINS[name]}"
    if not (place / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        wanted = f"{EXTRAS.get(name, name)}=={PINS[name]}"
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", wanted]
        subprocess.run(pip, check=True)
        (place / "ready").touch()
    return place


def measure_peer(name: str, folder: Path, repeat: int) -> dict:
    place = peer(name)
    work = folder / name
    work.mkdir()
    quiet = {
        "HOME": str(work),
        "ZENML_CONFIG_PATH": str(work / "zen"),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "AUTO_OPEN_DASHBOARD": "false",
        "PREFECT_HOME": str(work / "prefect"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "DO_NOT_TRACK": "1",
        "METAFLOW_USER": "bench",
        "USERNAME": "bench",
        "DVC_NO_ANALYTICS": "1",
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    python = str(place / "bin" / "python")
    if name == "dvc":
        return measure_dvc(place, folder, work, quiet, repeat)
    scripts = {"metaflow": METAFLOW_FIVE, "prefect": PREFECT_FIVE, "zenml": ZENML_FIVE}
    (work / "five.py").write_text(scripts[name])
    words = ["run"] if name == "metaflow" else []
    command = [python, "five.py", *words]
    timed(command, work, quiet)  # the first call makes its stores
    found: dict = {"five": in_turns(folder, repeat, command, work, quiet)}
    if name == "metaflow":
        (work / "wide.py").write_text(METAFLOW_WIDE)
        wide = [python, "wide.py", "run", "--max-workers", str(os.cpu_count() or 2)]
        found["wide"] = timed(wide, work, quiet)
    return found


def in_turns(folder: Path, repeat: int, command: list[str], work: Path, quiet: dict) -> dict:
    """Time five steps of ours and of a peer in turns; return the best of each."""
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for _ in range(repeat):
        ours.append(thrive(folder / "plain", "run", "work.py:five", "--no-cache"))
        theirs.append(timed(command, work, quiet))
    return {"ours": best(ours), "theirs": best(theirs)}


def measure_dvc(place: Path, folder: Path, work: Path, quiet: dict, repeat: int) -> dict:
    dvc = str(place / "bin" / "dvc")
    (work / "five").mkdir()
    (work / "wide").mkdir()
    timed([dvc, "init", "--no-scm", "-q"], work / "five", quiet)
    timed([dvc, "init", "--no-scm", "-q"], work / "wide", quiet)
    (work / "five" / "start").write_text("0")
    stages = [DVC_STAGE.format(n=n, before=n - 1 if n else "start") for n in range(5)]
    (work / "five" / "dvc.yaml").write_text("stages:\n" + "".join(stages))
    (work / "wide" / "dvc.yaml").write_text(DVC_WIDE.format(items=list(range(WIDTH))))
    five = in_turns(folder, repeat, [dvc, "repro", "-f", "-q"], work / "five", quiet)
    again = [timed([dvc, "repro", "-q"], work / "five", quiet) for _ in range(repeat)]
    wide = timed([dvc, "repro", "-f", "-q"], work / "wide", quiet)
    return {"five": five, "wide": wide, "cached": best(again)}


def main() -> None:
    compile_ours()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="metaflow,zenml,prefect,dvc")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ours = measure_ours(folder, options.repeat)
        print(json.dumps({"thrive": ours}))
        found = {}
        for name in filter(None, options.peers.split(",")):
            found[name] = measure_peer(name, folder, options.repeat)
            print(json.dumps({name: found[name]}))
    report(ours, found)


def report(ours: dict, found: dict) -> None:
    """Print the ratios; the last line is for machines."""
    five = [each["five"]["theirs"][0] / each["five"]["ours"][0] for each in found.values()]
    isolated = [found[name]["wide"][0] for name in ISOLATED if name in found]
    bar = {
        "five_steps_vs_best": min(five, default=float("nan")),
        "map100_vs_best": min(isolated, default=float("nan")) / ours["wide"][0],
        "inline1000_s": ours["inline1000"][0],
        "fork1000_s": ours["fork1000_s"],
        "fork_step_ms": ours["fork_step_ms"],
        "put500mb_s": ours["array"]["put_s"],
        "get500mb_ms": ours["array"]["get_ms"],
        "cached_rerun_s": ours["cached_s"],
        "code_key_ms": ours["key_ms"],
    }
    print("BAR training " + " ".join(f"{key}={value:.3g}" for key, value in bar.items()))


if __name__ == "__main__":
    main()
