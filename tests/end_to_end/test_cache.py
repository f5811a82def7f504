"""Results used again, as users see it: nothing stale, nothing executed twice without need."""

import pytest

from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound
from thrive.flows.results import is_there
from thrive.flows.run import run
from thrive.operations import Context
from thrive.store import runs as store
from thrive.store.home import create_home
from thrive.tracking.why import why

CONTRACT = """\
contract = 1
[project]
name = "cache"
"""
HELPERS = """\
FACTOR = 10

def scale(x):
    return x * FACTOR
"""
PIPELINE = """\
import os
from pathlib import Path
import numpy as np
import polars as pl
from polars import col
import helpers
from thrive import log, pipeline, step

def make(by):
    def add(x):
        return x + by
    return add

ADD = make(2)

@step
def load() -> np.ndarray:
    return np.arange(3)

@step
def scaled(rows: np.ndarray) -> int:
    return int(helpers.scale(rows).sum())

@step
def closed(x: int) -> int:
    return ADD(x)

@step
def big(n: int) -> np.ndarray:
    return np.arange(float(n))

@step
def noted(x: int) -> int:
    x = pl.DataFrame({"x": [x]}).select(pl.col("x") + 0 * col("x")).item()
    log(seen=x)
    return x

@pipeline
def train(n: int = 100_000):
    log(total=scaled(load()), closed=closed(1), size=len(big(n)), noted=noted(7))
"""


@pytest.fixture
def ctx(tmp_path):
    (tmp_path / "thrive.toml").write_text(CONTRACT)
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "train.py").write_text(PIPELINE)
    home = create_home(tmp_path, "cache")
    yield Context(home, local_actor("tester"), folder=tmp_path, operation="run")
    home.close()


def steps_of(ctx, ended):
    with ctx.read() as tx:
        return store.find_steps(tx, ctx.project_id, ended.run_id)


def executed(ctx, ended):
    return [step.label for step in steps_of(ctx, ended) if not step.source]


def edit(ctx, name, old, new):
    file = ctx.local_folder() / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_second_run_executes_nothing_and_says_the_same(ctx):
    first = run(ctx, "train.py")
    assert executed(ctx, first) == ["load", "scaled", "closed", "big", "noted"]
    again = run(ctx, "train.py")
    assert executed(ctx, again) == []
    assert again.metrics == first.metrics
    assert again.metrics["seen"] == 7.0  # what a step logged is said again


EDITS = [
    ("helpers.py", "FACTOR = 10", "FACTOR = 20", ["scaled"], {"total": 60.0}),
    ("helpers.py", "x * FACTOR", "x * FACTOR + 1", ["scaled"], {"total": 63.0}),
    ("train.py", "make(2)", "make(3)", ["closed"], {"closed": 4.0}),
    ("train.py", "np.arange(3)", "np.arange(4)", ["load", "scaled"], {"total": 124.0}),
    ("train.py", "np.arange(4)", "np.arange(0, 4)", ["load"], {"total": 124.0}),
    ("train.py", "    log(seen=x)", "    # words\n    log(seen=x)", [], {}),
    ("helpers.py", "FACTOR = 20", "FACTOR = 20\nOTHER = 3", [], {}),
]


def test_a_step_follows_all_its_code_and_nothing_else(ctx):
    run(ctx, "train.py")
    for name, old, new, which, metrics in EDITS:
        edit(ctx, name, old, new)
        again = run(ctx, "train.py")
        assert executed(ctx, again) == which, new
        assert {key: again.metrics[key] for key in metrics} == metrics
        reasons = why(ctx, again.run_id)
        assert [each.step for each in reasons if each.why in {"code", "argument"}] == which


