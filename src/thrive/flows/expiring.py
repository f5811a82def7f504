"""Storage limitation: versions that are past their retention go, and a tombstone says why.

GDPR art. 5(1)(e). Lineage and audit keep the digest; the bytes go with the next `data gc`.
"""

from enum import StrEnum

import msgspec

from thrive.contract.schema import DataTerms
from thrive.data.lineage import counted
from thrive.domain.actor import STEWARDS
from thrive.domain.clock import format_time
from thrive.domain.dataset import DatasetVersion
from thrive.domain.erasure import Tombstone
from thrive.domain.errors import Refused
from thrive.flows.contracts import contract_here
from thrive.operations import Context, operation
from thrive.store import datasets, erasures, holds
from thrive.store.database import Tx

RETENTION = "retention"
"""What tombstones name where no erasure of a person put them."""


class Fate(StrEnum):
    """What becomes of a version that is past its retention."""

    DUE = "due"
    """It goes with --yes."""
    HELD = "held"
    """A legal hold keeps it."""
    REMOVED = "removed"


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """One version that is past its retention.

    Attributes:
        dataset: its name.
        version: its number.
        digest: of its content; it stays in lineage and audit.
        rows: how many it had.
        retention: as the contract says it.
        until: when that ended, UTC microseconds.
        fate: what becomes of it, or became.
        models: versions that learned from it; their evaluation tables hold rows of it still.
        why: what keeps it, "" if nothing does.
    """

    dataset: str
    version: int
    digest: str
    rows: int
    retention: str
    until: int
    fate: Fate
    models: list[str]
    why: str = ""


@operation(
    "data expire",
    role=STEWARDS,
    writes=True,
    columns=("dataset", "version", "rows", "retention", "until", "fate", "models", "why"),
)
def expire(ctx: Context, *, yes: bool = False) -> list[Expired]:
    """Remove the versions that are past the retention that the contract gives their dataset.

    Without --yes it only says which. A version that a legal hold is on stays. Of what went, a
    tombstone keeps digest, date and reason; models that learned from it are named: retrain them,
    and delete those that nobody needs.

    Args:
        yes: remove them; `data gc` then gives back the space.

    Examples:
        thrive data expire
        thrive data expire --yes
    """
    terms = contract_here(ctx).data
    with ctx.read() as tx:
        known = [each.name for each in datasets.find(tx, ctx.project_id)]
        found = [
            _expired(tx, ctx, version, terms[name])
            for name in known
            if name in terms and terms[name].retention
            for version in datasets.versions(tx, ctx.project_id, name)
            if _is_over(ctx, version, terms[name])
        ]
    return [_removed(ctx, each) for each in found] if yes else found


def _is_over(ctx: Context, version: DatasetVersion, terms: DataTerms) -> bool:
    end = terms.kept_until(version.created_at)
    return end is not None and end < ctx.now()


def _expired(tx: Tx, ctx: Context, version: DatasetVersion, terms: DataTerms) -> Expired:
    held = ""
    try:
        holds.refuse_held(tx, ctx.project_id, holds.of_dataset(version.dataset))
    except Refused as error:
        held = error.what
    return Expired(
        dataset=version.dataset,
        version=version.version,
        digest=version.digest,
        rows=version.rows,
        retention=terms.retention,
        until=terms.kept_until(version.created_at) or 0,
        fate=Fate.HELD if held else Fate.DUE,
        models=counted(tx, ctx, version).models,
        why=held,
    )


def _removed(ctx: Context, found: Expired) -> Expired:
    """Remove a version in a transaction of its own; one that is held by now stays."""
    if found.fate is Fate.HELD:
        return found
    label = f"{found.dataset}@{found.version}"
    reason = f"kept for {found.retention}, until {format_time(found.until)}"
    stone = Tombstone(
        digest=found.digest,
        kind=datasets.KIND,
        subject=label,
        replaced_by="",
        erasure_id=RETENTION,
        erased_at=ctx.now(),
        reason=reason,
    )
    try:
        with ctx.write(f"dataset:{label}", digest=found.digest, reason=reason) as tx:
            version = datasets.get_version(tx, ctx.project_id, found.dataset, found.version)
            datasets.remove_version(tx, ctx.project_id, version)
            erasures.bury(tx, ctx.project_id, [stone])
    except Refused as error:
        return msgspec.structs.replace(found, fate=Fate.HELD, why=error.what)
    return msgspec.structs.replace(found, fate=Fate.REMOVED)
