import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import thrive
from thrive.domain.errors import UsageError
from thrive.domain.run import RunState
from thrive.store import runs
from thrive.store.home import open_home
from thrive.tracking import active


@pytest.fixture
def project(home, tmp_path, monkeypatch):
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    monkeypatch.chdir(tmp_path)
    return home


def stored(home, run_id):
    with home.read() as tx:
        return runs.get(tx, home.project_id, run_id)


def history(home, run_id, key):
    with home.read() as tx:
        return [(p.step, p.value) for p in runs.metric_history(tx, home.project_id, run_id, key)]


def test_what_is_logged_is_there_when_the_run_has_ended(project):
    with thrive.run("exp", name="mine", params={"lr": 0.1}) as run:
        run.params(depth=3)
        run.tags(team="x")
        for step in range(1000):
            run.log(loss=1 / (step + 1), step=step)
        run.log({"val/auc": np.float32(0.5)}, acc=float("nan"))
    found = stored(project, run.id)
    assert (found.experiment, found.name, found.state) == ("exp", "mine", RunState.DONE)
    assert (found.params, found.tags) == ({"lr": 0.1, "depth": 3}, {"team": "x"})
    assert found.metrics == {"loss": 0.001, "val/auc": 0.5, "acc": None}
    loss = found.summaries["loss"]
    assert (loss.low, loss.high, loss.points, loss.step) == (0.001, 1.0, 1000, 999)
    assert history(project, run.id, "loss") == [(n, 1 / (n + 1)) for n in range(1000)]
    assert history(project, run.id, "val/auc") == [(1000, 0.5)]


def test_an_error_is_the_end_of_the_run_and_told(project):
    run = thrive.run("exp")

    def train():
        with run:
            run.log(loss=1.0)
            raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError):
        train()
    found = stored(project, run.id)
    assert (found.state, found.error) == (RunState.FAILED, "ZeroDivisionError: by zero")
    assert found.metrics == {"loss": 1.0}


def test_a_parameter_has_one_value(project):
    with thrive.run("exp") as run:
        run.params(depth=3)
        with pytest.raises(UsageError, match="already logged"):
            run.params(depth=4)


def test_files_tables_and_figures_are_artifacts(project, tmp_path):
    class Figure:
        def savefig(self, file, **_options):
            file.write(b"png")

    (tmp_path / "notes.txt").write_text("words")
    with thrive.run("exp") as run:
        run.artifact(tmp_path / "notes.txt")
        run.artifact(b"bytes", "raw/data.bin")
        run.table("rows", {"a": [1, 2]})
        run.figure("roc", Figure())
        for odd in ({"a": [1, 2], "b": [1]}, [{"a": [object()]}], 3):
            with pytest.raises(UsageError, match="is no table"):
                run.table("odd", odd)
        for wrong in ("", "../x", "x" * 251):
            with pytest.raises(UsageError):
                run.artifact(b"x", wrong)
    with project.read() as tx:
        kept = {each.name: each for each in runs.find_artifacts(tx, project.project_id, run.id)}
    assert sorted(kept) == ["notes.txt", "raw/data.bin", "roc.png", "rows.parquet"]
    assert project.blobs.get(kept["notes.txt"].digest) == b"words"


def test_processor_and_memory_are_looked_at(project):
    with thrive.run("exp", vitals=0.1) as run:
        deadline = time.monotonic() + 20
        while (
            time.monotonic() < deadline
            and "system/memory_mb" not in stored(project, run.id).metrics
        ):
            time.sleep(0.1)
    assert stored(project, run.id).metrics["system/memory_mb"] > 1


SCRIPT = """
import sys, time
import thrive
run = thrive.run("exp")
run.log(loss=1.0, step=1)
run.flush()
print(run.id, flush=True)
if sys.argv[1] == "exit":
    run.log(loss=2.0, step=2)
    sys.exit()
time.sleep(60)
"""


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_a_process_that_ends_keeps_what_was_written(project, tmp_path, end):
    command = [sys.executable, "-c", SCRIPT, end]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    run_id = process.stdout.readline().strip()
    if end == "kill":
        os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    home = open_home(tmp_path)
    steps = [step for step, _ in history(home, run_id, "loss")]
    assert steps == ([1, 2] if end == "exit" else [1])
    state = stored(home, run_id).state
    assert state is (RunState.INTERRUPTED if end == "exit" else RunState.RUNNING)
    home.close()


def test_a_store_that_fails_for_a_moment_loses_nothing(project, monkeypatch):
    with thrive.run("exp") as run:
        true = active.observe_one
        monkeypatch.setattr(
            active, "observe_one", lambda *_: (_ for _ in ()).throw(OSError("gone"))
        )
        run.log(loss=1.0, step=1)
        with pytest.raises(OSError, match="gone"):
            run.flush()
        monkeypatch.setattr(active, "observe_one", true)
        run.log(loss=2.0, step=2)
    assert history(project, run.id, "loss") == [(1, 1.0), (2, 2.0)]


def test_what_is_no_number_is_refused_by_its_name(project):
    with thrive.run("exp") as run:
        with pytest.raises(UsageError, match="kind = 'adam' is no number"):
            run.log(loss=0.5, kind="adam")
        run.log(loss=1.0, step=1)
        run.log(loss=2.0, acc=0.5, step=2)
        run.log(loss=3.0, step=3)
    assert history(project, run.id, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert history(project, run.id, "acc") == [(2, 0.5)]


def test_a_parameter_that_is_refused_takes_no_point_with_it(project):
    with thrive.run("exp", params={"lr": 0.1}) as run:
        for step in range(100):
            run.log(loss=1.0, step=step)
        with pytest.raises(UsageError, match="already logged"):
            run.params(lr=0.2, depth=3)
        with pytest.raises(UsageError, match="cannot be a name"):
            run.tags({"": "x"})
    found = stored(project, run.id)
    assert (found.params, found.summaries["loss"].points) == ({"lr": 0.1}, 100)


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, float("nan"), "first"])
def test_what_is_no_step_is_refused_and_the_points_before_it_are_kept(project, step):
    with thrive.run("exp") as run:
        run.log(loss=1.0, step=1)
        with pytest.raises(UsageError, match="is no step"):
            run.log(loss=2.0, step=step)
    assert history(project, run.id, "loss") == [(1, 1.0)]


def test_a_run_that_has_ended_says_so(project):
    with thrive.run("exp") as run:
        run.log(loss=1.0)
    for late in (lambda: run.log(loss=2.0), lambda: run.params(a=1), lambda: run.tags(a="b")):
        for _ in range(2):
            with pytest.raises(UsageError, match="has ended"):
                late()
    run.flush()
    run.finish(RunState.FAILED)
    assert stored(project, run.id).state is RunState.DONE


def test_a_run_whose_end_could_not_be_written_is_ended_as_it_was_to_be(project, monkeypatch):
    run = thrive.run("exp")
    true = active.observe_one
    monkeypatch.setattr(active, "observe_one", lambda *_: (_ for _ in ()).throw(OSError("gone")))
    run.log(loss=1.0, step=1)
    with pytest.raises(OSError, match="gone"):
        run.finish(RunState.FAILED, "words")
    monkeypatch.setattr(active, "observe_one", true)
    run.finish(RunState.INTERRUPTED, "at exit")
    found = stored(project, run.id)
    assert (found.state, found.error, found.metrics) == (RunState.FAILED, "words", {"loss": 1.0})
