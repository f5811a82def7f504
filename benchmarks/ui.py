"""The pages in a real Chromium with a cold cache, over homes of the bar's size; and MLflow's.

`python benchmarks/ui.py [--runs 100000] [--points 10000000] [--models 1000] [--peer-runs 10000]`;
`--folder F --fill` only makes the homes, and `--folder F` then measures them.

Times are medians of several loads, each in a browser context of its own: from the navigation until
the page is painted (two frames after what was waited for). MLflow's table of runs stands in for
ours at the same number of the same runs, with its own server and pins of `tracking.py`; it is asked
by the same browser in the same minute. `vs_mlflow` is the smaller of two ratios: table ready, and
filter typed to rows shown.
"""

import argparse
import gzip
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from bytecode import compile_ours
from msgspec.structs import replace
from playwright.sync_api import Response, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.tracking import PEER, PEER_VERSION, start_mlflow
from benchmarks.tracking_runs import fill_mlflow, fill_thrive
from tests.unit.ui.addresses import every_page, ids_of
from tests.unit.ui.filled_home import MODEL, FilledHome

from thrive.domain.actor import local_actor
from thrive.domain.clock import MINUTE, machine_now
from thrive.domain.identifiers import new_id
from thrive.domain.run import MetricSummary, Run, RunState
from thrive.operations import Context
from thrive.store import gates, models, monitoring, releases, runs
from thrive.store.home import create_home, open_home
from thrive.store.observations import Observation, observe_one
from thrive.store.points import Points
from thrive.ui.pages import today

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SERVER = """
import sys
from pathlib import Path
from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.home import open_home
from thrive.ui.operations import ui
folder = Path(sys.argv[1])
ui(Context(open_home(folder), local_actor("ana"), folder=folder, operation="ui"), port=0)
"""
PAINTED = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
    () => done(performance.now()))))"""
LOADS = 5
PAGE_LOADS = 3
WINDOWS = 30
COMPARED = 200
FILTER = "metrics.m0 > 0.999"
VIEWPORT = {"width": 1280, "height": 900}


def fill_runs(context: Context, count: int) -> None:
    """Add runs with ten metrics and ten parameters each."""
    rng = np.random.default_rng(3)
    began = machine_now() - count * MINUTE
    for first in range(0, count, 2000):
        with context.home.write() as tx:
            for place in range(first, min(first + 2000, count)):
                values = rng.random(10).round(6).tolist()
                run = Run(
                    run_id=new_id(),
                    experiment=f"sweep-{place % 5}",
                    name=f"trial {place}",
                    state=RunState.DONE,
                    actor="ana",
                    started_at=began + place * MINUTE,
                    ended_at=began + place * MINUTE + MINUTE,
                    metrics={f"m{at}": value for at, value in enumerate(values)},
                    params={f"p{at}": int(value * 20) for at, value in enumerate(values)},
                )
                runs.save(tx, context.project_id, run)


def fill_points(context: Context, run_id: str, count: int) -> None:
    """Log one metric of many points into a run."""
    rng = np.random.default_rng(5)
    for first in range(0, count, 1 << 20):
        last = min(first + (1 << 20), count)
        steps = np.arange(first, last)
        values = np.exp(-steps / count * 4) + rng.normal(0, 0.02, last - first)
        columns = {"long": Points(steps, steps * 1000, values)}
        with context.home.write() as tx:
            observe_one(tx, context.project_id, run_id, Observation(columns=columns))
    with context.home.write() as tx:
        runs.compact(tx, context.project_id, run_id)


def fill_models(context: Context, count: int) -> None:
    """Put many more models into production: each as the one in trouble, without its alerts."""
    project = context.project_id
    with context.read() as tx:
        model = models.get(tx, project, MODEL)
        version = models.get_version(tx, project, MODEL)
        table = releases.current_routing(tx, project, MODEL)
        verdict = gates.find_verdicts(tx, project, MODEL, version.version, limit=1)[0]
        release = releases.find(tx, project, MODEL, limit=1)[0]
        windows = monitoring.find_windows(tx, project, MODEL)[-WINDOWS:]
    assert table is not None
    live = replace(table.variants[0], version=1, share=1.0, shadow=False)
    for first in range(0, count, 50):
        with context.observe("model:many") as tx:
            for name in (f"model-{place:04d}" for place in range(first, min(first + 50, count))):
                its = {"model": name}
                models.save(tx, project, replace(model, name=name))
                models.insert_version(tx, project, replace(version, **its, version=1), [])
                routed = replace(table, **its, revision=1, variants=[live])
                releases.move_routing(tx, project, routed, 0)
                judged = replace(verdict, **its, version=1, verdict_id=new_id())
                gates.insert_verdict(tx, project, judged)
                releases.save(tx, project, replace(release, **its, release_id=new_id()))
                for window in windows:
                    closed = replace(window, **its, version=1)
                    monitoring.insert_window(tx, project, closed)


def painted(page, selector: str) -> float:
    """Return the milliseconds from a page's navigation until what it shows is painted."""
    page.wait_for_selector(selector)
    return page.evaluate(PAINTED)


