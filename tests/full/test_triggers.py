"""Every kind of trigger, from what happens through tick and worker to a run with its cause."""

import threading

import pytest
from tests.contract import nouns

from thrive.data import operations as data
from thrive.domain.actor import local_actor
from thrive.domain.clock import DAY, MINUTE, ClockMode, ClockState
from thrive.domain.model import ModelVersion
from thrive.domain.monitoring import Cause
from thrive.flows import schedules as flow
from thrive.flows.controller import tick
from thrive.flows.worker import worker
from thrive.operations import Context
from thrive.store import models, monitoring, projects
from thrive.store.home import create_home
from thrive.tracking import operations as runs

pytestmark = pytest.mark.full

START = 1_777_593_600_000_000  # 2026-05-01T00:00Z, a Friday
PIPELINE = """\
from thrive import log, pipeline
@pipeline
def train():
    log(done=1)
"""


@pytest.fixture
def ctx(tmp_path):
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "often"\n')
    (tmp_path / "train.py").write_text(PIPELINE)
    clock = ClockState(mode=ClockMode.REPLAY, replay_now=START)
    home = create_home(tmp_path, "often", clock=clock)
    yield Context(home, local_actor("tester"), folder=tmp_path, operation="schedules add")
    home.close()


def pass_time(ctx, duration):
    now = ctx.home.clock().replay_now + duration
    with ctx.home.write() as tx:
        state = ClockState(mode=ClockMode.REPLAY, replay_now=now)
        projects.set_clock(tx, ctx.project_id, state)


def add_rows(ctx, count):
    (ctx.local_folder() / "rows.csv").write_text("a\n" + "1\n" * count)
    data.add(ctx, "rows.csv", name="rows", owner="flights-ml", why="To test.")


def register(ctx, version: ModelVersion):
    with ctx.write(f"model:{version.model}") as tx:
        if version.version == 1:
            models.save(tx, ctx.project_id, nouns.model(name=version.model))
        models.insert_version(tx, ctx.project_id, version, [])


def alarm(ctx, cause, title):
    with ctx.write("alert:late") as tx:
        monitoring.save_alert(
            tx, ctx.project_id, nouns.alert(model="late", cause=cause, title=title)
        )


def fired(ctx):
    """Tick and work; return the causes of the runs that came of it, oldest first."""
    before = {row.run_id for row in runs.list_runs(ctx, limit=200).items}
    tick(ctx)
    worker(ctx, once=True)
    rows = [row for row in runs.list_runs(ctx, limit=200).items if row.run_id not in before]
    return [runs.show_run(ctx, row.run_id).tags["cause"] for row in reversed(rows)]


def test_each_kind_of_event_is_a_run_with_its_cause(ctx):
    register(ctx, nouns.model_version(model="late", version=1))
    add_rows(ctx, 2)
    kinds = ["data:rows", "registry:late", "drift:late", "outcome:late"]
    flow.schedules_add(ctx, "any", "train.py", on=kinds)
    (ctx.local_folder() / "train.py").write_text("broken(")  # the code is that of the schedule
    assert fired(ctx) == []
    add_rows(ctx, 3)
    assert fired(ctx) == ["data: rows@2"]
    register(ctx, nouns.model_version(model="late", version=2))
    assert fired(ctx) == ["registry: late@2"]
    alarm(ctx, Cause.DRIFT, "x moved")
    (cause,) = fired(ctx)
    assert cause.startswith("drift: x moved (alert ")
    alarm(ctx, Cause.PERFORMANCE, "auc fell")
    (cause,) = fired(ctx)
    assert cause.startswith("outcome: auc fell (alert ")
    assert fired(ctx) == []
    flow.schedules_run(ctx, "any")
    causes = [each.cause.partition(" (")[0] for each in flow.schedules_show(ctx, "any").firings]
    assert causes == [
        "by hand: tester",
        "outcome: auc fell",
        "drift: x moved",
        "registry: late@2",
        "data: rows@2",
    ]


def test_cron_missed_times_debounce_and_budget_hold_through_the_tick(ctx):
    add_rows(ctx, 2)
    flow.schedules_add(ctx, "once", "train.py", cron="0 * * * *")
    flow.schedules_add(ctx, "all", "train.py", cron="0 * * * *", missed="all")
    flow.schedules_add(ctx, "skip", "train.py", cron="0 * * * *", missed="skip")
    flow.schedules_add(ctx, "data", "train.py", on=["data:rows"], debounce="10m", budget="1 a day")
    pass_time(ctx, 200 * MINUTE)  # nothing ran from 00:00 to 03:20
    causes = [cause.rpartition("due ")[2][11:16] for cause in fired(ctx)]
    assert sorted(causes) == ["01:00", "02:00", "03:00", "03:00"]  # skip: 20 minutes are too late
    for name in ("once", "all", "skip"):
        flow.schedules_remove(ctx, name)
    add_rows(ctx, 3)
    assert fired(ctx) == []
    pass_time(ctx, 6 * MINUTE)
    add_rows(ctx, 4)  # puts it off
    assert fired(ctx) == []
    pass_time(ctx, 6 * MINUTE)
    assert fired(ctx) == []
    pass_time(ctx, 6 * MINUTE)
    assert fired(ctx) == ["data: rows@2; data: rows@3"]
    add_rows(ctx, 5)
    fired(ctx)
    pass_time(ctx, 20 * MINUTE)
    assert fired(ctx) == []  # one a day
    pass_time(ctx, DAY)
    assert fired(ctx) == ["data: rows@4"]


def test_of_many_that_look_at_once_one_fires(ctx):
    add_rows(ctx, 2)
    flow.schedules_add(ctx, "fresh", "train.py", on=["data:rows"])
    add_rows(ctx, 3)
    found: list[list[str]] = []
    start = threading.Barrier(8)

    def look() -> None:
        start.wait()
        found.append(flow.fire_due(ctx))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [causes for causes in found if causes] == [["fresh: data: rows@2"]]
