"""Operations on outcomes."""

from pathlib import Path

import msgspec

from thrive.domain.actor import ANYONE, REPORTERS
from thrive.domain.clock import parse_duration
from thrive.domain.errors import UsageError
from thrive.domain.prediction import Outcome
from thrive.domain.project import Page
from thrive.feedback.coverage import LabelCoverage, label_coverage
from thrive.feedback.files import read_outcomes
from thrive.feedback.outcomes import OutcomesAdded, add_outcomes
from thrive.operations import Context, Kind, PageSize, operation
from thrive.store import predictions, uploads


@operation(
    "outcomes add",
    role=REPORTERS,
    kind=Kind.CLIENT,
    writes=True,
)
def add(ctx: Context, file: Path) -> OutcomesAdded:
    """Tell what really happened after predictions.

    The file has the columns prediction_id, value, observed_at and, optionally, source, revision
    and reason. Sending it twice changes nothing; a correction is a higher revision.

    Args:
        file: a .csv, .parquet or .jsonl file.

    Examples:
        thrive outcomes add outcomes.csv
    """
    return add_outcomes(ctx, read_outcomes(file, ctx.now()))


@operation("outcomes commit", role=REPORTERS, kind=Kind.JOB, writes=True)
def commit(ctx: Context, batch: str) -> OutcomesAdded:
    """Take in outcomes that were sent by digest: the second half of `outcomes add` from afar.

    Args:
        batch: the digest of a msgpack list of outcomes, as it was sent.

    Raises:
        NotFound: it was not sent, or a day has passed since.
        UsageError: it cannot be read.

    Examples:
        thrive outcomes commit DIGEST
    """
    data = uploads.sent_blob(ctx.home, batch)
    try:
        outcomes = msgspec.msgpack.decode(data, type=list[Outcome])
    except msgspec.MsgspecError as error:
        raise UsageError(f"The outcomes cannot be read: {error}.", "send them anew") from None
    return add_outcomes(ctx, outcomes)


@operation("outcomes report", role=REPORTERS, writes=True)
def report(
    ctx: Context,
    prediction_id: str,
    value: float,
    *,
    observed_at: int | None = None,
    source: str = "default",
    revision: int = 0,
    reason: str = "",
) -> OutcomesAdded:
    """Tell what really happened after one prediction.

    Args:
        prediction_id: the id that came back with the prediction.
        value: what happened: a number, or 1 and 0 for yes and no.
        observed_at: UTC microseconds when it became true; now, if left out.
        source: who says so.
        revision: 0, and one more for each correction.
        reason: why it is corrected.

    Examples:
        thrive outcomes report 019283740000000100000001000000a0 1
    """
    outcome = Outcome(
        prediction_id=prediction_id,
        value=value,
        observed_at=ctx.now() if observed_at is None else observed_at,
        recorded_at=ctx.now(),
        source=source,
        revision=revision,
        reason=reason,
    )
    return add_outcomes(ctx, [outcome])


@operation("outcomes list", role=ANYONE)
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

    Args:
        model: only this model.
        within: how far back to look.

    Examples:
        thrive outcomes status --model flight-delay --within "7 days"
    """
    now = ctx.now()
    return label_coverage(ctx.home, now - parse_duration(within), now, model)
