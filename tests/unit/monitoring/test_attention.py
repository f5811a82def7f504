"""What people do with an alert short of deciding it, and what alarms are worth."""

import pytest
from tests.streams import Stream
from tests.unit.flows_act.test_act import decision_of, opened, present, stream

from thrive.domain.clock import DAY, format_time
from thrive.domain.errors import Conflict, UsageError
from thrive.domain.model import Model
from thrive.domain.monitoring import ActionKind, Alarm, Level
from thrive.flows import act
from thrive.monitoring.alerts import close
from thrive.monitoring.attention import acknowledge, budget, judge_alert, mute
from thrive.store import models

__all__ = ["stream"]


def test_a_muted_alert_is_not_enforced_before_it_is_heard_again(stream: Stream) -> None:
    alert = opened(stream, default_action="rollback")
    until = format_time(alert.deadline + 2 * DAY)
    muted = mute(stream.context, alert.alert_id, until=until, reason="the feed is being mended")
    assert muted.attention is not None
    assert (muted.attention.seen_by, muted.attention.muted_why) == (
        "tester",
        "the feed is being mended",
    )
    stream.advance(2.5)
    assert act.enforce_deadlines(stream.context) == []
    stream.advance(1)
    assert [each.alert_id for each in act.enforce_deadlines(stream.context)] == [alert.alert_id]
    assert decision_of(stream, alert).action is ActionKind.ROLLBACK


def test_muting_for_ever_or_without_a_reason_is_refused(stream: Stream) -> None:
    alert = opened(stream)
    with pytest.raises(UsageError, match="has passed"):
        mute(stream.context, alert.alert_id, until="2001-01-01", reason="no")
    with pytest.raises(UsageError, match="reason is empty"):
        mute(stream.context, alert.alert_id, until="2 days", reason=" ")
    assert present(stream, alert).attention is None


def test_the_budget_counts_what_was_raised_right_wrong_and_unread(stream: Stream) -> None:
    right, wrong, seen, decided, unread = (opened(stream) for _ in range(5))
    opened(stream, level=Level.NOTICE)
    judge_alert(stream.context, right.alert_id, Alarm.RIGHT)
    close(stream.context, wrong, "over")
    judge_alert(stream.context, wrong.alert_id, Alarm.WRONG)
    acknowledge(stream.context, seen.alert_id)
    act.decide(stream.context, decided, ActionKind.REVIEW, "look")
    with stream.context.home.write() as tx:
        idle = Model(name="idle", owner="ml", purpose="tell", created_at=stream.start)
        models.save(tx, stream.context.project_id, idle)  # no version yet: no alert either
    (found,) = budget(stream.context, within="73 days")
    assert (found.raised, found.right, found.wrong, found.unread) == (5, 1, 1, 1)
    assert (found.asked_per_year, found.wrong_per_year) == (4, 5)
    assert not act.enforce_deadlines(stream.context)
    with pytest.raises(Conflict, match="was closed at"):
        acknowledge(stream.context, wrong.alert_id)
    assert present(stream, unread).attention is None
