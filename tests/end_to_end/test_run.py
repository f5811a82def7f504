"""Runs as a user starts them: a project folder, a file with a pipeline, `thrive run`."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path

import polars as pl
import pytest

from thrive.data import operations as data
from thrive.domain.actor import local_actor
from thrive.domain.errors import ContractGap, NotFound, NotRight, UsageError
from thrive.domain.run import RunState
from thrive.flows.run import run
from thrive.flows.train import train
from thrive.operations import Context
from thrive.packaging.trained_rows import read_trained_rows
from thrive.registry import operations as models
from thrive.store.home import create_home
from thrive.tracking import operations as runs

CONTRACT = """\
contract = 1
[project]
name = "delay"
[model.delay]
target = { column = "late", positive = true, threshold = 0.4 }
entity = ["flight_id"]
"""
PIPELINE = """\
import polars as pl
from sklearn.linear_model import LogisticRegression
from thrive import data, log, pipeline, register, step

@step
def clean(rows: pl.DataFrame) -> pl.DataFrame:
    print("cleaning", rows.height)
    return rows.filter(pl.col("a").is_not_null())

@step
def fit(rows: pl.DataFrame, rate: float) -> LogisticRegression:
    return LogisticRegression(C=rate).fit(rows.select("a", "b").to_numpy(), rows["late"])

@pipeline
def train(rate: float = 0.1, seed: int = 3):
    rows = clean(data.load("rows"))
    model = fit(rows.head(300), rate)
    test = rows.tail(100)
    log(rows=rows.height, accuracy=model.score(test.select("a", "b").to_numpy(), test["late"]))
    register(
        model, "delay", features=["a", "b"], evaluation=test, time="at", importance={"a": 1},
        trained_on=rows.head(300),
    )
"""
FAILING = """\
import os, random, signal, time
import numpy as np
from thrive import log, pipeline, step

@step
def pick(at: int) -> int:
    values = [1, 2]
    return values[at]

@step
def die(by: int) -> None:
    os.kill(os.getpid(), by)

@step(timeout="500 ms")
def late() -> None:
    time.sleep(60)

@step
def long(file: str) -> None:
    open(file, "w").write(str(os.getpid()))
    time.sleep(60)

@step
def draw() -> tuple:
    return random.random(), np.random.rand()

@pipeline
def draws(seed: int = 0):
    one, two = draw()
    log({"one": one, "two": two, "again": draw()[0]})

@pipeline
def fails():
    pick(7)

@pipeline
def catches():
    try:
        pick(7)
    except IndexError as error:
        log(caught=1, frames=len(str(error.__cause__).splitlines()))

@pipeline
def crashes(by: int = 11):
    die(by)

@pipeline
def times_out():
    late()

@pipeline
def sleeps(file: str):
    log(before=1)
    long(file)

@pipeline
def unknown():
    from thrive import data
    data.load("nothing")

@pipeline
def loads():
    from thrive import data
    data.load("rows")
"""


def rows(count: int = 400) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "flight_id": [f"f{n}" for n in range(count)],
            "a": [(n * 37 % 101) / 50 - 1 for n in range(count)],
            "b": [(n * 53 % 97) / 48 - 1 for n in range(count)],
            "at": [1_000_000 * n for n in range(count)],
            "late": [n * 37 % 101 + n * 53 % 97 > 98 for n in range(count)],
        }
    )


def new_project(folder, contract=CONTRACT):
    (folder / "thrive.toml").write_text(contract)
    (folder / "train.py").write_text(PIPELINE)
    (folder / "bad.py").write_text(FAILING)
    home = create_home(folder, "delay")
    return Context(home, local_actor("tester"), folder=folder, operation="run")


@pytest.fixture
def project(tmp_path):
    context = new_project(tmp_path)
    yield context
    context.home.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project after one whole run, what the run answered and what it showed."""
    folder = tmp_path_factory.mktemp("project")
    data_terms = '\n[data.rows]\nsource = "rows.parquet"\nowner = "us"\nwhy = "To test."\n'
    context = new_project(folder, CONTRACT + data_terms)
    rows().write_parquet(folder / "rows.parquet")
    data.add(context, "rows.parquet", name="rows")
    told = io.StringIO()
    with redirect_stderr(told):
        result = run(context, "train.py", ["--rate", "0.5"])
    yield context, result, told.getvalue()
    context.home.close()


def last_run(context):
    return runs.show_run(context, runs.list_runs(context).items[0].run_id)


