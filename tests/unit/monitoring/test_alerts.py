"""Alerts: none on a quiet stream, the right cause first on a broken one."""

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from blake3 import blake3
from tests.streams import CONTRACT, START, Stream

from thrive.domain.actor import local_actor
from thrive.domain.clock import DAY, format_time
from thrive.domain.dataset import Column, DatasetVersion
from thrive.domain.duty import DutyAnswers
from thrive.domain.monitoring import ActionKind, Alert, AlertState, Cause, Level, Window
from thrive.flows.act import decide
from thrive.monitoring.alerts import is_over, live_pasts, message, raise_alerts, tell_skew
from thrive.monitoring.closing import close_windows
from thrive.monitoring.findings import Fault
from thrive.monitoring.operations import monitors_explain
from thrive.monitoring.verdicts import verdicts
from thrive.operations import Context
from thrive.store import datasets, duties, jobs, models, monitoring
from thrive.store.home import create_home, made


@pytest.fixture
def stream(context: Context) -> Stream:
    return Stream(context)


def pass_day(stream: Stream) -> list[Alert]:
    close_windows(stream.context, "m")
    return raise_alerts(stream.context, "m")


def alerts(stream: Stream) -> list[Alert]:
    with stream.context.read() as tx:
        return monitoring.find_alerts(tx, stream.context.project_id)


def test_a_quiet_stream_raises_nothing(context: Context) -> None:
    one_in_twenty_years = CONTRACT.replace(
        "false_alarms_per_year = 4", "false_alarms_per_year = 0.05"
    )
    stream = Stream(context, contract=one_in_twenty_years)
    for _ in range(20):
        stream.live_day()
        pass_day(stream)
    assert [alert.title for alert in alerts(stream)] == []


def declare(stream: Stream, text: str) -> None:
    answers = DutyAnswers(
        model="m", digest=blake3(text.encode()).hexdigest(), fields={"accuracy_level": text}, at=1
    )
    with stream.context.home.write() as tx:
        duties.add_answers(tx, stream.context.project_id, answers)


def test_real_performance_below_what_users_were_told_alerts_its_owner(stream: Stream) -> None:
    declare(stream, "accuracy >= 0.5, each day")
    for _ in range(3):
        stream.live_day()
        pass_day(stream)
    assert alerts(stream) == []
    declare(stream, "accuracy >= 0.99, each day")
    (alert,) = pass_day(stream)
    assert (alert.cause, alert.owner, alert.level) == (Cause.PERFORMANCE, "ml", Level.ALERT)
    assert alert.deadline == alert.opened_at + DAY
    assert "accuracy >= 0.99 is declared to users, and 3 of the last 3 windows miss" in alert.title
    with stream.context.read() as tx:
        (job,) = jobs.find(tx, stream.context.project_id)
    assert "declared to users" in str(job.arguments)
    for _ in range(3):  # no window is beyond what history explains, and yet it is not over
        stream.live_day()
        pass_day(stream)
    (alert,) = alerts(stream)
    assert not is_over(alert)


def test_a_level_that_is_just_kept_is_seldom_said_to_be_missed(stream: Stream) -> None:
    declare(stream, "accuracy >= 0.9, each day")
    stream.live_day()
    pass_day(stream)
    context, rng, rows, alarms = stream.context, np.random.default_rng(3), 400, 0
    past = live_pasts(context, "m", context.home.now())[0]
    (window,) = past.windows
    said = {**window.findings, "coverage": 1.0, "breaches": [], "columns": [], "gaps": []}
    for _ in range(1000):
        three: list[Window] = []
        for day, right in enumerate(rng.binomial(rows, 0.9, 3) / rows):
            error = float(np.sqrt(right * (1 - right) / rows))
            measured = {"value": float(right), "error": error, "rows": rows}
            found = {**said, "performance": {"realised accuracy": measured}}
            start = START + day * DAY
            three.append(
                msgspec.structs.replace(window, start=start, end=start + DAY, findings=found)
            )
        news = verdicts(msgspec.structs.replace(past, windows=three), context.home.now())
        alarms += any("declared" in each.numbers for each in news)
    assert alarms <= 12  # one in 500 by design: 2 are expected, more than 12 once in a million


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_quiet_year_keeps_the_alert_budget(tmp_path: Path) -> None:
    raised = 0
    for seed in range(4):
        home = create_home(made(tmp_path / str(seed)), "quiet")
        stream = Stream(Context(home, local_actor("tester"), operation="test"), seed, rows=200)
        for _ in range(365):
            stream.live_day()
            pass_day(stream)
        raised += sum(alert.level is Level.ALERT for alert in alerts(stream))
        home.close()
    assert raised <= 26  # 99 % of Poisson(16): the budget of four years


