"""Limits: the alert budget is kept, and a short history says what it can promise."""

import numpy as np
import pytest

from thrive.monitoring.findings import Measured
from thrive.monitoring.limits import History, limit_of

BUDGET, WINDOWS = 4 / 3, 365.0


def history(values: list[float], *, higher: bool = True) -> History:
    return History(signal="s", higher_is_better=higher, values=values, errors=[0.1] * len(values))


def alarms(bad: np.ndarray) -> int:
    """Alarms by 2 of the last 3, each over after three clean windows."""
    raised, open_now, clean, since = 0, False, 0, 0
    for place, beyond in enumerate(bad.tolist()):
        if open_now:
            clean = 0 if beyond else clean + 1
            open_now, since = clean < 3, place + 1
        elif beyond and bad[max(since, place - 2) : place + 1].sum() >= 2:
            raised, open_now, clean = raised + 1, True, 0
    return raised


@pytest.mark.parametrize("windows", [60, 120])
def test_false_alarms_stay_within_the_budget(windows: int) -> None:
    rng = np.random.default_rng(1)
    raised = 0
    for _ in range(150):
        limit = limit_of(history(rng.normal(size=windows).tolist()), BUDGET, WINDOWS)
        assert limit.value is not None
        raised += alarms(rng.normal(size=365) < limit.value)
    assert raised <= 150 * BUDGET + 3 * (150 * BUDGET) ** 0.5


def test_a_smaller_budget_moves_the_limit_away() -> None:
    values = np.random.default_rng(2).normal(0.8, 0.02, 100).tolist()
    wide = limit_of(history(values), 0.1, WINDOWS).value
    near = limit_of(history(values), 10.0, WINDOWS).value
    assert wide is not None
    assert near is not None
    assert wide < near < 0.8


def test_an_error_has_its_limit_above() -> None:
    values = np.random.default_rng(2).normal(3.0, 0.1, 100).tolist()
    limit = limit_of(history(values, higher=False), BUDGET, WINDOWS)
    assert limit.value is not None
    assert limit.value > 3.0
    assert limit.breach(Measured(value=4.0, error=0.1, rows=100)) is not None
    assert limit.breach(Measured(value=2.0, error=0.1, rows=100)) is None


def test_a_short_history_says_which_budget_it_supports() -> None:
    values = np.random.default_rng(2).normal(0.8, 0.02, 12).tolist()
    limit = limit_of(history(values), 0.5, WINDOWS)
    assert limit.provisional
    assert limit.expected == limit.supported
    assert limit.supported is not None
    assert limit.supported > 0.5
    assert limit.windows_needed is not None
    assert limit.windows_needed > 12


def test_below_eight_windows_nothing_is_judged() -> None:
    limit = limit_of(history([0.8, 0.81]), BUDGET, WINDOWS)
    assert limit.value is None
    assert limit.breach(Measured(value=0.1, error=0.1, rows=100)) is None


def test_a_small_window_is_given_more_room() -> None:
    values = np.random.default_rng(2).normal(0.8, 0.02, 100).tolist()
    limit = limit_of(history(values), BUDGET, WINDOWS)
    assert limit.value is not None
    assert limit.for_error(0.1) == limit.value
    assert limit.for_error(0.3) < limit.value
