"""Fingerprints of rows: the same for the same values, whatever their type, order or machine."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from thrive.domain.errors import InfrastructureError
from thrive.packaging.trained_rows import (
    TrainedRows,
    read_trained_rows,
    row_fingerprints,
    trained_rows,
)

ROWS = pl.DataFrame(
    {
        "km": [1, 2, None],
        "at": [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)],
        "who": ["a", "é", None],
        "tags": [["x"], [], None],
    }
)
GOLDEN = "0x11b20e855a3b27a1"
"""Of one row, for ever."""


def test_a_fingerprint_follows_the_values_alone():
    found = row_fingerprints(ROWS, ROWS.columns)
    assert found.tolist() == [
        row_fingerprints(ROWS[at], ROWS.columns[::-1]).item() for at in range(3)
    ]
    other = ROWS.with_columns(
        pl.col("km").cast(pl.Float32), pl.col("who").cast(pl.Categorical), pl.col("at")
    )
    assert np.array_equal(row_fingerprints(other, ROWS.columns), found)
    assert len(set(found.tolist())) == 3
    swapped = pl.DataFrame({"a": [1.0], "b": [2.0]}), pl.DataFrame({"a": [2.0], "b": [1.0]})
    assert row_fingerprints(swapped[0], "ab") != row_fingerprints(swapped[1], "ab")
    assert hex(row_fingerprints(pl.DataFrame({"a": [1.5]}), ["a"]).item()) == GOLDEN


def test_seen_rows_are_counted_and_of_many_a_sample_tells_the_share():
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({"x": rng.normal(size=30_000), "y": rng.integers(0, 9, 30_000)})
    kept = read_trained_rows(trained_rows(rows[:20_000], ["x", "y"]).to_bytes())
    assert kept.seen(rows[15_000:]) == (5000, 15_000)
    sample = trained_rows(rows[:20_000], ["x", "y"], most=2000)
    assert len(sample.kept) == pytest.approx(8 * 2000, rel=0.1)
    seen, asked = sample.seen(rows[15_000:])
    assert seen / asked == pytest.approx(1 / 3, abs=0.06)
    with pytest.raises(InfrastructureError, match="layout 9"):
        read_trained_rows(
            TrainedRows(columns=[], rows=0, below=None, kept=b"", format=9).to_bytes()
        )
    with pytest.raises(InfrastructureError, match="cannot be read"):
        read_trained_rows(b"no")
