"""Each page's model: what it says of the filled home, and of an empty one."""

import re
from html import unescape

import numpy as np
import pytest
from tests.unit.ui.browser import ask
from tests.unit.ui.filled_home import CANDIDATE, EVIL, MODEL, NOW, OTHER, START, FilledHome

from thrive.domain.clock import DAY
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.gate import Answer
from thrive.domain.model import Model, Stage
from thrive.flows.health import Health
from thrive.operations import Context
from thrive.store import models as models_table
from thrive.tracking.curves import thinned
from thrive.ui.app import pages_app
from thrive.ui.pages import (
    alert,
    alerts,
    audit,
    dataset,
    datasets,
    document_diff,
    model,
    models,
    release,
    releases,
    run,
    runs,
    search,
)


def test_model_timeline_has_the_alarm_limit_and_all_that_happened(filled: FilledHome) -> None:
    page = model.load(filled.context, MODEL)
    line = page.timeline
    assert len(line.performance.estimated) == len(line.limit) == 59
    real = [each.value is not None for each in line.performance.realised]
    assert [each.value for each in line.limit] == [
        filled.limits["realised accuracy" if known else "estimated accuracy"] for known in real
    ]
    assert {*real} == {True, False}
    assert [mark.kind for mark in line.marks].count("alert") == 2
    assert [mark.kind for mark in line.marks].count("decision") == 1
    assert [mark.at for mark in line.marks] == sorted(mark.at for mark in line.marks)
    assert f"/alerts/{filled.alert_id}" in {mark.link for mark in line.marks}


def test_model_versions_have_their_derived_stage_and_verdict(filled: FilledHome) -> None:
    rows = {row.version.version: row for row in model.load(filled.context, MODEL).versions}
    assert (rows[1].stage, rows[2].stage) == (Stage.RETIRED, Stage.PRODUCTION)
    assert rows[2].verdict is Answer.PASS


def test_model_shows_the_worst_check_first_and_who_approved(filled: FilledHome) -> None:
    gate = model.load(filled.context, MODEL).gate
    assert gate is not None
    assert [check.answer for check in gate.checks] == ["cannot tell", "pass", "pass"]
    assert [each.actor for each in gate.approvals] == ["ben"]


def test_drift_puts_what_matters_and_moved_first(filled: FilledHome) -> None:
    drift = model.load(filled.context, MODEL).drift
    assert [row.name for row in drift.rows][:2] == ["wind_speed", "visib"]
    assert len(drift.starts) == model.DRIFT_WINDOWS
    newest = drift.rows[0].cells[-1]
    assert newest is not None
    assert newest.drifted


def test_a_model_that_is_not_live_has_no_health(filled: FilledHome) -> None:
    page = model.load(filled.context, CANDIDATE)
    assert (page.health, page.parts, page.production) == (None, [], None)
    lines = {line.name: line for line in models.load(filled.context).models}
    assert lines[CANDIDATE].health is None
    assert lines[MODEL].health is Health.BAD
    assert lines[OTHER].health is Health.OK


def test_alert_offers_the_recommended_action_first_with_its_command(filled: FilledHome) -> None:
    page = alert.load(filled.context, filled.alert_id)
    assert page.options[0].recommended
    assert page.options[0].action == "retrain"
    fix = next(option for option in page.options if option.action == "fix data")
    assert fix.command == f'thrive alerts decide {filled.alert_id} "fix data" --reason "..."'
    assert [window.start for window in page.windows] == [
        NOW // DAY * DAY - back * DAY for back in (3, 2, 1)
    ]
    assert page.findings is not None
    assert page.findings.segments
    assert "27,400 labelled rows" in page.advice


def test_a_closed_alert_offers_nothing_and_keeps_its_decision(filled: FilledHome) -> None:
    closed = alerts.load(filled.context, state="closed").alerts
    page = alert.load(filled.context, closed[0].alert_id)
    assert page.options == []
    assert [(each.action, each.worked) for each in page.decisions] == [("retrain", True)]


def test_alerts_are_filtered_and_an_unknown_state_is_told(filled: FilledHome) -> None:
    assert len(alerts.load(filled.context).alerts) == 3
    assert len(alerts.load(filled.context, state="open").alerts) == 2
    assert alerts.load(filled.context, model=OTHER).alerts == []
    with pytest.raises(UsageError, match="no state of an alert"):
        alerts.load(filled.context, state=EVIL)


