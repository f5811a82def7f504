"""Training sets of tables that do not fit into the memory there is: limited by the kernel."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from tests.flights import ENVIRONMENT

pytestmark = pytest.mark.full
ROWS = 3_000_000
WIDTH = 18
"""Columns of numbers on each side."""
KEYS = 5_000
MEMORY_MB = 720
"""What all processes together may hold; the rows that come out are larger, all tables two and a half times as large."""
CGROUP = Path("/sys/fs/cgroup/memory")
FEATURES = """
import polars as pl
from thrive import feature_view

@feature_view(entity="k", event_time="at", source="events", ttl="30d")
def latest(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows
"""
ENTITIES = ("events", "asked")
CONTRACT = """
contract = 1
[project]
name = "large"
[team.desk]
channel = "file:desk.txt"
""" + "".join(
    f"""
[data.{name}]
source = "{name}"
owner = "desk"
why = "Rows to join."
personal = {{}}
legal_basis = "none needed: no personal data"
licence = "own"
retention = "1 year"
"""
    for name in ENTITIES
)
TRAIN = """
import polars as pl
from thrive import features, log, pipeline, step

def peak():
    line = next(each for each in open("/proc/self/status") if "VmHWM" in each)
    return int(line.split()[1]) / 1024

@step
def count() -> pl.DataFrame:
    rows = features.training_set("asked", ["latest"], time="asked", lazy=True)
    found = rows.select(
        rows=pl.len(),
        ordered=(pl.col("y0").diff().fill_null(1) == 1).all(),
        right=((pl.col("x0") == pl.col("y0")) & (pl.col("x3") == 4 * pl.col("y0"))).all(),
    ).collect(engine="streaming")
    log(peak_mb=peak())
    return found

@pipeline
def train() -> pl.DataFrame:
    found = count()
    return found
"""
KEEP = """
import json, polars as pl, sys
from thrive import features
rows = features.training_set("asked", ["latest"], time="asked", lazy=True, name="rows")
found = rows.select(
    rows=pl.len(),
    ordered=(pl.col("y0").diff().fill_null(1) == 1).all(),
    right=((pl.col("x0") == pl.col("y0")) & (pl.col("x3") == 4 * pl.col("y0"))).all(),
).collect(engine="streaming")
line = next(each for each in open("/proc/self/status") if "VmHWM" in each)
print(json.dumps(found.row(0, named=True) | {"peak_mb": int(line.split()[1]) / 1024}))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two datasets of equal length: to each question the row of the second before belongs."""
    folder = tmp_path_factory.mktemp("large")
    for name, prefix, time, later in (("events", "x", "at", 0), ("asked", "y", "asked", 1)):
        (folder / name).mkdir()
        for part in range(8):
            place = pl.int_range(ROWS // 8, eager=True) + part * (ROWS // 8)
            begin = datetime(2024, 1, 1, tzinfo=UTC)
            pl.DataFrame({"k": place * 7_919 % KEYS, time: place + later}).with_columns(
                (pl.lit(begin) + pl.duration(seconds=pl.col(time))).alias(time),
                **{f"{prefix}{n}": place.cast(pl.Float64) * (n + 1) for n in range(WIDTH)},
            ).write_parquet(folder / name / f"{part}.parquet")
    (folder / "features.py").write_text(FEATURES)
    (folder / "train.py").write_text(TRAIN)
    with little_memory() as enter:
        for words in (["init"], *(["data", "add", name, "--name", name] for name in ENTITIES)):
            command = [sys.executable, "-m", "thrive", *words]
            subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, preexec_fn=enter)
            (folder / "thrive.toml").write_text(CONTRACT)
    return folder


@contextmanager
def little_memory() -> Generator["partial[None] | None"]:
    """Give what a child calls to be held to `MEMORY_MB`; None where the kernel is not ours to ask.

    Nothing but the peak that a process says of itself tells then.
    """
    group = CGROUP / f"thrive-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        (group / "memory.limit_in_bytes").write_text(str(MEMORY_MB << 20))
        yield partial(_enter, group)
    finally:
        group.rmdir()


def _enter(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def test_a_training_set_larger_than_memory_is_kept_and_read(project):
    assert ROWS * (2 + 2 * WIDTH) * 8 > 1.2 * (MEMORY_MB << 20)
    command = [sys.executable, "-c", KEEP]
    with little_memory() as enter:
        said = subprocess.check_output(command, cwd=project, env=ENVIRONMENT, preexec_fn=enter)
    found = json.loads(said.splitlines()[-1])
    assert found.pop("peak_mb") < MEMORY_MB
    assert found == {"rows": ROWS, "ordered": True, "right": True}


def test_a_run_takes_one_over_files_that_last_as_long_as_itself(project):
    base = [sys.executable, "-m", "thrive"]
    with little_memory() as enter:
        command = [*base, "run", "train.py", "--json"]
        said = subprocess.check_output(command, cwd=project, env=ENVIRONMENT, preexec_fn=enter)
    run = json.loads(said.splitlines()[-1])
    shown = json.loads(
        subprocess.check_output(
            [*base, "runs", "show", run["run_id"], "--json"], cwd=project, env=ENVIRONMENT
        )
    )
    assert 0 < shown["metrics"]["peak_mb"] < ROWS * (2 + 2 * WIDTH) * 8 / 2**20  # with mapped files
    used = {(each["kind"], each["name"]) for each in shown["uses"] if each["direction"] == "in"}
    assert {("feature_view", "latest"), ("dataset", "asked"), ("dataset", "events")} <= used
    assert not list((project / ".thrive").rglob("features-*")), "what the run made is gone"
