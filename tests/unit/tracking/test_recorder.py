import os
import subprocess
import sys

import msgspec
import pytest

from thrive.domain.clock import ClockMode, ClockState
from thrive.domain.errors import NotFound
from thrive.domain.run import CodeRecord, RunState, Use
from thrive.store import audit, changes, projects, references, runs
from thrive.tracking import operations
from thrive.tracking.process import is_gone, own_identity
from thrive.tracking.recorder import Beginning, start_run
from thrive.tracking.recovery import DIED, recover_dead_runs


def beginning(**more):
    given = {"params": {"rate": 0.1}, "seed": 3, "environment": {"python": "3.11"}} | more
    return Beginning(
        experiment="delay",
        name="train",
        pipeline="train",
        code=CodeRecord(entry="train.py", bundle="b" * 64),
        **given,
    )


def test_a_run_is_stored_as_it_happens(context):
    recorder = start_run(context, beginning())
    run_id = recorder.run.run_id
    assert operations.show_run(context, run_id).state is RunState.RUNNING
    step = recorder.begin_step("fit", seed=9)
    recorder.flush()  # a quarter of a second later it would have been written by itself
    assert [one.state for one in operations.show_run(context, run_id).steps] == [RunState.RUNNING]
    digest = context.home.blobs.put(b"model")
    output = recorder.artifact("fit", "pickle", digest, 5)
    recorder.log([{"key": "loss", "value": 1.0, "step": 0}])
    recorder.log([{"key": "loss", "value": None, "step": 1}])
    recorder.end_step(step, RunState.DONE, outputs=[output])
    recorder.use(Use(kind="dataset", name="f", digest="d" * 64, direction="in", version=1))
    recorder.write_log(b"hello\n")
    assert operations.show_logs(context, run_id[:12]).text == "hello\n"
    recorder.finish(RunState.DONE)
    shown = operations.show_run(context, run_id)
    assert (shown.state, shown.metrics, shown.seed) == (RunState.DONE, {"loss": None}, 3)
    assert shown.ended_at >= shown.started_at
    assert [one.outputs for one in shown.steps] == [["fit"]]
    assert [one.name for one in shown.artifacts] == ["fit", "log"]
    assert [one.name for one in shown.uses] == ["f"]
    assert operations.show_logs(context, run_id).text == "hello\n"
    assert not recorder.scratch.exists()
    with context.read() as tx:
        points = runs.metric_history(tx, context.project_id, run_id, "loss")
        assert [(point.value, point.step) for point in points] == [(1.0, 0), (None, 1)]
        bundle_users = references.users(tx, context.project_id, "b" * 64)
        assert ("run", run_id) in bundle_users
        subjects = [link.subject for link in audit.latest(tx, context.project_id)]
        assert subjects == [f"run:{run_id}"] * 2  # begun and ended; observations write none
        assert len(changes.after(tx, context.project_id, 0)) > 2


def test_results_of_one_name_are_kept_apart(context):
    recorder = start_run(context, beginning())
    names = [recorder.artifact("fit", "pickle", "d" * 64, 1).name for _ in range(3)]
    recorder.finish(RunState.DONE)
    assert names == ["fit", "fit-2", "fit-3"]


def test_in_a_replay_a_run_is_stamped_and_its_times_are_those_of_the_replay(context):
    with context.write("project:clock") as tx:
        state = ClockState(mode=ClockMode.REPLAY, replay_now=1_000_000)
        projects.set_clock(tx, context.project_id, state)
    run = start_run(context, beginning()).finish(RunState.DONE)
    assert run.replay
    assert run.started_at == 1_000_000
    assert 1_000_000 <= run.ended_at < 60_000_000


def ended_process():
    """Return the identity of a process that has ended."""
    code = "from thrive.tracking.process import own_identity; print(own_identity())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_process_is_known_by_its_start_and_its_boot():
    mine = own_identity()
    host, boot, pid, started = mine.rsplit("/", 3)
    assert pid == str(os.getpid())
    assert not is_gone(mine)
    assert is_gone(ended_process())
    assert is_gone(f"{host}/{boot}/{pid}/{started}0")
    assert is_gone(f"{host}/another-boot/{pid}/{started}")
    assert not is_gone(f"another-host/{boot}/{pid}/{started}0")
    assert is_gone("")


def test_a_dead_run_is_shown_and_then_marked_as_interrupted(context):
    recorder = start_run(context, beginning())
    recorder.begin_step("fit", seed=1)
    recorder.flush()
    recorder.write_log(b"so far\n")
    alive = start_run(context, beginning())
    dead = msgspec.structs.replace(recorder.run, process=ended_process())
    with context.write("run:x") as tx:
        runs.save(tx, context.project_id, dead)
    rows = operations.list_runs(context).items
    states = {row.run_id: row.state for row in rows}
    assert states == {dead.run_id: RunState.INTERRUPTED, alive.run.run_id: RunState.RUNNING}
    assert [run.run_id for run in recover_dead_runs(context)] == [dead.run_id]
    assert recover_dead_runs(context) == []
    shown = operations.show_run(context, dead.run_id)
    assert (shown.state, shown.error) == (RunState.INTERRUPTED, DIED)
    assert [step.state for step in shown.steps] == [RunState.INTERRUPTED]
    assert operations.show_logs(context, dead.run_id).text == "so far\n"
    assert not recorder.scratch.exists()
    alive.finish(RunState.DONE)


def test_runs_are_listed_in_pages_and_by_experiment(context):
    made = [start_run(context, beginning()).finish(RunState.DONE).run_id for _ in range(3)]
    page = operations.list_runs(context, limit=2)
    assert [row.run_id for row in page.items] == made[:0:-1]
    rest = operations.list_runs(context, limit=2, after=page.next)
    assert ([row.run_id for row in rest.items], rest.next) == (made[:1], None)
    assert operations.list_runs(context, experiment="other").items == []
    row = operations.list_experiments(context)[0]
    assert (row.name, row.runs, row.last_run) == ("delay", 3, made[-1])


def test_two_runs_are_compared_by_what_differs(context):
    libraries = [["a==1", "b==1"], ["a==1", "b==2"]]
    made = []
    for rate, names in zip((0.1, 0.2), libraries, strict=True):
        recorder = start_run(
            context,
            beginning(params={"rate": rate, "same": 1}, environment={"libraries": names}),
        )
        recorder.log([{"key": "auc", "value": rate * 5, "step": 0}])
        made.append(recorder.finish(RunState.DONE).run_id)
    found = operations.compare_runs(context, *made)
    assert [(one.kind, one.name, one.first, one.second) for one in found] == [
        ("parameter", "rate", 0.1, 0.2),
        ("environment", "b", "1", "2"),
        ("metric", "auc", 0.5, 1.0),
    ]
    assert found[-1].change == 0.5
    with pytest.raises(NotFound):
        operations.compare_runs(context, made[0], "0" * 32)
