"""Is the candidate as good as its rival in each slice of the rows that the contract names?

Every slice is compared as all rows are. The version fails only when one is shown to be worse after
the correction for how many there are; which slices are shown not to be worse is listed.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from thrive.domain.errors import UsageError
from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import Floats, GateCase, clusters_of, words_of
from thrive.gates.comparison import Comparison, too_small
from thrive.gates.metric import metric_of, pair_for
from thrive.gates.quality import GROUP, LEVEL, compare_rows, not_judged
from thrive.statistics.arrays import Booleans, codes
from thrive.statistics.influence import by_unit, influence
from thrive.statistics.metrics import Metric
from thrive.statistics.multiplicity import holm, max_t

if TYPE_CHECKING:
    import polars as pl

MAX_SLICES = 200
MAX_T_FROM = 20
"""Slices from which max-T corrects: what Holm loses to slices that share rows grows with them."""


def check_slices(case: GateCase) -> CheckResult | None:
    """Judge every declared slice; fails only when one is shown worse after Holm's correction."""
    declared = case.terms.gates.quality.slices
    metric = metric_of(case)
    if not declared or metric is None or not_judged(case, metric):
        return None
    absent = without_groups(case, declared)
    groups = each_group(case, [name for name in declared if name not in absent])
    judged, small = _slices(case, metric, groups)
    correction = correct(case, metric, judged, dict(groups))
    judged.sort(key=lambda one: (one["p_adjusted"], one["gain"], one["slice"]))
    evidence = {
        "margin": case.margin,
        "correction": correction,
        "slices": judged,
        "too_small": small,
        "absent": absent,
    }
    answer, words = _slices_answer(case, judged, small, absent)
    return CheckResult(
        check="slices",
        group=GROUP,
        answer=answer,
        summary=words,
        evidence=evidence,
        more_rows=more_for_slices(case.rows, judged),
        smallest_visible=max((one["smallest_visible_loss"] or 0.0 for one in judged), default=None),
    )


def more_for_slices(rows: int, judged: list[dict[str, Any]]) -> int | None:
    """Return how many more rows (of all, in the same shares) would settle every slice."""
    wanted = [
        rows * one["more_rows"] / one["rows"]
        for one in judged
        if one["more_rows"] and one["answer"] == Answer.CANNOT_TELL.value
    ]
    return max(0, math.ceil(max(wanted))) if wanted else None


