"""The model card as data: sections of facts, each with the record it comes from.

The order of sections follows Mitchell et al. 2019 ("Model Cards for Model Reporting").
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from thrive.contract.schema import DataTerms, ModelTerms
from thrive.domain.clock import format_duration, format_time
from thrive.domain.dataset import DatasetVersion
from thrive.domain.gate import Answer
from thrive.domain.reference import format_reference
from thrive.governance.evidence.building import decides_from
from thrive.governance.facts import (
    Fact,
    Section,
    in_contract,
    in_registry,
    stated,
)
from thrive.governance.records import Records

CARD_FORMAT = 1
NOTICE = "This card repeats what was recorded. It is no legal advice."
TOP_FEATURES = 8


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A model card; the same records give the same card."""

    model: str
    version: int
    sections: list[Section]
    notice: str = NOTICE
    format: int = CARD_FORMAT

    @property
    def title(self) -> str:
        """Of what it is."""
        return f"{self.model}, version {self.version}"

    @property
    def missing(self) -> int:
        """How many facts nobody recorded."""
        return sum(fact.value is None for section in self.sections for fact in section.facts)


def make_card(records: Records) -> Card:
    """Return the card of a version from its records alone."""
    parts: list[tuple[str, Callable[[Records], Iterator[Fact]], str]] = [
        ("Purpose and people", _purpose, ""),
        ("Data", _data, "The version names no dataset it was trained on."),
        ("Training", _training, ""),
        ("Model", _model, ""),
        ("Metrics", _metrics, "No metric was registered."),
        ("Gates", _gates, "No gate has judged this version."),
        ("Approvals and releases", _releases, "It was never released."),
        ("Monitoring", _monitoring, ""),
        ("Alerts and decisions", _alerts, "No alert was ever raised."),
        ("Known limits", _limits, "No limit is recorded, which does not mean there is none."),
    ]
    return Card(
        model=records.version.model,
        version=records.version.version,
        sections=[
            Section(title=title, facts=list(make(records)), empty=empty or "Nothing is recorded.")
            for title, make, empty in parts
        ],
    )


def _purpose(records: Records) -> Iterator[Fact]:
    terms = records.terms or ModelTerms()
    at = f"model.{records.version.model}"

    def said(what: str, key: str, value: Any) -> Fact:
        return stated(what, value, in_contract(records, f"{at}.{key}"))

    yield said("Purpose", "purpose", terms.purpose)
    yield said("Owner", "owner", terms.owner)
    yield said("Deputy", "deputy", terms.deputy)
    yield said("Users", "users", terms.users)
    yield said("Where it answers", "where", terms.where)
    decided = None if terms.risk == "undecided" else terms.risk.value
    yield said("Risk class (EU AI Act)", "risk", decided)
    yield said("What it predicts", "target.column", terms.target.column)
    yield said("Decides yes from", "target.threshold", decides_from(records))
    yield said("Answer when nothing works", "fallback", terms.fallback)
    sla = {key: value for key, value in msgspec.structs.asdict(terms.sla).items() if value}
    yield said("Promise to its users", "sla", sla)


def _data(records: Records) -> Iterator[Fact]:
    for name, found in records.upstream.items():
        terms = records.contract.data.get(name, DataTerms())
        yield _dataset(name, found, records.version.training[name])
        for what, key in _DATA_FACTS:
            value = getattr(terms, key)
            yield stated(f"{name}: {what}", value, in_contract(records, f"data.{name}.{key}"))
    for stone in records.erased:
        words = f"rows it was trained on were erased on {format_time(stone.erased_at)}"
        yield stated(stone.subject, f"{words}: {stone.reason}", f"erasure:{stone.erasure_id}")
    if records.upstream and records.terms:
        source = in_contract(records, f"model.{records.version.model}.target")
        yield stated("Label", records.terms.target.column, source)


_DATA_FACTS = (
    ("why it is kept", "why"),
    ("owner", "owner"),
    ("may serve", "allowed"),
    ("licence", "licence"),
    ("legal basis", "legal_basis"),
    ("personal data", "personal"),
    ("kept for", "retention"),
)


def _dataset(name: str, found: DatasetVersion | None, digest: str) -> Fact:
    if found is None:
        return stated(f"{name}: content", None, f"dataset_digest:{digest}")
    source = f"dataset_version:{format_reference(name, found.version)}"
    words = f"version {found.version}, {found.rows:,} rows, from {found.source}"
    return stated(f"{name}: content", words, source)


def _training(records: Records) -> Iterator[Fact]:
    version, run = records.version, records.run
    state = "from files that were not committed" if version.dirty else "committed"
    commit = f"{version.commit} ({state})" if version.commit else None
    yield stated("Code", commit, in_registry(records))
    source = f"run:{version.run_id or 'none'}"
    yield stated("Pipeline", run.pipeline if run else None, source)
    yield stated("Started", format_time(run.started_at) if run else None, source)
    took = format_duration(run.ended_at - run.started_at) if run and run.ended_at else None
    yield stated("Took", took, source)
    yield stated("Parameters", (run.params or "none were given") if run else None, source)
    yield stated("Seed", run.seed if run else None, source)
    environment = run.environment if run else {}
    for what, key in (("Python", "python"), ("Platform", "platform"), ("Processor", "cpu")):
        yield stated(what, environment.get(key), source)
    yield stated("Reproduced", run.tags.get("reproduced", "never") if run else None, source)
    libraries = environment.get("libraries")
    yield stated("Libraries", f"{len(libraries)} recorded" if libraries else None, source)


