"""Measuring one window's rows: counters and segments."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from thrive.domain.model import LABEL, SCORE
from thrive.monitoring.findings import Segment
from thrive.monitoring.frames import CATEGORY, DECISION, NUMERIC, measured, value_counts
from thrive.monitoring.performance import Yardstick
from thrive.statistics.arrays import Floats
from thrive.statistics.grouped_sketch import sketch_category_groups, sketch_numeric_groups
from thrive.statistics.sketch import (
    CategorySketch,
    NumericSketch,
    merge_categories,
    merge_numeric,
    sketch_categories,
    sketch_numeric,
)

if TYPE_CHECKING:
    import polars as pl

Sketch: TypeAlias = NumericSketch | CategorySketch
Parts: TypeAlias = dict[str, dict[str, dict[str, Sketch]]]
"""Counters by segment, its value, and the input."""
VARIANT = "variant"
"""The segment of those who answered: production, canary, a side of an A/B test."""

SEGMENT_VALUES = 20
"""Values of a segment that are listed, by rows."""


def sketches(
    frame: "pl.DataFrame", kinds: Mapping[str, str], baseline: Mapping[str, Sketch] | None = None
) -> dict[str, Sketch]:
    """Return the counters of each input, of the score and of a decision among classes.

    Args:
        frame: rows in the shape of a reference table.
        kinds: the inputs with their kind.
        baseline: the counters that fix cells and names; None to make such.
    """
    watched = _watched(kinds, frame.columns if baseline is None else baseline)

    def counted(name: str) -> Sketch:
        fixed = baseline[name] if baseline is not None else None
        if watched[name] == CATEGORY:
            assert fixed is None or isinstance(fixed, CategorySketch)
            return sketch_categories(value_counts(frame, name), fixed)
        assert fixed is None or isinstance(fixed, NumericSketch)
        return sketch_numeric(measured(frame, name, watched[name]), fixed)

    return _each(counted, watched, frame.height)


T = TypeVar("T")


def _each(counted: Callable[[str], T], names: Collection[str], rows: int) -> dict[str, T]:
    """Return what is counted of each name; of many rows by several threads."""
    if rows < LEAST_SHARED:
        return {name: counted(name) for name in names}
    with ThreadPoolExecutor(MOST_THREADS) as pool:  # numpy sorts and counts without the lock
        return dict(zip(names, pool.map(counted, names), strict=True))


def _watched(kinds: Mapping[str, str], among: Collection[str]) -> dict[str, str]:
    """Return all that is counted, with its kind: a decision if there is one to compare with."""
    decision = {DECISION: CATEGORY} if DECISION in among else {}
    return {**kinds, SCORE: NUMERIC, **decision}


def merge(counted: Sequence[Sketch]) -> Sketch:
    """Return the sum of counters of one input: what one pass over all rows would have counted.

    Raises:
        UsageError: there are none, or they were made with different baselines.
    """
    numeric = [each for each in counted if isinstance(each, NumericSketch)]
    if numeric:
        return merge_numeric(numeric)
    return merge_categories([each for each in counted if isinstance(each, CategorySketch)])


LEAST_SHARED, MOST_THREADS = 20_000, 4
"""Rows from which several threads count, and how many of them."""


def _segmented(frame: "pl.DataFrame", columns: list[str]) -> list[str]:
    """Return the declared segments that the rows have, after the variants if there are several."""
    several = VARIANT in frame.columns and frame[VARIANT].n_unique() > 1
    declared = [name for name in columns if name != VARIANT and name in frame.columns]
    return [VARIANT] * several + declared


def segments(frame: "pl.DataFrame", columns: list[str], yardstick: Yardstick) -> list[Segment]:
    """Return each declared segment's values with their rows and performance, most rows first.

    Variants are a segment too, where the rows have more than one.
    """
    import polars as pl

    present = _segmented(frame, columns)
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


def parted(
    frame: "pl.DataFrame",
    columns: list[str],
    kinds: Mapping[str, str],
    known: Mapping[str, Sketch],
) -> Parts:
    """Return the counters of each value of the declared segments, `SEGMENT_VALUES` of each.

    Variants are a segment too, where the rows have more than one.

    Args:
        frame: rows in the shape of a reference table.
        columns: the declared segments.
        kinds: the inputs with their kind.
        known: the counters that fix cells and names.
    """
    watched = _watched(kinds, known)
    numeric = {
        name: measured(frame, name, kind) for name, kind in watched.items() if kind != CATEGORY
    }
    return {
        column: _parts_of(frame, column, numeric, watched, known)
        for column in _segmented(frame, columns)
        if frame.height
    }


def _parts_of(
    frame: "pl.DataFrame",
    column: str,
    numeric: Mapping[str, Floats],
    watched: Mapping[str, str],
    known: Mapping[str, Sketch],
) -> dict[str, dict[str, Sketch]]:
    import polars as pl

    words = frame[column].cast(pl.String)
    ranked = (
        words.drop_nulls()
        .value_counts(name="rows")
        .sort("rows", words.name, descending=[True, False])
    )
    values = ranked[words.name].head(SEGMENT_VALUES).to_list()
    numbers = list(range(len(values)))
    codes = words.replace_strict(values, numbers, default=-1, return_dtype=pl.Int64)
    groups = codes.to_numpy()

    def counted(name: str) -> Sequence[Sketch]:
        fixed = known[name]
        if isinstance(fixed, NumericSketch):
            return sketch_numeric_groups(numeric[name], groups, len(values), fixed)
        return sketch_category_groups(_counted(frame, name, codes), len(values), fixed)

    made = _each(counted, watched, frame.height)
    return {
        value: {name: groups_of[place] for name, groups_of in made.items()}
        for place, value in enumerate(values)
    }


def _counted(frame: "pl.DataFrame", name: str, codes: "pl.Series") -> dict[tuple[int, Any], int]:
    """Return how often each text stands in a column, by group."""
    import polars as pl

    texts = frame[name].cast(pl.String) if name in frame.columns else pl.lit(None, pl.String)
    pairs = frame.select(codes.alias("group"), texts.alias("text")).group_by("group", "text").len()
    return {(group, text): rows for group, text, rows in pairs.iter_rows()}


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
