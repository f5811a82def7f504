"""Today says what the raw rows say: every number is computed anew from the database file."""

import functools
import json
import sqlite3
from typing import Any

import msgspec
import pytest
from tests.unit.ui.filled_home import CANDIDATE, MODEL, NOW, OTHER, FilledHome

from thrive.domain.clock import DAY
from thrive.domain.gate import Answer
from thrive.domain.monitoring import AlertState
from thrive.domain.release import ReleaseState
from thrive.flows.facts import SPARK
from thrive.flows.health import Health
from thrive.flows.status import status
from thrive.operations import Context
from thrive.store import monitoring
from thrive.ui.pages import today


@pytest.fixture(scope="module")
def page(filled: FilledHome) -> today.TodayPage:
    return today.load(filled.context)


@pytest.fixture(scope="module")
def raw(filled: FilledHome):
    connection = sqlite3.connect(filled.context.home.folder / "thrive.db")
    connection.row_factory = sqlite3.Row
    yield lambda query, *values: [dict(row) for row in connection.execute(query, values)]
    connection.close()


def newest_window(raw: Any, model: str) -> dict[str, Any]:
    table = raw("select * from routing where model = ? order by revision desc limit 1", model)[0]
    live = next(each for each in json.loads(table["variants"]) if each["share"] > 0)
    rows = raw(
        "select * from windows where model = ? and version = ? order by start desc, revision desc",
        model,
        live["version"],
    )
    return {**rows[0], "findings": json.loads(rows[0]["findings"])}


def test_every_number_of_every_model_row_is_that_of_the_raw_rows(page, raw) -> None:
    shown = [*page.unhealthy, *page.well]
    routed = raw("select distinct model from routing")
    assert {row.name for row in shown} == {each["model"] for each in routed}
    for row in shown:
        window = newest_window(raw, row.name)
        found = window["findings"]
        live = sum(count for name, count in found["variants"].items() if name != "shadow")
        assert row.last is not None
        assert (row.last.start, row.last.end) == (window["start"], window["end"])
        assert (row.last.rows, row.last.outcomes) == (window["rows"], window["outcomes"])
        assert row.last.error_share == found["errors"] / live
        assert [row.last.p50_us, row.last.p99_us] == found["latency_us"]
        with_outcomes = raw(
            'select max("end") as last from windows where model = ? and outcomes > 0', row.name
        )
        assert row.outcomes_until == with_outcomes[0]["last"]
        release = raw("select * from releases where model = ? order by release_id desc", row.name)
        assert row.release is not None
        assert row.release.release_id == release[0]["release_id"]
        assert (row.release.candidate, row.release.state) == (
            release[0]["candidate"],
            release[0]["state"],
        )
        assert row.release.at == (release[0]["ended_at"] or release[0]["started_at"])
        table = raw("select * from routing where model = ? order by revision desc", row.name)[0]
        traffic = [
            (each["version"], each["share"], each["shadow"])
            for each in json.loads(table["variants"])
        ]
        assert [(each.version, each.share, each.shadow) for each in row.traffic] == traffic


def test_each_point_of_a_sparkline_is_a_window(page, raw) -> None:
    for row in [*page.unhealthy, *page.well]:
        windows = raw("select * from windows where model = ? order by start", row.name)[-SPARK:]
        assert [point.at for point in row.performance.estimated] == [w["start"] for w in windows]
        for kind in ("estimated", "realised"):
            expected = [
                (json.loads(w["findings"])["performance"].get(f"{kind} accuracy") or {}).get(
                    "value"
                )
                for w in windows
            ]
            assert [point.value for point in getattr(row.performance, kind)] == expected
            assert row.performance.last(kind) == [each for each in expected if each is not None][-1]


def test_what_waits_is_what_the_raw_rows_leave_open(page, raw) -> None:
    alerts = raw("select * from alerts where state = 'open'")
    held = raw("select * from releases where state = 'held'")
    kinds = [item.kind for item in page.decide]
    assert kinds.count("alert") == sum(each["level"] == "alert" for each in alerts) == 1
    assert kinds.count("notice") == sum(each["level"] == "notice" for each in alerts) == 1
    assert kinds.count("release") == len(held) == 1
    by_link = {item.link: item for item in page.decide}
    for alert in alerts:
        item = by_link[f"/alerts/{alert['alert_id']}"]
        assert (item.owner, item.since, item.deadline) == (
            alert["owner"],
            alert["opened_at"],
            alert["deadline"],
        )
        assert item.recommended == alert["recommended"]
        assert alert["alert_id"] in item.command


