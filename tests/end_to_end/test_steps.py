"""Options of steps as users see them: fan-out, limits, retries, settings, and going on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from thrive.domain.actor import local_actor
from thrive.domain.errors import NotRight, Refused, UsageError
from thrive.domain.run import RunState
from thrive.flows.resume import RESUMED, resume
from thrive.flows.run import run
from thrive.operations import Context
from thrive.store import runs as store
from thrive.store.home import create_home
from thrive.tracking import operations as runs

PIPELINE = """\
import os, time
from pathlib import Path
from thrive import log, pipeline, step

TRIES = Path(__file__).with_name("tries")

@step
def square(x: int, plus: int) -> int:
    return x * x + plus

@step(isolation="inline")
def half(x: int) -> float:
    return x / 2

@step(isolation="spawn")
def fresh() -> int:
    return os.getppid()

@step(retries=2, cache=False)
def shaky() -> int:
    tried = len(TRIES.read_text()) if TRIES.exists() else 0
    TRIES.write_text("x" * (tried + 1))
    if tried < 2:
        raise ConnectionError("not yet")
    return tried

@step(cache=False)
def nap(seconds: float) -> float:
    began = time.time()
    time.sleep(seconds)
    return began

@pipeline
def everything(count: int = 20):
    one, two = nap.start(0.5), nap.start(0.5)
    total = sum(square.map(range(count), plus=1))
    log(total=total, halves=sum(half.map(range(4))), fresh=fresh() > 0, tries=shaky())
    log(apart=abs(one.result() - two.result()))

@step(retries=3)
def mistaken() -> int:
    TRIES.write_text(TRIES.read_text() + "x" if TRIES.exists() else "x")
    return [][0] + None()

@step(memory="64M")
def greedy() -> int:
    return len(bytearray(1 << 30))

@step
def even(x: int) -> int:
    if x == 5 and not TRIES.exists():
        raise ValueError("five")
    return x

@pipeline
def wrong():
    mistaken()

@pipeline
def large():
    greedy()

@pipeline
def goes_on(factor: float = 1.0, names: list[str] = []):
    first = square(3, 1)
    log(sum=sum(even.map([1, 3, 5, 7])) * factor, first=first, names=len(names))

@step(cache=False)
def costly() -> int:
    TRIES.write_text(TRIES.read_text() + "x" if TRIES.exists() else "x")
    return 1

@step
def endless() -> int:
    time.sleep(0 if Path(__file__).with_name("enough").exists() else 60)
    return 2

@pipeline
def stopped():
    log(sum=costly() + endless())
"""


@pytest.fixture
def ctx(tmp_path):
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "steps"\n')
    (tmp_path / "train.py").write_text(PIPELINE)
    home = create_home(tmp_path, "steps")
    yield Context(home, local_actor("tester"), folder=tmp_path, operation="run")
    home.close()


def steps_of(ctx, run_id):
    with ctx.read() as tx:
        return store.find_steps(tx, ctx.project_id, run_id)


def last(ctx):
    return runs.show_run(ctx, runs.list_runs(ctx).items[0].run_id)


def test_steps_fan_out_run_side_by_side_and_are_tried_again(ctx):
    done = run(ctx, "train.py:everything")
    assert done.metrics["total"] == sum(x * x + 1 for x in range(20))
    assert done.metrics["halves"] == 3.0
    assert done.metrics["tries"] == 2.0
    if len(os.sched_getaffinity(0)) > 1:
        assert done.metrics["apart"] < 0.45
    steps = steps_of(ctx, done.run_id)
    assert [step.index for step in steps if step.name == "square"] == list(range(20))
    assert {step.seed for step in steps if step.name == "square"}.__len__() == 20
    assert next(step.attempts for step in steps if step.name == "shaky") == 3
    again = run(ctx, "train.py:everything", ["--count", "21"])
    steps = steps_of(ctx, again.run_id)
    assert [step.index for step in steps if step.name == "square" and not step.source] == [20]


def test_plain_mistakes_are_not_tried_again_and_limits_hold(ctx):
    with pytest.raises(NotRight, match="IndexError"):
        run(ctx, "train.py:wrong", set_=["mistaken.retry_on=ValueError"])
    assert (ctx.local_folder() / "tries").read_text() == "x"
    with pytest.raises(NotRight, match="MemoryError"):
        run(ctx, "train.py:large")
    (ctx.local_folder() / "train.toml").write_text('[steps.greedy]\nmemory = "2G"\n')
    assert run(ctx, "train.py:large", config=ctx.local_folder() / "train.toml").metrics == {}


def test_what_is_set_must_exist(ctx):
    with pytest.raises(UsageError, match="no step 'fit'"):
        run(ctx, "train.py:large", set_=["fit.cpu=4"])
    with pytest.raises(UsageError, match="no option 'cpus'"):
        run(ctx, "train.py:large", set_=["greedy.cpus=4"])
    with pytest.raises(UsageError, match="sets no option"):
        run(ctx, "train.py:large", set_=["greedy"])
    (ctx.local_folder() / "train.toml").write_text("factro = 2\n")
    with pytest.raises(UsageError, match="did you mean --factor"):
        run(ctx, "train.py:goes_on", config=ctx.local_folder() / "train.toml")


def test_a_failed_run_goes_on_where_it_failed(ctx):
    (ctx.local_folder() / "train.toml").write_text('factor = 2.0\nnames = ["a", "b"]\n')
    with pytest.raises(NotRight, match=r"even\[2\]"):
        run(ctx, "train.py:goes_on", config=ctx.local_folder() / "train.toml")
    failed = last(ctx)
    assert failed.state is RunState.FAILED
    # How many of the siblings end before the failure stops them is a matter of the machine.
    finished = {step.label for step in steps_of(ctx, failed.run_id) if step.state == "done"}
    assert "square" in finished
    (ctx.local_folder() / "tries").write_text("")
    done = resume(ctx, failed.run_id)
    assert done.metrics == {"sum": 32.0, "first": 10.0, "names": 2.0}
    assert last(ctx).tags == {RESUMED: failed.run_id}
    executed = [step.label for step in steps_of(ctx, done.run_id) if not step.source]
    assert "even[2]" in executed
    assert not finished & set(executed)
    with pytest.raises(Refused, match="is done"):
        resume(ctx, done.run_id)


def test_a_stopped_run_goes_on_and_repeats_nothing(ctx):
    folder = ctx.local_folder()
    command = [sys.executable, "-m", "thrive", "run", "train.py:stopped"]
    child = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while time.monotonic() < end and not any(
        step.name == "endless"
        for row in runs.list_runs(ctx).items
        for step in steps_of(ctx, row.run_id)
    ):
        time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    told = child.communicate(timeout=30)[1]
    assert child.returncode == 130
    stopped = last(ctx)
    assert stopped.state is RunState.INTERRUPTED
    assert f"thrive runs resume {stopped.run_id}" in told
    (folder / "enough").write_text("")
    done = resume(ctx, stopped.run_id)
    assert done.metrics == {"sum": 3.0}
    assert (folder / "tries").read_text() == "x"  # although it says cache=False
