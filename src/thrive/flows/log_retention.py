"""How long predictions are kept: what is past `log.retention` goes, and is counted.

GDPR art. 5(1)(e); of high risk never sooner than AI Act art. 19 and 26(6) say. The log lies in
sealed files that models share: a file is looked at when its newest prediction is past, and is
written anew without what is to go. Manifest rows and closed windows stay as they are, so that
gaps stay provable and the history of monitoring true.
"""

import io
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from thrive.contract.schema import ModelTerms
from thrive.domain.actor import KEEPERS
from thrive.domain.clock import DAY, format_time, machine_now
from thrive.domain.erasure import ErasureState
from thrive.domain.errors import Refused
from thrive.domain.model import ModelVersion
from thrive.domain.prediction import LogEnd
from thrive.domain.project import Job
from thrive.flows.erasure.cleaning import remove_content
from thrive.governance.keeping import queue_daily
from thrive.monitoring.terms import terms_of
from thrive.operations import Context, Kind, operation
from thrive.store import erasures, holds, log_ends, models, releases
from thrive.store.database import Tx
from thrive.store.prediction_frames import scan_sealed

if TYPE_CHECKING:
    import polars as pl

EXPIRE = "predictions expire"
TOGETHER = 50
"""Files that are written anew before one transaction names them all."""


class LogFate(StrEnum):
    """What becomes of predictions that are past their retention."""

    DUE = "due"
    """They go with --yes, or with the next night."""
    HELD = "held"
    """A legal hold, or an erasure that is not finished, keeps them."""
    REMOVED = "removed"


class ExpiredLog(msgspec.Struct, frozen=True, kw_only=True):
    """The predictions of one model that are past their retention.

    Attributes:
        model: whose.
        retention: as the contract in force says it.
        until: those before it go, UTC microseconds.
        rows: how many.
        outcomes: outcomes that went with them; counted when they go.
        files: sealed files that they lie in.
        fate: what becomes of them, or became.
        why: what keeps them, "" if nothing does.
    """

    model: str
    retention: str
    until: int
    rows: int
    files: int
    fate: LogFate
    outcomes: int = 0
    why: str = ""


class _Due(NamedTuple):
    """A model whose predictions before a moment are to go, and the files that may hold some."""

    model: str
    retention: str
    until: int
    files: list[str]
    end: LogEnd


class _Rewritten(NamedTuple):
    """A file, what stands for it ("" for nothing), and what is not in that any more."""

    old: str
    new: str
    gone: "pl.DataFrame"


@operation(
    EXPIRE,
    role=KEEPERS,
    kind=Kind.JOB,
    writes=True,
    columns=("model", "retention", "until", "rows", "outcomes", "files", "fate", "why"),
)
def expire_predictions(ctx: Context, *, yes: bool = False) -> list[ExpiredLog]:
    """Remove predictions that are past `log.retention` of their model, with their outcomes.

    Without --yes it only says which. The tick has a worker do it once a day. The contract in force
    counts: of the version in production, else of the newest. A legal hold on the project, the model
    or one of its versions keeps all of a model's. How many went is recorded and audited; windows
    that were closed stay, and so does what people said in a review.

    Args:
        yes: remove them.

    Examples:
        thrive predictions expire
        thrive predictions expire --yes
    """
    with ctx.read() as tx:
        names = [each.name for each in models.find(tx, ctx.project_id)]
    found = (_due(ctx, name) for name in names)
    told = [_removed(ctx, each) if yes else _looked_at(ctx, each) for each in found if each]
    return [each for each in told if each.rows]


def queue_expiry(ctx: Context) -> list[Job]:
    """Queue the removal where a day's predictions have passed their retention since the last."""
    with ctx.read() as tx:
        names = [each.name for each in models.find(tx, ctx.project_id)]
    due = (_due(ctx, name) for name in names)
    if not any(each.files and each.until - each.end.looked_until >= DAY for each in due if each):
        return []
    return queue_daily(ctx, EXPIRE, yes=True)


def _due(ctx: Context, model: str) -> _Due | None:
    """Return what of a model is past; None where its contract says nothing of it."""
    terms = _terms(ctx, model)
    kept = terms.log_kept_for
    if kept is None:
        return None
    until = ctx.now() - kept
    with ctx.read() as tx:
        end = log_ends.get(tx, ctx.project_id, model)
        files = log_ends.files_before(tx, ctx.project_id, end, until)
    return _Due(model, terms.log.retention, until, files, end)


def _terms(ctx: Context, model: str) -> ModelTerms:
    """Return what the contract in force says: of the version in production, else of the newest."""
    with ctx.read() as tx:
        table = releases.current_routing(tx, ctx.project_id, model)
        live = table.production() if table else None
        found = _versions(tx, ctx, model, {live.version} if live else None)
    return terms_of(ctx, found[0]).model if found else ModelTerms()


def _versions(tx: Tx, ctx: Context, model: str, among: set[int] | None) -> list[ModelVersion]:
    return models.versions(tx, ctx.project_id, model, limit=1, among=among)


