"""The relation test: correlations as numpy has them, the promised false alarms, the right pair."""

import numpy as np
import pytest

from thrive.domain.errors import UsageError
from thrive.statistics.relations import relation_change, relation_reference


def sample(
    rng: np.random.Generator, rows: int, columns: int = 8, *, tied: float = 0.0
) -> np.ndarray:
    """Return columns of several shapes; the first two are tied by a correlation."""
    found = rng.normal(size=(rows, columns))
    found[:, 1] = tied * found[:, 0] + np.sqrt(1 - tied**2) * found[:, 1]
    found[:, 3] = np.exp(found[:, 3])
    found[:, 4] = rng.integers(0, 2, rows)
    found[:, 5] = found[:, 4] * 2 + found[:, 5]
    return found


def test_correlations_and_their_errors_are_those_of_a_resampled_reference() -> None:
    rng = np.random.default_rng(1)
    rows = sample(rng, 4_000)
    known = relation_reference(rows)
    assert known is not None
    upper = np.triu_indices(8, 1)
    whole = np.corrcoef(rows, rowvar=False)[upper]
    assert np.abs(np.array(known.correlations) - whole).max() < 1e-9
    drawn = [
        np.corrcoef(rows[rng.integers(0, 4_000, 4_000)], rowvar=False)[upper] for _ in range(200)
    ]
    ratio = np.std(drawn, axis=0) / np.sqrt(np.array(known.variances) / 4_000)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)
    assert ratio.max() < 1.4


def test_rows_of_the_same_world_are_flagged_as_often_as_promised() -> None:
    rng = np.random.default_rng(2)
    known = relation_reference(sample(rng, 50_000))
    assert known is not None
    chances = [
        change.p_value
        for _ in range(400)
        if (change := relation_change(known, sample(rng, 1_000))) is not None
    ]
    assert np.mean(np.array(chances) < 0.01) <= 0.0275  # 99 % binomial bound of 1 % of 400


def test_a_new_relation_is_found_and_named_though_no_column_moved() -> None:
    rng = np.random.default_rng(3)
    known = relation_reference(sample(rng, 20_000))
    assert known is not None
    change = relation_change(known, sample(rng, 1_000, tied=0.3))
    assert change is not None
    assert change.pair == (0, 1)
    assert change.p_value < 1e-6
    assert change.effect == pytest.approx(0.3, abs=0.1)
    shifted = relation_change(known, sample(rng, 1_000) + 5.0)
    assert shifted is not None
    assert shifted.p_value > 1e-3


def test_columns_without_spread_and_few_rows_tell_nothing() -> None:
    rng = np.random.default_rng(4)
    rows = sample(rng, 1_000)
    rows[:, 6] = 0.1
    known = relation_reference(rows)
    assert known is not None
    still = rows.copy()
    still[:, :7] = 0.1
    assert relation_change(known, still) is None
    assert relation_change(known, rows[:199]) is None
    assert relation_reference(rows[:, :1]) is None
    with pytest.raises(UsageError, match="8 columns"):
        relation_change(known, rows[:, :7])