def test_run_says_how_to_make_it_again(filled: FilledHome) -> None:
    page = run.load(filled.context, filled.run_id)
    assert page.reproduce == [
        f"thrive runs reproduce {filled.run_id[:12]}   # all of it; or step by step:",
        f"git checkout {'c' * 40}",
        "git apply run.diff   # save the difference below under this name",
        "thrive data checkout flights@1 --to data/flights",
        "thrive run train.py",
    ]
    assert "round 200" in page.log.text
    assert [step.name for step in page.steps] == ["load", "features", "fit", "evaluate"]
    assert [(each.source, each.target) for each in page.graph.edges] == [
        ("load", "features"),
        ("features", "fit"),
        ("fit", "evaluate"),
    ]
    assert page.graph.nodes[2].said == "2 min 6 s"
    assert [(curve.key, curve.points) for curve in page.curves] == [("log_loss", 1200)]
    assert page.libraries == ["numpy==2.1.0", "scikit-learn==1.6.0"]


def test_a_thinned_history_keeps_the_extremes() -> None:
    steps = np.arange(100_000)
    values = np.sin(steps / 50)
    values[777], values[778] = 9.0, np.nan
    kept = run.points_of(*thinned(steps, values, run.CURVE_POINTS))
    assert len(kept) <= run.CURVE_POINTS
    assert max(point.value or 0 for point in kept) == 9.0
    assert [point.step for point in kept] == sorted(point.step for point in kept)


def test_runs_are_paged_by_key(context: Context, filled: FilledHome, monkeypatch) -> None:
    made = FilledHome(context)
    for _ in range(6):
        made._run()
    monkeypatch.setattr(runs, "ROWS", 3)
    seen: list[str] = []
    after = ""
    while True:
        page = runs.load(context, {"experiment": "flight-delay", "after": after})
        seen += [each.run_id for each in page.runs]
        if page.next is None:
            break
        after = page.next
    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen)  # they began at one moment: their ids decide
    assert runs.load(context, {"experiment": "another"}).runs == []
    assert page.experiments[0].runs == 7


def test_dataset_shows_a_version_with_its_profile_and_readers(filled: FilledHome) -> None:
    page = dataset.load(filled.context, "flights", "1")
    assert page.shown is not None
    assert page.shown.version == 1
    assert page.lineage is not None
    assert [run.run_id for run in page.lineage.runs] == [filled.run_id]
    assert {each.predictions for each in page.lineage.models} <= {None}  # a page does not count
    assert page.columns[0].profile["missing"] == 8255
    newest = dataset.load(filled.context, "flights")
    assert newest.shown is not None
    assert (newest.shown.version, newest.shown.trainable) == (2, False)
    assert newest.lineage is not None
    assert newest.lineage.runs == []
    for wrong in ("x", "-1", "1" * 30):
        with pytest.raises(UsageError, match="no version"):
            dataset.load(filled.context, "flights", wrong)
    assert [line.newest for line in datasets.load(filled.context).datasets] == [2]


def test_release_says_where_it_stands_and_what_can_be_typed(filled: FilledHome) -> None:
    page = release.load(filled.context, filled.held)
    assert [each.state for each in page.phases] == ["passed", "now", "ahead"]
    assert page.phases[1].until is not None
    assert [command.split()[2] for command in page.commands] == ["resume", "promote", "rollback"]
    done = next(each for each in releases.load(filled.context).releases if each.state == "done")
    finished = release.load(filled.context, done.release_id)
    assert {each.state for each in finished.phases} == {"passed"}
    assert finished.commands == []
    assert finished.moves
    assert finished.verdict is not None


def test_release_shows_what_both_sides_did_against_what_is_tolerated(filled: FilledHome) -> None:
    page = release.load(filled.context, filled.held)
    assert page.shown is not None
    assert [(each.name, each.counts.errors) for each in page.shown.sides] == [
        ("production", 10),
        ("candidate", 9),
    ]
    failed = page.shown.guards[0]
    assert failed.guard == "error_rate"
    assert failed.difference == pytest.approx(9 / 9088 - 10 / 9120)
    assert failed.low is not None
    assert failed.high is not None
    assert failed.low < failed.difference < failed.high < failed.margin
    assert [each.answer for each in page.shown.comparisons] == ["not worse", "cannot tell"]
    assert [each.state for each in page.told] == ["held", "running"]
    assert page.rest == {"approvals": ["ana"]}