def test_what_changed_is_named_with_its_values(ctx):
    first = run(ctx, "train.py")
    assert {reason.why for reason in why(ctx, first.run_id)} == {"first time"}
    edit(ctx, "helpers.py", "FACTOR = 10", "FACTOR = 20")
    again = run(ctx, "train.py", ["--n", "5"])
    (constant,) = why(ctx, f"{again.run_id[:12]}/scaled")
    assert (constant.why, constant.name) == ("code", "helpers.FACTOR")
    assert (constant.before, constant.now) == ("10", "20")
    (argument,) = why(ctx, f"{again.run_id}/big")
    assert (argument.why, argument.name) == ("argument", "n")
    assert (argument.before, argument.now) == ("100000", "5")
    (cached,) = why(ctx, f"{again.run_id}/load")
    assert (cached.why, cached.name) == ("cached", f"the result of {first.run_id}/1")
    with pytest.raises(NotFound):
        why(ctx, f"{again.run_id}/nothing")


def test_a_result_that_is_gone_is_made_again(ctx):
    first = run(ctx, "train.py")
    result = next(step.result for step in steps_of(ctx, first) if step.name == "big")
    assert result is not None
    ctx.home.blobs.local.own_path(result["digest"]).unlink()
    again = run(ctx, "train.py")
    assert executed(ctx, again) == ["big"]
    assert again.metrics == first.metrics


READING = """\
import os
from pathlib import Path
from thrive import log, pipeline, step

@step
def file() -> int:
    return int(Path("number.txt").read_text())

@step
def variable() -> str:
    return os.environ.get("MODE", "none")

@step(files="number.txt", env="MODE")
def declared() -> str:
    return Path("number.txt").read_text() + os.environ.get("MODE", "none")

@pipeline
def train():
    log(file=file(), variable=len(variable()), declared=len(declared()))
"""


def test_what_a_step_reads_unsaid_is_reported_and_not_kept(ctx, monkeypatch):
    folder = ctx.local_folder()
    (folder / "reading.py").write_text(READING)
    (folder / "number.txt").write_text("5")
    first = run(ctx, "reading.py")
    notes = {step.name: step.note for step in steps_of(ctx, first)}
    assert "number.txt" in notes["file"]
    assert "MODE" in notes["variable"]
    assert notes["declared"] == ""
    assert executed(ctx, run(ctx, "reading.py")) == ["file", "variable"]
    (folder / "number.txt").write_text("61")
    monkeypatch.setenv("MODE", "x")
    changed = run(ctx, "reading.py")
    assert changed.metrics == {"file": 61.0, "variable": 1.0, "declared": 3.0}


def test_results_that_do_not_repeat_are_found_and_forgotten(ctx, capsys):
    folder = ctx.local_folder()
    (folder / "chance.py").write_text(
        "import ctypes\n"
        "from thrive import pipeline, step\n"
        "@step\ndef draw() -> int:\n"
        "    return ctypes.CDLL(None).time(None) * 100_000 + ctypes.CDLL(None).getpid()\n"
        "@pipeline\ndef train():\n    draw()\n"
    )
    run(ctx, "chance.py")
    assert executed(ctx, run(ctx, "chance.py")) == []
    doubted = run(ctx, "chance.py", verify_cache="100%")
    assert executed(ctx, doubted) == ["draw"]
    assert "another result" in steps_of(ctx, doubted)[0].note
    assert executed(ctx, run(ctx, "chance.py")) == ["draw"]


SETTING = """\
from thrive import log, pipeline, step
RATE = 1

@step(isolation="inline")
def scaled(x: int) -> int:
    return x * RATE

@pipeline
def train(rate: int = 1):
    global RATE
    RATE = rate
    log(one=scaled(3), two=scaled.map([4])[0])
"""


def test_what_a_pipeline_sets_before_a_step_in_its_process_counts(ctx):
    (ctx.local_folder() / "setting.py").write_text(SETTING)
    run(ctx, "setting.py", ["--rate", "1"])
    five = run(ctx, "setting.py", ["--rate", "5"])
    assert five.metrics == {"one": 15.0, "two": 20.0}
    again = run(ctx, "setting.py", ["--rate", "5"])
    assert executed(ctx, again) == []
    assert all(is_there(ctx, step.result) for step in steps_of(ctx, again))
