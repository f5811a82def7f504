"""What makes a schedule fire: cron lines, and events of data and models.

An event is a marker that is newer: the newest version of a dataset or a model, the newest alert of
a cause. Nothing is missed while no server runs, and nothing is seen twice.
"""

from typing import Any

import msgspec

from thrive.domain.clock import MINUTE, format_time
from thrive.domain.cron import next_time, parse_cron
from thrive.domain.monitoring import Cause
from thrive.domain.schedule import Missed, Schedule
from thrive.store import datasets, models, monitoring
from thrive.store.database import Tx

CRON = "cron"
KINDS = ("data", "drift", "outcome", "registry")
GRACE = 10 * MINUTE
"""A time that was missed by no more than this is still kept by `skip`."""
MOST_MADE_UP = 100
_ALERT = " (alert "
_CAUSES = {"drift": Cause.DRIFT, "outcome": Cause.PERFORMANCE}


def markers_of(tx: Tx, project_id: str, triggers: list[str]) -> dict[str, str]:
    """Return trigger -> its newest event in words, "" where none happened yet."""
    found: dict[str, str] = {}
    for trigger in triggers:
        kind, _, subject = trigger.partition(" ")
        if kind in KINDS:
            found[trigger] = _marker(tx, project_id, kind, subject)
    return found


def _marker(tx: Tx, project_id: str, kind: str, subject: str) -> str:
    if kind == "data":
        newest = datasets.versions(tx, project_id, subject)
        return f"{subject}@{max(each.version for each in newest)}" if newest else ""
    if kind == "registry":
        known = models.versions(tx, project_id, subject, limit=1)
        return f"{subject}@{known[0].version}" if known else ""
    alerts = monitoring.find_alerts(tx, project_id, model=subject)
    alert = next((each for each in alerts if each.cause is _CAUSES[kind]), None)
    return f"{alert.title}{_ALERT}{alert.alert_id})" if alert else ""


def considered(
    schedule: Schedule, markers: dict[str, str], now: int, spent: int
) -> tuple[Schedule, list[str]]:
    """Return a schedule as it is after a look at the present, and the causes to fire for.

    Args:
        schedule: as it is kept.
        markers: trigger -> newest event.
        now: the present, in UTC microseconds.
        spent: how often it fired within the window of its budget.
    """
    causes, next_at = _due(schedule, now)
    waiting = _waiting(schedule, markers, now)
    if waiting is not None and now - waiting["since"] >= schedule.debounce:
        causes.append(waiting["cause"])
        waiting = None
    left = schedule.budget - spent if schedule.budget else len(causes)
    causes, held = causes[: max(left, 0)], causes[max(left, 0) :]
    if held:
        known = (schedule.pending or {}).get("since", now)
        waiting = {"cause": "; ".join(dict.fromkeys(held)), "since": known}
    seen = {**schedule.seen, **markers}
    after = msgspec.structs.replace(schedule, next_at=next_at, seen=seen, pending=waiting)
    return after, causes


def _waiting(schedule: Schedule, markers: dict[str, str], now: int) -> dict[str, Any] | None:
    """Return the event that waits, with what happened since: each puts it off again."""
    fresh = [
        f"{trigger.partition(' ')[0]}: {marker}"
        for trigger, marker in markers.items()
        if marker and _order(marker) > _order(schedule.seen.get(trigger, ""))
    ]
    if not fresh:
        return schedule.pending
    before = [schedule.pending["cause"]] if schedule.pending else []
    return {"cause": "; ".join([*before, *fresh]), "since": now}


def _order(marker: str) -> tuple[int, str]:
    """Return what tells a newer event from an older one.

    It is the number of a version, or the id of an alert, which grows with time: the words of an
    alert change as long as it is open, and a version that is removed makes no older one new.
    """
    alert = marker.rpartition(_ALERT)[2].rstrip(")") if _ALERT in marker else ""
    number = marker.rpartition("@")[2]
    return int(number) if not alert and number.isdigit() else 0, alert


def _due(schedule: Schedule, now: int) -> tuple[list[str], int | None]:
    """Return the causes of a cron line's times that have come, and the next one to come."""
    line = next((each for each in schedule.triggers if each.startswith(f"{CRON} ")), "")
    moment = schedule.next_at
    if not line or moment is None:
        return [], moment
    cron = parse_cron(line.removeprefix(f"{CRON} "))
    times: list[int] = []
    while moment <= now:
        times = [*times[-MOST_MADE_UP + 1 :], moment]
        moment = next_time(cron, moment, schedule.zone)
    if schedule.missed is Missed.ONCE:
        times = times[-1:]
    elif schedule.missed is Missed.SKIP:
        times = [each for each in times[-1:] if now - each <= GRACE]
    return [f"{line}: due {format_time(each)}" for each in times], moment