def median(browser, measure: Callable, times: int = LOADS) -> float:
    """Return the median of a measurement, each in a context with a cold cache."""
    found = []
    for _ in range(times):
        context = browser.new_context(viewport=VIEWPORT)
        page = context.new_page()
        page.set_default_timeout(120_000)
        found.append(measure(page))
        context.close()
    return statistics.median(found)


def ready(browser, address: str, selector: str = "h1", times: int = LOADS) -> float:
    """Return the milliseconds from a navigation to a painted page."""

    def measure(page) -> float:
        page.goto(address)
        return painted(page, selector)

    return median(browser, measure, times)


def filtered(browser, base: str) -> float:
    """Return the milliseconds from the last letter of a filter to the rows it leaves."""

    def measure(page) -> float:
        page.goto(f"{base}/runs")
        before = page.inner_text("#matched")
        page.get_by_label("Filter").fill(FILTER)
        began = time.perf_counter()
        page.wait_for_function(
            "old => document.querySelector('#matched').innerText !== old", arg=before
        )
        return (time.perf_counter() - began) * 1000

    return median(browser, measure)


def mlflow_filtered(browser, address: str, newest: str) -> float:
    """Return the same of MLflow's table, which filters when Enter is pressed."""

    def measure(page) -> float:
        page.goto(address)
        page.wait_for_selector(f"text={newest}")
        page.wait_for_timeout(1000)  # it goes on drawing; we do not charge that to the filter
        box = page.get_by_test_id("search-box")
        box.fill(FILTER)
        began = time.perf_counter()
        box.press("Enter")
        page.wait_for_selector(f"text={newest}", state="detached")
        page.wait_for_selector("text=/run-[0-9]+/")
        return (time.perf_counter() - began) * 1000

    return median(browser, measure, 3)


def weight(browser, address: str) -> float:
    """Return the kB of a page and its own files, as gzip sends them, without the data of charts."""
    context = browser.new_context(viewport=VIEWPORT)
    page = context.new_page()
    heard: list[Response] = []
    page.on("response", lambda answer: heard.append(answer))  # noqa: PLW0108 - it marks what it calls, and a method takes no mark
    page.goto(address)
    page.wait_for_load_state("load")
    bodies = [
        each.body() for each in heard if not re.search(r"/(series|artifacts|live)\b", each.url)
    ]
    context.close()
    return sum(len(gzip.compress(each)) for each in bodies) / 1000


@contextmanager
def pages(folder: Path) -> Iterator[str]:
    """Serve the pages of a home as `thrive ui` does, and return their address."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    enter = server.stderr.readline().removeprefix("next: open ").partition(" (")[0]
    yield enter.partition("/enter/")[0]
    server.terminate()
    server.wait(30)


def fill(folder: Path, given: argparse.Namespace) -> None:
    """Make the homes that are measured: many runs and points, many models, and the peer's runs."""
    context = context_of(folder / "many", create=True)
    made = FilledHome(context)
    held, other = made.hold_release(), made.add_run()
    fill_runs(context, given.runs)
    fill_points(context, other, given.points)
    with context.read() as tx:
        some = [run.run_id for run in runs.find(tx, context.project_id, limit=COMPARED)]
        summaries = runs.get(tx, context.project_id, other).summaries or {}
    assert isinstance(summaries["long"], MetricSummary)
    context.home.close()
    ids = {**ids_of(made, held, other), "some": ",".join(some)}
    context = context_of(folder / "models", create=True)
    FilledHome(context)
    fill_models(context, given.models)
    context.home.close()
    fill_thrive(folder / "runs", given.peer_runs)
    (folder / "mlflow").mkdir()
    start_mlflow(folder / "mlflow").stop()
    ids["experiment"] = fill_mlflow(folder / "mlflow", given.peer_runs)
    ids["newest"] = f"run-{given.peer_runs - 1}"
    (folder / "made.json").write_text(json.dumps(ids))


