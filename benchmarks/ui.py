"""The pages in a real Chromium with a cold cache, over homes of the size the bar names.

`python benchmarks/ui.py [--runs 100000] [--points 10000000] [--models 1000]`

Times are medians of five loads: from the navigation until the page is painted (two frames after
its `load`). `vs_mlflow` is 0: MLflow's UI is not measured here yet.
"""

import argparse
import gzip
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[1]))

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
WINDOWS = 30


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


def ready(browser, address: str, selector: str = "h1") -> float:
    """Return the milliseconds from a navigation to a painted page, cold."""
    found = []
    for _ in range(LOADS):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_selector(selector)
        found.append(page.evaluate(PAINTED))
        context.close()
    return statistics.median(found)


def filtered(browser, base: str) -> float:
    """Return the milliseconds from the last letter of a filter to the rows it leaves."""
    found = []
    for _ in range(LOADS):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(f"{base}/runs")
        before = page.inner_text("#matched")
        page.get_by_label("Filter").fill("metrics.m0 > 0.999")
        began = time.perf_counter()
        page.wait_for_function(
            "old => document.querySelector('#matched').innerText !== old", arg=before
        )
        found.append((time.perf_counter() - began) * 1000)
        context.close()
    return statistics.median(found)


def weight(browser, base: str) -> float:
    """Return the kB of a page and its own files, as gzip would send them."""
    context = browser.new_context()
    page = context.new_page()
    bodies: list[bytes] = []
    page.on("response", lambda answer: bodies.append(answer.body()))
    page.goto(base)
    page.wait_for_load_state("load")
    context.close()
    return sum(len(gzip.compress(each)) for each in bodies) / 1000


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--models", type=int, default=1000)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="thrive-ui-"))
    context = Context(
        create_home(folder, "flights"), local_actor("ana"), folder=folder, operation="test"
    )
    made = FilledHome(context)
    other = made.add_run()
    fill_runs(context, given.runs)
    fill_points(context, other, given.points)
    with context.read() as tx:
        some = [run.run_id for run in runs.find(tx, context.project_id, limit=200)]
        summaries = runs.get(tx, context.project_id, other).summaries or {}
    assert isinstance(summaries["long"], MetricSummary)
    context.home.close()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    enter = server.stderr.readline().removeprefix("next: open ").partition(" (")[0]
    base = enter.partition("/enter/")[0]
    paths = [
        "/",
        f"/models/{MODEL}",
        "/alerts",
        f"/alerts/{made.alert_id}",
        "/data",
        "/gates",
        "/audit",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        blank = ready(browser, f"{base}/static/thrive.css", "pre")
        pages = {path: ready(browser, base + path) for path in paths}
        kilobytes = weight(browser, base)
        first = ready(browser, f"{base}/runs", "table.runs tbody tr")
        typed = filtered(browser, base)
        chart = ready(browser, f"{base}/runs/{other}", "line-chart canvas")
        compared = ready(browser, f"{base}/compare?run={','.join(some)}")
        browser.close()
    server.terminate()
    server.wait(30)
    context = Context(open_home(folder), local_actor("ana"), folder=folder, operation="test")
    fill_models(context, given.models)
    today.load(context)
    took = []
    for _ in range(LOADS):
        began = time.perf_counter()
        today.load(context)
        took.append((time.perf_counter() - began) * 1000)
    context.home.close()
    shutil.rmtree(folder)
    for path, value in pages.items():
        print(f"{path:50} {value:7.0f} ms, {value / blank:.1f} x a plain file ({blank:.0f} ms)")
    print(
        f"BAR ui page_ms={max(pages.values()):.0f} page_kb={kilobytes:.1f} runs100k_ms={first:.0f} "
        f"filter_ms={typed:.0f} chart10m_ms={chart:.0f} compare200_ms={compared:.0f} "
        f"today1000_ms={statistics.median(took):.0f} vs_mlflow=0"
    )


if __name__ == "__main__":
    main()
