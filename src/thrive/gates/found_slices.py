"""Slices nobody named: searched on one half of the rows, judged on the other.

The search looks at values of categories, quarters of numbers, and pairs of the most suspicious,
by how much the loss of a row grew against the rival. What is chosen because it looks bad looks
worse than it is; therefore the judgement is made on rows the search has not seen.
"""

from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import Floats, GateCase, words_of
from thrive.gates.comparison import SEED
from thrive.gates.metric import metric_of
from thrive.gates.quality import GROUP, not_judged
from thrive.gates.slices import correct, judged_slice
from thrive.packaging.signature import OutputKind

if TYPE_CHECKING:
    import polars as pl

LEAST_ROWS = 200
"""Rows of a half under which nothing is searched."""
LEAST_SHARE = 0.02
HALF = 0.5
SUSPECTS = 5
PAIRED_FROM = 6
"""How many of the most suspicious slices are crossed with each other."""
MOST_VALUES = 30
QUARTERS = (0.25, 0.5, 0.75)
FLOOR = 1e-6


class Suspect(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A slice: its name, its rows, and how suspicious it is (more is worse)."""

    name: str
    columns: frozenset[str]
    rows: Any
    worse_by: float


def check_found_slices(case: GateCase) -> CheckResult | None:
    """Judge the slices that a search finds; nothing against a baseline, or with few rows."""
    metric = metric_of(case)
    if case.against is None or metric is None or not_judged(case, metric):
        return None
    if case.rows < 2 * LEAST_ROWS:
        return None
    search = np.random.default_rng(SEED).random(case.rows) < 0.5
    suspects = find_suspects(case, search)
    judged = [
        found
        for each in suspects
        if (found := judged_slice(case, metric, each.name, each.rows & ~search)) is not None
    ]
    correct(case, metric, judged, {each.name: each.rows & ~search for each in suspects})
    failed = [one for one in judged if one["answer"] == Answer.FAIL.value]
    evidence = {"slices": judged, "rows_searched": int(search.sum()), "margin": case.margin}
    if failed:
        told = "; ".join(f"{one['slice']} gains {one['gain']:+.4f}" for one in failed)
        words = f"Worse than {case.rival_words} where nobody looked: {told}."
    elif not judged:
        words = "On the half that was searched no slice looks worse."
    else:
        words = f"None of the {len(judged)} slices that look worst is shown to be worse."
    return CheckResult(
        check="found slices",
        group=GROUP,
        answer=Answer.FAIL if failed else Answer.PASS,
        summary=words,
        evidence=evidence,
    )


def find_suspects(case: GateCase, search: NDArray[np.bool_]) -> list[Suspect]:
    """Return the slices that look worst on the rows of the search, the worst first."""
    grown = _loss_growth(case)
    singles = [
        each
        for name in case.frame.columns
        if not name.startswith("_")
        for each in _of_column(case.frame[name], grown, search)
    ]
    singles.sort(key=lambda one: -one.worse_by)
    pairs = [
        made
        for one, two in combinations(singles[:PAIRED_FROM], 2)
        if not one.columns & two.columns and (made := _crossed(one, two, grown, search))
    ]
    ranked = sorted([*singles, *pairs], key=lambda one: -one.worse_by)
    return [one for one in ranked if one.worse_by > 0.0][:SUSPECTS]


def _loss_growth(case: GateCase) -> Floats:
    """Return by how much each row's loss is larger than the rival's: what the search looks at."""
    return _loss(case, case.candidate) - _loss(case, case.other)


def _loss(case: GateCase, scores: Floats) -> Floats:
    labels = case.labels
    if case.kind is OutputKind.NUMBER:
        return np.abs(scores - labels)
    if case.kind is OutputKind.CLASS:
        return (scores != labels).astype(np.float64)
    if case.kind is OutputKind.VECTOR:
        true = scores[np.arange(len(labels)), labels.astype(np.int64)]
        return -np.log(np.clip(true, FLOOR, 1.0))
    true = np.where(labels == 1, scores, 1.0 - scores)
    return -np.log(np.clip(true, FLOOR, 1.0))


def _of_column(column: "pl.Series", grown: Floats, search: NDArray[np.bool_]) -> list[Suspect]:
    found: list[Suspect] = []
    for label, rows in _parts(column):
        made = _suspect(label, frozenset({column.name}), rows, grown, search)
        found += [made] if made else []
    return found


def _parts(column: "pl.Series") -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the slices of a column: its frequent values, or the quarters of its numbers."""
    import polars as pl

    if column.dtype.is_numeric() and column.n_unique() > MOST_VALUES:
        numbers = column.cast(pl.Float64).to_numpy()
        known = numbers[np.isfinite(numbers)]
        if not len(known):
            return []
        edges = np.quantile(known, QUARTERS).tolist()
        bounds = list(zip([-np.inf, *edges], [*edges, np.inf], strict=True))
        return [
            (f"{column.name} from {low:.4g} to {high:.4g}", (numbers >= low) & (numbers < high))
            for low, high in bounds
        ]
    words = words_of(column)
    if words is None:
        return []
    values = words.value_counts(sort=True).head(MOST_VALUES)[column.name].sort().to_list()
    return [(f"{column.name}={value}", (words == value).to_numpy()) for value in values]


def _crossed(
    one: Suspect, two: Suspect, grown: Floats, search: NDArray[np.bool_]
) -> Suspect | None:
    name, columns = f"{one.name} & {two.name}", one.columns | two.columns
    return _suspect(name, columns, one.rows & two.rows, grown, search)


def _suspect(
    name: str,
    columns: frozenset[str],
    rows: NDArray[np.bool_],
    grown: Floats,
    search: NDArray[np.bool_],
) -> Suspect | None:
    """Return a slice with its t statistic on the rows of the search; None if it is too small."""
    seen = grown[rows & search]
    if len(seen) < max(30, LEAST_SHARE * int(search.sum())) or rows.all():
        return None
    spread = float(seen.std(ddof=1))
    t = float(seen.mean()) / (spread / len(seen) ** 0.5) if spread > 0.0 else 0.0
    return Suspect(name=name, columns=columns, rows=rows, worse_by=t)
