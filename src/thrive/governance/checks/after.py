"""Checks of its life after the release: logs, oversight, incidents, assessments."""

from collections.abc import Iterator

from thrive.contract.schema import LEAST_LOG, ModelTerms
from thrive.domain.clock import DAY, format_time, parse_duration
from thrive.domain.duty import Incident, IncidentKind
from thrive.domain.release import ReleaseState
from thrive.governance.applies import has_legal_effect, impact_reasons, is_automatic
from thrive.governance.checks.registry import Problem, check
from thrive.governance.law import Duty
from thrive.governance.records import Records

DRILL_DAYS = 90


def _answer(records: Records, name: str) -> str:
    return f'thrive duties answer {records.version.model} --field {name}="..."'


@check("oversight-named")
def oversight_named(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Somebody watches the answers and may stop the model."""
    if not records.answers.fields.get("oversight"):
        what = f"nobody is named who watches and may stop {records.version.model}"
        yield Problem(what=what, fix=_answer(records, "oversight"))


@check("monitored")
def monitored(records: Records, _duty: Duty) -> Iterator[Problem]:
    """There is a reference to watch against, an owner who is reached, and outcomes to come."""
    model, terms = records.version.model, records.terms or ModelTerms()
    if not records.version.reference:
        what = f"{records.label} was registered without rows to compare live traffic with"
        yield Problem(what=what, fix="register(..., reference=rows) in the pipeline")
    if terms.owner not in records.reachable:
        what = f"no test message was answered by the owner of {model}"
        fix = f"thrive teams test {terms.owner or 'TEAM'}"
        yield Problem(what=what, fix=fix, path=("model", model, "owner"))
    if not terms.sla.outcomes_within and not records.answers.fields.get("monitoring_plan"):
        what = f"nothing says when outcomes of {model} are known, or why none are"
        path = ("model", model, "sla")
        yield Problem(what=what, fix=_answer(records, "monitoring_plan"), path=path)


@check("logged")
def logged(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Every answer is logged, for six months at least, and none was lost."""
    model, terms = records.version.model, records.terms or ModelTerms()
    path = ("model", model, "log")
    if terms.log.sample < 1.0:
        what = f"only {terms.log.sample:.0%} of the answers of {model} are logged"
        yield Problem(what=what, fix="write log = { sample = 1.0 }", path=path)
    kept, least = terms.log.retention, LEAST_LOG // DAY
    if kept and parse_duration(kept) < LEAST_LOG:
        what = f"the answers of {model} are kept for {kept}, not for {least} days"
        yield Problem(what=what, fix=f'write log = {{ retention = "{least} days" }}', path=path)
    lost = sum(one.dropped for one in records.sealed)
    if lost:
        what = f"{lost:,} predictions were lost before they were logged"
        yield Problem(what=what, fix="thrive serving status; free space on the host")


@check("file-kept")
def file_kept(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Each released version has the technical file that was rendered at its release."""
    kept = any(each.kind == "technical-file" and each.release_id for each in records.documents)
    if records.releases and not kept:
        what = f"no technical file was kept when {records.label} was released"
        yield Problem(what=what, fix=f"thrive documents render technical-file {records.label}")


@check("stop-drilled")
def stop_drilled(records: Records, _duty: Duty) -> Iterator[Problem]:
    """What has been live was stopped for a trial in the last 90 days."""
    live = records.routing[0].production() if records.routing else None
    if live is None:
        return
    since = records.now - DRILL_DAYS * DAY
    if not any(one.at >= since and one.took is not None for one in records.drills):
        model = records.version.model
        what = f"the stop of {model} was not tried in the last {DRILL_DAYS} days"
        yield Problem(what=what, fix=f"thrive drills stop {model}")


@check("corrections-closed")
def corrections_closed(records: Records, _duty: Duty) -> Iterator[Problem]:
    """A version that was rolled back is not released again without a word on what was mended."""
    for one in records.releases:
        if one.state is not ReleaseState.ROLLED_BACK:
            continue
        ended = one.ended_at or one.started_at
        if not any(each.given_at > ended for each in records.approvals):
            yield Problem(
                what=f"{records.label} was rolled back ({one.reason}); nobody approved it since",
                fix=f'thrive approvals give {records.label} --reason "what was mended"',
                on_its_way=True,
            )


@check("incidents-in-time")
def incidents_in_time(records: Records, _duty: Duty) -> Iterator[Problem]:
    """No serious incident is past its day without a report."""
    yield from _late(records, [one for one in records.incidents if one.kind is not _BREACH])


@check("breaches-in-time")
def breaches_in_time(records: Records, _duty: Duty) -> Iterator[Problem]:
    """No breach is past its 72 hours without a report."""
    yield from _late(records, [one for one in records.incidents if one.kind is _BREACH])


_BREACH = IncidentKind.BREACH


def _late(records: Records, incidents: list[Incident]) -> Iterator[Problem]:
    for one in incidents:
        if one.reported_at is None and one.due_at < records.now:
            yield Problem(
                what=f"an incident ({one.what}) was to be reported by {format_time(one.due_at)}",
                fix=f'thrive incidents report {one.incident_id} --authority "..." --cause "..."',
            )


@check("contestable")
def contestable(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Who is subject to a decision by machine can contest it, and a person looks at it."""
    if not (is_automatic(records) and has_legal_effect(records)):
        return
    model = records.version.model
    for field in ("contest_route", "oversight"):
        if not records.answers.fields.get(field):
            what = f"{model} decides about persons, and nobody wrote `{field}`"
            yield Problem(what=what, fix=_answer(records, field))


@check("impact-assessed")
def impact_assessed(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Where an impact assessment is due, it was written and signed."""
    reasons = impact_reasons(records)
    for field in ("impact_necessity", "impact_risks", "impact_advice") if reasons else ():
        if not records.answers.fields.get(field):
            what = f"an impact assessment is due ({reasons[0]}), and nobody wrote `{field}`"
            yield Problem(what=what, fix=_answer(records, field))
