"""All records that speak of one model version, read in one transaction."""

from collections.abc import Mapping
from typing import Any

import msgspec

from thrive.contract.gaps import reached_teams
from thrive.contract.parse import ParsedContract, parse_stored
from thrive.contract.schema import Contract, DataTerms, ModelTerms, Risk
from thrive.domain.dataset import ColumnLabel, DatasetVersion
from thrive.domain.duty import (
    DataRead,
    Drill,
    DutyAnswers,
    DutyException,
    ExplanationTrial,
    Incident,
    Restriction,
    StoredDocument,
)
from thrive.domain.erasure import Tombstone
from thrive.domain.errors import Damaged, NotFound
from thrive.domain.gate import Approval, Verdict
from thrive.domain.model import ModelVersion
from thrive.domain.monitoring import Alert, Decision, Window
from thrive.domain.prediction import LogEnd, SealedLog
from thrive.domain.project import TeamContact
from thrive.domain.reference import format_reference, parse_reference
from thrive.domain.release import Release, RoutingTable, ServingHost
from thrive.domain.run import Run, StepRecord, Use
from thrive.governance.leavers import Gone, Leaver, find_gone
from thrive.operations import Context
from thrive.packaging.manifest import PackageManifest, read_manifest
from thrive.store import (
    column_labels,
    datasets,
    duties,
    erasures,
    gates,
    log_ends,
    models,
    monitoring,
    oversight,
    predictions,
    projects,
    releases,
    restrictions,
    runs,
)
from thrive.store.blobs import place_of, region_of
from thrive.store.database import Tx

