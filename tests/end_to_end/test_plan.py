"""What a run would do, and one step of a recorded run at a time."""

import pytest

from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound
from thrive.flows.export.operations import execute_step, export
from thrive.flows.plan import plan
from thrive.flows.run import run
from thrive.operations import Context
from thrive.store.home import create_home
from thrive.tracking import operations as runs

PIPELINE = """\
from thrive import log, pipeline, step

BY = 2

@step
def first() -> int:
    return 3

@step
def times(x: int) -> int:
    return x * BY

@step
def plus(x: int, y: int) -> int:
    return x + y

@pipeline
def work(more: int = 1):
    x = times(first())
    log(total=sum(plus.map(range(3), y=x)) + more)
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "plain"\n')
    (tmp_path / "work.py").write_text(PIPELINE)
    return Context(create_home(tmp_path, "plain"), local_actor("test"), folder=tmp_path)


def test_a_plan_says_what_a_run_would_do_and_a_step_is_executed_alone(project):
    assert [(row.step, row.why) for row in plan(project, "work.py")] == [
        ("first", "no earlier run came to it")
    ]
    ended = run(project, "work.py")
    assert {row.would for row in plan(project, "work.py", ["--more", "2"])} == {"be used again"}
    (project.local_folder() / "work.py").write_text(PIPELINE.replace("BY = 2", "BY = 3"))
    rows = plan(project, "work.py")
    assert [(row.step, row.would) for row in rows] == [
        ("first", "be used again"),
        ("times", "be executed"),
        *((f"plus[{number}]", "depends") for number in range(3)),
    ]
    assert rows[1].why == "code work.BY"
    assert len(runs.list_runs(project).items) == 1

    alone = execute_step(project, ended.run_id, "times")
    shown = runs.show_run(project, alone.run_id)
    assert [(step.name, bool(step.source)) for step in shown.steps] == [
        ("first", True),
        ("times", True),
    ]
    assert shown.metrics == {}
    whole = execute_step(project, ended.run_id)
    assert whole.metrics == ended.metrics
    with pytest.raises(NotFound, match="no step 'fitt'"):
        execute_step(project, ended.run_id, "fitt")
    text = export(project, ended.run_id, to="gitlab", image="x:1")
    assert f'"thrive runs exec {ended.run_id} ."' in text
