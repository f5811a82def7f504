"""Steps on a real Ray cluster of two nodes, each with a folder of its own; one is killed midway."""

import threading
import time
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from thrive import features
from thrive.data import operations as data
from thrive.domain.actor import local_actor
from thrive.domain.errors import InfrastructureError, NotRight, UsageError
from thrive.domain.run import RunState
from thrive.features import feature_view
from thrive.flows.order import EngineName
from thrive.flows.run import run
from thrive.operations import Context
from thrive.registry import operations as models
from thrive.store.home import create_home
from thrive.tracking import operations as runs

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]
ray = pytest.importorskip("ray")

CONTRACT = """\
contract = 1
[project]
name = "afar"
[data.rows]
source = "rows.csv"
owner = "data-platform"
why = "To test."
[model.line]
target = {column = "y"}
"""
PIPELINE = """\
import os, time
from pathlib import Path
import numpy as np
from sklearn.linear_model import LinearRegression
from thrive import data, log, pipeline, register, step
from helpers import scale

@step
def rows() -> np.ndarray:
    print("reads the data")
    return scale(data.load("rows").to_numpy())

@step(cpu=1, memory="2G")
def large(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(2_000_000)

@step(isolation="ray")
def add(one: np.ndarray, other: np.ndarray) -> float:
    log(one=float(one.sum()))
    return float((one + other).sum())

@step(files="regions.csv")
def regions() -> int:
    return len(Path("regions.csv").read_text().splitlines())

@step
def square(x: int) -> tuple:
    return x * x, os.getpid()

@step
def fit(known: np.ndarray) -> None:
    import polars as pl
    frame = pl.DataFrame(known, schema=["x", "y"])
    model = LinearRegression().fit(frame.select("x").to_pandas(), frame["y"].to_numpy())
    register(model, "line", evaluation=frame)

@step(retries=1)
def unlucky(place: str) -> int:
    if not Path(place).exists():
        Path(place).touch()
        raise OSError("once")
    return 1

@pipeline
def train(place: str = ""):
    known = rows()
    first, second = large.start(1), large.start(2)
    total = add(first, second)
    squares = square.map(range(200))
    log(total=total, squares=sum(one for one, _ in squares), tries=unlucky(place))
    log(processes=len({process for _, process in squares}))
    log(regions=regions())
    fit(known)

@step
def wrong() -> int:
    raise ValueError("this one")

@pipeline
def fails():
    wrong()

@step
def slow(number: int, place: str) -> int:
    (Path(place) / f"{number}-{time.time_ns()}").touch()
    time.sleep(0.5)
    return number

@pipeline
def long(place: str = ""):
    log(total=sum(slow.map(range(24), place=place)))
"""


def added(cluster, **given):
    """Add a node; Ray gives one 30 s to start, which a busy machine may not keep."""
    for _ in range(4):
        try:
            return cluster.add_node(**given)
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    return cluster.add_node(**given)


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    made = Cluster()
    added(made, num_cpus=1, include_dashboard=False)
    added(made, num_cpus=2)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture
def ctx(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (folder / "thrive.toml").write_text(CONTRACT)
    (folder / "train.py").write_text(PIPELINE.replace(".to_pandas()", ".to_numpy()"))
    (folder / "helpers.py").write_text("def scale(x):\n    return x * 2\n")
    (folder / "regions.csv").write_text("name\nnorth\nsouth\n")
    (folder / "rows.csv").write_text("x,y\n" + "".join(f"{n},{3 * n}\n" for n in range(500)))
    home = create_home(folder, "afar")
    made = Context(home, local_actor("tester"), folder=folder, operation="run")
    data.add(made, "rows.csv", name="rows")
    yield made
    home.close()


def on_ray(ctx, cluster, target, *params):
    return run(ctx, target, list(params), engine=EngineName.RAY, address=cluster.address)


def test_steps_run_on_nodes_and_everything_comes_home(ctx, cluster, tmp_path, capsys):
    place = f"--place={tmp_path / 'once'}"
    done = on_ray(ctx, cluster, "train.py:train", place)
    assert done.state is RunState.DONE
    assert done.metrics["squares"] == sum(n * n for n in range(200))
    assert done.metrics["processes"] == 200  # each in a fork of its own
    assert done.metrics["tries"] == 1
    assert done.metrics["regions"] == 3
    shown = runs.show_run(ctx, done.run_id)
    assert [each.name for each in shown.uses if each.direction == "in"] == ["rows"]
    assert done.models == ["line@1"]
    assert models.show_model(ctx, "line@1").version.run_id == done.run_id
    by_name = {step.name: step for step in shown.steps}
    assert by_name["unlucky"].attempts == 2
    assert "reads the data" in "".join(runs.show_logs(ctx, done.run_id).text)
    assert len(shown.environment["engine"]["nodes"]) == 2
    capsys.readouterr()
    with pytest.raises(UsageError, match="only on Ray"):
        run(ctx, "train.py:train", [place])


def test_an_error_on_a_node_shows_the_users_line(ctx, cluster):
    with pytest.raises(NotRight, match=r"'wrong' failed: ValueError: this one\n  train.py:"):
        on_ray(ctx, cluster, "train.py:fails")


def test_a_lost_node_costs_only_what_was_on_it(ctx, cluster, tmp_path, capsys):
    place = tmp_path / "begun"
    place.mkdir()
    node = added(cluster, num_cpus=2)
    cluster.wait_for_nodes()

    def kill() -> None:
        while len(list(place.iterdir())) < 8:
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    done = on_ray(ctx, cluster, "train.py:long", f"--place={place}")
    killer.join()
    assert done.metrics["total"] == sum(range(24))
    begun = [int(each.name.partition("-")[0]) for each in place.iterdir()]
    assert set(begun) == set(range(24))
    assert 24 < len(begun) < 24 + 8
    assert "the machine that it ran on is gone" in capsys.readouterr().err
    steps = runs.show_run(ctx, done.run_id).steps
    assert {step.state for step in steps} == {RunState.DONE}


def test_a_cluster_that_is_not_there_is_said(ctx):
    with pytest.raises(InfrastructureError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        run(ctx, "train.py:fails", engine=EngineName.RAY, address="127.0.0.1:1")


def test_a_training_set_is_joined_on_the_nodes(ctx, cluster, monkeypatch):
    monkeypatch.chdir(ctx.folder)
    random = np.random.default_rng(3)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    known = pl.DataFrame({"k": random.integers(0, 500, 20_000), "v": random.random(20_000)})
    hours = pl.Series("at", random.integers(0, 900, 20_000))
    known = known.with_columns((pl.lit(start) + pl.duration(hours=hours)).alias("at"))
    asked = pl.DataFrame({"k": random.integers(0, 600, 9_000)})
    hours = pl.Series("t", random.integers(0, 900, 9_000))
    asked = asked.with_columns((pl.lit(start) + pl.duration(hours=hours)).alias("t"))
    known.write_parquet(ctx.folder / "known.parquet")
    data.add(ctx, "known.parquet", name="known", owner="data-platform", why="To test.")

    @feature_view(entity="k", event_time="at", source="known", ttl="100h", owner="x", why="y")
    def values(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows

    monkeypatch.setattr("thrive.features.on_ray.PART_CELLS", 10_000)
    here = features.training_set(asked, [values], status=True)
    there = features.training_set(
        asked, [values], status=True, engine="ray", address=cluster.address
    )
    assert_frame_equal(here, there)
    assert 0 < here["v"].null_count() < here.height
