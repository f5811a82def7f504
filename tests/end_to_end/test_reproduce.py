"""A run done again from its record: in another folder, an empty home and an empty environment."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

import thrive
from thrive.data import operations as data
from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound, Refused
from thrive.domain.run import RunState
from thrive.flows.reproduce import Same, reproduce
from thrive.flows.run import run
from thrive.operations import Context
from thrive.registry import operations as registry
from thrive.store import datasets
from thrive.store import runs as store
from thrive.store.home import create_home
from thrive.store.snapshots.bring import parts_of
from thrive.store.snapshots.manifest import read_snapshot
from thrive.tracking import operations as runs

CONTRACT = """\
contract = 1
[project]
name = "again"
[data.rows]
source = "rows.parquet"
owner = "us"
why = "To test."
[model.late]
target = { column = "late", positive = true, threshold = 0.5 }
"""
PIPELINE = """\
import numpy as np
import polars as pl
from pathlib import Path
from sklearn.ensemble import HistGradientBoostingClassifier
from thrive import data, log, pipeline, register, step

@step
def draw(rows: pl.DataFrame) -> np.ndarray:
    return rows["a"].to_numpy() + np.random.rand(rows.height)

@step
def fit(drawn: np.ndarray, late: list, rounds: int) -> HistGradientBoostingClassifier:
    model = HistGradientBoostingClassifier(max_iter=rounds, random_state=1)
    return model.fit(drawn.reshape(-1, 1), late)

@pipeline
def train(rounds: int = 5):
    rows = data.load("rows")
    drawn = draw(rows)
    model = fit(drawn, rows["late"].to_list(), rounds)
    log(mean=float(drawn.mean()))
    test = pl.DataFrame({"a": drawn, "late": rows["late"]})
    register(model, "late", features=["a"], evaluation=test)

@step(files="NUMBERS")
def read(file: str) -> np.ndarray:
    return np.frombuffer(Path(file).read_bytes())

@step
def added(numbers: np.ndarray) -> float:
    return float(numbers.sum())

@pipeline
def planted(file: str):
    log(sum=added(read(file)))
"""


@pytest.fixture
def ctx(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "thrive.toml").write_text(CONTRACT)
    (folder / "train.py").write_text(PIPELINE)
    home = create_home(folder, "again")
    yield Context(home, local_actor("tester"), folder=folder, operation="run")
    home.close()


def rows(count: int, shift: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "a": [(n * 37 % 101) / 50 - 1 for n in range(count)],
            "late": [(n * 37 + shift) % 101 > 50 for n in range(count)],
        }
    )


def test_a_run_is_done_again_bit_by_bit_after_code_and_data_have_changed(ctx, tmp_path):
    folder = ctx.local_folder()
    rows(300).write_parquet(folder / "rows.parquet")
    data.add(ctx, "rows.parquet", name="rows")
    first = run(ctx, "train.py:train", ["--rounds", "7"])
    rows(400, shift=9).write_parquet(folder / "rows.parquet")
    data.add(ctx, "rows.parquet", name="rows")
    (folder / "train.py").write_text("broken(")
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "thrive", "--json", "runs", "reproduce", first.run_id],
        cwd=folder,
        env={"HOME": str(empty), "PYTHONPATH": str(Path(thrive.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    said = json.loads(done.stdout)
    assert said["verdict"] == "bitwise"
    assert [part["name"] for part in said["parts"]] == ["draw", "fit", "mean", "late@1"]
    assert {part["verdict"] for part in said["parts"]} == {"bitwise"}
    assert said["environment"] == []
    assert registry.show_model(ctx, "late").version.version == 1
    assert runs.show_run(ctx, first.run_id).tags["reproduced"].startswith("bitwise, by run ")
    with ctx.read() as tx:
        again = store.find_steps(tx, ctx.project_id, said["again"])
    assert [step.source for step in again] == ["", ""]


def flip(file: Path, at: int, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= bit
    file.write_bytes(content)


@pytest.mark.full
def test_one_planted_bit_is_caught_and_the_first_step_named(ctx, tmp_path):
    file = tmp_path / "numbers"
    file.write_bytes(np.arange(1.0, 9.0).tobytes())
    first = run(ctx, "train.py:planted", ["--file", str(file)])
    assert reproduce(ctx, first.run_id).exit_code == 0
    flip(file, 8, 1)  # the last bit of the second number
    small = reproduce(ctx, first.run_id)
    assert small.verdict is Same.WITHIN
    assert small.exit_code == 3
    assert small.first == "step read"
    assert small.parts[0].largest == pytest.approx(2.2e-16, rel=0.1)
    flip(file, 15, 1)  # a bit of its exponent
    large = reproduce(ctx, first.run_id)
    assert large.exit_code == 1
    assert large.first == "step read"
    assert "[1]" in large.parts[0].detail
    assert (
        runs.show_run(ctx, first.run_id).tags["reproduced"].startswith("different from step read")
    )


def test_what_is_missing_is_said_before_anything_runs(ctx):
    folder = ctx.local_folder()
    rows(300).write_parquet(folder / "rows.parquet")
    data.add(ctx, "rows.parquet", name="rows")
    first = run(ctx, "train.py:train")
    with ctx.read() as tx:
        kept = datasets.get_version(tx, ctx.project_id, "rows", 1)
    blobs = ctx.home.blobs
    for digest in parts_of(blobs, read_snapshot(blobs, kept.listed_in)):
        blobs.local.own_path(digest).unlink()
    count = len(runs.list_runs(ctx).items)
    with pytest.raises(NotFound, match="rows@1"):
        reproduce(ctx, first.run_id)
    with ctx.write(f"run:{first.run_id}") as tx:
        found = store.get(tx, ctx.project_id, first.run_id)
        failed = msgspec.structs.replace(found, state=RunState.FAILED)
        store.save(tx, ctx.project_id, failed)
    with pytest.raises(Refused, match="failed"):
        reproduce(ctx, first.run_id)
    assert len(runs.list_runs(ctx).items) == count
