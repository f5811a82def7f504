"""Whether people look at alerts: who saw one, muted it, and said that it was right or wrong."""

import itertools

import msgspec

from thrive.domain.actor import ANYONE, CONTROLLER, PEOPLE
from thrive.domain.clock import format_time, parse_duration, parse_time
from thrive.domain.errors import Conflict, UsageError
from thrive.domain.monitoring import Alarm, Alert, AlertState, Attention, Level
from thrive.monitoring.terms import terms_of
from thrive.operations import Context, operation
from thrive.store import models, monitoring

_MOST = 10_000
_SHOWN = "thrive alerts show {alert_id}"


@operation("alerts acknowledge", role=PEOPLE, writes=True, next_hint=_SHOWN)
def acknowledge(ctx: Context, alert: str) -> Alert:
    """Say that you have seen an alert and look after it; its deadline stays.

    Args:
        alert: its id, or the first 8 digits or more.

    Raises:
        NotFound: there is no such alert.
        Conflict: it is closed.

    Examples:
        thrive alerts acknowledge 01928374
    """
    return _attend(ctx, alert, seen_at=ctx.now(), seen_by=ctx.actor.name)


@operation("alerts mute", role=PEOPLE, writes=True, next_hint=_SHOWN)
def mute(ctx: Context, alert: str, *, until: str, reason: str) -> Alert:
    """Let an alert wait: until then nobody is reminded and its deadline is not enforced.

    Args:
        alert: its id, or the first 8 digits or more.
        until: a moment (2013-09-01) or a duration from now ("2 days"); there is no muting for ever.
        reason: why it may wait.

    Raises:
        NotFound: there is no such alert.
        Conflict: it is closed.
        UsageError: the moment has passed, or no reason is given.

    Examples:
        thrive alerts mute 01928374 --until "2 days" --reason "the feed is being mended"
    """
    end = _moment(until, ctx.now())
    if end <= ctx.now():
        raise UsageError(f"{until} has passed.", 'give a later moment, e.g. --until "2 days"')
    if not reason.strip():
        raise UsageError(
            "The reason is empty.", 'say why, e.g. --reason "the feed is being mended"'
        )
    return _attend(
        ctx,
        alert,
        seen_at=ctx.now(),
        seen_by=ctx.actor.name,
        muted_until=end,
        muted_why=reason.strip(),
    )


def _moment(text: str, now: int) -> int:
    try:
        return now + parse_duration(text)
    except UsageError:
        return parse_time(text)


@operation("alerts judge", role=PEOPLE, writes=True, next_hint="thrive alerts budget")
def judge_alert(ctx: Context, alert: str, alarm: Alarm) -> Alert:
    """Say whether an alert was right: the share of right ones is what an alarm is worth.

    Args:
        alert: its id, or the first 8 digits or more; a closed one too.
        alarm: right or wrong.

    Raises:
        NotFound: there is no such alert.

    Examples:
        thrive alerts judge 01928374 right
    """
    return _attend(ctx, alert, even_closed=True, alarm=alarm, judged_by=ctx.actor.name)


def _attend(ctx: Context, alert: str, *, even_closed: bool = False, **changes: object) -> Alert:
    with ctx.read() as tx:
        found = monitoring.get_alert(tx, ctx.project_id, alert)
    with ctx.write(f"alert:{found.alert_id}", **{key: str(changes[key]) for key in changes}) as tx:
        present = monitoring.get_alert(tx, ctx.project_id, found.alert_id)
        if present.state is AlertState.CLOSED and not even_closed:
            closed = format_time(present.closed_at or 0)
            raise Conflict(f"The alert was closed at {closed}.", "thrive alerts list")
        attention = msgspec.structs.replace(present.attention or Attention(), **changes)
        attended = msgspec.structs.replace(present, attention=attention)
        monitoring.save_alert(tx, ctx.project_id, attended)
    return attended


class AlertBudget(msgspec.Struct, frozen=True, kw_only=True):
    """How many alerts of a model there were, against what its contract asks, and their worth.

    Attributes:
        model: whose.
        asked_per_year: false alarms a year that the newest version's contract allows.
        days: of the stretch that is looked at.
        raised: alerts; notices do not count.
        right: those that people called right.
        wrong: those that people called wrong.
        unread: those that no person acknowledged, muted, judged or decided.
        wrong_per_year: wrong alerts, for a whole year.
    """

    model: str
    asked_per_year: float
    days: float
    raised: int
    right: int
    wrong: int
    unread: int
    wrong_per_year: float


@operation("alerts budget", role=ANYONE, next_hint="thrive alerts judge ALERT right")
def budget(
    ctx: Context, *, model: str | None = None, within: str = "365 days"
) -> list[AlertBudget]:
    """Show how many alerts were raised, how many were right or wrong, and how many nobody read.

    Args:
        model: only this model's.
        within: how far back to look.

    Examples:
        thrive alerts budget --within "90 days"
    """
    length = parse_duration(within)
    with ctx.read() as tx:
        if model:
            models.get(tx, ctx.project_id, model)
        names = [model] if model else [item.name for item in models.find(tx, ctx.project_id)]
        found = [models.versions(tx, ctx.project_id, name, limit=1) for name in names]
        alerts = monitoring.find_alerts(tx, ctx.project_id, limit=_MOST)
        decided = {
            item.alert_id
            for item in monitoring.find_decisions(tx, ctx.project_id)
            if item.actor != CONTROLLER.name
        }
    recent = [
        alert
        for alert in alerts
        if alert.level is Level.ALERT and alert.opened_at > ctx.now() - length
    ]
    return [
        _budget(
            version.model,
            terms_of(ctx, version).model.monitor.false_alarms_per_year,
            length,
            [alert for alert in recent if alert.model == version.model],
            decided,
        )
        for version in itertools.chain.from_iterable(found)
    ]


def _budget(
    model: str, asked: float, length: int, alerts: list[Alert], decided: set[str]
) -> AlertBudget:
    alarms = [alert.attention.alarm for alert in alerts if alert.attention is not None]
    wrong = alarms.count(Alarm.WRONG)
    days = length / parse_duration("1 day")
    return AlertBudget(
        model=model,
        asked_per_year=asked,
        days=days,
        raised=len(alerts),
        right=alarms.count(Alarm.RIGHT),
        wrong=wrong,
        unread=sum(not _is_read(alert, decided) for alert in alerts),
        wrong_per_year=wrong * 365.0 / days,
    )


def _is_read(alert: Alert, decided: set[str]) -> bool:
    seen = alert.attention is not None and bool(
        alert.attention.seen_by or alert.attention.judged_by
    )
    return seen or alert.alert_id in decided