def test_audit_is_verified_and_paged(context: Context, monkeypatch) -> None:
    for number in range(7):
        with context.write(f"thing:{number}", why="a test"):
            pass
    monkeypatch.setattr(audit, "ROWS", 3)
    pages = [audit.load(context)]
    while pages[-1].before is not None:
        pages.append(audit.load(context, str(pages[-1].before)))
    numbers = [entry.seq for page in pages for entry in page.entries]
    assert numbers == [7, 6, 5, 4, 3, 2, 1]
    assert pages[0].broken is None
    with context.home.write() as tx:
        tx.exec_driver_sql("update audit set actor = 'somebody else' where seq = 4")
    assert audit.load(context).broken == 4


@pytest.mark.parametrize(
    "load",
    [
        lambda ctx: model.load(ctx, "nothing"),
        lambda ctx: alert.load(ctx, "0" * 32),
        lambda ctx: release.load(ctx, "0" * 32),
        lambda ctx: run.load(ctx, "0" * 32),
        lambda ctx: dataset.load(ctx, "nothing"),
        lambda ctx: dataset.load(ctx, "../../etc/passwd"),
    ],
)
def test_what_is_not_there_is_told(context: Context, load) -> None:
    with pytest.raises(NotFound):
        load(context)


def test_a_first_window_lies_where_it_should(filled: FilledHome) -> None:
    assert model.load(filled.context, MODEL).timeline.performance.estimated[0].at == START


def test_two_documents_are_compared_by_their_statements(filled: FilledHome) -> None:
    page = document_diff.load(filled.context, {"digest": filled.document})
    assert page.before is not None
    assert (page.before.subject, page.after.subject) == (f"{MODEL}@1", f"{MODEL}@2")
    changed = {each.what: (each.before, each.after) for each in page.sections["What it is"]}
    before = "tell the operations desk"
    assert changed["Purpose"] == (before, f"{before} early")
    assert "Known limits" not in changed
    back = document_diff.load(filled.context, {"digest": page.before.digest})
    assert back.before == page.after  # an only older one is compared with what came later
    with pytest.raises(NotFound, match="no such document"):
        document_diff.load(filled.context, {"digest": filled.document, "against": "0" * 64})


def test_audit_entries_that_say_the_same_stand_together(filled: FilledHome) -> None:
    page = audit.load(filled.context)
    assert [each for stretch in page.stretches for each in stretch.entries] == page.entries
    said = [
        {(each.actor, each.operation, each.subject) for each in stretch.entries}
        for stretch in page.stretches
    ]
    assert all(len(each) == 1 for each in said)
    assert all(one != other for one, other in zip(said, said[1:], strict=False))


def test_search_finds_a_run_in_the_middle_of_its_name(filled: FilledHome) -> None:
    name = run.load(filled.context, filled.run_id).run.name
    hits = search.load(filled.context, name[1:-1].upper()).hits
    assert f"/runs/{filled.run_id}" in {hit.link for hit in hits}


def test_a_model_without_a_version_has_all_its_tabs(context: Context) -> None:
    made = Model(name="new-one", owner="flights-ml", purpose="", created_at=START)
    with context.observe("model:new-one") as tx:
        models_table.save(tx, context.project_id, made)
    app = pages_app(context)
    for path in ("", "/versions", "/release", "/drift", "/feedback", "/card", "/duties"):
        answer = ask(app, f"/models/new-one{path}")
        assert answer.status == 200, path
        assert "Traceback" not in answer.text
    assert "none is registered yet" in answer.text


def test_names_of_any_letters_lead_to_their_pages(context: Context) -> None:
    name = 'odd "name" & <b>?#%\u202e'  # the registry of MLflow takes it
    made = Model(name=name, owner=name, purpose=name * 5, created_at=START)
    with context.observe(f"model:{name}") as tx:
        models_table.save(tx, context.project_id, made)
    app = pages_app(context)
    links: set[str] = set()
    for path in ("/", "/models", "/gates", "/governance", "/search?q=odd", "/lineage"):
        answer = ask(app, path)
        assert answer.status == 200, path
        assert "<b>" not in answer.text
        links |= {unescape(link) for link in re.findall(r'href="([^"]*odd[^"]*)"', answer.text)}
    assert len(links) >= 4
    for link in links - {each for each in links if each.startswith("/lineage")}:
        assert ask(app, link).status == 200, link
