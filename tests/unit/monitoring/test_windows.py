"""Windows: closed once, corrected by revisions, measured truthfully."""

import numpy as np
import polars as pl
import pytest
from tests.streams import START, Stream

from thrive.contract.windows import WindowLength
from thrive.domain.clock import DAY, HOUR
from thrive.domain.release import RoutingTable, Variant
from thrive.monitoring.closing import close_windows
from thrive.monitoring.findings import findings_of
from thrive.monitoring.grid import ended_windows, main_version, spans
from thrive.operations import Context
from thrive.store import monitoring


@pytest.fixture
def stream(context: Context) -> Stream:
    return Stream(context)


def test_a_window_closes_when_it_has_ended_and_only_once(stream: Stream) -> None:
    frame = stream.frame(stream.day)
    stream.tell(frame, stream.serve(frame))
    stream.advance(0.9)
    assert close_windows(stream.context, "m") == []
    stream.advance(0.2)
    (window,) = close_windows(stream.context, "m")
    assert (window.start, window.end, window.revision) == (START, START + DAY, 0)
    assert window.rows == window.outcomes == 400
    assert close_windows(stream.context, "m") == []


def test_late_outcomes_become_a_revision(stream: Stream) -> None:
    frame = stream.live_day(labelled=False)
    (first,) = close_windows(stream.context, "m")
    assert first.outcomes == 0
    assert "realised accuracy" not in findings_of(first).performance
    with stream.context.read() as tx:
        assert len(monitoring.find_windows(tx, stream.context.project_id, "m")) == 1
    ids = pl.read_parquet(stream_blob(stream))["prediction_id"].to_list()
    stream.tell(frame.head(10), ids[:10])
    stream.advance(0.1)
    assert close_windows(stream.context, "m") == []  # ten of 400 change nothing that matters
    stream.tell(frame, ids)
    (second,) = close_windows(stream.context, "m")
    assert (second.revision, second.outcomes) == (1, 400)
    right = float(((frame["_score"] >= 0.5) == (frame["_label"] > 0.5)).mean())  # type: ignore[arg-type]
    assert findings_of(second).performance["realised accuracy"].value == pytest.approx(right)


def stream_blob(stream: Stream) -> str:
    from thrive.store import predictions

    home = stream.context.home
    with home.read() as tx:
        (sealed,) = predictions.find_sealed(tx, home.project_id)
    return str(home.blobs.local_path(sealed.digest))


def test_late_rows_become_a_revision(stream: Stream) -> None:
    stream.live_day()
    close_windows(stream.context, "m")
    stream.serve(stream.frame(START // DAY))
    (window,) = close_windows(stream.context, "m")
    assert (window.revision, window.rows) == (1, 800)


def test_a_day_without_predictions_is_a_window_too(stream: Stream) -> None:
    stream.advance(2)
    windows = close_windows(stream.context, "m")
    assert [window.rows for window in windows] == [0, 0]


def test_fallbacks_and_failures_are_errors_and_shadows_are_not(stream: Stream) -> None:
    frame = stream.frame(stream.day)
    stream.serve(frame.head(300))
    stream.serve(frame.tail(60), error="it died")
    stream.serve(frame.tail(40), version=0, variant="fallback", error="it died")
    stream.serve(frame.tail(20), version=0, variant="fallback")  # nothing was live yet
    stream.serve(frame.head(50), variant="shadow")
    stream.advance()
    (window,) = close_windows(stream.context, "m")
    found = findings_of(window)
    assert window.rows == 300
    assert found.errors == 100
    assert found.variants == {"production": 360, "fallback": 60, "shadow": 50}
    assert "100 of 400" in found.failing


def test_segments_add_up_to_the_window(stream: Stream) -> None:
    frame = stream.live_day()
    (window,) = close_windows(stream.context, "m")
    found = findings_of(window).segments
    assert {segment.value for segment in found} == {"EWR", "JFK", "LGA"}
    assert sum(segment.rows for segment in found) == frame.height
    accuracy = findings_of(window).performance["realised accuracy"].value
    weighted = sum((segment.realised or 0) * segment.rows for segment in found) / frame.height
    assert weighted == pytest.approx(accuracy, abs=0.01)  # some outcomes are not in yet


def test_a_shifted_input_is_called_drift_and_ranked_against_the_reference(stream: Stream) -> None:
    stream.live_day(shift=1.0)
    (window,) = close_windows(stream.context, "m")
    assert [column.name for column in findings_of(window).drifted()] == ["a"]


def test_the_estimate_without_labels_follows_the_real_accuracy(stream: Stream) -> None:
    estimated: list[float] = []
    real: list[float] = []
    for shift in np.linspace(-2.0, 2.0, 9):
        stream.live_day(shift=float(shift))
        *_, window = close_windows(stream.context, "m")  # the day before may be corrected
        found = findings_of(window).performance
        estimated.append(found["estimated accuracy"].value or 0)
        real.append(found["realised accuracy"].value or 0)
    assert np.corrcoef(estimated, real)[0, 1] > 0.8


def table(at: int, *shares: tuple[int, float], revision: int = 1) -> RoutingTable:
    variants = [Variant(version=number, package="", share=share) for number, share in shares]
    return RoutingTable(
        model="m", revision=revision, variants=variants, fallback=None, salt="", at=at,
        reason="", actor="",
    )  # fmt: skip


def test_spans_follow_the_routing_history() -> None:
    history = [table(50 * HOUR, (2, 1.0)), table(30 * HOUR, (1, 0.5), (2, 0.5)), table(0, (1, 1.0))]
    found = spans(history, 100 * HOUR)
    assert [(span.version, span.start // HOUR, span.end // HOUR, span.main) for span in found] == [
        (1, 0, 30, True),
        (2, 30, 50, False),
        (1, 30, 50, True),
        (2, 50, 100, True),
    ]
    assert main_version(found, 40 * HOUR) == 1
    ended = {
        number: ended_windows(
            [span for span in found if span.version == number],
            WindowLength(lasts=DAY),
            72 * HOUR,
            0,
            (),
        )
        for number in (1, 2)
    }
    assert ended == {
        1: [(0, DAY), (DAY, 2 * DAY), (2 * DAY, 3 * DAY)],
        2: [(DAY, 2 * DAY), (2 * DAY, 3 * DAY)],
    }
