"""Evidence of its life after the release: monitors, alerts, logs, oversight, incidents."""

from collections.abc import Iterator

from thrive.contract.schema import ModelTerms
from thrive.domain.clock import DAY, format_duration, format_time, parse_duration
from thrive.domain.duty import IncidentKind
from thrive.domain.monitoring import ActionKind, Window
from thrive.domain.release import ReleaseState
from thrive.governance.applies import has_legal_effect, impact_reasons, is_automatic
from thrive.governance.evidence.building import answers_source
from thrive.governance.evidence.registry import query
from thrive.governance.facts import Fact, in_contract, in_registry, stated
from thrive.governance.levels import below_level, declared_level, live_metrics, live_value
from thrive.governance.records import Records

SHOWN_TRIALS = 5


def _at(records: Records, key: str) -> str:
    return in_contract(records, f"model.{records.version.model}.{key}")


def _on(window: Window) -> str:
    """Return which window is spoken of, and how many answers it has."""
    return f"window from {format_time(window.start)} ({window.rows:,} answers)"


def _window(window: Window) -> str:
    return f"window:{window.model}@{window.version}/{window.start}/{window.revision}"


@query("drift")
def drift(records: Records) -> Iterator[Fact]:
    """Yield which inputs had moved in the newest window."""
    if not records.windows:
        yield stated("Drift", None, in_registry(records))
        return
    last = records.windows[-1]
    moved = [str(each["name"]) for each in last.findings.get("columns", []) if each.get("drifted")]
    yield stated(f"Inputs that drifted, {_on(last)}", moved or "none", _window(last))


@query("live-quality")
def live_quality(records: Records) -> Iterator[Fact]:
    """Yield the performance in the newest window."""
    if not records.windows:
        yield stated("Live performance", None, in_registry(records))
        return
    last = records.windows[-1]
    shown = {
        name: f"{each['value']:.4g}"
        for name, each in last.findings.get("performance", {}).items()
        if each.get("value") is not None
    }
    yield stated(f"Live performance, {_on(last)}", shown, _window(last))


@query("declared-level")
def declared_level_facts(records: Records) -> Iterator[Fact]:
    """Yield whether the accuracy that users were told is kept, in tests and live."""
    level = declared_level(records)
    source = f"{answers_source(records)}.accuracy_level"
    if level is None:
        yield stated("Declared accuracy", "no level is declared as a number", source)
        return
    live = live_value(records, level)
    others = live_metrics(records)
    if live is not None:
        seen = f"live {live[0]:.4g} (standard error {live[1]:.2g})"
    elif others:
        seen = f"not measured live: outcomes are measured by {', '.join(others)}"
    else:
        seen = "no live value yet"
    words = below_level(records) or f"kept by {records.label}; {seen}"
    yield stated("Declared accuracy", words, source)


@query("explanation-trials")
def explanation_trials(records: Records) -> Iterator[Fact]:
    """Yield the newest trials of explaining an answer."""
    for one in records.trials[:SHOWN_TRIALS]:
        found = "reproduced" if one.reproduced else "not reproduced"
        words = f"{one.prediction_id}: {found}; {one.words}"
        yield stated(f"Explained {format_time(one.at)}", words, f"explanation:{one.trial_id}")
    if not records.trials:
        answered = any(each.rows for each in records.windows)
        told = None if records.is_live and answered else "not live yet"
        if not records.is_live and answered:
            told = "not live any more; no answer was tried while it was"
        yield stated("Explained on trial", told, f"explanations:{records.version.model}")


@query("monitors")
def monitors(records: Records) -> Iterator[Fact]:
    """Yield what is watched, how often, against what, by whom, and how late outcomes come."""
    terms = records.terms or ModelTerms()
    yield stated("Window", terms.monitor.window, _at(records, "monitor.window"))
    budget = terms.monitor.false_alarms_per_year
    yield stated("False alarms a year", budget, _at(records, "monitor.false_alarms_per_year"))
    reference = records.version.reference
    words = f"the rows given at its registration, table {reference}" if reference else None
    yield stated("Compared with", words, in_registry(records))
    yield stated("Owner of alerts", terms.owner, _at(records, "owner"))
    yield stated("Outcomes within", terms.sla.outcomes_within, _at(records, "sla.outcomes_within"))