def test_a_run_records_everything_and_registers_a_version(finished):
    context, result, told = finished
    assert result.state is RunState.DONE
    assert result.models == ["delay@1"]
    assert result.next_hint == "thrive gates run delay@1"
    assert any("not under git" in note for note in result.notes)
    shown = last_run(context)
    assert shown.params == {"rate": 0.5, "seed": 3}
    assert shown.metrics["rows"] == 400
    assert 0.5 < shown.metrics["accuracy"] <= 1
    assert [step.name for step in shown.steps] == ["clean", "fit"]
    assert {use.name: use.direction for use in shown.uses} == {"rows": "in", "delay": "out"}
    assert shown.environment["variables"]["PYTHONHASHSEED"] == "0"
    assert any(line.startswith("numpy==") for line in shown.environment["libraries"])
    assert runs.show_logs(context, shown.run_id).text == "cleaning 400\n"
    assert "cleaning 400" in told
    assert "registered delay@1" in told
    left = {each.name for each in context.home.temporary_folder.iterdir()}
    assert left <= {"bundle"}, "the last bundle of code is remembered, and nothing else is left"


def test_the_tables_of_a_version_are_what_gates_read(finished):
    context, _, _ = finished
    version = models.show_model(context, "delay@1").version
    assert list(version.training) == ["rows"]
    assert version.signature["output"]["threshold"] == 0.4
    assert version.importance == {"a": 1.0}
    table = pl.read_parquet(context.home.blobs.local_path(version.evaluation))
    assert table.columns == ["flight_id", "a", "b", "at", "_label", "_score", "_time"]
    assert table.schema["_label"] == pl.Boolean
    assert table["_time"].to_list() == list(range(300_000_000, 400_000_000, 1_000_000))
    assert table["_score"].is_between(0, 1).all()
    agreed = ((table["_score"] > 0.5) == table["_label"]).mean()
    assert agreed == pytest.approx(last_run(context).metrics["accuracy"])
    known = read_trained_rows(context.home.blobs.get(version.trained_rows))
    assert known.columns == ["flight_id", "a", "b", "at"]
    assert known.seen(table) == (0, 100)


def test_the_same_seed_draws_the_same_and_another_does_not(project):
    first, same, other = (
        train(project, "bad.py:draws", [f"seed={seed}"]).metrics for seed in (1, 1, 2)
    )
    assert first == same
    assert not set(first.values()) & set(other.values())
    assert first["one"] != first["again"]  # the same step again has a seed of its own


def test_a_failing_step_shows_the_users_line_and_the_run_is_kept(project):
    with pytest.raises(NotRight) as caught:
        train(project, "bad.py:fails")
    assert "Step 'pick' failed: IndexError" in caught.value.what
    assert "bad.py:8 in pick: return values[at]" in caught.value.what
    shown = last_run(project)
    assert shown.state is RunState.FAILED
    assert shown.steps[0].state is RunState.FAILED
    assert "IndexError" in shown.error
    assert "Traceback" in runs.show_logs(project, shown.run_id).text


def test_a_pipeline_may_catch_what_its_step_raised(project):
    assert train(project, "bad.py:catches").metrics["caught"] == 1


@pytest.mark.parametrize(
    ("target", "params", "words"),
    [
        ("bad.py:crashes", [], "ended by signal SIGSEGV"),
        ("bad.py:crashes", ["by=9"], "SIGKILL (the machine may have run out of memory)"),
        ("bad.py:times_out", [], "longer than 0.5 s"),
    ],
)
def test_a_step_that_dies_is_named_with_the_reason(project, target, params, words):
    with pytest.raises(NotRight) as caught:
        train(project, target, params)
    assert words in caught.value.what
    assert last_run(project).state is RunState.FAILED


@pytest.mark.parametrize(
    ("target", "params", "error", "words"),
    [
        ("bad.py", [], UsageError, "declares 8 pipelines"),
        ("bad.py:crashes", ["--byy", "1"], UsageError, "did you mean --by"),
        ("bad.py:crashes", ["--by", "x"], UsageError, "not of type int"),
        ("bda.py", [], NotFound, r"did you mean bad\.py"),
        ("thrive.toml", [], UsageError, "not a Python file"),
    ],
)
def test_a_run_that_cannot_start_leaves_nothing(project, target, params, error, words):
    with pytest.raises(error, match=words):
        train(project, target, params)
    assert runs.list_runs(project).items == []


def test_a_missing_dataset_is_named_and_fails_the_run_with_its_own_code(project):
    with pytest.raises(NotFound, match="nothing"):
        train(project, "bad.py:unknown")
    assert last_run(project).state is RunState.FAILED


