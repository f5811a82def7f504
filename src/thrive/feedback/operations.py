"""Operations on outcomes."""

from pathlib import Path

import msgspec

from thrive.domain.actor import ANYONE, AUTHORS, REPORTERS
from thrive.domain.clock import parse_duration, parse_time
from thrive.domain.errors import CannotTell, UsageError
from thrive.domain.prediction import Outcome, ParkedOutcome
from thrive.domain.project import Page
from thrive.feedback.coverage import LabelCoverage, label_coverage
from thrive.feedback.entities import add_by_entity, retry_parked
from thrive.feedback.files import read_told
from thrive.feedback.outcomes import OutcomesAdded, add_outcomes, orphans
from thrive.operations import Context, Kind, PageSize, operation
from thrive.settings import read_settings
from thrive.store import parked, predictions, uploads
from thrive.store.eventlog import segments
from thrive.store.sources import Reach


@operation(
    "outcomes add",
    role=REPORTERS,
    kind=Kind.CLIENT,
    writes=True,
)
def add(ctx: Context, file: str, *, model: str = "", within: str = "") -> OutcomesAdded:
    """Tell what really happened after predictions: from a file, a table or a query.

    The rows have the columns prediction_id, value, observed_at and, optionally, source, revision
    and reason. Sending them twice changes nothing; a correction is a higher revision.

    With a model, rows may name its keys (`entity` in its contract) in place of prediction_id: an
    outcome then answers the predictions made of them before the moment `at` (observed_at, if left
    out). One that finds none is parked and tried again: see `outcomes parked`. Where there is a
    column prediction_id, that counts.

    Args:
        file: a .csv, .parquet or .jsonl file, an object-store URL, a Delta table, or a query as
            "CONNECTION: select ...".
        model: whose keys the rows name.
        within: how long before `at` its predictions were made; as long as the contract says
            (`outcomes_within`), else 30 days.

    Raises:
        NotFound: nothing is there, or no such model.
        UsageError: a column is missing, or a value has the wrong form.
        StoreUnavailable: the source does not answer.

    Examples:
        thrive outcomes add outcomes.csv
        thrive outcomes add "warehouse: select flight_id, late as value, landed as observed_at from arrivals" --model flight-delay
    """  # noqa: E501 - a command is one line
    told = read_told(str(file), _reach(ctx), ctx.now(), keyed=bool(model))
    return take_in(ctx, told, model, within)


def _reach(ctx: Context) -> Reach:
    return Reach(
        base=ctx.folder or Path.cwd(),
        temporary=ctx.home.temporary_folder,
        endpoint=ctx.home.object_endpoint(),
        connections=read_settings().named_connections(),
    )


def take_in(
    ctx: Context, told: list[Outcome] | list[ParkedOutcome], model: str, within: str
) -> OutcomesAdded:
    """Record outcomes, those that name keys by the predictions of these keys."""
    by_key = [each for each in told if isinstance(each, ParkedOutcome)]
    if by_key:
        return add_by_entity(ctx, model, by_key, within)
    return add_outcomes(ctx, [each for each in told if isinstance(each, Outcome)])


