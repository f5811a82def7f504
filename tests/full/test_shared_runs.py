"""A run is done again where nothing of it is: from a clone and a remote, in a new environment."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest

import thrive
from thrive.data import operations as data
from thrive.domain.actor import local_actor
from thrive.domain.errors import Refused
from thrive.flows.run import run
from thrive.flows.shared_runs import push
from thrive.operations import Context
from thrive.store import runs as store
from thrive.store.home import create_home, open_home
from thrive.tracking import operations as runs

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

CONTRACT = """\
contract = 1
[project]
name = "far"
[data.rows]
source = "rows.parquet"
owner = "flights-ml"
why = "To test."
[model.late]
target = {column = "late"}
"""
PIPELINE = """\
from typing import NamedTuple
import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression
from thrive import Out, data, log, pipeline, register, step

class Parts(NamedTuple):
    train: Out[pl.DataFrame]
    test: Out[pl.DataFrame]

@step(files="limit.csv")
def split() -> Parts:
    limit = int(open("limit.csv").read())
    rows = data.load("rows")
    return Parts(rows[:limit], rows[limit:])

@step
def fit(train: pl.DataFrame) -> LogisticRegression:
    return LogisticRegression().fit(train.select("a").to_numpy(), train["late"].to_list())

@pipeline
def train():
    parts = split()
    model = fit(parts.train)
    log(mean=float(model.predict_proba(parts.test.select("a").to_numpy())[:, 1].mean()))
    register(model, "late", features=["a"], evaluation=parts.test)
"""


def core() -> list[str]:
    """Return what `pip install thrive scikit-learn` brings, as it is installed here."""
    found: dict[str, str] = {}
    wanted = ["thrive", "scikit-learn"]
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # for another platform
            continue
        found[name] = f"{distribution.metadata['Name'].lower()}=={distribution.version}"
        lines = [line for line in distribution.requires or [] if "extra ==" not in line]
        wanted += [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in lines]
    return sorted(line for name, line in found.items() if name != "thrive")


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=flights-ml", "-c", "user.email=flights-ml@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def ctx(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "thrive.toml").write_text(CONTRACT)
    (folder / "train.py").write_text(PIPELINE)
    (folder / ".gitignore").write_text(".thrive/\n*.parquet\n*.csv\n")
    (folder / "limit.csv").write_text("200")
    table = {"a": [(n * 37 % 101) / 50 - 1 for n in range(300)]}
    frame = pl.DataFrame({**table, "late": [n * 37 % 101 > 50 for n in range(300)]})
    frame.write_parquet(folder / "rows.parquet")
    git(folder, "init", "-q")
    home = create_home(folder, "far")
    made = Context(home, local_actor("tester"), folder=folder, operation="run")
    data.add(made, "rows.parquet", name="rows")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "A pipeline")
    yield made
    home.close()


def in_clone(clone: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a clone with an empty home and hardly any variable."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return subprocess.run(
        [sys.executable, "-m", "thrive", "--json", *words],
        cwd=clone,
        env={
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(thrive.__file__).parents[1]),
            **kept,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_is_done_again_from_remote_and_clone_alone(ctx, tmp_path):
    folder = ctx.local_folder()
    first = run(ctx, "train.py")
    with ctx.write(f"run:{first.run_id}") as tx:  # as if this environment held the core alone
        found = store.get(tx, ctx.project_id, first.run_id)
        environment = {**found.environment, "libraries": core()}
        store.save(tx, ctx.project_id, msgspec.structs.replace(found, environment=environment))
    pushed = push(ctx, first.run_id, str(tmp_path / "remote"))
    assert pushed.copied > 5
    assert push(ctx, first.run_id).copied == 0
    git(folder, "add", "thrive.lock")
    git(folder, "commit", "-q", "-m", "Where the run is")

    clone, home = tmp_path / "clone", tmp_path / "empty"
    home.mkdir()
    git(tmp_path, "clone", "-q", str(folder), str(clone))
    shutil.move(folder, tmp_path / "gone")
    assert in_clone(clone, home, "init").returncode == 0
    short = in_clone(clone, home, "runs", "reproduce", first.run_id[:12])
    assert short.returncode == 5
    assert "whole id" in short.stdout + short.stderr
    done = in_clone(clone, home, "runs", "reproduce", first.run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["verdict"] == "bitwise"
    assert [part["name"] for part in said["parts"]] == ["split", "fit", "mean", "late@1"]
    assert said["environment"] == []
    assert len(list((home / ".cache" / "thrive" / "environments").iterdir())) == 1
    assert not (clone / "limit.csv").exists()

    there = open_home(clone)
    other = Context(there, local_actor("tester"), folder=clone, operation="run")
    shown = runs.show_run(other, first.run_id)
    assert shown.tags["reproduced"].startswith("bitwise, by run ")
    assert [use.version for use in shown.uses if use.kind == "dataset"] == [1]
    there.close()
    shutil.move(tmp_path / "gone", folder)


def test_what_was_never_pushed_or_did_not_end_is_said(ctx, tmp_path):
    (ctx.folder / "train.py").write_text(PIPELINE.replace("model = fit", "model = 1 / 0, fit"))
    with pytest.raises(Exception, match="division"):
        run(ctx, "train.py")
    failed = runs.list_runs(ctx).items[0].run_id
    with pytest.raises(Refused, match="failed"):
        push(ctx, failed, str(tmp_path / "remote"))
    assert not list(tmp_path.glob("remote/runs/*"))
