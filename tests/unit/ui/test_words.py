"""Numbers, times and sizes as pages say them; charts that take anything."""

import math

import pytest

from thrive.domain.clock import DAY, HOUR, MINUTE, SECOND
from thrive.domain.run import MetricPoint
from thrive.flows.performance import Performance, Point
from thrive.ui import charts, words

NOW = 20_000 * DAY


@pytest.mark.parametrize(
    ("distance", "said"),
    [
        (0, "just now"),
        (-42 * SECOND, "42 s ago"),
        (-5 * MINUTE, "5 min ago"),
        (14 * HOUR, "in 14 h"),
        (-47 * HOUR, "47 h ago"),
        (3 * DAY, "in 3 days"),
        (-4000 * DAY, "4,000 days ago"),
    ],
)
def test_times_are_said_as_seen_from_now(distance: int, said: str) -> None:
    assert words.relative(NOW + distance, NOW) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "-"),
        (math.nan, "-"),
        (math.inf, "-"),
        (0, "0"),
        (336776, "336,776"),
        (0.74123456, "0.7412"),
        (12.0, "12"),
        (1e-9, "1e-09"),
        (1234567.8, "1.23e+06"),
        (True, "True"),
        ("text", "text"),
    ],
)
def test_numbers(value: object, said: str) -> None:
    assert words.number(value) == said


def test_a_small_share_is_not_shown_as_nothing() -> None:
    assert words.percent(0.0) == "0.0 %"
    assert words.percent(0.00001, 2) == "< 0.01 %"
    assert words.percent(0.0011, 2) == "0.11 %"
    assert words.percent(None) == words.percent(math.nan) == "-"


def test_sizes_and_latencies() -> None:
    assert [words.size(count) for count in (None, 24, 9_300_000)] == ["-", "24 bytes", "9.3 MB"]
    assert [words.milliseconds(value) for value in (None, 8400, 2.5e6)] == [
        "-",
        "8.4 ms",
        "2,500 ms",
    ]


def test_a_command_survives_a_shell() -> None:
    assert words.quoted("retrain") == "retrain"
    assert words.quoted("fix data") == '"fix data"'
    assert words.quoted('a"$b`') == '"a\\"\\$b\\`"'


def performance(*values: float | None) -> Performance:
    points = [Point(at=index, value=value) for index, value in enumerate(values)]
    return Performance(metric="<b>", estimated=points, realised=points)


def test_a_sparkline_breaks_where_nothing_is_known() -> None:
    drawn = charts.sparkline(performance(0.8, 0.81, None, 0.7, math.nan, 0.6, 0.61))
    assert drawn.count("<polyline") == 4
    assert drawn.count("<circle") == 2
    assert "nan" not in drawn
    assert "<b>" not in drawn


@pytest.mark.parametrize("values", [(), (None,), (math.nan, None)])
def test_a_sparkline_of_nothing_is_a_dash(values) -> None:
    assert "<svg" not in charts.sparkline(performance(*values))


def test_a_line_that_never_moves_is_drawn() -> None:
    assert "<polyline" in charts.sparkline(performance(0.8, 0.8, 0.8))
    assert "<circle" in charts.sparkline(performance(0.8))


def test_history_without_steps_is_drawn_in_order() -> None:
    points = [MetricPoint(key="m", value=v, step=0, at=0) for v in (1.0, 2.0, 3.0)]
    assert "<polyline" in charts.history(points, "m")
    assert charts.history([], "m") == ""


@pytest.mark.parametrize(
    ("psi", "name"),
    [(None, "heat-none"), (-0.01, "heat-0"), (0.05, "heat-2"), (0.1, "heat-4"), (3.0, "heat-5")],
)
def test_heat(psi: float | None, name: str) -> None:
    assert charts.heat(psi, usual=0.02) == name


def test_heat_is_judged_by_what_is_usual() -> None:
    assert charts.heat(3.0, usual=6.0) == "heat-2"
    assert charts.heat(6.5, usual=6.0) == "heat-4"


@pytest.mark.parametrize(
    ("spelled", "said"),
    [
        ("Datetime(time_unit='us', time_zone='UTC')", "Datetime(us, UTC)"),
        ("List(Datetime(time_unit='ms', time_zone=None))", "List(Datetime(ms))"),
        ("Duration(time_unit='ns')", "Duration(ns)"),
        ("Int64", "Int64"),
    ],
)
def test_types_of_times_are_said_shortly(spelled, said):
    assert words.column_type(spelled) == said
