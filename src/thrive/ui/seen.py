"""What an act is about, as it stands: a page remembers it, and an act on what moved is refused."""

from collections.abc import Mapping
from typing import Any

import msgspec

from thrive.domain.errors import NotFound
from thrive.domain.reference import parse_reference
from thrive.store import (
    datasets,
    duties,
    gates,
    holds,
    jobs,
    models,
    monitoring,
    oversight,
    releases,
    runs,
    tokens,
    views,
)
from thrive.store.database import Tx

Given = Mapping[str, str]
"""The arguments of an act, by name."""


def alert(tx: Tx, project: str, given: Given) -> Any:
    """Return the alert and the decisions about it."""
    alert = monitoring.get_alert(tx, project, given.get("alert", ""))
    made = monitoring.find_decisions(tx, project, alert.alert_id)
    return [msgspec.to_builtins(alert), [each.decision_id for each in made]]


def model(tx: Tx, project: str, given: Given) -> Any:
    """Return the traffic, the newest release and the approvals of a version."""
    name, number = parse_reference(given.get("model") or given.get("version") or "")
    models.get_version(tx, project, name, number)
    table = releases.current_routing(tx, project, name)
    newest = releases.find(tx, project, name, limit=1)
    approved = gates.find_approvals(tx, project, name, number) if number else []
    return [
        table.revision if table else 0,
        [[each.release_id, each.state, each.position, each.phase_started_at] for each in newest],
        [each.approval_id for each in approved],
    ]


def run(tx: Tx, project: str, given: Given) -> Any:
    """Return the tags of a run, and whether it is deleted."""
    run = runs.get(tx, project, given.get("run", ""))
    return [run.run_id, run.tags, run.deleted_at]


def data(tx: Tx, project: str, given: Given) -> Any:
    """Return whether a dataset's version may be trained on."""
    name, number = parse_reference(given.get("name", ""))
    version = datasets.get_version(tx, project, name, number)
    return [version.version, version.trainable]


def job(tx: Tx, project: str, given: Given) -> Any:
    """Return the state of a job."""
    return jobs.get(tx, project, given.get("job_id", "")).state


def token(tx: Tx, project: str, given: Given) -> Any:
    """Return when a token was revoked."""
    found = tokens.find(tx, given.get("token_id", ""))
    if found is None or found.project_id != project:
        raise NotFound("There is no such token.", "thrive tokens list")
    return found.revoked_at


def exception(tx: Tx, project: str, given: Given) -> Any:
    """Return when an exception was revoked."""
    wanted = given.get("exception_id")
    return [
        each.revoked_at
        for each in duties.find_exceptions(tx, project)
        if each.exception_id == wanted
    ]


def incident(tx: Tx, project: str, given: Given) -> Any:
    """Return when an incident was reported."""
    return oversight.get_incident(tx, project, given.get("incident_id", "")).reported_at


def hold(tx: Tx, project: str, given: Given) -> Any:
    """Return the hold, if it still stands."""
    return [
        each.hold_id
        for each in holds.find_holds(tx, project)
        if each.hold_id == given.get("hold_id")
    ]


def nothing(_tx: Tx, _project: str, _given: Given) -> Any:
    """What is only added to is never moved by somebody else."""
    return None


def view(tx: Tx, project: str, given: Given) -> Any:
    """Return the query of a saved view, and when it was saved."""
    found = (each for each in views.find(tx, project) if each.name == given.get("name"))
    return [[each.query, each.saved_at] for each in found]