def _looked_at(ctx: Context, due: _Due) -> ExpiredLog:
    """Return what would go, and whether anything keeps it."""
    rows = [_rows_of(ctx, due, file).height for file in due.files]
    why = ""
    try:
        with ctx.read() as tx:
            _refuse_kept(tx, ctx, due.model)
    except Refused as error:
        why = error.what
    return _told(due, LogFate.HELD if why else LogFate.DUE, sum(rows), sum(map(bool, rows)), why)


def _told(due: _Due, fate: LogFate, rows: int, files: int, why: str = "") -> ExpiredLog:
    return ExpiredLog(
        model=due.model,
        retention=due.retention,
        until=due.until,
        rows=rows,
        files=files,
        fate=fate,
        why=why,
    )


def _rows_of(ctx: Context, due: _Due, file: str) -> "pl.DataFrame":
    import polars as pl

    mine = scan_sealed(ctx.home, file).filter(pl.col("model") == due.model)
    return mine.select("prediction_id", "version").collect()


def _removed(ctx: Context, due: _Due) -> ExpiredLog:
    """Remove what is due, some files at a time; where something keeps it, it stays."""
    end, files = due.end, 0
    began = machine_now()
    try:
        for number, batch in enumerate(_rewritten(ctx, due), 1):
            ctx.progress(min(number * TOGETHER / len(due.files), 1.0), due.model)
            end = _switched(ctx, due, end, batch)
            files += len(batch)
    except Refused as error:
        kept = _looked_at(ctx, due)
        return msgspec.structs.replace(kept, fate=LogFate.HELD, why=error.what)
    with ctx.observe(f"log_end:{due.model}") as tx:
        whole = msgspec.structs.replace(
            end, until=max(end.until, due.until), looked_until=due.until, looked_at=began
        )
        log_ends.save(tx, ctx.project_id, whole)
    told = _told(due, LogFate.REMOVED, end.rows - due.end.rows, files)
    return msgspec.structs.replace(told, outcomes=end.outcomes - due.end.outcomes)


def _rewritten(ctx: Context, due: _Due) -> Iterator[list[_Rewritten]]:
    """Yield the files that hold some of the model's, with what is to stand for each, in batches."""
    batch: list[_Rewritten] = []
    for file in due.files:
        gone = _rows_of(ctx, due, file)
        if gone.height:
            batch.append(_Rewritten(file, _without(ctx, due, file), gone))
        if len(batch) == TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


def _without(ctx: Context, due: _Due, file: str) -> str:
    """Store what a file holds of other models; return its digest, "" where that is nothing."""
    import polars as pl

    others = scan_sealed(ctx.home, file).filter(pl.col("model") != due.model).collect()
    if not others.height:
        return ""
    buffer = io.BytesIO()
    others.write_parquet(buffer, compression="zstd")
    return ctx.home.blobs.put(buffer.getbuffer())


def _switched(ctx: Context, due: _Due, end: LogEnd, batch: Sequence[_Rewritten]) -> LogEnd:
    """Let the manifest name what stands for some files, and delete them; return the new count.

    A file that something else replaced since it was read is left for the next time.

    Raises:
        Refused: something keeps them.
    """
    rows = sum(each.gone.height for each in batch)
    words = {"until": format_time(due.until), "retention": due.retention, "rows": rows}
    with ctx.write(f"predictions:{due.model}", **words, files=len(batch)) as tx:
        _refuse_kept(tx, ctx, due.model)
        for each in batch:
            if not log_ends.replace_file(tx, ctx.project_id, each.old, each.new):
                raise Refused(
                    f"The file {each.old[:12]} of the log was replaced meanwhile.",
                    "thrive predictions expire --yes",
                )
        ids = [name for each in batch for name in each.gone["prediction_id"].to_list()]
        outcomes = log_ends.delete_outcomes(tx, ctx.project_id, ids)
        counted = msgspec.structs.replace(
            end,
            until=max(end.until, due.until),
            rows=end.rows + rows,
            outcomes=end.outcomes + outcomes,
            versions=_counted(end, batch),
        )
        log_ends.save(tx, ctx.project_id, counted)
    remove_content(ctx, [each.old for each in batch])
    return counted


def _counted(end: LogEnd, batch: Sequence[_Rewritten]) -> dict[str, int]:
    versions = dict(end.versions)
    for each in batch:
        for version, rows in each.gone["version"].value_counts().iter_rows():
            key = str(version or 0)
            versions[key] = versions.get(key, 0) + rows
    return versions


def _refuse_kept(tx: Tx, ctx: Context, model: str) -> None:
    """Refuse while a hold is on the model or a version of it, or an erasure rewrites the log.

    Raises:
        Refused: so it is.
    """
    numbers = [each.version for each in models.versions(tx, ctx.project_id, model)]
    subjects = (holds.of_model(model, each) for each in (None, *numbers))
    holds.refuse_held(tx, ctx.project_id, *subjects)
    waiting = erasures.unfinished(tx, ctx.project_id)
    if any(each.state is not ErasureState.ASKED for each in waiting):
        raise Refused("An erasure of a person is not finished.", "thrive erasures list")