@query("actions-taken")
def actions_taken(records: Records) -> Iterator[Fact]:
    """Yield each decision on an alert, and whether it worked."""
    made = [(alert, one) for alert in records.alerts for one in records.decisions[alert.alert_id]]
    for alert, one in made:
        worked = {True: "worked", False: "did not work", None: "not yet known"}[one.worked]
        words = f"{one.action.value} by {one.actor}: {one.reason} ({worked})"
        yield stated(f"Decided on {alert.cause.value}", words, f"decision:{one.decision_id}")
    if not made:
        yield stated("Actions taken", "no alert asked for one", in_registry(records))


@query("corrections")
def corrections(records: Records) -> Iterator[Fact]:
    """Yield each release of the version that was rolled back."""
    back = [one for one in records.releases if one.state is ReleaseState.ROLLED_BACK]
    for one in back:
        phase = one.phases[one.position].kind.value if one.position < len(one.phases) else "end"
        words = f"in its phase {phase}: {one.reason or 'no reason was given'}"
        yield stated(f"Rolled back {_when(one.ended_at)}", words, f"release:{one.release_id}")
    rolled = [
        (alert, one)
        for alert in records.alerts
        for one in records.decisions[alert.alert_id]
        if one.action is ActionKind.ROLLBACK
    ]
    for alert, one in rolled:
        words = f"{alert.title}: {one.reason}"
        yield stated(f"Decided {format_time(one.decided_at)}", words, f"decision:{one.decision_id}")
    if not back and not rolled:
        yield stated("Roll-backs", "none", in_registry(records))


def _when(moment: int | None) -> str:
    return format_time(moment) if moment is not None else "at an unknown time"


@query("log")
def log(records: Records) -> Iterator[Fact]:
    """Yield how much of the answers is logged, what is masked, and what was lost."""
    terms = records.terms or ModelTerms()
    yield stated("Share of answers logged", f"{terms.log.sample:.0%}", _at(records, "log.sample"))
    yield stated("Masked", terms.log.mask or "nothing", _at(records, "log.mask"))
    rows, dropped = (
        sum(getattr(one, key) for one in records.sealed) for key in ("rows", "dropped")
    )
    words = f"{rows:,}, {dropped:,} lost, over all models"
    yield stated("Predictions logged", words, "sealed_logs:project")


@query("log-retention")
def log_retention(records: Records) -> Iterator[Fact]:
    """Yield how long answers are kept, and what was removed because that was over."""
    terms, model = records.terms or ModelTerms(), records.version.model
    said, kept, place = terms.log.retention, terms.log_kept_for, _at(records, "log.retention")
    if kept is None:
        words = None if records.personal() else "until the project ends: no retention is written"
    elif kept > parse_duration(said):
        words = f"{kept // DAY} days, the least by law for this risk; the contract says {said}"
    else:
        words = f"{said}, then removed with their outcomes"
    yield stated(f"Predictions of {model}: kept for", words, place)
    end = records.log_end
    if end.rows:
        words = f"{end.rows:,}, with {end.outcomes:,} outcomes, all before {format_time(end.until)}"
        yield stated(f"Predictions of {model}: removed so far", words, f"log_end:{model}")


@query("lifetime")
def lifetime(records: Records) -> Iterator[Fact]:
    """Yield how long the version may serve, and how to read its log."""
    terms = records.terms or ModelTerms()
    yield stated("Longest life", terms.sla.max_age, _at(records, "sla.max_age"))
    yield stated("An answer is read by", "thrive predictions show ID", "operation:predictions show")


