"""Skew: which served values count as those that history has."""

from math import inf, nan

import polars as pl
import pytest

from thrive.flows.feature_check import same_values


@pytest.mark.parametrize(
    ("served", "expected", "same"),
    [
        (inf, inf, True),
        (-inf, inf, False),
        (inf, 5.0, False),
        (nan, nan, True),
        (nan, 1.0, False),
        (1.0, 1.0 + 1e-12, True),
        (1.0, 1.1, False),
        (None, None, True),
        (None, 1.0, False),
    ],
)
def test_numbers_are_the_same_up_to_a_rounding_infinite_ones_too(served, expected, same) -> None:
    cells = pl.DataFrame({"a": [served], "b": [expected]}, schema=dict.fromkeys("ab", pl.Float64))
    assert cells.select(same_values(pl.Float64(), pl.Float64())).item() is same
