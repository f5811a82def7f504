"""What a gate run reads from the store: the version, its rival, its contract, its data."""

from typing import Any

import msgspec

from thrive.contract.parse import ParsedContract, parse
from thrive.contract.schema import ModelTerms
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import UsageError
from thrive.domain.gate import Verdict
from thrive.domain.model import ModelVersion
from thrive.domain.reference import parse_reference
from thrive.gates.case import Rival
from thrive.operations import Context
from thrive.store import datasets, gates, models, projects, releases, runs
from thrive.store.database import Tx

REUSE = "test data reuse"
"""The check that counts the candidates judged on the same rows, and keeps their digest."""

REMEMBERED = 1000
"""The newest verdicts on a model that are searched for the same rows."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """All records a gate run reads, in one transaction.

    Attributes:
        version: the candidate.
        rival: what kind of thing it is compared with.
        against: the version it is compared with, if any.
        parsed: the candidate's stored contract.
        upstream: the dataset versions it was trained on.
        environment: with what its run was made, empty if that is not recorded.
        judged: packages of all candidates judged on this evaluation table.
        judged_rows: packages of the model's candidates, each with the digest of its rows.
        bundle: digest of the code of its run, "" if none is kept.
    """

    version: ModelVersion
    rival: Rival
    against: ModelVersion | None
    parsed: ParsedContract | None
    upstream: dict[str, DatasetVersion | None]
    environment: dict[str, Any]
    judged: set[str]
    judged_rows: set[tuple[str, str]]
    bundle: str = ""

    @property
    def terms(self) -> ModelTerms:
        """What the contract says of the model; defaults where it says nothing."""
        said = self.parsed.contract.model if self.parsed else {}
        return said.get(self.version.model, ModelTerms())


def candidates_on(inputs: Inputs, rows: str) -> int:
    """Return how many candidates, this one too, were judged on the same table or rows."""
    same = {package for package, judged in inputs.judged_rows if judged == rows}
    return len(inputs.judged | same | {inputs.version.package})


def read_inputs(ctx: Context, reference: str, against: str) -> Inputs:
    """Return all that a run judges, read in one transaction.

    Raises:
        NotFound: there is no such version.
        UsageError: `against` names nothing to compare with.
    """
    name, number = parse_reference(reference)
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, name, number)
        rival, other = _rival(ctx, tx, version, against)
        stored = projects.find_contract(tx, ctx.project_id, version.contract)
        upstream = {
            dataset: _recorded(ctx, tx, dataset, digest)
            for dataset, digest in version.training.items()
        }
        made = runs.get(tx, ctx.project_id, version.run_id) if version.run_id else None
        judged = gates.judged_on(tx, ctx.project_id, version.evaluation)
        earlier = gates.find_verdicts(tx, ctx.project_id, name, None, REMEMBERED)
    return Inputs(
        version=version,
        rival=rival,
        against=other,
        parsed=parse(stored.text) if stored else None,
        upstream=upstream,
        environment=made.environment if made else {},
        bundle=made.code.bundle if made and made.code else "",
        judged=judged,
        judged_rows={
            (verdict.candidate, rows) for verdict in earlier if (rows := _rows_judged(verdict))
        },
    )


def _rows_judged(verdict: Verdict) -> str:
    """Return the digest of the rows a verdict was found on; "" if it does not say."""
    found = (one.evidence.get("rows") for one in verdict.results if one.check == REUSE)
    return str(next(found, "") or "")


def _recorded(ctx: Context, tx: Tx, dataset: str, digest: str) -> DatasetVersion | None:
    found = datasets.find_by_digest(tx, ctx.project_id, digest)
    return next((one for one in found if one.dataset == dataset), None)


def _rival(
    ctx: Context, tx: Tx, version: ModelVersion, against: str
) -> tuple[Rival, ModelVersion | None]:
    """Return what to compare with: production, another version, or a baseline."""
    if against == Rival.BASELINE:
        return Rival.BASELINE, None
    if against == Rival.PRODUCTION:
        routing = releases.current_routing(tx, ctx.project_id, version.model)
        live = routing.production() if routing else None
        if live is None or live.version == version.version:
            return Rival.BASELINE, None
        other = models.get_version(tx, ctx.project_id, version.model, live.version)
        return Rival.PRODUCTION, other
    model, _, word = against.rpartition("@")
    if model not in ("", version.model) or not word.isdecimal():
        raise UsageError(
            f"{against!r} is nothing that {version.model} can be compared with.",
            "give --against production, baseline, or the number of another version",
        )
    number = int(word)
    if number == version.version:
        raise UsageError(
            f"Version {number} cannot be judged against itself.",
            "give --against production, baseline, or another version",
        )
    return Rival.VERSION, models.get_version(tx, ctx.project_id, version.model, number)
