"""The audit chain: listed, verified, signed once a day, exported for whoever keeps it elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from thrive.domain.actor import ANYONE, KEEPERS
from thrive.domain.clock import DAY, format_time, machine_now, parse_time
from thrive.domain.duty import AuditSeal
from thrive.domain.errors import NotFound, NotRight, UsageError
from thrive.domain.project import AuditEntry, Page
from thrive.operations import Context, Kind, PageSize, operation
from thrive.packaging import ed25519
from thrive.settings import read_settings
from thrive.store import audit, oversight
from thrive.store.database import Tx
from thrive.store.kept_records import OPERATIONS, Witness
from thrive.store.seals import keep_seal, kept_seals
from thrive.store.signing import signing_key

EXPORT_FORMAT = 1
TOGETHER = 5000
SEALED_EVERY = DAY


class ChainReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit chain holds: how many links, the digest of the last, how many signed heads.

    `keys` are those that signed the heads, `records` counts the approvals, decisions, holds,
    restrictions, exceptions and grants that were held against it.
    """

    whole: bool
    entries: int
    head: str
    seals: int = 0
    keys: list[str] = []
    records: int = 0


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A file with the chain, its signed heads and its newest head."""

    file: str
    entries: int
    head: str
    seals: int


class ExportHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of an exported chain; each other line is an entry."""

    project_id: str
    project: str
    seq: int
    digest: str
    seals: list[AuditSeal]
    format: int = EXPORT_FORMAT


@operation(
    "audit list", role=ANYONE, columns=("seq", "at", "actor", "operation", "subject", "digest")
)
def audit_list(
    ctx: Context,
    *,
    limit: PageSize = 50,
    after: str = "",
    since: str = "",
    actor: str = "",
    subject: str = "",
    oldest: bool = False,
) -> Page[AuditEntry]:
    """List who changed what and when, newest first.

    Args:
        limit: how many entries at most.
        after: the seq of the last entry of the page before.
        since: only entries from this time on, ISO 8601.
        actor: only what this one did.
        subject: only changes of this subject, e.g. model:flight-delay.
        oldest: the oldest entries first.

    Raises:
        UsageError: `after` is no seq, or `since` no time.

    Examples:
        thrive audit list --limit 20
        thrive audit list --since 2026-03-01 --actor flights-ml
    """
    wanted = audit.Wanted(
        beyond=_seq(after) if after else None,
        since=parse_time(since) if since else None,
        actor=actor,
        subject=subject,
    )
    with ctx.read() as tx:
        items = audit.find(tx, ctx.project_id, wanted, limit, newest=not oldest)
    return Page(items=items, next=str(items[-1].seq) if len(items) == limit else None)