def test_a_contract_that_says_no_target_is_refused_first(project):
    text = CONTRACT.replace("target", "# target")
    (project.local_folder() / "thrive.toml").write_text(text)
    with pytest.raises(ContractGap, match="target"):
        train(project, "train.py")


def test_a_target_that_the_rows_lack_is_said_to_be_the_contracts(project):
    folder = project.local_folder()
    (folder / "thrive.toml").write_text(CONTRACT.replace('"late"', '"lat"'))
    rows().write_parquet(folder / "rows.parquet")
    data.add(project, "rows.parquet", name="rows")
    with pytest.raises(UsageError, match=r"no column 'lat', the target of \[model.delay\]"):
        train(project, "train.py")


def test_rows_of_pandas_are_registered_as_those_of_polars(project):
    folder = project.local_folder()
    moments = pl.col("at").cast(pl.Datetime("us", "UTC"))
    rows().with_columns(moments).write_parquet(folder / "rows.parquet")
    data.add(project, "rows.parquet", name="rows")
    text = PIPELINE.replace('clean(data.load("rows"))', 'data.load("rows", form="pandas").dropna()')
    text = text.replace('rows.select("a", "b").to_numpy()', 'rows[["a", "b"]].to_numpy()')
    text = text.replace('test.select("a", "b").to_numpy()', 'test[["a", "b"]].to_numpy()')
    text = text.replace("rows.height", "len(rows)").replace("pl.DataFrame", "object")
    (folder / "pandas_train.py").write_text(text)
    train(project, "pandas_train.py")
    version = models.show_model(project, "delay@1").version
    table = pl.read_parquet(project.home.blobs.get(version.evaluation))
    assert table["_time"].to_list() == list(range(300_000_000, 400_000_000, 1_000_000))


def test_what_the_contract_lacks_is_asked_of_the_runs_that_use_it(project):
    folder = project.local_folder()
    lacking = '\n[data.rows]\nsource = ""\n[data.other]\nsource = ""\n'
    (folder / "thrive.toml").write_text(CONTRACT.replace("target", "# target") + lacking)
    (folder / "a.csv").write_text("a\n1\n")
    data.add(project, "a.csv", name="rows")
    with pytest.raises(ContractGap, match="'rows' has no source"):
        train(project, "bad.py:loads")
    assert train(project, "bad.py:catches").metrics["caught"] == 1


def test_a_module_that_computes_while_imported_is_refused(project):
    text = "import polars as pl\npl.DataFrame({'a': range(99)}).group_by('a').agg(pl.len())\n"
    (project.local_folder() / "eager.py").write_text(text + FAILING)
    with pytest.raises(UsageError, match="computes with Polars while it is imported"):
        train(project, "eager.py:catches")


def started(project, file):
    """Start `thrive run` and return it with the pid of its step, once that runs."""
    command = "import sys; from thrive.cli.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "run", "bad.py:sleeps", "--file", str(file)],
        cwd=project.local_folder(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: file.exists() and file.read_text().isdigit(), process)
    return process, int(file.read_text())


def wait_until(condition, process=None, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(process.communicate())
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_killing_the_command_leaves_an_interrupted_run_and_no_process(project, tmp_path):
    process, pid = started(project, tmp_path / "pid")
    zygote = parent_of(pid)
    process.kill()
    process.communicate()
    wait_until(lambda: is_gone(pid) and is_gone(zygote))
    shown = last_run(project)
    assert shown.state is RunState.INTERRUPTED
    assert shown.metrics == {"before": 1.0}  # written before the step began
    train(project, "bad.py:catches")
    assert runs.show_run(project, shown.run_id).steps[0].state is RunState.INTERRUPTED


def test_killing_the_driver_fails_the_run_with_a_reason(project, tmp_path):
    process, pid = started(project, tmp_path / "pid")
    os.kill(parent_of(pid), signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "SIGKILL" in told
    wait_until(lambda: is_gone(pid))
    assert last_run(project).state is RunState.FAILED


def test_ctrl_c_interrupts_the_run_and_kills_its_steps(project, tmp_path):
    process, pid = started(project, tmp_path / "pid")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "was stopped" in told
    wait_until(lambda: is_gone(pid))
    shown = last_run(project)
    assert (shown.state, shown.error) == (RunState.INTERRUPTED, "Stopped by the user.")


def test_under_git_the_commit_is_recorded(project):
    folder = project.local_folder()
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    result = run(project, "bad.py:catches")
    assert result.notes == []
    shown = last_run(project)
    assert len(shown.code.commit) == 40
    assert not shown.code.dirty
    assert json.dumps(shown.environment)
