"""Decisions: recorded with the alert, carried out once, judged later."""

import msgspec
import pytest
from tests.streams import Stream

from thrive.contract.phases import parse_road
from thrive.domain.actor import CONTROLLER, Actor, Role
from thrive.domain.clock import DAY
from thrive.domain.errors import Conflict, Refused, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.monitoring import ActionKind, Alert, AlertState, Cause, Decision, Level
from thrive.domain.project import Job
from thrive.domain.release import Release, ReleaseState
from thrive.flows import act, traffic, worker
from thrive.flows.catalogue import load_all
from thrive.flows.controller import LEASE, advance, tick
from thrive.monitoring.alerts import is_over
from thrive.monitoring.attention import mute
from thrive.operations import Context
from thrive.store import audit, jobs, monitoring, releases

load_all()


@pytest.fixture
def stream(context: Context) -> Stream:
    made = Stream(context)
    made.add_version(2)
    made.advance(0.1)
    made.route(2, context.now())
    return made


def opened(stream: Stream, cause: Cause = Cause.PERFORMANCE, **changes: object) -> Alert:
    """Store an open alert about version 2."""
    now = stream.context.now()
    alert = Alert(
        alert_id=new_id(),
        model="m",
        version=2,
        cause=cause,
        level=Level.ALERT,
        state=AlertState.OPEN,
        title="It is bad.",
        owner="ml",
        deputy="data",
        opened_at=now,
        deadline=now + DAY,
        evidence={"upstream": {"dataset": "weather", "owner": "data"}},
        proposed=["rollback"],
        recommended="rollback",
    )
    alert = msgspec.structs.replace(alert, **changes)
    with stream.context.write(f"alert:{alert.alert_id}") as tx:
        monitoring.save_alert(tx, stream.context.project_id, alert)
    return alert


def present(stream: Stream, alert: Alert) -> Alert:
    with stream.context.read() as tx:
        return monitoring.get_alert(tx, stream.context.project_id, alert.alert_id)


def decision_of(stream: Stream, alert: Alert) -> Decision:
    with stream.context.read() as tx:
        return monitoring.find_decisions(tx, stream.context.project_id, alert.alert_id)[0]


def serving(stream: Stream) -> int:
    with stream.context.read() as tx:
        table = releases.current_routing(tx, stream.context.project_id, "m")
    assert table is not None
    production = table.production()
    assert production is not None
    return production.version


def queued(stream: Stream) -> list[Job]:
    with stream.context.read() as tx:
        return jobs.find(tx, stream.context.project_id)


def test_a_rollback_moves_traffic_and_is_audited(stream: Stream) -> None:
    alert = opened(stream)
    decision = act.alerts_decide(
        stream.context, alert.alert_id, ActionKind.ROLLBACK, reason="errors since noon"
    )
    assert (decision.state, decision.actor) == ("done", "tester")
    assert serving(stream) == 1
    assert present(stream, alert).state is AlertState.DONE
    with stream.context.read() as tx:
        entries = audit.latest(tx, stream.context.project_id)
        assert audit.first_broken(tx, stream.context.project_id) is None
    assert any(entry.detail.get("reason") == "errors since noon" for entry in entries)


def test_an_alert_is_decided_once(stream: Stream) -> None:
    alert = opened(stream)
    act.decide(stream.context, alert, ActionKind.REVIEW, "look")
    with pytest.raises(Conflict, match="done already"):
        act.decide(stream.context, alert, ActionKind.ROLLBACK, "no")
    assert serving(stream) == 2


def test_only_releasers_and_the_named_teams_decide(stream: Stream) -> None:
    alert = opened(stream)
    roles = frozenset({Role.DATA_SCIENTIST})
    stranger = stream.context.acting(Actor(name="eve", roles=roles), "alerts decide")
    with pytest.raises(Refused, match="eve may not"):
        act.alerts_decide(stranger, alert.alert_id, ActionKind.ACCEPT, reason="fine")
    with pytest.raises(UsageError, match="reason is empty"):
        act.alerts_decide(stream.context, alert.alert_id, ActionKind.ACCEPT, reason=" ")
    owner = stream.context.acting(Actor(name="ml", roles=roles), "alerts decide")
    act.alerts_decide(owner, alert.alert_id, ActionKind.ACCEPT, reason="the world changed")
    closed = present(stream, alert)
    assert closed.state is AlertState.CLOSED
    assert closed.closing == "accepted by ml: the world changed"