def _model(records: Records) -> Iterator[Fact]:
    version, manifest = records.version, records.manifest
    source = f"package:{version.package or 'none'}"
    yield stated(
        "Registered",
        f"{format_time(version.created_at)} by {version.actor}",
        in_registry(records),
    )
    yield stated("Format", manifest and manifest.model_format, source)
    size = sum(entry.size for entry in manifest.files.values()) if manifest else None
    yield stated("Size", f"{size:,} bytes" if size is not None else None, source)
    yield stated("Inputs", manifest and list(manifest.signature.names), source)
    yield stated("Answers", manifest and manifest.signature.output.kind.value, source)
    ranked = sorted(version.importance.items(), key=lambda item: -item[1])[:TOP_FEATURES]
    shown = [f"{name} {value:.3g}" for name, value in ranked]
    yield stated("Most important inputs", shown, in_registry(records))


def _metrics(records: Records) -> Iterator[Fact]:
    for name, value in sorted(records.version.metrics.items()):
        yield stated(name, None if value is None else f"{value:.6g}", in_registry(records))


def _gates(records: Records) -> Iterator[Fact]:
    verdict = records.verdict
    if verdict is None:
        return
    source = f"verdict:{verdict.verdict_id}"
    rival = f"version {verdict.against}" if verdict.against else f"baseline {verdict.baseline}"
    when = format_time(verdict.created_at)
    yield stated("Verdict", f"{verdict.answer.value}, against {rival}, {when}", source)
    for one in verdict.results:
        yield stated(f"{one.group}: {one.check}", f"{one.answer.value}. {one.summary}", source)


def _releases(records: Records) -> Iterator[Fact]:
    for one in records.approvals:
        words = f"by {one.actor} for {one.step}: {one.reason}"
        yield stated(f"Approved {format_time(one.given_at)}", words, f"approval:{one.approval_id}")
    for one in reversed(records.releases):
        words = f"{one.state.value}, by {one.actor}" + (f": {one.reason}" if one.reason else "")
        yield stated(f"Released {format_time(one.started_at)}", words, f"release:{one.release_id}")
    for table in reversed(records.routing):
        shares = [one for one in table.variants if one.version == records.version.version]
        for one in shares:
            share = "in the shadow" if one.shadow else f"{one.share:.0%} of traffic"
            what = f"Routed {format_time(table.at)}"
            yield stated(
                what, f"{share}: {table.reason}", f"routing:{table.model}/{table.revision}"
            )


def _monitoring(records: Records) -> Iterator[Fact]:
    terms = records.terms
    at = f"model.{records.version.model}.monitor"
    window = terms.monitor.window if terms else None
    budget = terms.monitor.false_alarms_per_year if terms else None
    yield stated("Window", window, in_contract(records, f"{at}.window"))
    yield stated("False alarms a year", budget, in_contract(records, f"{at}.false_alarms_per_year"))
    reference = f"table of {records.version.reference[:12]}" if records.version.reference else None
    yield stated("Compared with", reference, in_registry(records))
    if records.windows:
        last = records.windows[-1]
        source = f"window:{last.model}@{last.version}/{last.start}/{last.revision}"
        rows = sum(one.rows for one in records.windows)
        outcomes = sum(one.outcomes for one in records.windows)
        words = f"{len(records.windows)} windows, {rows:,} predictions, {outcomes:,} outcomes"
        yield stated("Watched", f"{words}, until {format_time(last.end)}", source)


def _alerts(records: Records) -> Iterator[Fact]:
    for alert in reversed(records.alerts):
        words = f"{alert.level.value}, {alert.state.value}: {alert.title} (owner {alert.owner})"
        what = f"{alert.cause.value} {format_time(alert.opened_at)}"
        yield stated(what, words, f"alert:{alert.alert_id}")
        for one in reversed(records.decisions.get(alert.alert_id, [])):
            words = f"{one.action.value} by {one.actor}: {one.reason} ({one.state})"
            what = f"decided {format_time(one.decided_at)}"
            yield stated(what, words, f"decision:{one.decision_id}")


def _limits(records: Records) -> Iterator[Fact]:
    if records.version.dirty:
        yield stated(
            "Code", "It was built from files that were not committed.", in_registry(records)
        )
    if records.version.retired_at is not None:
        yield stated("Retired", format_time(records.version.retired_at), in_registry(records))
    if records.version.note:
        yield stated("Note", records.version.note, in_registry(records))
    verdict = records.verdict
    for one in verdict.results if verdict else []:
        source = f"verdict:{verdict.verdict_id}" if verdict else ""
        if one.answer is not Answer.PASS:
            yield stated(one.check, f"{one.answer.value}. {one.summary}", source)
        small = [str(item["slice"]) for item in one.evidence.get("too_small", [])]
        if small:
            yield stated("Too few rows to judge", small, source)
        unclear = [
            str(row["group"])
            for row in one.evidence.get("groups", [])
            if row["answer"] == Answer.CANNOT_TELL.value
        ]
        if unclear:
            yield stated(f"{one.check}: groups that cannot be told", unclear, source)
