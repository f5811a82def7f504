"""Early warnings: the budget is kept where the estimate follows the truth, nothing is said elsewhere."""

import numpy as np
import pytest
from scipy import integrate, stats

from thrive.domain.errors import UsageError
from thrive.statistics.early_warning import warning_limit

ERROR, WINDOWS = 0.015, 365.0


def past(rng: np.random.Generator, windows: int, *, own: float = 0.04) -> tuple[np.ndarray, ...]:
    """Return estimates that follow a truth which moves, and the truth as its rows show it."""
    estimate = rng.normal(0.75, 0.06, windows)
    true = estimate + rng.normal(0.0, own, windows)
    return estimate, true, true + rng.normal(0.0, ERROR, windows)


def by_integration(e: np.ndarray, t: np.ndarray, limit: float) -> float:
    """Return the false alarms a year of a limit, from scipy's regression and its own integral."""
    n, mean, spread = len(e), e.mean(), e.std(ddof=1)
    line = stats.linregress(e - mean, t)
    left = t - line.intercept - line.slope * (e - mean)
    variance = left @ left / (n - 2)

    def rate(x: float) -> float:
        off = x - mean
        about = variance * (1 / n + off**2 / ((n - 1) * spread**2))
        scale = np.sqrt(max(variance - ERROR**2, 0) + about)
        usual = stats.t.sf((-ERROR - line.slope * off) / scale, n - 2)
        return stats.t.pdf(off, n - 1, scale=spread * np.sqrt(1 + 1 / n)) * usual

    return WINDOWS * integrate.quad(rate, mean - 12 * spread, limit, limit=200)[0]


def test_the_limit_spends_the_budget_as_an_independent_integral_counts_it() -> None:
    estimate, _, seen = past(np.random.default_rng(1), 60)
    for budget in (0.5, 2.0, 4.0):
        limit = warning_limit(estimate, seen, ERROR, WINDOWS, budget)
        assert limit is not None
        assert by_integration(estimate, seen, limit) == pytest.approx(budget, rel=0.01)


def test_alarms_on_windows_as_good_as_usual_keep_the_budget_over_many_histories() -> None:
    rng = np.random.default_rng(2)
    false, histories, windows = 0, 60, 20_000
    for _ in range(histories):
        estimate, _, seen = past(rng, 60)
        limit = warning_limit(estimate, seen, ERROR, WINDOWS, 4.0)
        assert limit is not None
        now, true, _ = past(rng, windows)
        false += int(((now < limit) & (true > 0.75 - ERROR)).sum())
    assert false / (histories * windows) * WINDOWS <= 4.0 * 1.25


def test_a_quiet_past_gives_no_limit_even_though_harder_rows_lower_both() -> None:
    rng = np.random.default_rng(3)
    given = 0
    for _ in range(200):
        hard = rng.normal(0.0, 1.0, 60)
        estimate = 0.8 + 0.4 * ERROR * hard
        seen = 0.8 + ERROR * (0.4 * hard + 0.92 * rng.normal(0.0, 1.0, 60))
        given += warning_limit(estimate, seen, ERROR, WINDOWS, 4.0) is not None
    assert given <= 2


def test_nothing_is_said_of_an_estimate_that_does_not_follow_or_of_few_windows() -> None:
    rng = np.random.default_rng(4)
    estimate, _, seen = past(rng, 60)
    assert warning_limit(estimate, rng.permutation(seen), ERROR, WINDOWS, 4.0) is None
    assert warning_limit(estimate[:19], seen[:19], ERROR, WINDOWS, 4.0) is None


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="budget"):
        warning_limit([0.1], [0.1], 0.01, WINDOWS, 0.0)
