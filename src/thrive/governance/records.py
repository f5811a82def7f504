"""All records that speak of one model version, read in one transaction."""

import msgspec

from thrive.contract.gaps import reached_teams
from thrive.contract.parse import ParsedContract, parse
from thrive.contract.schema import Contract, ModelTerms
from thrive.domain.dataset import DatasetVersion
from thrive.domain.erasure import Tombstone
from thrive.domain.errors import NotFound
from thrive.domain.gate import Approval, Verdict
from thrive.domain.model import ModelVersion
from thrive.domain.monitoring import Alert, Decision, Window
from thrive.domain.project import TeamContact
from thrive.domain.reference import parse_reference
from thrive.domain.release import Release, RoutingTable
from thrive.domain.run import Run
from thrive.operations import Context
from thrive.packaging.manifest import PackageManifest, read_manifest
from thrive.store import datasets, erasures, gates, models, monitoring, projects, releases, runs
from thrive.store.database import Tx


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of a version; None and empty lists where nothing is.

    Attributes:
        upstream: each dataset it was trained on, None where its content is not recorded.
        erased: what was erased from these since it was trained.
        routing: every routing table of the model, newest first.
        decisions: by the id of their alert.
    """

    version: ModelVersion
    manifest: PackageManifest
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

    @property
    def contract(self) -> Contract:
        """The contract in force for the version; an empty one where none was stored."""
        return self.parsed.contract if self.parsed else Contract()

    @property
    def terms(self) -> ModelTerms | None:
        """What the contract says of the model."""
        return self.contract.model.get(self.version.model)

    @property
    def reachable(self) -> set[str]:
        """The teams at whose present channel a test message arrived."""
        return reached_teams(self.contract, self.contacts)


def read_records(ctx: Context, reference: str) -> Records:
    """Return the records of a version: the one named, else the live one, else the newest.

    Raises:
        NotFound: there is no such model or version.
    """
    name, number = parse_reference(reference)
    with ctx.read() as tx:
        project = ctx.project_id
        routing = releases.routing_history(tx, project, name)
        version = _version(tx, project, name, number, routing)
        stored = projects.find_contract(tx, project, version.contract)
        verdicts = gates.find_verdicts(tx, project, name, version.version, limit=1)
        alerts = [
            one
            for one in monitoring.find_alerts(tx, project, model=name)
            if one.version == version.version
        ]
        return Records(
            version=version,
            manifest=read_manifest(ctx.home.blobs.get(version.packaged()), digest=version.package),
            parsed=parse(stored.text) if stored else None,
            contacts=projects.contacts(tx, project),
            upstream=_upstream(tx, project, version),
            erased=erasures.find_tombstones(tx, project, list(version.training.values())),
            run=_run(tx, project, version.run_id),
            verdict=verdicts[0] if verdicts else None,
            approvals=gates.find_approvals(tx, project, name, version.version),
            releases=[
                one for one in releases.find(tx, project, name) if one.candidate == version.version
            ],
            routing=routing,
            windows=monitoring.find_windows(tx, project, name, version.version),
            alerts=alerts,
            decisions={
                one.alert_id: monitoring.find_decisions(tx, project, one.alert_id) for one in alerts
            },
        )


def _version(
    tx: Tx, project: str, name: str, number: int | None, routing: list[RoutingTable]
) -> ModelVersion:
    live = routing[0].production() if routing else None
    wanted = live.version if number is None and live else number
    return models.get_version(tx, project, name, wanted)


def _upstream(tx: Tx, project: str, version: ModelVersion) -> dict[str, DatasetVersion | None]:
    found: dict[str, DatasetVersion | None] = {}
    for name, digest in sorted(version.training.items()):
        known = datasets.find_by_digest(tx, project, digest)
        found[name] = next((one for one in known if one.dataset == name), None)
    return found


def _run(tx: Tx, project: str, run_id: str) -> Run | None:
    try:
        return runs.get(tx, project, run_id) if run_id else None
    except NotFound:
        return None
