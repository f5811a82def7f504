"""The facts of all models at once are those of each alone, whatever was written in between."""

import msgspec
import pytest
from tests.unit.ui.filled_home import MODEL, NOW, OTHER, FilledHome

from thrive.domain.clock import DAY, ClockMode, ClockState
from thrive.domain.gate import Answer
from thrive.domain.model import Model
from thrive.domain.monitoring import AlertState
from thrive.domain.release import ReleaseState
from thrive.flows.facts import ModelFacts, one_model
from thrive.flows.fleet import every_model
from thrive.flows.health import assess
from thrive.operations import Context
from thrive.registry.versions import retire
from thrive.store import models, monitoring, projects, releases


def seen(facts: ModelFacts) -> dict[str, object]:
    """Return all that a screen takes from the facts of a model among many."""
    return {
        "model": facts.model,
        "now": facts.now,
        "newest": facts.versions[:1],
        "count": facts.version_count,
        "routing": facts.history[:1],
        "production": facts.production,
        "counts": facts.counts,
        "newest window": facts.newest_window(),
        "performance": facts.performance,
        "alerts": facts.alerts,
        "verdicts": (facts.verdict, facts.newest_verdict),
        "under way": facts.under_way(),
        "last release": facts.releases[:1],
        "health": assess(facts),
    }


def told(context: Context) -> dict[str, dict[str, object]]:
    """Return what is seen of every model, after comparing it with what each alone says."""
    many = {facts.model.name: seen(facts) for facts in every_model(context)}
    assert many == {name: seen(one_model(context, name)) for name in many}
    return many


@pytest.fixture
def made(context: Context) -> FilledHome:
    return FilledHome(context)


def test_what_changes_is_seen_at_once_and_what_does_not_is_not_read_again(
    made: FilledHome, context: Context
) -> None:
    before = told(context)
    project = context.project_id
    window = made.window(OTHER, 1, NOW // DAY * DAY, level=0.5, drift=0.0, due=False)
    after = told(context)
    (count,) = [each for each in after[OTHER]["counts"] if each.start == window.start]  # pyright: ignore[reportGeneralTypeIssues]
    assert (count.rows, count.revision) == (window.rows, 0)
    assert after[MODEL] == before[MODEL]
    again = msgspec.structs.replace(window, revision=1, rows=7)
    with context.observe(f"window:{OTHER}@1/{window.start}/1") as tx:
        monitoring.insert_window(tx, project, again)
    assert told(context)[OTHER]["newest window"].rows == 7  # pyright: ignore[reportAttributeAccessIssue]
    kept = [facts.found for facts in every_model(context)]
    with context.observe("run:1"):
        pass
    assert all(
        facts.found is known for facts, known in zip(every_model(context), kept, strict=True)
    )


def test_versions_alerts_releases_and_routing_are_followed(
    made: FilledHome, context: Context
) -> None:
    told(context)
    project = context.project_id
    with context.write(f"alert:{made.alert_id}") as tx:
        alert = monitoring.get_alert(tx, project, made.alert_id)
        monitoring.save_alert(tx, project, msgspec.structs.replace(alert, state=AlertState.CLOSED))
    assert len(told(context)[MODEL]["alerts"]) == 1  # pyright: ignore[reportArgumentType]
    held = made.hold_release()
    assert told(context)[OTHER]["under way"] is not None
    with context.write(f"release:{held}") as tx:
        found = releases.get(tx, project, held)
        over = msgspec.structs.replace(found, state=ReleaseState.ROLLED_BACK, reason="it failed")
        releases.save(tx, project, over)
    assert told(context)[OTHER]["under way"] is None
    assert told(context)[OTHER]["last release"] == [over]
    retire(context, OTHER, 2, "never used")
    (newest,) = told(context)[OTHER]["newest"]  # pyright: ignore[reportGeneralTypeIssues]
    assert newest.note == "never used"
    made._verdict(OTHER, 1, NOW, Answer.FAIL, None)
    assert told(context)[OTHER]["verdicts"][0].answer is Answer.FAIL  # pyright: ignore[reportIndexIssue]
    made._route(OTHER, [(2, 1.0)], NOW, "by hand", None)
    assert told(context)[OTHER]["production"] == newest
    with context.write("model:new") as tx:
        models.save(tx, project, Model(name="new", owner="a", purpose="", created_at=NOW))
    assert told(context)["new"]["newest"] == []


def test_a_new_day_lets_old_windows_go(made: FilledHome, context: Context) -> None:
    before = told(context)
    with context.home.write() as tx:
        later = ClockState(mode=ClockMode.REPLAY, replay_now=NOW + 40 * DAY)
        projects.set_clock(tx, made.project, later)
    after = told(context)
    assert 0 < len(after[MODEL]["counts"]) < len(before[MODEL]["counts"])  # pyright: ignore[reportArgumentType]
