"""Registering: one transaction that makes a version, its model, its lineage and its contract."""

import msgspec

from thrive.contract.lines import line_of
from thrive.contract.parse import ParsedContract
from thrive.contract.schema import Risk
from thrive.domain.clock import ClockMode
from thrive.domain.errors import NotFound, Refused
from thrive.domain.features import FeatureSpec
from thrive.domain.identifiers import checked_name
from thrive.domain.model import Model, ModelVersion
from thrive.domain.project import StoredContract
from thrive.domain.release import RoutingTable
from thrive.domain.run import CodeRecord, Run, Use
from thrive.operations import Context
from thrive.packaging.manifest import PackageManifest, read_manifest
from thrive.registry import telling
from thrive.registry.sealing import new_seal
from thrive.store import models, projects, releases, runs
from thrive.store.database import Tx


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What a run offers for registration; the blobs are kept already.

    Attributes:
        model: the model's name.
        package: digest of the package's manifest.
        evaluation: digest of the Parquet table gates judge on.
        reference: digest of the Parquet table monitoring compares with.
        trained_rows: digest of the fingerprints of the rows it was fitted on, "" if not said.
        training: the datasets the run read, by name and digest.
        importance: how much each feature matters.
        features: the feature views its rows were made with, None for none.
        note: a few words for people.
    """

    model: str
    package: str
    evaluation: str
    reference: str
    trained_rows: str = ""
    training: dict[str, str] = {}
    importance: dict[str, float] = {}
    features: FeatureSpec | None = None
    note: str = ""


def register(
    ctx: Context, candidate: Candidate, run: Run, contract: ParsedContract
) -> ModelVersion:
    """Store the next version of a model, durably and whole or not at all.

    What another run registered already (the same package, tables, data and contract) is no new
    version: that one is returned, and the run says that it made it too. A version of uncommitted
    code is not taken for one of committed code.

    The contract in force is stored by its digest with the run's commit. A model the contract does
    not name is registered too: production stays refused until it is named.

    Raises:
        UsageError: the name has another form.
        NotFound: a blob the version needs is not there.
        Damaged: the manifest is not what its digest says.
        Refused: the contract says that its use is prohibited.
    """
    checked_name(candidate.model, "model")
    _refuse_prohibited(candidate.model, contract)
    manifest = _manifest(ctx, candidate)
    code = run.code or CodeRecord(entry="")
    replay = ctx.home.clock().mode is ClockMode.REPLAY
    now = ctx.now()
    with ctx.write(f"model:{candidate.model}", run=run.run_id, package=candidate.package) as tx:
        _save_model(tx, ctx, candidate.model, contract, now)
        projects.store_contract(
            tx,
            ctx.project_id,
            StoredContract(
                digest=contract.digest, text=contract.text, commit=code.commit, stored_at=now
            ),
        )
        twin = _twin(tx, ctx, candidate, manifest, run, contract.digest)
        if twin is not None:
            runs.add_use(tx, ctx.project_id, run.run_id, _written(twin))
            return twin
        number = models.next_version(tx, ctx.project_id, candidate.model)
        version = ModelVersion(
            version=number,
            seal=new_seal(ctx, candidate.model, number, candidate.package),
            signature=msgspec.to_builtins(manifest.signature),
            metrics=run.metrics,
            run_id=run.run_id,
            contract=contract.digest,
            commit=code.commit,
            dirty=_is_dirty(run),
            created_at=now,
            actor=ctx.actor.name,
            replay=replay,
            **msgspec.structs.asdict(candidate),
        )
        files = [entry.digest for entry in manifest.files.values()]
        models.insert_version(tx, ctx.project_id, version, files)
        telling.tell_version(tx, ctx.project_id, version)
        runs.add_use(tx, ctx.project_id, run.run_id, _written(version))
    return version


def _is_dirty(run: Run) -> bool:
    return run.code is None or run.code.dirty or not run.code.commit


def _twin(
    tx: Tx,
    ctx: Context,
    candidate: Candidate,
    manifest: PackageManifest,
    run: Run,
    contract: str,
) -> ModelVersion | None:
    """Return the version of another run that a candidate would only repeat.

    Packages are compared without the moment in which they were packed.
    """
    replay = ctx.home.clock().mode is ClockMode.REPLAY
    names = [name for name in candidate.__struct_fields__ if name not in {"note", "package"}]
    for known in models.judged_on(tx, ctx.project_id, candidate.model, candidate.evaluation):
        same = all(getattr(known, name) == getattr(candidate, name) for name in names)
        same = same and known.contract == contract and known.replay == replay
        as_good = known.retired_at is None and (not known.dirty or _is_dirty(run))
        other = known.run_id != run.run_id and candidate.note in {"", known.note}
        if same and as_good and other and _is_same(ctx, known.package, manifest):
            return known
    return None


def _is_same(ctx: Context, package: str, manifest: PackageManifest) -> bool:
    known = read_manifest(ctx.home.blobs.get(package), digest=package)
    return msgspec.structs.replace(known, created=manifest.created) == manifest


def _refuse_prohibited(name: str, contract: ParsedContract) -> None:
    """Refuse to register a model of a prohibited use (AI Act art. 5)."""
    terms = contract.contract.model.get(name)
    if terms is not None and terms.risk is Risk.PROHIBITED:
        line = line_of(contract.lines, "model", name, "risk")
        raise Refused(
            f"{contract.filename}:{line}: {name} is of a prohibited use (AI Act art. 5): it is not "
            f"registered{f' (owed by {terms.owner})' if terms.owner else ''}.",
            "change what the model is for",
        )


def _written(version: ModelVersion) -> Use:
    return Use(
        kind="model",
        name=version.model,
        digest=version.package,
        direction="out",
        version=version.version,
    )


def _manifest(ctx: Context, candidate: Candidate) -> PackageManifest:
    blobs = ctx.home.blobs
    blobs.admit(candidate.package)
    manifest = read_manifest(blobs.get(candidate.package), digest=candidate.package)
    needed = [entry.digest for entry in manifest.files.values()]
    tables = (candidate.evaluation, candidate.reference, candidate.trained_rows)
    blobs.admit(*needed, *filter(None, tables))
    return manifest


def _save_model(tx: Tx, ctx: Context, name: str, contract: ParsedContract, now: int) -> None:
    terms = contract.contract.model.get(name)
    owner, purpose = (terms.owner, terms.purpose) if terms else ("", "")
    try:
        known = models.get(tx, ctx.project_id, name)
    except NotFound:
        model = Model(name=name, owner=owner, purpose=purpose, created_at=now)
        telling.tell_model(tx, ctx.project_id, model)
    else:
        model = msgspec.structs.replace(known, owner=owner, purpose=purpose)
    models.save(tx, ctx.project_id, model)


def retire(ctx: Context, name: str, number: int, reason: str) -> ModelVersion:
    """Retire a version that is in no routing table; it stays readable.

    Raises:
        Refused: it answers requests, or is on its way to.
        NotFound: there is no such version.
    """
    with ctx.write(f"model:{name}", version=number, reason=reason) as tx:
        version = models.get_version(tx, ctx.project_id, name, number)
        _refuse_if_routed(releases.current_routing(tx, ctx.project_id, name), name, number)
        retired = msgspec.structs.replace(
            version, retired_at=version.retired_at or ctx.now(), note=reason or version.note
        )
        models.replace_version(tx, ctx.project_id, retired)
    return retired


def _refuse_if_routed(table: RoutingTable | None, name: str, number: int) -> None:
    if table and any(variant.version == number for variant in table.variants):
        raise Refused(f"{name}@{number} answers requests.", "release another version first")