TRIED = 200
"""Runs of the same experiment that are looked at."""
NONE = "none"
"""The label of a column that holds no personal data, said aloud."""


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of a version; None and empty lists where nothing is.

    Attributes:
        now: the project's moment, UTC microseconds.
        manifest: of its package; None where that is not stored.
        upstream: each dataset it was trained on, None where its content is not recorded.
        parents: what each of these was made from, by dataset.
        labels: what people said of the columns of these, by dataset.
        erased: what was erased from these since it was trained.
        uses: what its run read and wrote.
        tried: other runs of the same experiment, newest first.
        previous: the version before it, None for the first.
        previous_manifest: of that version's package.
        previous_run: that made it.
        previous_terms: what the contract of that version said of the model.
        answers: what people wrote of the model.
        routing: every routing table of the model, newest first.
        decisions: by the id of their alert.
        trials: explanations of its answers on trial, newest first.
        restrictions: people who are left out of what is used, newest first.
        reads: who read personal data of its datasets.
        log_end: what retention removed of the model's predictions.
        reviews: how many answers wait for a person (""), were kept, were overridden.
        gone: people and teams who are not there any more.
        erasures: how many erasures the project recorded.
        place: where the project's bytes and rows are, in words.
        region: of the bucket that holds the bytes, "" if nobody told; None for a folder.
    """

    now: int
    version: ModelVersion
    manifest: PackageManifest | None
    parsed: ParsedContract | None
    contacts: list[TeamContact]
    upstream: dict[str, DatasetVersion | None]
    erased: list[Tombstone]
    run: Run | None
    verdict: Verdict | None
    approvals: list[Approval]
    releases: list[Release]
    routing: list[RoutingTable]
    windows: list[Window]
    alerts: list[Alert]
    decisions: dict[str, list[Decision]]
    parents: dict[str, list[DatasetVersion]] = {}
    labels: dict[str, list[ColumnLabel]] = {}
    uses: list[Use] = []
    steps: list[StepRecord] = []
    tried: list[Run] = []
    previous: ModelVersion | None = None
    previous_manifest: PackageManifest | None = None
    previous_run: Run | None = None
    previous_terms: ModelTerms | None = None
    answers: DutyAnswers = DutyAnswers(model="")
    exceptions: list[DutyException] = []
    documents: list[StoredDocument] = []
    incidents: list[Incident] = []
    drills: list[Drill] = []
    trials: list[ExplanationTrial] = []
    restrictions: list[Restriction] = []
    reads: list[DataRead] = []
    reviews: dict[str, int] = {}
    sealed: list[SealedLog] = []
    log_end: LogEnd = LogEnd(model="", until=0)
    hosts: list[ServingHost] = []
    gone: Gone = Gone()
    erasures: int = 0
    place: str = ""
    region: str | None = None

    @property
    def contract(self) -> Contract:
        """The contract in force for the version; an empty one where none was stored."""
        return self.parsed.contract if self.parsed else Contract()

    @property
    def terms(self) -> ModelTerms | None:
        """What the contract says of the model."""
        return self.contract.model.get(self.version.model)

    @property
    def risk(self) -> Risk:
        """The risk class of the model in the contract in force."""
        return self.terms.risk if self.terms else Risk.UNDECIDED

    @property
    def label(self) -> str:
        """The version as people say it: MODEL@VERSION."""
        return format_reference(self.version.model, self.version.version)

    @property
    def is_live(self) -> bool:
        """Whether it is the version in production."""
        live = self.routing[0].production() if self.routing else None
        return live is not None and live.version == self.version.version

    @property
    def reachable(self) -> set[str]:
        """The teams at whose present channel a test message arrived."""
        return reached_teams(self.contract, self.contacts)

    @property
    def leavers(self) -> list[Leaver]:
        """Who is named in the contract in force and is not there any more."""
        return self.gone.of(self.contract, self.terms) if self.terms else []

    @property
    def known(self) -> dict[str, DatasetVersion]:
        """The datasets it was trained on whose content is recorded."""
        return {name: found for name, found in self.upstream.items() if found is not None}

    def data_terms(self, dataset: str) -> DataTerms:
        """Return what the contract says of a dataset."""
        return self.contract.data.get(dataset, DataTerms())

    def personal(self) -> dict[str, dict[str, str]]:
        """Return the kind of each column that holds personal data, by dataset."""
        found: dict[str, dict[str, str]] = {}
        for name, version in self.known.items():
            said = {each.name: each.kind for each in self.labels.get(name, [])}
            declared = {**said, **self.data_terms(name).personal_kinds}
            kinds = {each.name: declared.get(each.name, each.personal) for each in version.columns}
            kinds = {**declared, **kinds} if not version.columns else kinds
            held = {key: kind for key, kind in kinds.items() if kind and kind != NONE}
            if held:
                found[name] = held
        return found


def read_records(ctx: Context, reference: str) -> Records:
    """Return the records of a version: the one named, else the live one, else the newest.

    Raises:
        NotFound: there is no such model or version.
    """
    name, number = parse_reference(reference)
    with ctx.read() as tx:
        return collect(tx, ctx, name, number)


def collect(tx: Tx, ctx: Context, name: str, number: int | None) -> Records:
    """Return the records of a version as a transaction sees them; arguments as `read_records`.

    Raises:
        NotFound: there is no such model or version.
    """
    project = ctx.project_id
    routing = releases.routing_history(tx, project, name)
    version = _version(tx, project, name, number, routing)
    upstream = _upstream(tx, project, version)
    verdicts = gates.find_verdicts(tx, project, name, version.version, limit=1)
    alerts = [
        one
        for one in monitoring.find_alerts(tx, project, model=name, limit=None)
        if one.version == version.version
    ]
    return Records(
        now=projects.clock(tx, project).now(),
        version=version,
        manifest=_manifest(ctx, version),
        parsed=_contract(tx, project, version),
        contacts=projects.contacts(tx, project),
        upstream=upstream,
        parents=_parents(tx, project, upstream),
        labels={each: column_labels.find_labels(tx, project, each) for each in upstream},
        erased=erasures.find_tombstones(tx, project, list(version.training.values())),
        verdict=verdicts[0] if verdicts else None,
        approvals=gates.find_approvals(tx, project, name, version.version),
        releases=[
            one
            for one in releases.find(tx, project, name, limit=None)
            if one.candidate == version.version
        ],
        routing=routing,
        windows=monitoring.find_windows(tx, project, name, version.version),
        alerts=alerts,
        decisions={
            one.alert_id: monitoring.find_decisions(tx, project, one.alert_id) for one in alerts
        },
        place=_place(ctx),
        region=region_of(ctx.home.blobs),
        **_of_run(tx, project, version),
        **_before(tx, ctx, version),
        **_of_people(tx, project, version, upstream),
    )


def _version(
    tx: Tx, project: str, name: str, number: int | None, routing: list[RoutingTable]
) -> ModelVersion:
    live = routing[0].production() if routing else None
    wanted = live.version if number is None and live else number
    return models.get_version(tx, project, name, wanted)


def _contract(tx: Tx, project: str, version: ModelVersion) -> ParsedContract | None:
    stored = projects.find_contract(tx, project, version.contract)
    return parse_stored(stored.text) if stored else None


def _manifest(ctx: Context, version: ModelVersion) -> PackageManifest | None:
    if not version.package:
        return None
    try:
        return read_manifest(ctx.home.blobs.get(version.package), digest=version.package)
    except (NotFound, Damaged):  # shown as missing; `thrive doctor` names the damage
        return None


def _upstream(tx: Tx, project: str, version: ModelVersion) -> dict[str, DatasetVersion | None]:
    found: dict[str, DatasetVersion | None] = {}
    for name, digest in sorted(version.training.items()):
        known = datasets.find_by_digest(tx, project, digest)
        found[name] = next((one for one in known if one.dataset == name), None)
    return found


def _parents(
    tx: Tx, project: str, upstream: Mapping[str, DatasetVersion | None]
) -> dict[str, list[DatasetVersion]]:
    found: dict[str, list[DatasetVersion]] = {}
    for name, version in upstream.items():
        if version is None or not version.made_by:
            continue
        read = [
            each
            for each in runs.find_uses(tx, project, version.made_by)
            if each.kind == "dataset" and each.direction == "in"
        ]
        same = (datasets.find_by_digest(tx, project, each.digest) for each in read)
        found[name] = [each[0] for each in same if each]
    return found


def _of_run(tx: Tx, project: str, version: ModelVersion) -> dict[str, Any]:
    run = _run(tx, project, version)
    if run is None:
        return {"run": None}
    beside = runs.find(tx, project, experiment=run.experiment, limit=TRIED)
    return {
        "run": run,
        "uses": runs.find_uses(tx, project, run.run_id),
        "steps": runs.find_steps(tx, project, run.run_id),
        "tried": [each for each in beside if each.run_id != run.run_id],
    }


def _run(tx: Tx, project: str, version: ModelVersion) -> Run | None:
    try:
        return runs.get(tx, project, version.run_id) if version.run_id else None
    except NotFound:
        return None


def _before(tx: Tx, ctx: Context, version: ModelVersion) -> dict[str, Any]:
    project = ctx.project_id
    older = [
        each
        for each in models.versions(tx, project, version.model)
        if each.version < version.version
    ]
    if not older:
        return {}
    previous = max(older, key=lambda each: each.version)
    parsed = _contract(tx, project, previous)
    return {
        "previous": previous,
        "previous_manifest": _manifest(ctx, previous),
        "previous_run": _run(tx, project, previous),
        "previous_terms": parsed.contract.model.get(version.model) if parsed else None,
    }


def _of_people(
    tx: Tx, project: str, version: ModelVersion, upstream: Mapping[str, object]
) -> dict[str, Any]:
    name = version.model
    subject = format_reference(name, version.version)
    return {
        "answers": duties.find_answers(tx, project, name),
        "exceptions": duties.find_exceptions(tx, project, name),
        "documents": duties.find_documents(tx, project, subject),
        "incidents": oversight.find_incidents(tx, project, name),
        "drills": oversight.find_drills(tx, project, name),
        "trials": [
            one
            for one in oversight.find_trials(tx, project, name)
            if one.version == version.version
        ],
        "restrictions": restrictions.find(tx, project),
        "reads": [
            read for each in upstream for read in oversight.find_reads(tx, project, each, None)
        ],
        "reviews": oversight.count_reviews(tx, project, name, version.version),
        "sealed": predictions.find_sealed(tx, project),
        "log_end": log_ends.get(tx, project, name),
        "hosts": releases.find_hosts(tx, project),
        "gone": find_gone(tx, project),
        "erasures": len(erasures.find(tx, project)),
    }


def _place(ctx: Context) -> str:
    rows = "SQLite in the project's folder" if ctx.home.database.is_sqlite else "PostgreSQL"
    return f"rows: {rows}; bytes: {place_of(ctx.home.blobs)}"