def _slices(
    case: GateCase, metric: Metric, groups: list[tuple[str, Booleans]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    judged: list[dict[str, Any]] = []
    small: list[dict[str, Any]] = []
    for label, mask in groups:
        found = judged_slice(case, metric, label, mask)
        if found is None:
            why = too_small(case.labels[mask], binary=metric.task == "binary")
            small.append({"slice": label, "rows": int(mask.sum()), "why": why})
        else:
            judged.append(found)
    return judged, small


def correct(
    case: GateCase, metric: Metric, judged: list[dict[str, Any]], masks: Mapping[str, Booleans]
) -> str:
    """Correct the slices' p-values for how many there are, and fail those still small.

    Few are corrected by Holm; from `MAX_T_FROM` by max-T, which pays once for what slices share.

    Args:
        case: what they are slices of.
        metric: what they were compared by.
        judged: what `judged_slice` returned; gets `p_adjusted`, and its answer.
        masks: the rows of each slice by its name.

    Returns:
        the name of the correction.
    """
    p_values = [one["p_worse"] for one in judged]
    shared = None
    if len(judged) >= MAX_T_FROM:
        shared = _influences(case, metric, [masks[one["slice"]] for one in judged])
    if shared is None:
        adjusted = holm(p_values).tolist() if judged else []
    else:
        adjusted = max_t(p_values, shared).tolist()
    for one, p in zip(judged, adjusted, strict=True):
        one["p_adjusted"] = p
        one["answer"] = Answer.FAIL.value if p < LEVEL else one["answer"]
    return "holm" if shared is None else "max-T"


def _influences(case: GateCase, metric: Metric, masks: list[Booleans]) -> Floats | None:
    """Return units x slices, how much each unit moves each slice's gain; None where none is."""
    clusters, _ = clusters_of(case.frame, case.terms.entity)
    code, units = (None, case.rows) if clusters is None else codes(clusters)
    found = np.zeros((units, len(masks)))
    for at, mask in enumerate(masks):
        truth, other = pair_for(case, metric, case.other, mask)
        moved = influence(metric, truth, other, pair_for(case, metric, case.candidate, mask)[1])
        if moved is None:
            return None
        whole = np.zeros(case.rows)
        whole[mask] = moved
        found[:, at] = by_unit(whole, code, units)
    return found


def judged_slice(
    case: GateCase, metric: Metric, label: str, mask: Booleans
) -> dict[str, Any] | None:
    """Return what the comparison on some rows gave; None if they are too few, or of one class."""
    if too_small(case.labels[mask], binary=metric.task == "binary"):
        return None
    comparison, _, _ = compare_rows(case, metric, mask)
    if comparison is None:
        return None
    return {
        "slice": label,
        "rows": comparison.rows,
        "rival": comparison.rival,
        "candidate": comparison.candidate,
        "gain": comparison.gain,
        "low": comparison.low,
        "high": comparison.high,
        "p_worse": comparison.p_worse(case.margin),
        "needed_rows": comparison.needed(case.margin),
        "more_rows": comparison.more(case.margin),
        "smallest_visible_loss": comparison.visible(),
        "answer": _slice_answer(comparison, case.margin),
    }


def _slice_answer(found: Comparison, margin: float) -> str:
    return Answer.PASS.value if found.low >= -margin else Answer.CANNOT_TELL.value


def each_group(case: GateCase, names: list[str]) -> list[tuple[str, Booleans]]:
    """Return (`column=value`, mask) of the `MAX_SLICES` largest groups of each column, by name."""
    found: list[tuple[str, Booleans]] = []
    for name in names:
        column = group_values(case, name)
        found += [
            (f"{name}={value}", (column == value).to_numpy())
            for value in largest_groups(column, name)
        ]
    return found


def without_groups(case: GateCase, names: list[str]) -> list[str]:
    """Return the columns that are not there, or hold lists, structures or bytes."""
    frame = case.frame
    return [name for name in names if name not in frame.columns or words_of(frame[name]) is None]


def group_values(case: GateCase, name: str) -> "pl.Series":
    """Return the group of each row by a column, in words.

    Raises:
        UsageError: the column holds lists, structures or bytes.
    """
    words = words_of(case.frame[name])
    if words is None:
        raise UsageError(f"The column {name} holds no groups.", "name a column of words")
    return words


def largest_groups(values: "pl.Series", name: str) -> list[str]:
    """Return the `MAX_SLICES` most frequent values of a column named so, by name."""
    counts = values.value_counts().sort(["count", name], descending=[True, False])
    return sorted(counts[name].head(MAX_SLICES).to_list())


def _slices_answer(
    case: GateCase,
    judged: list[dict[str, Any]],
    small: list[dict[str, Any]],
    absent: list[str],
) -> tuple[Answer, str]:
    if absent:
        return Answer.CANNOT_TELL, f"The evaluation table has no groups by {', '.join(absent)}."
    if not judged:
        return Answer.CANNOT_TELL, f"All {len(small)} slices are too small to judge."
    worst = judged[0]
    told = f"{worst['slice']} gains {worst['gain']:+.4f} on {worst['rows']:,} rows"
    failed = [one for one in judged if one["answer"] == Answer.FAIL.value]
    if failed:
        names = ", ".join(one["slice"] for one in failed[:5])
        return Answer.FAIL, f"Worse than {case.rival_words} beyond the margin: {names} ({told})."
    shown = sum(one["answer"] == Answer.PASS.value for one in judged)
    return Answer.PASS, (
        f"No slice is shown to be worse than {case.rival_words}: {shown} of {len(judged)} shown "
        f"not worse, {len(small)} too small to judge; the weakest: {told}."
    )
