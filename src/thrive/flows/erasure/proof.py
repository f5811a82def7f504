"""The proof: everything is searched again, decoded, and what is still there is named."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from thrive.domain.erasure import Erasure
from thrive.flows.erasure.cleaning import other_files
from thrive.flows.erasure.plan import Plan, make_plan
from thrive.flows.erasure.remotes import left_at_remotes
from thrive.flows.erasure.results import results_naming
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context
from thrive.settings import read_settings
from thrive.store import audit, datasets, personal_text, references
from thrive.store.pins import read_lock

FORMAT = 1
POSTGRESQL_NOTE = (
    "PostgreSQL keeps old pages in its write-ahead log until it is recycled, and in backups and "
    "replicas of its own: they end when your retention of them does"
)
DISK_NOTE = "blocks that the file system freed are overwritten when it uses them again"
HOSTS_NOTE = (
    "other hosts of the team keep copies in their caches and prediction logs of their own: type "
    "the same command there"
)
ONLINE_NOTE = (
    "the shared online store: `thrive features materialize` writes it from what is left, without "
    "the person"
)
SHORT_NOTE = (
    "the value is too short to be searched outside of the columns that name people: it would be "
    "found everywhere; stored files that nothing uses go with `thrive data gc`, versions that were "
    "pushed and removed here stay where they were pushed"
)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What was searched after an erasure, and what was found; stored as JSON by content.

    Attributes:
        format: of this file.
        erasure_id: the erasure.
        person: the salted digest of the value.
        at: UTC microseconds.
        searched: how much was looked at, by what it was.
        absent: digests that are nowhere any more.
        left: what still names the person, in words.
        notes: what no program can prove, in words.
    """

    format: int = FORMAT
    erasure_id: str
    person: str
    at: int
    searched: dict[str, int]
    absent: list[str]
    left: list[str]
    notes: list[str]


def prove(ctx: Context, erasure: Erasure, sought: Sought, column: str) -> Proof:
    """Search every store of the project again, and say what was found."""
    plan = make_plan(ctx, sought, column, [])
    files = list(other_files(ctx.home))
    present = [digest for digest in erasure.removed if _is_anywhere(ctx, digest)]
    left = [
        *(f"{item.kind.replace('_', ' ')} {item.used_by}" for item in plan.items),
        *(f"content {digest[:12]}, which nothing uses" for digest in plan.orphans),
        *(f"content {digest[:12]}, in what no version has any more" for digest in plan.remains),
        *_still_used(ctx, present),
        *_left_in_database(ctx, sought),
        *_left_in_files(ctx, sought, files),
        *left_at_remotes(ctx, sought),
    ]
    return Proof(
        erasure_id=erasure.erasure_id,
        person=erasure.person,
        at=ctx.now(),
        searched={**plan.counts, "other_files": len(files)},
        absent=[digest for digest in erasure.removed if digest not in present],
        left=left,
        notes=notes(ctx, sought, plan),
    )


def _still_used(ctx: Context, digests: Sequence[str]) -> Iterator[str]:
    """Say who uses content that was to go."""
    with ctx.read() as tx:
        for digest in digests:
            users = references.users(tx, ctx.project_id, digest)
            by = " ".join(users[0]).replace("_", " ") if users else "another project"
            yield f"content {digest[:12]}: {by} uses it"


def _is_anywhere(ctx: Context, digest: str) -> bool:
    blobs = ctx.home.blobs
    return blobs.has(digest) or (blobs.local.root / digest[:2] / digest[2:]).exists()


def _left_in_database(ctx: Context, sought: Sought) -> Iterator[str]:
    if not sought.distinctive:
        return
    with ctx.read() as tx:
        places = [
            place
            for each in sought.spellings
            for place in personal_text.places_of(tx, ctx.project_id, each)
        ]
        kept = results_naming(tx, ctx, sought)
    for table, column, rows in places:
        why = ": its links cannot be changed" if table == audit.TABLE else ""
        yield f"the column {table}.{column} of the database ({rows} rows){why}"
    for run_id, position in kept:
        yield f"the result of step {position} of run {run_id}, in its row: erase again"
    if places or kept:
        return
    for path in ctx.home.database.files():
        if sought.in_raw(path.read_bytes()):
            yield f"a page of {path.name} that no row uses: close every reader, erase again"


def _left_in_files(ctx: Context, sought: Sought, files: list[Path]) -> Iterator[str]:
    if not sought.distinctive:
        return
    for path in files:
        if sought.named_in(path.read_bytes()):
            yield f"the file {path.relative_to(ctx.home.folder.parent)}: delete it"


def notes(ctx: Context, sought: Sought, plan: Plan) -> list[str]:
    """Return what a person must still do or know: sources, backups, what cannot be proved."""
    known = [*_removed(plan), *_sources(ctx, plan), *_pins(ctx, plan), *_backups(ctx), DISK_NOTE]
    if not ctx.home.database.is_sqlite:
        known += [POSTGRESQL_NOTE, HOSTS_NOTE]
    if read_settings().online_store:
        known.append(ONLINE_NOTE)
    if not sought.distinctive:
        known.append(SHORT_NOTE)
    return known


def _removed(plan: Plan) -> Iterator[str]:
    if plan.remains:
        yield (
            f"{len(plan.remains)} stored files also hold what versions that were removed had: they "
            "are written anew without it"
        )


def _sources(ctx: Context, plan: Plan) -> Iterator[str]:
    """Name the sources that would bring the person back when they are read again."""
    with ctx.read() as tx:
        for name in sorted(plan.columns):
            found = datasets.versions(tx, ctx.project_id, name) if name else []
            for source in sorted({each.source for each in found}):
                yield f"the source of {name}, {source}: clean it, or it brings the person back"


def _pins(ctx: Context, plan: Plan) -> Iterator[str]:
    changed = sorted(set(plan.columns) & set(read_lock(ctx.local_folder())))
    if changed:
        yield f"thrive.lock names {', '.join(changed)} by new digests: commit it"


def _backups(ctx: Context) -> Iterator[str]:
    with ctx.read() as tx:
        made = audit.entries_of(tx, ctx.project_id, "backups create")
    for name in dict.fromkeys(each.subject for each in made):
        yield f"the backup {name.partition(':')[2]}: delete it, or make it again"
