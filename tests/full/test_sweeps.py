"""Sweeps over a real pipeline: shared prefixes, pruning, failures, and the best trial."""

import itertools

import pytest

from thrive.domain.actor import local_actor
from thrive.domain.errors import UsageError
from thrive.flows.sweeps import By, choices, start_sweep
from thrive.gates import operations as gates
from thrive.operations import Context
from thrive.store.home import create_home
from thrive.tracking import operations as runs
from thrive.training.spaces import read_space

pytestmark = pytest.mark.full

PIPELINE = """\
from thrive import log, pipeline, step

@step
def load() -> list[int]:
    return list(range(10))

@step
def fit(rows: list[int], x: float) -> float:
    if x == 13:
        raise ValueError("unlucky")
    return (x - 3) ** 2

@pipeline
def train(x: float = 0.0):
    loss = fit(load(), x)
    for epoch in range(3):
        log(loss=loss + 3 - epoch, step=epoch)
    log(loss=loss, step=3)
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "plain"\n')
    (tmp_path / "train.py").write_text(PIPELINE)
    return Context(create_home(tmp_path, "plain"), local_actor("test"), folder=tmp_path)


def sweep(project, **given):
    return start_sweep(project, "train.py", metric="loss", better="smaller", **given)


def test_a_grid_shares_what_is_not_varied_and_goes_on_after_a_failure(project):
    found = sweep(project, over=["x=1,13,4"], by=By.GRID)
    assert (found.params, found.value, found.failed, found.pruned) == ({"x": "4"}, 1.0, 1, 0)
    shown = [runs.show_run(project, each.run_id) for each in found.trials]
    assert [bool(run.steps[0].source) for run in shown] == [False, True, True]
    assert {run.tags["sweep"] for run in shown} == {found.sweep_id}
    with pytest.raises(UsageError, match="once"):
        sweep(project, over=["x=1", "x=2"])


def test_a_trial_that_is_worse_than_the_others_is_stopped(project):
    found = sweep(project, over=["x=1,2,4,5,100"], by=By.GRID, prune=True)
    assert found.pruned == 1
    assert found.trials[-1].state.value == "interrupted"
    assert found.params in ({"x": "2"}, {"x": "4"})


def test_optuna_learns_from_earlier_trials():
    pytest.importorskip("optuna")
    spaces = [read_space("x=-50.0..50.0"), read_space("n=1..3"), read_space("kind=a,b")]
    distances = []
    for chosen, tell in itertools.islice(choices(By.OPTUNA, spaces, largest=False, seed=1), 60):
        assert chosen["kind"] in {"a", "b"}
        assert 1 <= int(chosen["n"]) <= 3
        distances.append(abs(float(chosen["x"]) - 3))
        tell(None if len(distances) == 5 else distances[-1] ** 2)
    assert sum(distances[40:]) / 20 < 0.75 * sum(distances[:10]) / 10  # its first ten are random


REGISTERS = """\
import polars as pl
from sklearn.linear_model import LogisticRegression
from thrive import log, pipeline, register, step

@step
def rows() -> pl.DataFrame:
    a = [(n * 37 % 101) / 50 - 1 for n in range(400)]
    return pl.DataFrame({"a": a, "late": [x + (n % 7 - 3) / 20 > 0 for n, x in enumerate(a)]})

@pipeline
def train(strength: float = 1.0):
    table = rows()
    known, rest = table[:200], table[200:]
    model = LogisticRegression(C=strength).fit(known.select("a").to_numpy(), known["late"])
    log(accuracy=float(model.score(rest.select("a").to_numpy(), rest["late"])))
    register(model, "late", features=["a"], evaluation=rest, label="late")
"""


def test_the_best_trial_is_judged_by_the_gates(project):
    (project.folder / "train.py").write_text(REGISTERS)
    found = start_sweep(
        project,
        "train.py",
        metric="accuracy",
        over=["strength=1e-9,1"],
        by=By.GRID,
        gates=True,
    )
    assert [trial.models for trial in found.trials] == [["late@1"], ["late@2"]]
    (verdict,) = found.verdicts
    assert [verdict.model] == found.models
    shown = gates.show(project, verdict.model)
    assert (shown.verdict_id, shown.answer.value) == (verdict.verdict_id, verdict.answer)
    assert found.next_hint == f"thrive gates show {verdict.model}"
