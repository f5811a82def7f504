"""Schedules: when they fire, why, how often, and that two servers fire once."""

from datetime import datetime

import msgspec
import pytest

from thrive.data import operations as data
from thrive.domain.actor import local_actor
from thrive.domain.clock import DAY, HOUR, MINUTE, ClockMode, ClockState
from thrive.domain.cron import next_time, parse_cron
from thrive.domain.errors import Conflict, UsageError
from thrive.domain.run import CodeRecord
from thrive.domain.schedule import Missed, Schedule
from thrive.flows import schedules as flow
from thrive.flows.controller import tick
from thrive.flows.triggers import considered
from thrive.flows.worker import worker
from thrive.operations import Context
from thrive.store import jobs, schedules
from thrive.store.home import create_home
from thrive.tracking import operations as runs


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("line", "after", "zone", "due"),
    [
        ("0 3 * * *", "2026-05-01T02:59:59+00:00", "UTC", "2026-05-01T03:00:00+00:00"),
        ("0 3 * * *", "2026-05-01T03:00:00+00:00", "UTC", "2026-05-02T03:00:00+00:00"),
        ("*/15 8-10 * * mon-fri", "2026-05-01T10:50:00+00:00", "UTC", "2026-05-04T08:00:00+00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00+00:00", "UTC", "2028-02-29T00:00:00+00:00"),
        ("0 0 13 * fri", "2026-05-01T12:00:00+00:00", "UTC", "2026-05-08T00:00:00+00:00"),
        ("@monthly", "2026-12-15T00:00:00+00:00", "UTC", "2027-01-01T00:00:00+00:00"),
        ("0 3 * * *", "2026-06-30T23:00:00+00:00", "Europe/Berlin", "2026-07-01T01:00:00+00:00"),
        ("30 2 * * *", "2026-03-28T12:00:00+00:00", "Europe/Berlin", "2026-03-29T01:30:00+00:00"),
        ("0 0 * * 7", "2026-05-01T12:00:00+00:00", "UTC", "2026-05-03T00:00:00+00:00"),
    ],
)
def test_cron_lines_name_the_next_minute(line, after, zone, due):
    assert next_time(parse_cron(line), at(after), zone) == at(due)


@pytest.mark.parametrize(
    "line", ["* * * *", "60 * * * *", "a * * * *", "5-1 * * * *", "*/0 * * * *"]
)
def test_what_is_no_cron_line_is_refused(line):
    with pytest.raises(UsageError, match="cron line"):
        parse_cron(line)


def test_a_day_that_never_comes_is_said():
    with pytest.raises(UsageError, match="never due"):
        next_time(parse_cron("0 0 31 2 *"), 0)


def schedule(**known) -> Schedule:
    body = {"name": "s", "target": "t", "code": CodeRecord(entry="t"), "actor": "a"}
    return Schedule(**{**body, "created_at": 0, "triggers": ["cron 0 * * * *"], **known})


@pytest.mark.parametrize(
    ("missed", "count", "late"),
    [
        (Missed.ONCE, 1, 5 * HOUR),
        (Missed.ALL, 5, 5 * HOUR),
        (Missed.SKIP, 0, 5 * HOUR - 30 * MINUTE),
    ],
)
def test_missed_times_are_made_up_for_as_the_policy_says(missed, count, late):
    after, causes = considered(schedule(missed=missed, next_at=HOUR), {}, late, 0)
    assert len(causes) == count
    assert after.next_at == (6 * HOUR if missed is not Missed.SKIP else 5 * HOUR)


def test_events_wait_until_nothing_more_happens():
    one = schedule(triggers=["data x"], debounce=10 * MINUTE, seen={"data x": "x@1"})
    two, causes = considered(one, {"data x": "x@2"}, 0, 0)
    assert causes == []
    three, causes = considered(two, {"data x": "x@3"}, 9 * MINUTE, 0)
    assert causes == []
    same, causes = considered(three, {"data x": "x@3"}, 18 * MINUTE, 0)
    assert (same, causes) == (three, [])
    four, causes = considered(three, {"data x": "x@3"}, 19 * MINUTE, 0)
    assert causes == ["data: x@2; data: x@3"]
    assert four.pending is None


def test_what_the_budget_does_not_allow_waits():
    one = schedule(triggers=["data x"], budget=1, budget_window=DAY, seen={"data x": ""})
    held, causes = considered(one, {"data x": "x@1"}, HOUR, spent=1)
    assert causes == []
    assert held.pending == {"cause": "data: x@1", "since": HOUR}
    freed, causes = considered(held, {"data x": "x@1"}, 2 * HOUR, spent=0)
    assert causes == ["data: x@1"]
    assert freed.pending is None