def test_what_the_evidence_speaks_against_needs_a_yes_and_both_are_kept(stream: Stream) -> None:
    faulty = {"against": {"retrain": "a model trained on faulty rows learns the fault"}}
    alert = opened(stream, Cause.DATA_QUALITY, evidence=faulty, recommended="hold")
    with pytest.raises(Refused, match="learns the fault; advised is hold") as refused:
        act.alerts_decide(stream.context, alert.alert_id, ActionKind.RETRAIN, reason="try")
    assert f"thrive alerts decide {alert.alert_id} retrain --yes" in refused.value.hint
    assert present(stream, alert).state is AlertState.OPEN
    assert not queued(stream)
    why = "the rows are right: the sensor was replaced"
    made = act.alerts_decide(
        stream.context, alert.alert_id, ActionKind.RETRAIN, reason=why, yes=True
    )
    assert made.result["against"] == faulty["against"]["retrain"]
    assert decision_of(stream, alert).reason == why


def test_a_rollback_does_not_wait_for_a_yes(stream: Stream) -> None:
    alert = opened(stream, evidence={"against": {"rollback": "an older version knows no better"}})
    made = act.alerts_decide(
        stream.context, alert.alert_id, ActionKind.ROLLBACK, reason="users are hurt"
    )
    assert serving(stream) == 1
    assert made.result["against"] == "an older version knows no better"


def test_a_default_never_retrains_on_what_the_evidence_calls_faulty(stream: Stream) -> None:
    faulty = {"against": {"retrain": "a model trained on faulty rows learns the fault"}}
    alert = opened(stream, Cause.DATA_QUALITY, evidence=faulty, default_action="retrain")
    stream.advance(2)
    act.enforce_deadlines(stream.context)
    assert present(stream, alert).owner == "data"
    assert [each.operation for each in queued(stream)] == ["messages send"]


def test_a_hold_moves_nothing_and_tells_the_owner_of_the_data(stream: Stream) -> None:
    alert = opened(stream, Cause.DATA_QUALITY)
    decision = act.decide(stream.context, alert, ActionKind.HOLD, "wait for the feed")
    assert decision.result["told"] == ["data"]
    assert serving(stream) == 2
    (message,) = queued(stream)
    assert message.arguments["channel"] == "file:data.txt"
    worker.worker(stream.context, once=True)
    told = (stream.context.local_folder() / "data.txt").read_text()
    assert "wait for the feed" in told
    assert alert.alert_id in told


def test_a_release_that_is_held_already_stays_held(stream: Stream) -> None:
    now = stream.context.now()
    release = Release(
        release_id="r",
        model="m",
        candidate=2,
        production=1,
        phases=parse_road(["shadow 1h", "full"]),
        position=0,
        state=ReleaseState.HELD,
        phase_started_at=now,
        started_at=now,
        actor="grace",
        verdict="v",
        contract="c",
    )
    with stream.context.home.write() as tx:
        releases.save(tx, stream.context.project_id, release)
    alert = opened(stream, Cause.DATA_QUALITY)
    decision = act.decide(stream.context, alert, ActionKind.HOLD, "wait for the feed")
    assert decision.result["effect"] == "release r is held already"


def test_retrain_is_a_job_and_its_failure_opens_the_alert_again(stream: Stream) -> None:
    alert = opened(stream)
    decision = act.decide(stream.context, alert, ActionKind.RETRAIN, "autumn", ["until=2013-09-01"])
    (job,) = queued(stream)
    assert job.operation == "models retrain"
    assert job.arguments == {
        "model": "m",
        "decision": decision.decision_id,
        "param": ["until=2013-09-01"],
    }
    assert present(stream, alert).state is AlertState.DECIDED
    report = worker.worker(stream.context, once=True)
    assert report.failed == 1
    assert decision_of(stream, alert).state == "failed"
    assert "not made by a recorded run" in decision_of(stream, alert).result["error"]
    assert present(stream, alert).state is AlertState.OPEN