def context_of(folder: Path, *, create: bool = False) -> Context:
    """Return the context of a home."""
    folder.mkdir(exist_ok=True)
    home = create_home(folder, "flights") if create else open_home(folder)
    return Context(home, local_actor("ana"), folder=folder, operation="test")


def measure_pages(browser, folder: Path, made: dict[str, str]) -> dict[str, float]:
    """Return what the pages of the large home took."""
    with pages(folder / "many") as base:
        blank = ready(browser, f"{base}/static/thrive.css", "pre")
        took = {path: ready(browser, base + path, times=PAGE_LOADS) for path in every_page(made)}
        heavy = {path: weight(browser, base + path) for path in every_page(made)}
        for path, value in took.items():
            times = f"{value:6.0f} ms, {value / blank:.1f} x a plain file ({blank:.0f} ms)"
            print(f"{path[:50]:50} {times}, {heavy[path]:5.1f} kB")
        return {
            "page": max(took.values()),
            "kb": max(heavy.values()),
            "runs": ready(browser, f"{base}/runs", "table.runs tbody tr"),
            "filter": filtered(browser, base),
            "chart": ready(browser, f"{base}/runs/{made['other']}", "line-chart canvas"),
            "compare": ready(browser, f"{base}/compare?run={made['some']}"),
        }


def measure_peer(browser, folder: Path, made: dict[str, str]) -> float:
    """Return how many times as long MLflow takes for the same runs: the smaller of two ratios."""
    with pages(folder / "runs") as base:
        ours = ready(browser, f"{base}/runs", "table.runs tbody tr"), filtered(browser, base)
    server = start_mlflow(folder / "mlflow")
    table, newest = f"{server.url}/#/experiments/{made['experiment']}/runs", made["newest"]
    try:
        theirs = ready(browser, table, f"text={newest}", 3), mlflow_filtered(browser, table, newest)
    finally:
        server.stop()
    for name, mine, other in zip(("table ready", "filter shown"), ours, theirs, strict=True):
        times = f"{mine:6.0f} ms, MLflow {PEER_VERSION} {other:6.0f} ms"
        print(f"{name} at the peer's runs: {times}, {other / mine:.1f} x")
    return min(other / mine for mine, other in zip(ours, theirs, strict=True))


def measure_today(folder: Path) -> float:
    """Return the milliseconds in which the server makes Today of very many models."""
    context = context_of(folder / "models")
    today.load(context)
    took = []
    for _ in range(LOADS):
        began = time.perf_counter()
        today.load(context)
        took.append((time.perf_counter() - began) * 1000)
    context.home.close()
    return statistics.median(took)


def main() -> None:
    """Make the homes, measure them, and print the bar."""
    compile_ours()
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--peer-runs", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--fill", action="store_true")
    given = parser.parse_args()
    assert (PEER / "bin/mlflow").is_file(), f"{PEER} is made by benchmarks/tracking.py's pins"
    folder = given.folder or Path(tempfile.mkdtemp(prefix="thrive-ui-"))
    folder.mkdir(exist_ok=True)
    if not (folder / "made.json").is_file():
        fill(folder, given)
    if given.fill:
        return
    made = json.loads((folder / "made.json").read_text())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        ours = measure_pages(browser, folder, made)
        times = measure_peer(browser, folder, made)
        browser.close()
    models_ms = measure_today(folder)
    if given.folder is None:
        shutil.rmtree(folder)
    print(
        f"BAR ui page_ms={ours['page']:.0f} page_kb={ours['kb']:.1f} runs100k_ms={ours['runs']:.0f}"
        f" filter_ms={ours['filter']:.0f} chart10m_ms={ours['chart']:.0f}"
        f" compare200_ms={ours['compare']:.0f} today1000_ms={models_ms:.0f} vs_mlflow={times:.1f}"
    )


if __name__ == "__main__":
    main()
