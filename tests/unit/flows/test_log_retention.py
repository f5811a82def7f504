"""Predictions past `log.retention` go with their outcomes; what was counted stays counted."""

from io import BytesIO

import polars as pl
import pytest
from tests.streams import CONTRACT, START, Stream

from thrive.contract.parse import parse
from thrive.domain.clock import DAY
from thrive.domain.errors import NotFound
from thrive.domain.project import JobState
from thrive.flows.log_retention import EXPIRE, LogFate, expire_predictions, queue_expiry
from thrive.flows.oversight import holds_lift, holds_place
from thrive.governance.evidence.registry import QUERIES
from thrive.governance.records import read_records
from thrive.monitoring.closing import close_windows
from thrive.serving.lookup import find_prediction
from thrive.store import audit, jobs, log_ends, predictions
from thrive.store.eventlog import gaps
from thrive.store.prediction_frames import counts_by_version, predictions_between


def said(retention, risk="minimal"):
    words = f'risk = "{risk}"\nlog = {{ retention = "{retention}" }}\nentity'
    return CONTRACT.replace("entity", words, 1)


@pytest.fixture
def stream(context):
    return Stream(context, rows=40, contract=said("100 days"))


def shared(stream, day):
    """Seal one file in which another model answered as well; return the ids of both."""
    ids = stream.serve(stream.frame(day))
    home = stream.context.home
    with home.read() as tx:
        sealed = predictions.find_sealed(tx, home.project_id)[-1]
    mine = pl.read_parquet(BytesIO(home.blobs.get(sealed.digest)))
    others = mine.with_columns(
        model=pl.lit("other"), prediction_id=pl.lit("7") + pl.col("prediction_id").str.slice(1)
    )
    buffer = BytesIO()
    pl.concat([mine, others]).write_parquet(buffer)
    with home.write() as tx:
        log_ends.replace_file(tx, home.project_id, sealed.digest, home.blobs.put(buffer.getvalue()))
    home.blobs.delete(sealed.digest)
    return ids


def test_what_is_past_goes_with_its_outcomes_and_stays_counted(stream):
    ctx, home = stream.context, stream.context.home
    frame = stream.frame(START // DAY)
    old = stream.serve(frame)
    stream.tell(frame, old)
    shared(stream, START // DAY + 1)
    stream.serve(stream.frame(START // DAY + 50))
    stream.advance(102)
    with ctx.read() as tx:
        before = predictions.find_sealed(tx, ctx.project_id)
    (due,) = expire_predictions(ctx)
    assert (due.model, due.rows, due.files, due.fate) == ("m", 80, 2, LogFate.DUE)
    assert find_prediction(home, old[0]).model == "m"
    (gone,) = expire_predictions(ctx, yes=True)
    assert (gone.rows, gone.outcomes, gone.files, gone.fate) == (80, 40, 2, LogFate.REMOVED)
    kept = predictions_between(home, 0, 1 << 62)
    assert kept.group_by("model").len().sort("model").rows() == [("m", 40), ("other", 40)]
    with ctx.read() as tx:
        after = predictions.find_sealed(tx, ctx.project_id)
        assert predictions.find_outcomes(tx, ctx.project_id) == []
        (entry,) = audit.find(tx, ctx.project_id, audit.Wanted(subject="predictions:m"), 9)
    assert (entry.operation, entry.detail["rows"]) == ("test", 80)
    assert [each.rows for each in after] == [each.rows for each in before]
    assert gaps(after) == gaps(before)
    left = {each.digest for each in after}
    for each in before:
        assert (each.digest in left) == home.blobs.has(each.digest)
    assert counts_by_version(home)["m", 1] == 120
    with pytest.raises(NotFound, match=r"retention removed those of m before"):
        find_prediction(home, old[0])
    assert expire_predictions(ctx, yes=True) == []
    facts = list(QUERIES["log-retention"](read_records(ctx, "m@1")))
    assert facts[0].value == "100 days, then removed with their outcomes"
    assert "80, with 40 outcomes, all before" in facts[1].value


def test_closed_windows_are_not_corrected_by_what_retention_took(context):
    weekly = said("10 days").replace('window = "1 day"', 'window = "7 days"')
    stream = Stream(context, rows=40, contract=weekly)
    frame = stream.live_day()
    stream.advance(8)
    (window,) = (each for each in close_windows(context, "m") if each.rows)
    assert (window.rows, window.outcomes) == (frame.height, frame.height)
    stream.advance(10)
    assert expire_predictions(context, yes=True)[0].rows == frame.height
    assert window.start not in {each.start for each in close_windows(context, "m")}


def test_a_hold_keeps_all_of_a_model_and_high_risk_its_six_months(context):
    stream = Stream(context, rows=40, contract=said("30 days", risk="high"))
    stream.serve(stream.frame(START // DAY))
    stream.advance(183)
    assert expire_predictions(context) == []
    stream.advance(2)
    hold = holds_place(context, "model:m@1", reason="court order 17")
    (held,) = expire_predictions(context, yes=True)
    assert (held.rows, held.fate) == (40, LogFate.HELD)
    assert "court order 17" in held.why
    holds_lift(context, hold.hold_id, reason="settled")
    assert [each.fate for each in expire_predictions(context, yes=True)] == [LogFate.REMOVED]


def test_the_tick_asks_a_worker_where_a_day_has_passed(stream):
    ctx = stream.context
    stream.serve(stream.frame(START // DAY))
    assert queue_expiry(ctx) == []
    stream.advance(101.5)
    (job,) = queue_expiry(ctx)
    assert (job.operation, job.arguments, job.state) == (EXPIRE, {"yes": True}, JobState.WAITING)
    expire_predictions(ctx, yes=True)
    with ctx.home.write() as tx:
        jobs.cancel(tx, ctx.project_id, job.job_id)
    assert queue_expiry(ctx) == []


def test_the_least_time_of_the_law_is_part_of_the_terms():
    kept = {
        risk: parse(said("30 days", risk)).contract.model["m"].log_kept_for
        for risk in ("high", "undecided", "limited", "minimal")
    }
    assert kept == {
        "high": 183 * DAY,
        "undecided": 183 * DAY,
        "limited": 30 * DAY,
        "minimal": 30 * DAY,
    }
    assert parse(CONTRACT).contract.model["m"].log_kept_for is None
