"""New content in the place of old: files without the person's rows, texts without the value.

Putting new content changes nothing that anybody reads: only the switch does, in one transaction.
"""

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from thrive.data.adding import remeasured
from thrive.data.rewriting import rewritten_table, without_person
from thrive.data.subjects import PREFIXES, Searched, files_once
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import Refused
from thrive.flows.erasure.plan import FILE, Fate, Plan, PlannedItem
from thrive.flows.erasure.redacting import redact
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context
from thrive.store.snapshots.bring import all_blobs
from thrive.store.snapshots.manifest import write_manifest
from thrive.store.snapshots.matching import names_person
from thrive.store.snapshots.moving import Mover, holders
from thrive.store.snapshots.tables import scan_files

if TYPE_CHECKING:
    import polars as pl


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """Content `old`, used as `kind` by `used_by`, and what stands for it: "" if nothing does."""

    old: str
    new: str
    kind: str
    used_by: str


class NewVersion(NamedTuple):
    """A dataset version before and after, and the blobs that it needs afterwards."""

    before: DatasetVersion
    after: DatasetVersion
    needed: set[str]


class NewData(NamedTuple):
    """What becomes of datasets: versions, their files, and the blobs nobody may use any more."""

    versions: list[NewVersion]
    files: list[Replaced]
    leaving: set[str]


def replace_contents(ctx: Context, sought: Sought, plan: Plan) -> list[Replaced]:
    """Store what is to stand for each content that is no file of a dataset."""
    replaced: list[Replaced] = []
    for item in plan.items:
        if item.kind == FILE or item.fate in (Fate.KEEP, Fate.RENEW):
            continue
        data = _new_bytes(ctx, sought, plan, item)
        new = ctx.home.blobs.put(data) if data is not None else ""
        replaced.append(Replaced(old=item.digest, new=new, kind=item.kind, used_by=item.used_by))
    return replaced


def _new_bytes(ctx: Context, sought: Sought, plan: Plan, item: PlannedItem) -> bytes | None:
    if item.fate is Fate.DROP:
        return None
    data = ctx.home.blobs.get(item.digest)
    if item.fate is Fate.REDACT:
        return redact(data, sought)
    return rewritten_table(data, lambda frame: frame.filter(~_about(frame, sought, plan)))


def _about(frame: "pl.DataFrame", sought: Sought, plan: Plan) -> "pl.Expr":
    """Return which rows of a table of the house's own are about the person."""
    import polars as pl

    names = sorted(set(plan.columns.values()))
    columns = [prefix + name for prefix in (*PREFIXES, "") for name in names]
    named = names_person(frame.schema, columns, sought.spellings)
    parts = [] if named is None else [named]
    if sought.distinctive:
        parts.append(sought.rows_naming(frame))
    return pl.any_horizontal(parts) if parts else pl.lit(value=False)


def replace_data(ctx: Context, sought: Sought, plan: Plan) -> NewData:
    """Store every version anew that held the person, or shares a blob with what did.

    Raises:
        Refused: every file of a version would be dropped.
        DiskFull: there is no space; nothing was changed.
    """
    changes = _changes(ctx, sought, plan)
    clean = {digest.hex() for each in plan.searched for digest in each.snapshot.digests}
    clean -= {digest.hex() for digest in changes}
    blobs = ctx.home.blobs
    leaving = set(plan.remains)
    for each in plan.searched:
        leaving |= holders(blobs, each.snapshot, changes) - clean
    mover = Mover(blobs, leaving, changes, ctx.home.temporary_folder)
    versions: list[NewVersion] = []
    for number, each in enumerate(plan.searched, 1):
        ctx.progress(number / len(plan.searched), f"rewriting {each.label}")
        found = _new_version(ctx, each, mover)
        if found is not None:
            versions.append(found)
    files = [
        Replaced(
            old=digest.hex(),
            new="" if data is None else mover.name_of(digest),
            kind=FILE,
            used_by=plan.changing[digest.hex()].used_by,
        )
        for digest, data in changes.items()
    ]
    return NewData(versions=versions, files=files, leaving=leaving)


def _changes(ctx: Context, sought: Sought, plan: Plan) -> dict[bytes, bytes | None]:
    """Return the new bytes of each file that changes, None for one that goes."""
    changing = plan.changing
    changes: dict[bytes, bytes | None] = {}
    for each, entry, path in files_once(ctx.home.blobs, plan.hit()):
        item = changing.get(entry.digest)
        if item is None:
            continue
        digest = bytes.fromhex(entry.digest)
        if item.fate is Fate.DROP:
            changes[digest] = None
            continue
        kinds = scan_files([entry], [path], each.version.columns).collect_schema()
        changes[digest] = without_person(
            path.read_bytes(), entry.path, kinds, each.columns, sought.spellings
        )
    return changes


def _new_version(ctx: Context, searched: Searched, mover: Mover) -> NewVersion | None:
    after = mover.moved(searched.snapshot)
    if after is None:
        return None
    if not len(after):
        raise Refused(
            f"Nothing would be left of {searched.label}.", f"thrive data rm {searched.label}"
        )
    blobs = ctx.home.blobs
    written = write_manifest(after, blobs)
    needed = all_blobs(blobs, written.manifest, after)
    before = searched.version
    if written.name != before.digest:
        return NewVersion(before, remeasured(ctx, before, after, written), needed)
    manifest = "" if written.manifest == written.name else written.manifest
    return NewVersion(before, msgspec.structs.replace(before, manifest=manifest), needed)
