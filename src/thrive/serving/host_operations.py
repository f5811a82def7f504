"""What the agent of a serving host asks of a server: routes, numbers, and where its log goes.

Packages and sealed segments cross by digest, through the door for blobs. A host is told what is
live and what it needs to answer, nothing else of the project.
"""

from typing import Annotated

import msgspec
from blake3 import blake3

from thrive.domain.actor import HOSTS
from thrive.domain.clock import machine_now
from thrive.domain.errors import Refused, UsageError
from thrive.domain.identifiers import is_digest
from thrive.domain.prediction import SealedLog, SealedTo, SegmentName
from thrive.domain.release import ServingHost
from thrive.operations import Context, operation
from thrive.serving.home_plane import routes_of
from thrive.serving.routes import Routes
from thrive.serving.sealing import HomeLogs
from thrive.store import releases, uploads, worker_numbers

MOST_WORKERS = 64
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Workers = Annotated[int, msgspec.Meta(ge=1, le=MOST_WORKERS)]
Label = Annotated[str, msgspec.Meta(max_length=100)]
LogId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class WorkerNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a host's workers, which no other host of the project has."""

    numbers: list[int]


class SealedSegments(msgspec.Struct, frozen=True, kw_only=True):
    """How much of some segments a project has."""

    segments: list[SealedTo]


@operation("serving routes", role=HOSTS)
def routes(ctx: Context) -> Routes:
    """Show what serving hosts answer with: versions, shares, packages, and the contract's words.

    Asked with the headers `Prefer: wait=10` and `If-None-Match`, it answers when that changes.

    Examples:
        thrive serving routes
    """
    return routes_of(ctx.home)


@operation("serving register", role=HOSTS, writes=True)
def register(ctx: Context, log_id: LogId, *, workers: Workers = 1) -> WorkerNumbers:
    """Take the numbers of a host's workers; the same log folder always has the same ones.

    Args:
        log_id: names the log folder of the host.
        workers: how many processes answer there.

    Raises:
        Refused: every number is taken.

    Examples:
        thrive serving register 0192837400000001000000010000000a --workers 2
    """
    with ctx.home.write() as tx:
        return WorkerNumbers(numbers=worker_numbers.take(tx, ctx.project_id, log_id, workers))


@operation("serving report", role=HOSTS, writes=True)
def report(
    ctx: Context,
    agent_id: str,
    *,
    host: Label,
    url: Label = "",
    revision: Count = 0,
    answered: Count = 0,
    failed: Count = 0,
    dropped: Count = 0,
    consumers: list[Label] | None = None,
    unregistered: Count = 0,
) -> ServingHost:
    """Say how a serving host is: its heartbeat. The time is the server's.

    Args:
        agent_id: names the agent among those of the same token.
        host: the name of the machine.
        url: where it answers, empty when it left.
        revision: the routing revision that all its workers have reached.
        answered: requests with an answer.
        failed: requests that no version could answer.
        dropped: prediction rows that its log had no room for.
        consumers: callers that are registered there, each with its purposes.
        unregistered: tokens of callers without a purpose.

    Examples:
        thrive serving report 0a1b --host edge-1 --url http://127.0.0.1:8100
    """
    said = ServingHost(
        agent_id=blake3(f"{ctx.actor.name}|{agent_id}".encode()).hexdigest(16),
        host=host,
        url=url,
        revision=revision,
        seen_at=machine_now(),
        answered=answered,
        failed=failed,
        dropped=dropped,
        consumers=consumers or [],
        unregistered=unregistered,
    )
    with ctx.home.write() as tx:
        releases.save_host(tx, ctx.project_id, said)
    return said


@operation("serving sealed", role=HOSTS)
def sealed(ctx: Context, host: Label, segments: list[str]) -> SealedSegments:
    """Show how much of some segments of a host's prediction log the project has.

    Args:
        host: the name of the machine.
        segments: each as WORKER/SEGMENT.

    Raises:
        UsageError: one of them has another form.

    Examples:
        thrive serving sealed edge-1 3/17 4/17
    """
    named = [_named(each) for each in segments]
    return SealedSegments(segments=HomeLogs(ctx.home).sealed_to(host, named))


@operation("serving commit", role=HOSTS, writes=True)
def commit(ctx: Context, log_id: LogId, host: Label, batch: str) -> SealedSegments:
    """Take in sealed predictions that were sent by digest, once however often they are sent.

    Args:
        log_id: names the log folder they come from.
        host: the name of the machine.
        batch: the digest of a msgpack list of manifest rows, as it was sent.

    Returns:
        Where each of the segments ends now: the sender keeps what comes after that.

    Raises:
        NotFound: the rows, or a file they name, were not sent, or a day has passed since.
        UsageError: the rows cannot be read.
        Refused: they are of workers whose numbers another log folder has.

    Examples:
        thrive serving commit 0192837400000001000000010000000a edge-1 DIGEST
    """
    rows = _manifest_rows(uploads.sent_blob(ctx.home, batch), host)
    with ctx.read() as tx:
        own = worker_numbers.taken_by(tx, ctx.project_id, log_id)
    foreign = sorted({row.worker for row in rows} - own)
    if foreign:
        raise Refused(f"Worker {foreign[0]} is none of this log folder.", "serving register")
    uploads.refuse_unsent(ctx.home, {row.digest for row in rows} - {""})
    return SealedSegments(segments=HomeLogs(ctx.home).commit(host, rows))


def _named(text: str) -> SegmentName:
    worker, slash, segment = text.partition("/")
    if slash and all(each.isascii() and each.isdecimal() for each in (worker, segment)):
        name = SegmentName(int(worker), int(segment))
        if max(name) < 1 << 31:
            return name
    raise UsageError(f"{text[:40]!r} names no segment.", "WORKER/SEGMENT, e.g. 3/17")


def _manifest_rows(data: bytes, host: str) -> list[SealedLog]:
    try:
        rows = msgspec.msgpack.decode(data, type=list[SealedLog])
    except msgspec.MsgspecError as error:
        raise UsageError(f"The manifest cannot be read: {error}.", "send it anew") from None
    wrong = next((row for row in rows if not _is_sound(row, host)), None)
    if wrong is not None:
        raise UsageError(f"The manifest row {str(wrong)[:300]} cannot be.", "send it anew")
    return rows


def _is_sound(row: SealedLog, host: str) -> bool:
    """Tell whether a row says what could be: counts and offsets in order, a file if it has rows."""
    numbers = [getattr(row, name) for name in row.__struct_fields__]
    counted = all(0 <= each < 1 << 63 for each in numbers if type(each) is int)
    ordered = row.from_offset <= row.to_offset and row.min_time <= row.max_time
    named = is_digest(row.digest) if row.rows else row.digest == ""
    return counted and ordered and named and row.host == host