def test_retraining_has_a_budget_and_then_the_deputy_is_asked(stream: Stream) -> None:
    for _ in range(2):
        act.decide(stream.context, opened(stream), ActionKind.RETRAIN, "autumn")
    third = opened(stream, default_action="retrain")
    with pytest.raises(Conflict, match="as often as its contract allows: 2 a week"):
        act.decide(stream.context, third, ActionKind.RETRAIN, "autumn")
    assert present(stream, third).state is AlertState.OPEN
    stream.advance(1.1)
    act.enforce_deadlines(stream.context)
    assert present(stream, third).owner == "data"
    stream.advance(7)
    assert act.decide(stream.context, third, ActionKind.RETRAIN, "autumn").state == "decided"


def test_an_alert_that_ended_by_itself_closes_with_a_decision_that_silences_nothing(
    stream: Stream,
) -> None:
    for _ in range(2):
        stream.live_day(version=2, noise=0.4)
        tick(stream.context)
    with stream.context.read() as tx:
        (alert,) = monitoring.find_alerts(tx, stream.context.project_id)
    mute(stream.context, alert.alert_id, until="9 days", reason="the feed was late")
    for _ in range(4):
        stream.live_day(version=2)
        tick(stream.context)
    over = present(stream, alert)
    assert (over.state, over.recommended, is_over(over)) == (AlertState.OPEN, "accept", True)
    stream.advance(6)
    act.enforce_deadlines(stream.context)
    assert present(stream, alert).state is AlertState.CLOSED
    assert decision_of(stream, alert).action is ActionKind.ACCEPT
    assert "it was over at" in decision_of(stream, alert).reason
    stream.day += 6
    for _ in range(3):
        stream.live_day(version=2, noise=0.4)
        tick(stream.context)
    with stream.context.read() as tx:
        causes = [each.cause for each in monitoring.find_alerts(tx, stream.context.project_id)]
    assert causes.count(Cause.PERFORMANCE) == 2


def test_a_cancelled_retraining_fails_its_decision(stream: Stream) -> None:
    alert = opened(stream)
    act.decide(stream.context, alert, ActionKind.RETRAIN, "autumn")
    (job,) = queued(stream)
    with stream.context.write(f"job:{job.job_id}") as tx:
        jobs.cancel(tx, stream.context.project_id, job.job_id)
    act.resume_decisions(stream.context)
    assert decision_of(stream, alert).state == "failed"
    assert present(stream, alert).state is AlertState.OPEN