def test_an_approval_is_missing_until_it_is_given(page, raw) -> None:
    waiting = [item for item in page.decide if item.kind == "approval"]
    assert [item.model for item in waiting] == [CANDIDATE]
    assert raw("select count(*) as n from approvals where model = ?", CANDIDATE)[0]["n"] == 0
    assert "0 of 1 approvals" in waiting[0].title
    assert waiting[0].command == f'thrive approvals give {CANDIDATE}@1 --reason "..."'


def test_an_alert_comes_before_a_notice_whatever_their_deadlines(page) -> None:
    assert page.decide[0].kind == "alert"
    assert page.decide[-1].kind == "notice"


def test_the_worst_part_decides_and_the_rest_is_listed(page) -> None:
    (row,) = page.unhealthy
    assert (row.name, row.health, row.part) == (MODEL, Health.BAD, "Performance")
    assert [part.name for part in row.not_ok] == ["Performance", "Drift"]
    assert [each.name for each in page.well] == [OTHER]
    assert [each.name for each in page.idle] == [CANDIDATE]


def test_the_page_stands_on_the_projects_clock(page) -> None:
    assert (page.now, page.replay) == (NOW, True)


def test_an_empty_project_has_nothing_to_say(context: Context) -> None:
    page = today.load(context)
    assert (page.decide, page.unhealthy, page.well, page.idle) == ([], [], [], [])


def test_health_follows_an_alert_through_its_states(context: Context) -> None:
    made = FilledHome(context)
    for state, health, words in (
        (AlertState.DECIDED, Health.BAD, "being carried out"),
        (AlertState.DONE, Health.WATCH, "whether it helped"),
    ):
        with context.observe("alert:moved") as tx:
            alert = monitoring.get_alert(tx, context.project_id, made.alert_id)
            changed = msgspec.structs.replace(alert, state=state)
            monitoring.save_alert(tx, context.project_id, changed)
        (row,) = today.load(context).unhealthy
        performance = next(part for part in row.not_ok if part.name == "Performance")
        assert performance.health is health
        assert words in performance.why
        assert not any(item.kind == "alert" for item in today.load(context).decide)


def test_a_broken_feed_is_seen_without_an_alert(context: Context) -> None:
    made = FilledHome(context)
    made.window(OTHER, 1, NOW // DAY * DAY, level=0.6, drift=0.0, due=False)
    rows = {row.name: row for row in today.load(context).unhealthy}
    assert rows[OTHER].health is Health.BAD
    assert rows[OTHER].part == "Data quality"
    assert "visib is missing in 50% of the rows" in rows[OTHER].why


def test_a_model_without_production_says_what_leads_there(context: Context) -> None:
    made = FilledHome(context)
    release = functools.partial(made._release, CANDIDATE, 1, NOW - DAY, "")

    def idle() -> today.Idle:
        (found,) = today.load(context).idle
        return found

    assert (idle().why, idle().command) == ("", f"thrive releases start {CANDIDATE}@1")
    made._verdict(CANDIDATE, 1, NOW, Answer.FAIL, None)
    assert idle().command == f"thrive gates explain {CANDIDATE}@1"
    release(ReleaseState.RUNNING, 0)
    assert idle().command == f"thrive releases watch {CANDIDATE}"
    made.end_releases(CANDIDATE)
    made._route(CANDIDATE, [], NOW, "failed in a row", None)
    assert idle().command == f"thrive models retrain {CANDIDATE}"
    assert idle().why == "No version answers, the fallback 0.2 does: failed in a row."


def test_status_and_today_say_the_same_of_every_model(page, filled: FilledHome) -> None:
    rows = {row.name: row for row in [*page.unhealthy, *page.well]}
    told = {line.model: line for line in status(filled.context).models}
    assert {row.health for row in rows.values()} > {Health.OK}
    for name, row in rows.items():
        assert (told[name].health, told[name].why) == (row.health, f"{row.part}: {row.why}")
    for idle in page.idle:
        assert told[idle.name].health in {"not live", "releasing"}
