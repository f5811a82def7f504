"""How the columns of two versions are distributed, by the statistics that monitoring uses."""

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec
import numpy as np

from thrive.data.histogram import counts_between, equal_bins
from thrive.data.profile import BATCH_ROWS, Sketch, as_floats, category_sketch, word_counts
from thrive.statistics.drift import column_drift
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

MOVED = 0.1
"""The effect (PSI, a share) from which a column counts as moved, if chance does not explain it."""
CHANCE = 0.001
NAMED = 12
"""Categories that are shown by name."""
REST = ("(other)", "(new)")
"""What categories are counted as that are not."""


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """One column in two versions.

    Attributes:
        column: its name.
        moved: the effect is large, and chance does not explain it.
        psi: population stability index without its bias.
        p_value: of the same distribution, by chi-square.
        distance: Kolmogorov-Smirnov of numbers, Jensen-Shannon of categories.
        missing_before: share of missing values.
        missing_after: the same in the second version.
        labels: the bins: categories, or the numbers where bins begin.
        before: the share of the first version's values in each bin.
        after: the same of the second.
    """

    column: str
    moved: bool
    psi: float | None
    p_value: float
    distance: float | None
    missing_before: float
    missing_after: float
    labels: list[str]
    before: list[float]
    after: list[float]


def compare(before: Sketch, after: Sketch, column: str) -> Distribution:
    """Return how a column differs from its baseline; `after` was counted like `before`."""
    tests = column_drift(before, after)
    psi, missing = tests["psi"], tests["missing"]
    distance = tests["ks" if isinstance(before, NumericSketch) else "js"]
    moved = (psi.effect > MOVED and psi.p_value < CHANCE) or (
        abs(missing.effect) > MOVED and missing.p_value < CHANCE
    )
    labels, old, new = _bins(before, after)
    return Distribution(
        column=column,
        moved=bool(moved),
        psi=_finite(psi.effect),
        p_value=psi.p_value,
        distance=_finite(distance.effect),
        missing_before=before.missing / max(1, before.rows),
        missing_after=after.missing / max(1, after.rows),
        labels=labels,
        before=_shares(old),
        after=_shares(new),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shares(counts: list[int]) -> list[float]:
    total = sum(counts)
    return [round(count / total, 6) if total else 0.0 for count in counts]


def _bins(before: Sketch, after: Sketch) -> tuple[list[str], list[int], list[int]]:
    if isinstance(before, NumericSketch):
        assert isinstance(after, NumericSketch)
        edges = np.array(equal_bins(before if before.present else after)["edges"])
        if not len(edges):
            return [], [], []
        old, new = (
            counts_between(each, edges) if each.present else [0] * (len(edges) - 1)
            for each in (before, after)
        )
        return [f"{edge:.4g}" for edge in edges[:-1]], old, new
    assert isinstance(after, CategorySketch)
    names = list(before.names[:NAMED])
    rest = [[int(each.counts[NAMED:].sum()) + each.other, each.new] for each in (before, after)]
    old, new = ([*map(int, each.counts[:NAMED])] for each in (before, after))
    return [*names, *REST], [*old, *rest[0]], [*new, *rest[1]]


def alike(baseline: Mapping[str, Sketch], own: Mapping[str, Sketch]) -> dict[str, Sketch]:
    """Return a table's own sketches as if made with a baseline, those for which no row is needed.

    Numbers need none if the cells are the same, categories if all are known by name.

    Args:
        baseline: the sketches to be compared with.
        own: what was counted of the table when it was added, each column by itself.
    """
    found: dict[str, Sketch] = {}
    for name, fixed in baseline.items():
        there = own.get(name)
        if _has_cells_of(there, fixed):
            found[name] = there
        elif isinstance(fixed, CategorySketch) and _is_all_named(there):
            named = dict(zip(there.names, there.counts.tolist(), strict=True))
            found[name] = sketch_categories({**named, None: there.missing}, fixed)
    return found


def _has_cells_of(there: Sketch | None, fixed: Sketch) -> TypeGuard[NumericSketch]:
    if not isinstance(fixed, NumericSketch) or not isinstance(there, NumericSketch):
        return False
    return (fixed.centre, fixed.scale) == (there.centre, there.scale)


def _is_all_named(sketch: Sketch | None) -> TypeGuard[CategorySketch]:
    return isinstance(sketch, CategorySketch) and not sketch.other and not sketch.new


def sketched_like(frame: "pl.LazyFrame", baseline: Mapping[str, Sketch]) -> dict[str, Sketch]:
    """Return the counters of a table in the cells and names of a baseline, read in batches.

    Columns that the table lacks, or has as another kind, are left out.
    """
    schema = frame.collect_schema()
    names = [name for name, sketch in baseline.items() if _fits(schema.get(name), sketch)]
    fixed = [baseline[name] for name in names]
    found: dict[str, Sketch] = {}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for batch in frame.select(names).collect_batches(chunk_size=BATCH_ROWS):
            made = pool.map(_sketch, batch.get_columns(), fixed)
            for name, sketch in zip(names, made, strict=True):
                found[name] = _added(found[name], sketch) if name in found else sketch
    return found


def _fits(kind: Any, sketch: Sketch) -> bool:
    import polars as pl

    if kind is None:
        return False
    numeric = kind.is_numeric() or kind == pl.Boolean
    text = any(kind == each for each in (pl.String, pl.Categorical, pl.Enum))
    return numeric if isinstance(sketch, NumericSketch) else text


def _sketch(values: "pl.Series", baseline: Sketch) -> Sketch:
    if isinstance(baseline, NumericSketch):
        return sketch_numeric(as_floats(values), baseline)
    return category_sketch(word_counts(values.drop_nulls()), values.null_count(), baseline)


def _added(first: Sketch, second: Sketch) -> Sketch:
    if isinstance(first, NumericSketch):
        assert isinstance(second, NumericSketch)
        return merge_numeric([first, second])
    assert isinstance(second, CategorySketch)
    return merge_categories([first, second])