@operation("outcomes commit", role=REPORTERS, kind=Kind.JOB, writes=True)
def commit(ctx: Context, batch: str, *, model: str = "", within: str = "") -> OutcomesAdded:
    """Take in outcomes that were sent by digest: the second half of `outcomes add` from afar.

    Args:
        batch: the digest of a msgpack list of outcomes, as it was sent.
        model: whose keys they name; "" where they name predictions.
        within: as for `outcomes add`.

    Raises:
        NotFound: it was not sent, or a day has passed since.
        UsageError: it cannot be read.

    Examples:
        thrive outcomes commit DIGEST
    """
    data = uploads.sent_blob(ctx.home, batch)
    kind = list[ParkedOutcome] if model else list[Outcome]
    try:
        outcomes = msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise UsageError(f"The outcomes cannot be read: {error}.", "send them anew") from None
    return take_in(ctx, outcomes, model, within)


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes whose prediction is not known.

    Attributes:
        by_key: those that name keys; they are tried again for 90 days.
        unknown_ids: ids of predictions nobody has seen, among the last 10,000 outcomes; they join
            by themselves once the prediction is shipped.
    """

    by_key: list[ParkedOutcome]
    unknown_ids: list[str]


@operation("outcomes parked", role=AUTHORS, next_hint="thrive outcomes retry")
def list_parked(ctx: Context, *, model: str | None = None, limit: PageSize = 50) -> Parked:
    """List outcomes that wait for their prediction: unknown ids, and keys nobody was asked about.

    Args:
        model: only this model's keys.
        limit: how many of each.

    Examples:
        thrive outcomes parked --model flight-delay
    """
    with ctx.read() as tx:
        waiting = parked.find(tx, ctx.project_id, model, limit)
        newest = predictions.newest_outcomes(tx, ctx.project_id, limit=_LOOKED_AT)
    ids = list(dict.fromkeys(each.prediction_id for each in newest))
    return Parked(by_key=waiting, unknown_ids=orphans(ctx.home, ids)[:limit])


_LOOKED_AT = 10_000


@operation("outcomes retry", role=REPORTERS, kind=Kind.JOB, writes=True)
def retry(ctx: Context) -> OutcomesAdded:
    """Look for the predictions of parked outcomes now; the tick does it by itself.

    Examples:
        thrive outcomes retry
    """
    found = retry_parked(ctx, force=True)
    with ctx.read() as tx:
        left = len(parked.find(tx, ctx.project_id))
    return OutcomesAdded(received=len(found), added=len(found), known=0, orphans=0, parked=left)


@operation("outcomes report", role=REPORTERS, writes=True)
def report(
    ctx: Context,
    prediction_id: str,
    value: float | str,
    *,
    observed_at: int | str | None = None,
    source: str = "default",
    revision: int = 0,
    reason: str = "",
) -> OutcomesAdded:
    """Tell what really happened after one prediction.

    Args:
        prediction_id: the id that came back with the prediction.
        value: what happened: a number, 1 and 0 for yes and no, or the name of a class.
        observed_at: when it became true, ISO 8601 or UTC microseconds; now, if left out.
        source: who says so.
        revision: 0, and one more for each correction.
        reason: why it is corrected.

    Raises:
        UsageError: `observed_at` is no time.

    Examples:
        thrive outcomes report 019283740000000100000001000000a0 1
        thrive outcomes report 019283740000000100000001000000a0 1 --observed-at 2013-05-01T06:00Z
    """
    known = parse_time(observed_at) if isinstance(observed_at, str) else observed_at
    outcome = Outcome(
        prediction_id=prediction_id,
        value=value,
        observed_at=ctx.now() if known is None else known,
        recorded_at=ctx.now(),
        source=source,
        revision=revision,
        reason=reason,
    )
    return add_outcomes(ctx, [outcome])


@operation("outcomes list", role=AUTHORS)
def list_outcomes(
    ctx: Context, *, prediction: str | None = None, limit: PageSize = 50, after: str | None = None
) -> Page[Outcome]:
    """List outcomes, the last recorded first.

    Args:
        prediction: only the revisions of this prediction's outcome.
        limit: how many on a page.
        after: the `next` of the page before.

    Examples:
        thrive outcomes list --limit 10
    """
    with ctx.read() as tx:
        if prediction is not None:
            return Page(items=predictions.outcomes_of(tx, ctx.project_id, prediction))
        before = _place(after) if after else None
        items = predictions.newest_outcomes(tx, ctx.project_id, limit=limit, before=before)
    last = items[-1] if len(items) == limit else None
    return Page(items=items, next=f"{last.recorded_at}-{last.prediction_id}" if last else None)


def _place(after: str) -> tuple[int, str]:
    time, _, prediction_id = after.partition("-")
    if not time.isdigit() or not prediction_id:
        raise UsageError(f"{after!r} is no key of a page.", "give the `next` of the page before")
    return int(time), prediction_id


@operation("outcomes status", role=ANYONE)
def status(
    ctx: Context, *, model: str | None = None, within: str = "30 days"
) -> list[LabelCoverage]:
    """Show how many predictions have their outcome, and after what time.

    Predictions are the answers that versions gave to users within that time, as `outcomes
    performance` judges them: neither shadows nor requests that failed.

    Args:
        model: only this model.
        within: how far back to look.

    Raises:
        CannotTell: nothing is sealed yet of what was answered a moment ago.

    Examples:
        thrive outcomes status --model flight-delay --within "7 days"
    """
    now = ctx.now()
    found = label_coverage(ctx.home, now - parse_duration(within), now, model)
    if not found and segments(ctx.home.log_folder):
        raise CannotTell(
            "The answers of the last minute are not in the record yet.",
            "wait a minute (THRIVE_SEAL_SECONDS), then `thrive tick`, and ask again",
        )
    return found