@query("drills")
def drills(records: Records) -> Iterator[Fact]:
    """Yield each trial of the stop button with the time until it took effect."""
    for one in records.drills:
        took = format_duration(one.took) if one.took is not None else "never on some host"
        words = f"{took}, {one.hosts} hosts, by {one.actor}"
        yield stated(f"Stop drill {format_time(one.at)}", words, f"drill:{one.drill_id}")
    if not records.drills:
        yield stated("Stop drill", None, f"drill:{records.version.model}")


@query("reviews")
def reviews(records: Records) -> Iterator[Fact]:
    """Yield how many answers a person looked at, and how many were overridden."""
    waiting, kept, changed = (records.reviews.get(key, 0) for key in ("", "keep", "override"))
    words = f"{kept + changed} looked at, {changed} overridden, {waiting} waiting"
    yield stated("Reviews by people", words, f"reviews:{records.version.model}")


@query("overrides")
def overrides(records: Records) -> Iterator[Fact]:
    """Yield the share of reviewed answers that a person changed."""
    kept, changed = (records.reviews.get(key, 0) for key in ("keep", "override"))
    share = f"{changed / (kept + changed):.1%} of {kept + changed:,}" if kept + changed else None
    if share is None and not (is_automatic(records) and has_legal_effect(records)):
        share = "no answer was looked at by a person"
    yield stated("Share overridden", share, f"reviews:{records.version.model}")


@query("automated-share")
def automated_share(records: Records) -> Iterator[Fact]:
    """Yield the share of answers that were decided without a person."""
    answered = sum(one.rows for one in records.windows)
    looked = records.reviews.get("keep", 0) + records.reviews.get("override", 0)
    source = f"reviews:{records.version.model}"
    if not is_automatic(records):
        decided = records.answers.fields.get("decision")
        said = f"none: what it gives is {decided}" if decided else None
        yield stated("Decided without a person", said, f"{answers_source(records)}.decision")
        return
    share = f"{max(answered - looked, 0) / answered:.1%} of {answered:,}" if answered else None
    yield stated("Decided without a person", share, source)


@query("incidents")
def incidents(records: Records) -> Iterator[Fact]:
    """Yield serious incidents with their clocks."""
    yield from _incidents(records, "Serious incidents", breach=False)


@query("breaches")
def breaches(records: Records) -> Iterator[Fact]:
    """Yield breaches of personal data with their clocks."""
    yield from _incidents(records, "Breaches", breach=True)


def _incidents(records: Records, title: str, *, breach: bool) -> Iterator[Fact]:
    found = [one for one in records.incidents if (one.kind is IncidentKind.BREACH) == breach]
    for one in found:
        told = f"reported {_when(one.reported_at)}" if one.reported_at else "not reported"
        words = f"{one.what}; due {format_time(one.due_at)}, {told}"
        yield stated(f"Incident {format_time(one.aware_at)}", words, f"incident:{one.incident_id}")
    if not found:
        yield stated(title, "none is recorded", f"incidents:{records.version.model}")


@query("stored-files")
def stored_files(records: Records) -> Iterator[Fact]:
    """Yield the documents that were kept at a release of the version."""
    kept = [one for one in records.documents if one.release_id]
    for one in kept:
        words = f"kept {format_time(one.at)}, until {format_time(one.kept_until)}"
        yield stated(f"{one.kind}", words, f"document:{one.digest}")
    if not kept:
        told = None if records.releases else "when the version is released"
        yield stated("Documents are kept", told, in_registry(records))


@query("input-violations")
def input_violations(records: Records) -> Iterator[Fact]:
    """Yield faults of the input data in the newest window."""
    if not records.windows:
        yield stated("Faults of the input", None, in_registry(records))
        return
    last = records.windows[-1]
    faults = [f"{each['column']} {each['kind']}" for each in last.findings.get("quality", [])]
    yield stated(f"Faults of the input, {_on(last)}", faults or "none", _window(last))


@query("impact-triggers")
def impact_triggers(records: Records) -> Iterator[Fact]:
    """Yield why an impact assessment is due, or that it is not."""
    found = impact_reasons(records)
    words = "; ".join(found) if found else "not due: no trigger is met"
    yield stated("Impact assessment (art. 35)", words, in_registry(records))
