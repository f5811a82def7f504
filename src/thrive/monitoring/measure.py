"""Measuring one window's rows: counters and segments."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from thrive.domain.model import LABEL, SCORE
from thrive.monitoring.findings import Segment
from thrive.monitoring.frames import CATEGORY, NUMERIC, measured, value_counts
from thrive.monitoring.performance import Yardstick
from thrive.statistics.sketch import (
    CategorySketch,
    NumericSketch,
    sketch_categories,
    sketch_numeric,
)

if TYPE_CHECKING:
    import polars as pl

Sketch: TypeAlias = NumericSketch | CategorySketch

SEGMENT_VALUES = 20
"""Values of a segment that are listed, by rows."""


def sketches(
    frame: "pl.DataFrame", kinds: Mapping[str, str], baseline: Mapping[str, Sketch] | None = None
) -> dict[str, Sketch]:
    """Return the counters of each input and of the score.

    Args:
        frame: rows in the shape of a reference table.
        kinds: the inputs with their kind.
        baseline: the counters that fix cells and names; None to make such.
    """
    watched = {**kinds, SCORE: NUMERIC}

    def counted(name: str) -> Sketch:
        fixed = baseline[name] if baseline is not None else None
        if watched[name] == CATEGORY:
            assert fixed is None or isinstance(fixed, CategorySketch)
            return sketch_categories(value_counts(frame, name), fixed)
        assert fixed is None or isinstance(fixed, NumericSketch)
        return sketch_numeric(measured(frame, name, watched[name]), fixed)

    if frame.height < LEAST_SHARED:
        return {name: counted(name) for name in watched}
    with ThreadPoolExecutor(MOST_THREADS) as pool:  # numpy sorts and counts without the lock
        return dict(zip(watched, pool.map(counted, watched), strict=True))


LEAST_SHARED, MOST_THREADS = 20_000, 4
"""Rows from which several threads count, and how many of them."""


def segments(frame: "pl.DataFrame", columns: list[str], yardstick: Yardstick) -> list[Segment]:
    """Return each declared segment's values with their rows and performance, most rows first."""
    import polars as pl

    present = [name for name in columns if name in frame.columns]
    if not present or not frame.height:
        return []
    judged = frame.with_columns(_goodness(frame, yardstick))
    found: list[Segment] = []
    for name in present:
        grouped = judged.group_by(pl.col(name).cast(pl.String).alias("value")).agg(
            pl.len().alias("rows"),
            pl.col(SCORE).mean().alias("score"),
            pl.col("_estimated").mean(),
            pl.col("_realised").mean(),
        )
        ranked = grouped.drop_nulls("value").sort("rows", "value", descending=[True, False])
        found += [
            Segment(
                column=name,
                value=row["value"],
                rows=row["rows"],
                score=row["score"],
                estimated=row["_estimated"],
                realised=row["_realised"],
            )
            for row in ranked.head(SEGMENT_VALUES).to_dicts()
        ]
    return found


def _goodness(frame: "pl.DataFrame", yardstick: Yardstick) -> "list[pl.Series]":
    """Return a row's chance of being right, and whether it was (or its absolute error)."""
    import polars as pl

    chances = yardstick.chances(frame)
    estimated = pl.Series([None] * frame.height, dtype=pl.Float64) if chances is None else chances
    known = frame[LABEL].is_not_null() if LABEL in frame.columns else pl.Series([False])
    realised = np.full(frame.height, np.nan)
    if known.any():
        realised[known.to_numpy()] = yardstick.right(frame.filter(known))
    return [
        pl.Series("_estimated", estimated, nan_to_null=True),
        pl.Series("_realised", realised, nan_to_null=True),
    ]