def test_a_broken_concept_raises_one_performance_alert_within_three_windows(
    stream: Stream,
) -> None:
    for _ in range(3):
        stream.live_day()
        pass_day(stream)
    for _ in range(3):
        stream.live_day(noise=0.35)
        pass_day(stream)
    (alert,) = alerts(stream)
    assert (alert.cause, alert.level, alert.state) == (
        Cause.PERFORMANCE,
        Level.ALERT,
        AlertState.OPEN,
    )
    assert alert.title.startswith("Realised accuracy 0.")
    assert "(limit for 4 false alarms a year)" in alert.title
    assert (alert.owner, alert.deputy, alert.default_action) == ("ml", "data", "rollback")
    assert alert.recommended == "review"  # a third of the labels is noise: nothing to learn
    assert "Do not retrain" in alert.evidence["advice"]
    assert alert.deadline == alert.opened_at + DAY
    assert alert.evidence["segments"]
    with stream.context.read() as tx:
        (message,) = jobs.find(tx, stream.context.project_id)
    assert message.operation == "messages send"
    assert message.arguments["channel"] == "file:ml.txt"
    assert format_time(alert.deadline) in message.arguments["body"]


def test_a_model_that_grows_unsure_is_noticed_without_a_single_label(stream: Stream) -> None:
    for _ in range(2):
        stream.live_day(labelled=False)
        pass_day(stream)
    stream.rng.normal()
    for _ in range(3):
        frame = stream.frame(stream.day)
        near = frame.with_columns((0.5 + (pl.col("_score") - 0.5) * 0.3).alias("_score"))
        stream.serve(near)
        stream.day += 1
        stream.advance()
        pass_day(stream)
    by_cause = {alert.cause: alert for alert in alerts(stream)}
    assert by_cause[Cause.PERFORMANCE].title.startswith("Estimated accuracy")
    assert by_cause[Cause.PERFORMANCE].recommended == "review"
    assert "too few" in by_cause[Cause.PERFORMANCE].evidence["advice"]


def test_a_missing_feed_is_a_data_fault_and_nothing_else(stream: Stream) -> None:
    stream.live_day()
    pass_day(stream)
    for _ in range(2):
        frame = stream.frame(stream.day, noise=0.4).with_columns(
            pl.lit(None, dtype=pl.Float64).alias("weather_wind")
        )
        stream.tell(frame, stream.serve(frame))
        stream.day += 1
        stream.advance()
        pass_day(stream)
    (alert,) = alerts(stream)
    assert alert.cause is Cause.DATA_QUALITY
    assert "weather_wind is missing in 100%" in alert.title
    assert alert.recommended == "hold"
    assert "retrain" not in alert.proposed
    assert "Do not retrain" in alert.evidence["advice"]
    assert alert.evidence["upstream"] == {"dataset": "weather", "owner": "data"}
    for _ in range(3):
        stream.live_day()
        pass_day(stream)
    (alert,) = alerts(stream)
    assert (alert.state, alert.recommended) == (AlertState.OPEN, "accept")
    assert "ended by itself" in alert.evidence["advice"]


@pytest.mark.parametrize("kind", ["unseen", "outside"])
def test_new_categories_and_wrong_units_are_data_faults(stream: Stream, kind: str) -> None:
    frame = stream.frame(stream.day)
    broken = (
        frame.with_columns(pl.lit("SFO").alias("city"))
        if kind == "unseen"
        else frame.with_columns(pl.col("a") * 1000)
    )
    stream.serve(broken)
    stream.day += 1
    stream.advance()
    pass_day(stream)
    (alert,) = alerts(stream)
    assert alert.cause is Cause.DATA_QUALITY
    assert alert.evidence["numbers"]["faults"][0]["kind"] == kind