PIPELINE = """\
from thrive import data, log, pipeline
@pipeline
def train(by: int = 1):
    log(rows=data.load("rows").height, by=by)
"""


@pytest.fixture
def ctx(tmp_path):
    (tmp_path / "thrive.toml").write_text(
        'contract = 1\n[project]\nname = "often"\n'
        '[data.rows]\nsource = "rows.csv"\nowner = "us"\nwhy = "To test."\n'
    )
    (tmp_path / "train.py").write_text(PIPELINE)
    clock = ClockState(mode=ClockMode.REPLAY, replay_now=at("2026-05-01T00:00:00+00:00"))
    home = create_home(tmp_path, "often", clock=clock)
    yield Context(home, local_actor("tester"), folder=tmp_path, operation="schedules add")
    home.close()


def add_rows(ctx, count):
    (ctx.local_folder() / "rows.csv").write_text("a\n" + "1\n" * count)
    data.add(ctx, "rows.csv", name="rows")


def test_a_new_version_of_data_trains_from_the_recorded_code_with_its_cause(ctx):
    add_rows(ctx, 2)
    flow.schedules_add(ctx, "fresh", "train.py", ["--by", "7"], on=["data:rows"], budget="1 a day")
    with pytest.raises(Conflict):
        flow.schedules_add(ctx, "fresh", "train.py", on=["data:rows"])
    (ctx.local_folder() / "train.py").write_text("broken(")
    assert tick(ctx).fired == 0
    add_rows(ctx, 3)
    assert tick(ctx).fired == 1
    assert tick(ctx).fired == 0
    assert worker(ctx, once=True).done == 1
    (ran,) = runs.list_runs(ctx).items
    shown = runs.show_run(ctx, ran.run_id)
    assert shown.metrics == {"rows": 3.0, "by": 7.0}
    assert shown.tags == {"schedule": "fresh", "cause": "data: rows@2"}
    (firing,) = flow.schedules_show(ctx, "fresh").firings
    assert (firing.run_id, firing.cause) == (ran.run_id, "data: rows@2")
    add_rows(ctx, 4)
    assert tick(ctx).fired == 0  # one a day
    assert flow.schedules_show(ctx, "fresh").schedule.pending["cause"] == "data: rows@3"
    flow.schedules_run(ctx, "fresh")
    assert flow.schedules_show(ctx, "fresh").firings[0].cause == "by hand: tester"


def test_an_alert_is_one_event_whatever_it_says_and_a_removed_version_is_none():
    known = schedule(
        triggers=["drift late", "data rows"],
        seen={"drift late": "On Monday x moved (alert 01a)", "data rows": "rows@10"},
    )
    same = {"drift late": "On Tuesday x moved more (alert 01a)", "data rows": "rows@9"}
    assert considered(known, same, at("2026-05-01T00:00:00+00:00"), 0)[1] == []
    news = {"drift late": "On Friday x moved (alert 01b)", "data rows": "rows@11"}
    assert considered(known, news, at("2026-05-01T00:00:00+00:00"), 0)[1] == [
        "drift: On Friday x moved (alert 01b); data: rows@11"
    ]


def test_two_that_look_at_once_fire_once(ctx):
    add_rows(ctx, 2)
    made = flow.schedules_add(ctx, "hourly", "train.py", cron="0 * * * *")
    with ctx.read() as tx:
        seen = schedules.get(tx, ctx.project_id, "hourly")
    assert made.next_at == at("2026-05-01T01:00:00+00:00")
    later = msgspec.structs.replace(seen, next_at=at("2026-04-30T23:00:00+00:00"), revision=1)
    with ctx.write("schedule:hourly") as tx:
        assert schedules.change(tx, ctx.project_id, later)
    assert len(flow._fire(ctx, later)) == 1
    assert flow._fire(ctx, later) == []  # what another server had read before
    with ctx.read() as tx:
        assert len(jobs.find(tx, ctx.project_id)) == 1
    flow.schedules_pause(ctx, "hourly")
    assert tick(ctx).fired == 0
    flow.schedules_remove(ctx, "hourly")
    assert flow.schedules_list(ctx) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "needs a trigger"),
        ({"on": ["rain:tomorrow"]}, "no trigger"),
        ({"cron": "1 2 3"}, "cron line"),
        ({"cron": "@daily", "zone": "Mars"}, "time zone"),
        ({"cron": "@daily", "budget": "often"}, "no budget"),
    ],
)
def test_what_cannot_be_read_is_said(ctx, given, words):
    with pytest.raises(UsageError, match=words):
        flow.schedules_add(ctx, "odd", "train.py", **given)
