"""Tables without the rows of a person: no byte of them is left, and types are what they were."""

import io
from datetime import UTC, datetime

import polars as pl
import pytest

from thrive.data.rewriting import rewritten_table

ROWS = 600
NAMES = [f"rider-{number % 80:020d}@example.org" for number in range(ROWS)]
GONE = NAMES[7]


def table():
    return pl.DataFrame(
        {
            "rider": NAMES,
            "raw": [name.encode() for name in NAMES],
            "list": [[name] for name in NAMES],
            "deep": [{"who": name, "all": [name]} for name in NAMES],
            "kind": pl.Series(NAMES, dtype=pl.Categorical),
            "at": [datetime(2026, 1, 1, tzinfo=UTC)] * ROWS,
            "number": range(ROWS),
        }
    )


@pytest.mark.parametrize("form", ["ipc", "parquet"])
def test_no_byte_of_the_rows_that_went_is_left(form):
    stored = io.BytesIO()
    getattr(table(), f"write_{form}")(stored)
    new = rewritten_table(stored.getvalue(), lambda frame: frame.filter(pl.col("rider") != GONE))
    left = getattr(pl, f"read_{form}")(io.BytesIO(new))
    wanted = table().filter(pl.col("rider") != GONE)
    assert left.schema == wanted.schema
    assert left.equals(wanted)
    assert left.height == ROWS - 8
    assert GONE.encode() not in new