def test_a_decision_whose_process_died_is_carried_out_once(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = opened(stream)

    def die(*_: object) -> Decision:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(act, "complete", die)  # after the action, before it is written
        with pytest.raises(KeyboardInterrupt):
            act.decide(stream.context, alert, ActionKind.ROLLBACK, "errors")
    assert serving(stream) == 1
    (resumed,) = act.resume_decisions(stream.context)
    assert resumed.state == "done"
    assert serving(stream) == 1
    with stream.context.read() as tx:
        table = releases.current_routing(tx, stream.context.project_id, "m")
    assert table is not None
    assert table.revision == 3
    assert act.resume_decisions(stream.context) == []


def test_a_missed_deadline_takes_the_default_action(stream: Stream) -> None:
    alert = opened(stream, default_action="rollback")
    assert act.enforce_deadlines(stream.context) == []
    stream.advance(1.1)
    tick(stream.context)
    assert serving(stream) == 1
    decision = decision_of(stream, alert)
    assert decision.actor == "thrive-controller"
    assert "nobody decided by" in decision.reason


def test_without_a_default_the_deputy_is_asked_once(stream: Stream) -> None:
    alert = opened(stream)
    stream.advance(1.1)
    assert len(act.enforce_deadlines(stream.context)) == 1
    asked = present(stream, alert)
    assert (asked.owner, asked.deputy) == ("data", "ml")
    assert asked.deadline > alert.deadline
    assert queued(stream)[0].arguments["channel"] == "file:data.txt"
    stream.advance(2)
    assert act.enforce_deadlines(stream.context) == []


def test_three_clean_windows_say_that_the_action_worked(stream: Stream) -> None:
    stream.live_day(version=2, noise=0.4)
    stream.live_day(version=2, noise=0.4)
    tick(stream.context)
    with stream.context.read() as tx:
        (alert,) = monitoring.find_alerts(tx, stream.context.project_id)
    act.decide(stream.context, alert, ActionKind.ROLLBACK, "version 1 was good")
    for _ in range(4):
        assert present(stream, alert).state is AlertState.DONE
        stream.live_day(version=1)
        tick(stream.context)
    assert present(stream, alert).state is AlertState.CLOSED
    assert decision_of(stream, alert).worked is True


def test_an_action_that_changes_nothing_did_not_work(stream: Stream) -> None:
    for _ in range(2):
        stream.live_day(version=2, noise=0.4)
    tick(stream.context)
    with stream.context.read() as tx:
        (alert,) = monitoring.find_alerts(tx, stream.context.project_id)
    act.decide(stream.context, alert, ActionKind.REVIEW, "look at it")
    for _ in range(15):
        stream.live_day(version=2, noise=0.4)
    tick(stream.context)
    assert decision_of(stream, alert).worked is False
    assert "did not work" in present(stream, alert).closing


def unlabelled_day(stream: Stream) -> None:
    stream.serve(stream.frame(stream.day), version=2)
    stream.day += 1
    stream.advance()
    tick(stream.context)


def test_a_decision_about_outcomes_that_stay_away_has_not_worked(stream: Stream) -> None:
    for _ in range(3):
        stream.live_day(version=2)
        tick(stream.context)
    while not (found := alerts_of(stream)):
        unlabelled_day(stream)
    assert found[0].cause is Cause.OUTCOMES
    decision = act.decide(stream.context, found[0], ActionKind.HOLD, "the feed is down")
    for _ in range(4):
        unlabelled_day(stream)
    assert present(stream, found[0]).state is AlertState.DONE
    assert decision_of(stream, found[0]).worked is None
    assert decision.state == "done"


def alerts_of(stream: Stream) -> list[Alert]:
    with stream.context.read() as tx:
        return monitoring.find_alerts(tx, stream.context.project_id)


def test_a_model_that_only_its_fallback_answers_for_is_told_until_a_version_does(
    context: Context,
) -> None:
    stream = Stream(context)
    stream.live_day()
    traffic.roll_back(context.acting(CONTROLLER, "tick"), "m", "nobody decided")
    tick(context)
    (told,) = alerts_of(stream)
    assert told.title.endswith("callers get the fallback (0.2).")
    assert (told.cause, told.level, told.default_action) == (Cause.SERVICE, Level.ALERT, None)
    tick(context)
    assert alerts_of(stream) == [told]
    stream.route(1, context.now())
    for _ in range(4):
        stream.live_day()
        tick(context)
    assert is_over(present(stream, told))


def test_a_fallback_that_somebody_accepted_is_no_news(context: Context) -> None:
    stream = Stream(context)
    stream.live_day()
    traffic.roll_back(context, "m", "the season is over")
    tick(context)
    (told,) = alerts_of(stream)
    assert told.level is Level.NOTICE
    act.decide(context, told, ActionKind.ACCEPT, "until spring")
    stream.advance(2)
    tick(context)
    assert [each.state for each in alerts_of(stream)] == [AlertState.CLOSED]


def test_a_tick_sends_the_messages_that_wait(stream: Stream) -> None:
    alert = opened(stream, Cause.DATA_QUALITY)
    act.decide(stream.context, alert, ActionKind.HOLD, "wait for the feed")
    assert advance(stream.context).sent == 0
    assert tick(stream.context).sent == 1
    assert "wait for the feed" in (stream.context.local_folder() / "data.txt").read_text()
    assert tick(stream.context).sent == 0


def test_a_step_that_nobody_foresaw_keeps_no_other_from_its_turn(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[Alert]:
        raise TypeError("a mistake")

    monkeypatch.setattr("thrive.flows.controller.raise_alerts", broken)
    alert = opened(stream, default_action="rollback")
    stream.advance(1.1)
    with pytest.raises(TypeError, match="a mistake"):
        tick(stream.context)
    assert decision_of(stream, alert).action is ActionKind.ROLLBACK


def test_two_ticks_in_a_row_are_one(stream: Stream) -> None:
    stream.live_day(version=2)
    first = tick(stream.context)
    assert (first.led, first.windows, first.problems) == (True, 2, [])
    second = tick(stream.context)
    assert (second.windows, second.alerts, second.problems) == (0, 0, [])


def test_a_second_leader_leaves(context: Context) -> None:
    with context.home.write() as tx:
        jobs.take_lease(tx, context.project_id, LEASE, "somebody else", 60)
    assert not tick(context).led