def broken_day(stream: Stream, *, wind: bool = False, noise: float = 0.0) -> None:
    """A day on which `a` comes in another unit, and the feed of the wind is missing as well."""
    frame = stream.frame(stream.day, noise=noise).with_columns(pl.col("a") * 1000)
    if wind:
        frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("weather_wind"))
    stream.tell(frame, stream.serve(frame))
    stream.day += 1
    stream.advance()
    pass_day(stream)


def test_what_was_accepted_silences_neither_another_fault_nor_a_broken_concept(
    stream: Stream,
) -> None:
    broken_day(stream)
    (alert,) = alerts(stream)
    decide(stream.context, alert, ActionKind.ACCEPT, "the new unit is right")
    broken_day(stream)
    assert len(alerts(stream)) == 1  # the same again is no news
    broken_day(stream, wind=True)
    newest = alerts(stream)[0]
    assert (newest.cause, newest.state) == (Cause.DATA_QUALITY, AlertState.OPEN)
    assert "weather_wind is missing" in newest.title
    decide(stream.context, newest, ActionKind.ACCEPT, "the station is closed")
    for _ in range(3):
        broken_day(stream, wind=True, noise=0.4)
    assert alerts(stream)[0].cause is Cause.PERFORMANCE


def test_a_fault_seen_between_the_last_look_and_the_acceptance_is_told(stream: Stream) -> None:
    broken_day(stream)
    (alert,) = alerts(stream)
    frame = stream.frame(stream.day).with_columns(
        pl.lit(None, dtype=pl.Float64).alias("weather_wind")
    )
    stream.serve(frame)
    stream.day += 1
    stream.advance()
    decide(stream.context, alert, ActionKind.ACCEPT, "the new unit is right")
    pass_day(stream)
    assert "weather_wind is missing" in alerts(stream)[0].title


def test_the_dataset_that_changed_before_the_fault_is_named_with_its_version(
    stream: Stream,
) -> None:
    context = stream.context
    wind = [Column(name="wind", dtype="Float64")]
    for number, column in ((1, "a"), (2, "weather_wind")):
        made = DatasetVersion(
            dataset="rows",
            version=number,
            digest="b" * 64,
            source="rows.csv",
            file_count=1,
            rows=9,
            size=9,
            columns=[*wind, Column(name=column, dtype="Float64")],
            created_at=context.now() - (2 - number) * 30 * DAY,
            actor="tester",
        )
        with context.home.write() as tx:
            datasets.insert_version(tx, context.project_id, made)
    stream.advance(0.9)
    stream.serve(
        stream.frame(stream.day).with_columns(pl.lit(None, pl.Float64).alias("weather_wind"))
    )
    stream.advance(0.1)
    pass_day(stream)
    (alert,) = alerts(stream)
    assert alert.evidence["upstream"] == {
        "dataset": "rows",
        "owner": "data",
        "version": 2,
        "made_at": START,
        "changed": True,
    }
    assert "They come from rows@2, made 2011-01-26T00:00:00Z, after the last good" in message(alert)
    assert [each["dataset"] for each in alert.evidence["changed_data"]] == ["rows"]


def test_rows_that_became_harder_are_no_reason_to_roll_back_unless_the_contract_says_so(
    context: Context,
) -> None:
    silent = "\n".join(
        line for line in CONTRACT.splitlines() if not line.startswith("performance =")
    )
    stream = Stream(context, contract=silent)
    for _ in range(4):
        stream.live_day(noise=0.35)
        pass_day(stream)
    (alert,) = alerts(stream)
    assert (alert.recommended, alert.default_action) == ("review", "review")


def test_lasting_drift_is_a_notice_and_pages_nobody(stream: Stream) -> None:
    for _ in range(4):
        stream.live_day(shift=0.6)
        pass_day(stream)
    notices = [alert for alert in alerts(stream) if alert.cause is Cause.DRIFT]
    assert [alert.level for alert in notices] == [Level.NOTICE]
    assert notices[0].evidence["drift"][0]["name"] == "a"