def _seq(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError(f"{text[:40]!r} is no seq of an entry.", "--after 100")
    return int(text)


@operation("audit verify", role=ANYONE)
def audit_verify(ctx: Context, *, file: Path | None = None) -> ChainReport:
    """Verify the audit chain: every link holds the digest of the one before it, heads are signed.

    An edited, removed or moved entry is named; so is a chain that was written anew after a head
    of it had been signed: signed heads are kept in the database and in a file of the home. Trusted
    keys are those of the setting `gate_keys`, any if none is set. Approvals, decisions, holds,
    restrictions, exceptions and grants are held against it: one that no entry wrote, that was
    changed or removed by hand is named.

    Args:
        file: an exported chain to verify instead of the project's; it needs no server.

    Raises:
        NotRight: a link, a signed head or a record does not hold.
        NotFound: the file is not there.

    Examples:
        thrive audit verify
        thrive audit verify --file audit.jsonl
    """
    if file is not None:
        return verify_file(ctx.local_folder() / file)
    with ctx.read() as tx:
        witness = Witness(tx, ctx.project_id, audit.read_head(tx, ctx.project_id)[0])
        broken = audit.first_broken(tx, ctx.project_id, witness.see, OPERATIONS)
        stored = oversight.find_seals(tx, ctx.project_id)
        kept = kept_seals(ctx.home.folder, ctx.project_id)
        seals = [*stored, *(each for each in kept if each not in stored)]
        digests = {each.seq: audit.find_digest(tx, ctx.project_id, each.seq) for each in seals}
        seq, head = audit.read_head(tx, ctx.project_id)
    if broken is not None:
        raise _broken(broken)
    _check_seals(ctx.project_id, seals, digests)
    _check_records(witness)
    report = _report(seq, head, seals)
    return msgspec.structs.replace(report, records=witness.count)


def _check_records(witness: Witness) -> None:
    """Raise when a record is not what the chain says of it."""
    unlike = list(witness.unlike())
    if unlike:
        first, others = unlike[0], len(unlike) - 1
        more = f" So are {others} more records." if others else ""
        raise NotRight(
            f"The {first.kind} {first.id} is not what the audit chain says: {first.why}.{more}",
            _COMPARE,
        )


@operation("audit seal", role=KEEPERS, writes=True)
def audit_seal(ctx: Context) -> AuditSeal:
    """Sign the head of the audit chain with this home's key; the tick does it once a day.

    Raises:
        NotRight: the chain does not hold: what is broken is not signed.

    Examples:
        thrive audit seal
    """
    with ctx.read() as tx:
        broken = audit.first_broken(tx, ctx.project_id)
    if broken is not None:
        raise _broken(broken)
    return _seal(ctx)


@operation("audit seals", role=ANYONE)
def audit_seals(ctx: Context) -> ExportHead:
    """Show the head of the audit chain with the heads that were signed, newest first.

    Examples:
        thrive audit seals
    """
    with ctx.read() as tx:
        return _export_head(tx, ctx)


@operation("audit export", role=ANYONE, kind=Kind.CLIENT)
def audit_export(ctx: Context, *, to: Path) -> Exported:
    """Write the chain with its signed heads to a file of JSON lines.

    Args:
        to: the file; it is replaced.

    Examples:
        thrive audit export --to audit.jsonl
    """
    path = ctx.local_folder() / to
    with ctx.read() as tx:
        head = _export_head(tx, ctx)
        write_export(path, head, _all(tx, ctx.project_id))
    return exported(path, head)


def exported(path: Path, head: ExportHead) -> Exported:
    """Return what was written to a file."""
    return Exported(file=str(path), entries=head.seq, head=head.digest, seals=len(head.seals))


def _export_head(tx: Tx, ctx: Context) -> ExportHead:
    seq, digest = audit.read_head(tx, ctx.project_id)
    return ExportHead(
        project_id=ctx.project_id,
        project=ctx.home.project.name,
        seq=seq,
        digest=digest,
        seals=oversight.find_seals(tx, ctx.project_id),
    )


def write_export(path: Path, head: ExportHead, entries: Iterator[AuditEntry]) -> None:
    """Write an exported chain; the file is there whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(head) + b"\n")
        for entry in entries:
            file.write(msgspec.json.encode(entry, order="sorted") + b"\n")
    draft.replace(path)


def _all(tx: Tx, project_id: str) -> Iterator[AuditEntry]:
    seq = 0
    while batch := audit.entries(tx, project_id, seq, TOGETHER):
        yield from batch
        seq = batch[-1].seq


def verify_file(path: Path) -> ChainReport:
    """Verify an exported chain; raises as `audit_verify`."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        raise NotFound(
            f"The file {path.name} cannot be read.", "thrive audit export --to FILE"
        ) from None
    try:
        head = msgspec.json.decode(lines[0], type=ExportHead)
        entries = [msgspec.json.decode(line, type=AuditEntry) for line in lines[1:]]
    except (msgspec.DecodeError, IndexError) as error:
        raise NotRight(f"{path.name} is no exported chain: {error}.") from None
    previous = audit.GENESIS
    for number, entry in enumerate(entries, start=1):
        if entry.seq != number or entry.previous != previous:
            raise _broken(number)
        previous = entry.digest
        if audit.link_digest(entry) != previous:
            raise _broken(number)
    if (head.seq, head.digest) != (len(entries), previous):
        raise _broken(len(entries) + 1)
    digests = {
        each.seq: entries[each.seq - 1].digest for each in head.seals if each.seq <= head.seq
    }
    _check_seals(head.project_id, head.seals, digests)
    return _report(head.seq, head.digest, head.seals)


def seal_daily(ctx: Context) -> list[AuditSeal]:
    """Sign the head if the newest signed one is a day old and something was added since."""
    with ctx.read() as tx:
        seals = oversight.find_seals(tx, ctx.project_id)
        seq, _ = audit.read_head(tx, ctx.project_id)
    newest = seals[0] if seals else None
    due = newest is None or (newest.seq < seq and newest.at + SEALED_EVERY <= machine_now())
    return [_seal(ctx)] if seq and due else []


def _seal(ctx: Context) -> AuditSeal:
    secret = signing_key(ctx.home.folder)
    with ctx.observe("audit:head") as tx:
        seq, digest = audit.read_head(tx, ctx.project_id)
        bare = AuditSeal(seq=seq, digest=digest, at=machine_now())
        seal = msgspec.structs.replace(
            bare,
            signature=ed25519.sign(secret, bare.statement(ctx.project_id)).hex(),
            signed_by=ed25519.public_key(secret).hex(),
        )
        oversight.add_seal(tx, ctx.project_id, seal)
        keep_seal(ctx.home.folder, ctx.project_id, seal)
    return seal


def _check_seals(
    project_id: str, seals: Sequence[AuditSeal], digests: Mapping[int, str | None]
) -> None:
    """Raise when a signed head is of another chain, or its signature is none."""
    trusted = read_settings().trusted_keys()
    for seal in seals:
        when = f"the head signed on {format_time(seal.at)} (entry {seal.seq})"
        if digests.get(seal.seq) != seal.digest:
            raise NotRight(f"The audit chain was written anew: {when} is not in it.", _COMPARE)
        key, signature = bytes.fromhex(seal.signed_by), bytes.fromhex(seal.signature)
        if not ed25519.verify(key, seal.statement(project_id), signature):
            raise NotRight(f"The signature of {when} does not hold.", _COMPARE)
        if trusted and seal.signed_by not in trusted:
            raise NotRight(f"No trusted key signed {when}, but {seal.signed_by}.", _COMPARE)


_COMPARE = "compare with a backup or an exported chain"


def _broken(seq: int) -> NotRight:
    return NotRight(
        f"The audit chain does not hold at entry {seq}.",
        f"thrive audit list --oldest --after {max(seq - 2, 0)}; {_COMPARE}",
    )


def _report(seq: int, head: str, seals: Sequence[AuditSeal]) -> ChainReport:
    keys = sorted({each.signed_by for each in seals})
    return ChainReport(whole=True, entries=seq, head=head, seals=len(seals), keys=keys)
