"""Declared results: kept as their type says, named, and followed one by one."""

import shutil

import polars as pl
import pytest

from thrive.data import operations as data
from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound, NotRight
from thrive.flows.data_show import show as show_dataset
from thrive.flows.export.operations import execute_step
from thrive.flows.reproduce import Same, reproduce
from thrive.flows.run import run
from thrive.flows.schedules import schedules_add, schedules_run
from thrive.operations import Context
from thrive.store.home import create_home
from thrive.tracking import operations as runs

pytestmark = pytest.mark.full

CONTRACT = """\
contract = 1
[project]
name = "outputs"
"""
PIPELINE = """\
from pathlib import Path
from typing import Annotated, NamedTuple
import polars as pl
from thrive import Out, log, pipeline, step

PLACE = Path(__file__).parent

class Parts(NamedTuple):
    train: Out[pl.DataFrame]
    test: Out[pl.DataFrame]
    words: Out[str]

@step(files="seen.txt")
def parts() -> Parts:
    offset = len((PLACE / "seen.txt").read_text())
    return Parts(pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [offset]}), "a and b")

@step
def fit(train: pl.DataFrame) -> float:
    return float(train["x"].sum())

@step
def score(test: pl.DataFrame, total: float) -> float:
    return total + test["x"].sum()

@step
def clean(table: pl.DataFrame) -> Out[Annotated[pl.DataFrame, "data:clean"]]:
    return table.filter(pl.col("x") > 1)

@step
def report(words: str) -> "Out[Path]":
    Path("report.html").write_text(f"<p>{words}</p>")
    return Path("report.html")

@step
def read(page: Path) -> int:
    return len(page.read_text())

@pipeline
def train():
    made = parts()
    kept = clean(made.train)
    log(score=score(made.test, fit(made.train)), kept=kept.height, page=read(report(made.words)))

@step
def wrong() -> Out[pl.DataFrame]:
    return {"x": 1}

@pipeline
def fails():
    wrong()
"""


@pytest.fixture
def ctx(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "thrive.toml").write_text(CONTRACT)
    (folder / "train.py").write_text(PIPELINE)
    (folder / "seen.txt").write_text("12345")
    home = create_home(folder, "outputs")
    yield Context(home, local_actor("tester"), folder=folder, operation="run")
    home.close()


def states(ctx, run_id):
    steps = runs.show_run(ctx, run_id).steps
    return {step.name: "cached" if step.source else step.state.value for step in steps}


def test_results_are_kept_by_their_type_and_followed_one_by_one(ctx):
    first = run(ctx, "train.py:train")
    assert first.metrics == {"score": 8.0, "kept": 1.0, "page": 14.0}
    shown = runs.show_run(ctx, first.run_id)
    kinds = {each.name: each.kind for each in shown.artifacts}
    assert kinds["train"] == kinds["test"] == "arrow"
    assert (kinds["words"], kinds["report"], kinds["clean"]) == ("text", "file", "parquet")
    kept = {each.name: each.digest for each in shown.artifacts}
    blobs = ctx.home.blobs
    assert (blobs.get(kept["words"]), blobs.get(kept["report"])) == (b"a and b", b"<p>a and b</p>")
    assert pl.read_ipc(blobs.get(kept["train"]))["x"].to_list() == [1, 2]

    # the frame is a version of its dataset, made by this run
    version = show_dataset(ctx, "clean")
    assert (version.rows, version.made_by) == (1, first.run_id)
    assert version.why == "What step clean returns."
    written = [use for use in shown.uses if use.direction == "out"]
    assert [(use.name, use.version, use.digest) for use in written] == [
        ("clean", 1, version.digest)
    ]

    # one part of the tuple changes: what follows from the others is used again
    (ctx.folder / "seen.txt").write_text("123456")
    second = run(ctx, "train.py:train")
    assert second.metrics["score"] == 9.0
    assert states(ctx, second.run_id) == {
        **dict.fromkeys(("fit", "clean", "report", "read"), "cached"),
        "parts": "done",
        "score": "done",
    }
    assert [use.version for use in runs.show_run(ctx, second.run_id).uses] == [1]

    # a part that is gone is executed again
    blobs.local.own_path(kept["words"]).unlink()
    third = run(ctx, "train.py:train")
    assert (states(ctx, third.run_id)["parts"], third.metrics) == ("done", second.metrics)


def test_a_run_with_declared_results_is_reproduced_without_new_data(ctx):
    done = run(ctx, "train.py:train")
    (ctx.folder / "seen.txt").write_text("another one")
    shutil.rmtree(ctx.folder / "__pycache__", ignore_errors=True)
    again = reproduce(ctx, done.run_id)
    assert again.verdict is Same.BITWISE, again
    assert len(data.log(ctx, "clean")) == 1


def test_a_result_of_another_type_fails_its_step_and_keeps_no_artifact(ctx):
    with pytest.raises(
        NotRight, match="the result of wrong is declared as DataFrame, and is a dict"
    ):
        run(ctx, "train.py:fails")
    failed = runs.list_runs(ctx).items[0].run_id
    assert [
        each.kind for each in runs.show_run(ctx, failed).artifacts if each.name == "wrong"
    ] == []
    with pytest.raises(NotFound):
        show_dataset(ctx, "clean")


def test_files_that_steps_declare_and_datasets_that_they_make_go_where_the_code_goes(ctx):
    said = '[data.clean]\nowner = "flights-ml"\nwhy = "Rows worth a fit."\n'
    (ctx.folder / "thrive.toml").write_text(CONTRACT + said)
    first = run(ctx, "train.py:train")
    version = show_dataset(ctx, "clean")
    assert (version.owner, version.why) == ("flights-ml", "Rows worth a fit.")

    # by schedule: as the file was when the schedule was added
    schedules_add(ctx, "often", "train.py:train", cron="@daily")
    (ctx.folder / "seen.txt").unlink()
    assert schedules_run(ctx, "often").metrics["score"] == first.metrics["score"]

    # one step of a recorded run: as the run had read it
    assert execute_step(ctx, first.run_id).metrics["score"] == first.metrics["score"]
