"""What may stand behind an input that moved: told with its likelihood, held by simulation."""

import numpy as np
import pytest

from thrive.monitoring.explanations import (
    ROWS,
    UNIT,
    WORLD,
    conversions,
    explain,
    likelihood_of_unit,
    words_of,
)
from thrive.monitoring.habits import Habit, habits_of
from thrive.statistics.sketch import NumericSketch, sketch_numeric

DAYS, A_DAY = 40, 300


def days(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Temperatures in °F: days differ by themselves."""
    return [
        rng.normal(rng.normal(60, 5), 9 * np.exp(rng.normal(0, 0.15)), A_DAY) for _ in range(count)
    ]


def past(rng: np.random.Generator) -> tuple[Habit, NumericSketch, np.ndarray]:
    windows = days(rng, DAYS)
    rows = np.concatenate(windows)
    known = sketch_numeric(rows)
    parts = [{"temp": sketch_numeric(each, known)} for each in windows]
    found = habits_of({"temp": known}, parts, range(DAYS), 1, [0.0] * DAYS)
    return found.inputs["temp"], known, rows


@pytest.mark.parametrize(
    ("change", "best"),
    [
        (lambda day: (day - 32) / 1.8, UNIT),
        (lambda day: day * 2.54, UNIT),
        (lambda day: day * 0 + np.linspace(82, 88, len(day)), ROWS),
        (lambda day: day + 61.0, WORLD),
    ],
)
def test_each_explanation_is_told_where_it_fits(change, best: str) -> None:
    rng = np.random.default_rng(3)
    habit, known, _ = past(rng)
    found = explain(habit, known, sketch_numeric(change(days(rng, 1)[0]), known))
    assert next(iter(found)).startswith(best)
    assert sum(found.values()) == pytest.approx(1.0)
    assert words_of(found).startswith(f"most likely {next(iter(found))} (")


def test_a_likelihood_of_nine_in_ten_is_right_nine_times_in_ten() -> None:
    """Changes of each kind equally often; the world changes by other laws than are assumed."""
    rng = np.random.default_rng(5)
    habit, known, rows = past(rng)
    listed, ordered = list(conversions().values()), np.sort(rows)
    width = known.quantile(0.9) - known.quantile(0.1)
    said, true = [], []
    for turn in range(900):
        (day,) = days(rng, 1)
        if turn % 3 == 0:
            factor, added = listed[rng.integers(len(listed))]
            day = day * factor + added
        elif turn % 3 == 1:
            first = rng.integers(0, int(0.9 * len(ordered)))
            day = rng.choice(ordered[first : first + len(ordered) // 20], A_DAY)
        else:
            spread = np.exp(rng.normal(0, 1.0))
            day = day.mean() + (day - day.mean()) * spread + rng.normal(0, 2.5) * width
        found = explain(habit, known, sketch_numeric(day, known))
        said.append(likelihood_of_unit(found))
        true.append(turn % 3 == 0)
    told, was = np.array(said), np.array(true)
    sure, unlikely = told >= 0.9, told < 0.1
    assert sure.sum() > 150
    assert was[sure].mean() >= 0.9
    assert was[unlikely].mean() <= 0.1
    assert abs(told.mean() - was.mean()) < 0.08
