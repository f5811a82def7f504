"""The switch: in one transaction every row names content without the person."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from thrive.domain.dataset import DatasetVersion
from thrive.domain.erasure import Erasure, ErasureState, Tombstone
from thrive.domain.errors import Conflict
from thrive.flows.erasure.plan import Plan
from thrive.flows.erasure.replacing import NewData, NewVersion, Replaced
from thrive.flows.erasure.results import forget_results
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context
from thrive.store import datasets, erasures, holds, parked, personal_text, predictions, references
from thrive.store.database import Tx
from thrive.store.eventlog import covering
from thrive.store.postgresql import lock_blobs
from thrive.store.snapshots.bring import absent

OF_MODELS = frozenset({"model_version", "model_card", "document"})
"""Kinds of content that are about one version of a model, which their users end with."""


def switch(
    ctx: Context,
    erasure: Erasure,
    sought: Sought,
    plan: Plan,
    contents: Sequence[Replaced],
    data: NewData,
) -> Erasure:
    """Make every row name what is left, bury what is gone, and record how much that was.

    Returns:
        The erasure as it is recorded, with the digests that are to be deleted.

    Raises:
        Refused: a legal hold is on something that would change.
    """
    stones = _tombstones(erasure, [*contents, *data.files], data.versions, ctx.now())
    removed = {*(stone.digest for stone in stones), *data.leaving, *plan.orphans}
    known = {
        "rows": sum(each.before.rows - each.after.rows for each in data.versions),
        "versions": sum(each.before.digest != each.after.digest for each in data.versions),
        "files": len(data.files),
        "contents": len(contents),
        "predictions": len(plan.answers),
    }
    buried = {stone.subject: stone.digest for stone in stones}
    words = {"reason": erasure.reason, "legal_basis": erasure.legal_basis, "erased": buried}
    with ctx.write(f"erasure:{erasure.erasure_id}", **words, **known) as tx:
        refuse_held(tx, ctx, plan)
        _refuse_removed(tx, ctx, data)
        for each in data.versions:
            removed |= _switch_version(tx, ctx, each)
        living = _living_profiles(tx, ctx, data)
        removed -= living
        stones = [stone for stone in stones if stone.digest not in living]
        for each in contents:
            _switch_content(tx, ctx, each)
        _recount_logs(tx, ctx, plan)
        outcomes = predictions.delete_outcomes(tx, ctx.project_id, plan.answers)
        outcomes += parked.delete_of(tx, ctx.project_id, sought.spellings)
        texts = _redact_texts(tx, ctx, sought)
        known["results"] = forget_results(tx, ctx, sought)
        erasures.bury(tx, ctx.project_id, stones)
        switched = msgspec.structs.replace(
            erasure,
            state=ErasureState.SWITCHED,
            counts={**known, "outcomes": outcomes, "texts": texts},
            removed=sorted(removed - _needed(data)),
        )
        erasures.save(tx, ctx.project_id, switched)
    return switched


def refuse_held(tx: Tx, ctx: Context, plan: Plan) -> None:
    """Refuse to erase what a legal hold is on (GDPR art. 17(3)(e)).

    Raises:
        Refused: a hold is on the project, or on a dataset, model or run that would change.
    """
    project = ctx.project_id
    data = (holds.of_dataset(each.version.dataset) for each in plan.hit())
    holds.refuse_held(tx, project, *data, *(holds.of_model(each) for each in plan.answered))
    for item in plan.items:
        if item.kind == "artifact":
            holds.refuse_held_run(tx, project, item.used_by.partition(":")[0])
        elif item.kind in OF_MODELS:
            label = item.used_by.rpartition(" ")[2]
            holds.refuse_held(tx, project, *(f"model:{each}" for each in _names(label)))


def _names(label: str) -> tuple[str, str]:
    """Return MODEL@VERSION and MODEL: a hold may be on either."""
    return label, label.partition("@")[0]


def _refuse_removed(tx: Tx, ctx: Context, data: NewData) -> None:
    """Refuse to refer to what a clean-up removed; until the end of `tx` none removes anything.

    Raises:
        Conflict: one did.
    """
    lock_blobs(tx)
    if absent(ctx.home.blobs, _needed(data)):
        raise Conflict("A clean-up removed parts of what was rewritten.", "erase again")


def _needed(data: NewData) -> set[str]:
    """Return the blobs that versions need now: a piece that was cut anew may be what it was."""
    return {digest for each in data.versions for digest in each.needed}


def _tombstones(
    erasure: Erasure, replaced: Sequence[Replaced], versions: Sequence[NewVersion], now: int
) -> list[Tombstone]:
    places = [(each.old, each.new, each.kind, each.used_by) for each in replaced]
    for each in versions:
        label = f"{each.before.dataset}@{each.before.version}"
        places.append((each.before.digest, each.after.digest, datasets.KIND, label))
        places.append((_sketches(each.before), _sketches(each.after), "profile", label))
    return [
        Tombstone(
            digest=old,
            kind=kind,
            subject=name,
            replaced_by=new,
            erasure_id=erasure.erasure_id,
            erased_at=now,
            reason=erasure.reason,
        )
        for old, new, kind, name in places
        if old and old != new
    ]


def _sketches(version: DatasetVersion) -> str:
    return str(version.profile.get("sketches", ""))


def _switch_version(tx: Tx, ctx: Context, renewed: NewVersion) -> set[str]:
    """Give a version its new content; return the blobs it no longer uses.

    What people decided of it meanwhile stays.
    """
    before, after = renewed.before, renewed.after
    present = datasets.get_version(tx, ctx.project_id, before.dataset, before.version)
    changed = msgspec.structs.replace(
        present,
        digest=after.digest,
        manifest=after.manifest,
        file_count=after.file_count,
        rows=after.rows,
        size=after.size,
        profile=after.profile,
    )
    datasets.replace_version(tx, ctx.project_id, changed)
    label = f"{before.dataset}@{before.version}"
    used = references.used_by(tx, ctx.project_id, datasets.KIND, label)
    used_sketches = references.used_by(tx, ctx.project_id, "profile", label)
    gone = (used - renewed.needed) | (used_sketches - {_sketches(after)})
    for digest in gone:
        references.remove(tx, ctx.project_id, datasets.KIND, label, digest)
        references.remove(tx, ctx.project_id, "profile", label, digest)
    references.add(tx, ctx.project_id, datasets.KIND, label, *renewed.needed)
    references.add(tx, ctx.project_id, "profile", label, _sketches(after))
    return gone


def _living_profiles(tx: Tx, ctx: Context, data: NewData) -> set[str]:
    """Return the former profiles that other versions have as well: theirs name nobody who went."""
    former = {_sketches(each.before) for each in data.versions} - {""}
    return {digest for digest in former if references.users(tx, ctx.project_id, digest)}


def _switch_content(tx: Tx, ctx: Context, replaced: Replaced) -> None:
    """Let every user of a content use what stands for it."""
    for kind, name in references.users(tx, ctx.project_id, replaced.old):
        references.remove(tx, ctx.project_id, kind, name, replaced.old)
        references.add(tx, ctx.project_id, kind, name, replaced.new)
    if replaced.new:
        personal_text.rename_digest(tx, ctx.project_id, replaced.old, replaced.new)


def _recount_logs(tx: Tx, ctx: Context, plan: Plan) -> None:
    """Lower the rows of each manifest row of the prediction log by what was erased of it."""
    if not plan.answers:
        return
    rows = predictions.find_sealed(tx, ctx.project_id)
    gone = Counter(
        (found.host, found.worker, found.segment, found.from_offset)
        for each in plan.answers
        if (found := covering(rows, each)) is not None
    )
    for row in rows:
        less = gone[row.host, row.worker, row.segment, row.from_offset]
        if less:
            left = msgspec.structs.replace(row, rows=row.rows - less)
            predictions.replace_sealed(tx, ctx.project_id, left)


def _redact_texts(tx: Tx, ctx: Context, sought: Sought) -> int:
    if not sought.distinctive:
        return 0
    return sum(
        personal_text.rewrite_texts(tx, ctx.project_id, each, sought.redacted)
        for each in sought.spellings
    )
