"""What people ask of monitoring: windows, limits, alerts, and bias and service besides."""

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.streams import CONTRACT, Stream

from thrive.domain.clock import DAY, format_time
from thrive.domain.errors import CannotTell, NotFound
from thrive.domain.monitoring import Cause
from thrive.monitoring import operations
from thrive.monitoring.alerts import raise_alerts
from thrive.monitoring.baseline import load_baseline
from thrive.monitoring.closing import close_windows, load_counters
from thrive.monitoring.findings import findings_of
from thrive.monitoring.judge import columns
from thrive.monitoring.measure import sketches
from thrive.monitoring.merging import windows_merge
from thrive.operations import Context
from thrive.statistics.sketch import NumericSketch, merge_numeric
from thrive.store import changes, monitoring


def test_limits_are_explained_with_what_history_supports(context: Context) -> None:
    Stream(context)
    found = operations.monitors_explain(context, "m")
    assert (found.window, found.false_alarms_per_year) == ("1 day", 4.0)
    assert found.windows_of_history == 90
    assert [limit.signal for limit in found.limits] == [
        "estimated accuracy",
        "realised accuracy",
        "realised roc_auc",
    ]
    assert sum(limit.budget for limit in found.limits) == pytest.approx(4.0)
    assert "2 of 3 windows are below" in found.notes[0]


def test_a_budget_beyond_the_history_is_called_provisional(context: Context) -> None:
    Stream(context, contract=CONTRACT.replace("year = 4", "year = 0.01"))
    found = operations.monitors_explain(context, "m")
    assert all(limit.provisional for limit in found.limits)
    assert "provisional: 90 windows of history support" in found.notes[0]


def test_a_week_merges_from_its_days_as_if_it_had_been_counted_at_once(context: Context) -> None:
    stream = Stream(context)
    days = [stream.live_day(shift=1.5 * (day > 3)) for day in range(7)]
    windows = close_windows(context, "m")
    merged = windows_merge(context, "m", until=format_time(stream.start + 7 * DAY))
    assert (merged.windows, merged.rows, merged.skipped) == (7, 2800, 0)
    baseline = load_baseline(context, findings_of(windows[0]).baseline)
    known = baseline.sketches()
    at_once = columns(baseline, known, sketches(pl.concat(days), baseline.kinds, known), 0)
    expected = {each.name: each.psi for each in at_once if each.name != "_score"}
    found = {each.name: each.psi for each in merged.columns if each.name != "_score"}
    assert found == pytest.approx(expected, abs=1e-12)
    assert [each.name for each in merged.columns if each.drifted and each.name != "_score"] == ["a"]
    with pytest.raises(CannotTell, match="No window of m in that time"):
        windows_merge(context, "m", until="2010-01-01")


def test_explaining_writes_nothing(context: Context) -> None:
    Stream(context)
    with context.read() as tx:
        before = changes.head(tx, context.project_id)
    operations.monitors_explain(context, "m")
    with context.read() as tx:
        assert changes.head(tx, context.project_id) == before


def test_windows_are_listed_in_order_and_by_date(context: Context) -> None:
    stream = Stream(context)
    for _ in range(3):
        stream.live_day()
    close_windows(context, "m")
    starts = [window.start for window in operations.windows_list(context, "m")]
    assert starts == sorted(starts)
    assert len(operations.windows_list(context, "m", since="2011-01-27")) == 2
    with pytest.raises(NotFound, match="no model 'other'"):
        operations.windows_list(context, "other")


def test_an_alert_is_shown_with_its_story(context: Context) -> None:
    stream = Stream(context)
    for _ in range(3):
        stream.live_day(noise=0.4)
    close_windows(context, "m")
    raise_alerts(context, "m")
    (alert,) = operations.alerts_list(context, model="m")
    story = operations.alerts_show(context, alert.alert_id[:12])
    assert story.alert == alert
    assert story.decisions == []
    assert f"* {alert.recommended}" in story.text
    assert "Realised accuracy by window, limit 0." in story.text
    assert story.next_hint == f"thrive alerts decide {alert.alert_id} review --reason ..."


def test_an_alert_about_data_says_where_it_comes_from_and_what_to_type(context: Context) -> None:
    stream = Stream(context)
    frame = stream.frame(stream.day).with_columns(
        pl.lit(None, dtype=pl.Float64).alias("weather_wind")
    )
    stream.serve(frame)
    stream.advance()
    close_windows(context, "m")
    (alert,) = raise_alerts(context, "m")
    told = operations.alerts_show(context, alert.alert_id)
    assert "weather_wind: missing" in told.text
    assert "They come from weather; data answers for it." in told.text
    renamed = msgspec.structs.replace(alert, recommended="fix data")
    with context.write(f"alert:{alert.alert_id}") as tx:
        monitoring.save_alert(tx, context.project_id, renamed)
    assert " 'fix data' --reason" in operations.alerts_show(context, alert.alert_id).next_hint


def test_counters_of_days_add_up_to_those_of_the_stretch(context: Context) -> None:
    stream = Stream(context)
    frames = [stream.live_day() for _ in range(2)]
    windows = close_windows(context, "m")
    parts = [NumericSketch.from_bytes(load_counters(context, w).whole["a"]) for w in windows]
    whole = merge_numeric(parts)
    values = np.concatenate([frame["a"].to_numpy() for frame in frames])
    assert whole.rows == 800
    assert whole.mean == pytest.approx(float(values.mean()))


def test_a_group_treated_otherwise_is_a_bias_alert(context: Context) -> None:
    bias = '[model.m.gates]\nbias = { groups = ["city"], equal_opportunity = 0.1 }\n'
    stream = Stream(context, rows=1500, contract=CONTRACT + bias)
    for _ in range(3):
        frame = stream.frame(stream.day).with_columns(
            pl.when(pl.col("city") == "JFK")
            .then(pl.col("_score") * 0.6)
            .otherwise("_score")
            .alias("_score")
        )
        stream.tell(frame, stream.serve(frame))
        stream.day += 1
        stream.advance()
        close_windows(context, "m")
        raise_alerts(context, "m")
    causes = {alert.cause: alert for alert in operations.alerts_list(context)}
    assert "Equal opportunity of city JFK differs" in causes[Cause.BIAS].title


def test_a_failing_service_inhibits_the_judgement_of_performance(context: Context) -> None:
    stream = Stream(context)
    for _ in range(3):
        frame = stream.frame(stream.day, noise=0.4)
        ids = stream.serve(frame.head(300))
        stream.tell(frame.head(300), ids)
        stream.serve(frame.tail(100), error="it died")
        stream.day += 1
        stream.advance()
        close_windows(context, "m")
        raise_alerts(context, "m")
    (alert,) = operations.alerts_list(context)
    assert alert.cause is Cause.SERVICE
    assert "100 of 400 answers failed (25.00%); the SLA allows 1.00%" in alert.title


def test_a_model_without_a_reference_is_watched_for_service_alone(context: Context) -> None:
    import msgspec

    from thrive.store import models

    stream = Stream(context)
    with context.home.write() as tx:
        first = models.get_version(tx, context.project_id, "m", 1)
        bare = msgspec.structs.replace(first, version=2, reference="", evaluation="")
        models.insert_version(tx, context.project_id, bare, [])
    stream.route(2, context.now())
    stream.live_day(version=2, noise=0.4)
    close_windows(context, "m")
    with context.read() as tx:
        (window,) = monitoring.find_windows(tx, context.project_id, "m", 2)
    assert (window.rows, window.end - window.start, window.sketches) == (400, DAY, "")
    assert raise_alerts(context, "m") == []
