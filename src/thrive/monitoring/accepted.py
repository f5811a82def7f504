"""What people accepted about a version: faults of its data that are no news any more."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from thrive.domain.monitoring import ActionKind, Alert, AlertState, Cause
from thrive.monitoring.findings import Fault
from thrive.store import monitoring
from thrive.store.database import Tx

OVER = "over"
"""In the evidence of an alert: when it was seen to have ended by itself, UTC microseconds."""

Known = frozenset[tuple[str, str]]
"""Faults, each by its column and its kind."""


def accepted_alerts(tx: Tx, project_id: str, alerts: Sequence[Alert]) -> list[Alert]:
    """Return those of some alerts that somebody closed by accepting what they are about.

    One that had ended by itself before is not among them: its acceptance silences nothing.
    """
    ids = [alert.alert_id for alert in alerts if alert.state is AlertState.CLOSED]
    decisions = monitoring.decisions_about(tx, project_id, ids) if ids else []
    accepted = {
        decision.alert_id
        for decision in decisions
        if decision.action is ActionKind.ACCEPT and not decision.result.get(OVER)
    }
    return [alert for alert in alerts if alert.alert_id in accepted]


def accepted_faults(tx: Tx, project_id: str, model: str) -> Mapping[int, Known]:
    """Return the faults of the data that were accepted, by the version they were seen in."""
    closed = monitoring.find_alerts(
        tx,
        project_id,
        model=model,
        states=(AlertState.CLOSED.value,),
        cause=Cause.DATA_QUALITY.value,
    )
    accepted = accepted_alerts(tx, project_id, closed)
    return {
        version: faults_among(alert for alert in accepted if alert.version == version)
        for version in {alert.version for alert in accepted}
    }


def faults_among(alerts: Iterable[Alert]) -> Known:
    """Return the faults of the data that any of some alerts is about."""
    return frozenset[tuple[str, str]]().union(
        *(
            faults_of(alert.evidence.get("numbers", {}))
            for alert in alerts
            if alert.cause is Cause.DATA_QUALITY
        )
    )


def faults_of(numbers: Mapping[str, Any]) -> Known:
    """Return the faults that the numbers of a verdict name."""
    return frozenset((fault["column"], fault["kind"]) for fault in numbers.get("faults", []))


def without(faults: Collection[Fault], known: Known) -> list[Fault]:
    """Return the faults that nobody accepted, in their order."""
    return [fault for fault in faults if (fault.column, fault.kind) not in known]