def test_far_fewer_rows_are_a_fault_of_the_data_until_they_come_again(context: Context) -> None:
    stream = Stream(context, rows=120)

    def days(count: int, rows: int) -> None:
        stream.rows = rows
        for _ in range(count):
            stream.live_day()
        pass_day(stream)

    days(15, 120)
    days(2, 70)  # a quiet weekend
    days(1, 20)
    assert alerts(stream) == []
    days(1, 22)
    (alert,) = alerts(stream)
    assert "the rows are far fewer than in any window before: 31% of the least" in alert.title
    assert (alert.cause, alert.recommended) == (Cause.DATA_QUALITY, "hold")
    days(4, 21)
    assert not is_over(alerts(stream)[0])
    days(3, 90)
    assert is_over(alerts(stream)[0])


def test_late_views_and_texts_for_numbers_are_faults(stream: Stream) -> None:
    frame = stream.frame(stream.day).with_columns(pl.col("b").cast(pl.String) + " m")
    stream.serve(frame, status={"weather_now": "stale"})
    stream.advance()
    pass_day(stream)
    (alert,) = alerts(stream)
    kinds = {(each["column"], each["kind"]) for each in alert.evidence["numbers"]["faults"]}
    assert {("weather_now", "late"), ("b", "mistyped")} <= kinds
    assert "weather_now is late: its values were too old for 100% of the answers" in alert.title


def test_skew_is_an_alert_until_another_look_finds_none(stream: Stream) -> None:
    context = stream.context
    with context.read() as tx:
        version = models.get_version(tx, context.project_id, "m")
    faults = [Fault(column="weather_wind", kind="skewed", share=0.4, expected=0.0)]
    alert = tell_skew(context, version, faults)
    assert alert is not None
    assert alert.title.startswith("weather_wind was served otherwise than history says")
    assert alert.evidence["upstream"]["dataset"] == "weather"
    assert tell_skew(context, version, faults) is None
    for _ in range(4):
        stream.live_day()
        pass_day(stream)
    assert not is_over(alerts(stream)[0])  # windows cannot tell
    ended = tell_skew(context, version, [])
    assert ended is not None
    assert is_over(ended)
    assert tell_skew(context, version, []) is None


def test_silence_is_a_service_alert(stream: Stream) -> None:
    stream.live_day()
    pass_day(stream)
    stream.advance(2)
    pass_day(stream)
    (alert,) = [item for item in alerts(stream) if item.cause is Cause.SERVICE]
    assert alert.title.startswith("No predictions for 2 days")


def test_outcomes_that_stop_coming_are_noticed(stream: Stream) -> None:
    for _ in range(5):
        stream.live_day()
        pass_day(stream)
    for _ in range(4):
        stream.live_day(labelled=False)
        pass_day(stream)
    (alert,) = alerts(stream)
    assert alert.cause is Cause.OUTCOMES
    assert "Only 0% of the predictions" in alert.title


def test_age_is_an_alert_of_its_own(stream: Stream) -> None:
    stream.advance(401)
    raise_alerts(stream.context, "m")
    assert [alert.cause for alert in alerts(stream)] == [Cause.AGE]


def test_the_same_evidence_twice_changes_nothing(stream: Stream) -> None:
    for _ in range(3):
        stream.live_day(noise=0.4)
        pass_day(stream)
    before = alerts(stream)
    assert raise_alerts(stream.context, "m") == []
    assert alerts(stream) == before


def test_failures_too_few_for_a_window_overdraw_the_error_budget(stream: Stream) -> None:
    def day(failed: int) -> list[Alert]:
        frame = stream.frame(stream.day)
        answered = frame.tail(400 - failed)
        stream.tell(answered, stream.serve(answered))
        if failed:
            stream.serve(frame.head(failed), error="it died")
        stream.day += 1
        stream.advance()
        pass_day(stream)
        return [alert for alert in alerts(stream) if alert.cause is Cause.SERVICE]

    for _ in range(3):
        assert day(4) == []  # 1 % may fail
    days = 3
    while not (found := day(10)) and days < 12:
        days += 1
    budget = found[0].evidence["numbers"]["error_budget"]
    assert found[0].title.endswith("the SLA allows 1.00%: the error budget is overdrawn.")
    assert budget["failed"] == 12 + 10 * (days - 2)
    assert budget["used"] == pytest.approx(budget["failed"] / (0.01 * 400 * (days + 1)))
    explained = monitors_explain(stream.context, "m").error_budget
    assert explained is not None
    assert explained.used == pytest.approx(budget["used"])
