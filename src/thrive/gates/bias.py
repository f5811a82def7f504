"""Does the model treat groups alike? One table of counts, each group against the rest, Holm.

A gap of the largest and the smallest group is reported and never judged: with many groups it is
large by chance alone. Groups with few rows or few positives are never green. Intersections of the
declared columns can fail a version; what lets it pass is that its groups are shown to be alike.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import Floats, GateCase
from thrive.gates.counting import Cells, count_cells, largest
from thrive.gates.group_report import report_groups
from thrive.gates.group_tests import (
    MOST_AREAS,
    Tested,
    auc_tests,
    change_tests,
    mean_tests,
    rate_tests,
    ratio_tests,
)
from thrive.gates.quality import LEVEL
from thrive.gates.slices import MAX_SLICES, without_groups
from thrive.packaging.signature import OutputKind
from thrive.statistics.fairness import Rate
from thrive.statistics.multiplicity import holm

GROUP = "bias"
COVERED = 0.5
"""The check passes when groups with this share of all rows are shown to lie within tolerance."""
RATES: dict[str, tuple[Rate, ...]] = {
    "equal_opportunity": (Rate.TRUE_POSITIVE,),
    "equalized_odds": (Rate.TRUE_POSITIVE, Rate.FALSE_POSITIVE),
    "demographic_parity": (Rate.SELECTION,),
    "predictive_parity": (Rate.PRECISION,),
    "accuracy": (Rate.ACCURACY,),
}
"""The rates whose gap each measure limits."""
_OF_ANSWERS = frozenset({"accuracy", "change"})
_OF_NUMBERS = frozenset({"mean_error", "mean_absolute_error"})


def check_bias(case: GateCase, reason: str = "") -> list[CheckResult]:
    """Judge every measure the contract limits; nothing when it names no groups.

    Args:
        case: what is judged; its frame has the group columns.
        reason: why the columns could not be joined, if so.
    """
    terms = case.terms.gates.bias
    if terms is None or not terms.groups:
        return []
    limits = terms.limits()
    if not limits:
        why = "The contract names groups and no limit: write equal_opportunity = 0.10."
        return [_result("bias", Answer.CANNOT_TELL, why, {})]
    reason = reason or _not_judged(case, terms.groups)
    if reason:
        return [
            _result(check_name(measure), Answer.CANNOT_TELL, reason, {"limit": limit})
            for measure, limit in limits.items()
        ]
    cells = count_cells(case, terms.groups)
    judged = [_judged(case, cells, measure, limit) for measure, limit in limits.items()]
    return [one for one in [*judged, report_groups(case, cells)] if one is not None]


def check_name(measure: str) -> str:
    """Return what the check of a measure is called; the scores of all rows have a `calibration`."""
    return "group calibration" if measure == "calibration" else measure.replace("_", " ")


def _limits_of_gap(measure: str, limit: float) -> list[float]:
    """Return between which gaps a group is within the limit: a rate may not only fall."""
    one_sided = {"selection_ratio": [limit - 1.0], "change": [-limit]}
    return one_sided.get(measure, [-limit, limit])


def _not_judged(case: GateCase, groups: list[str]) -> str:
    if case.candidate is None or not case.rows:
        return "The candidate answers no labelled row."
    absent = without_groups(case, groups)
    return f"The evaluation table has no groups by {', '.join(absent)}." if absent else ""


def _fitting(case: GateCase, measure: str) -> str:
    """Return why a measure does not fit what the model answers, or nothing."""
    fits = {
        OutputKind.PROBABILITY: measure not in _OF_NUMBERS,
        OutputKind.NUMBER: measure in _OF_NUMBERS,
    }
    if fits.get(case.kind, measure in _OF_ANSWERS):
        return ""
    known = {
        OutputKind.NUMBER: "mean_error, mean_absolute_error",
        OutputKind.PROBABILITY: "equal_opportunity, accuracy and others",
    }
    others = known.get(case.kind, "accuracy, change")
    return f"The measure does not fit a model that answers a {case.kind.value}: {others} do."


def _judged(case: GateCase, cells: Cells, measure: str, limit: float) -> CheckResult | None:
    if measure == "change" and (case.against is None or case.other is None):
        return None
    name = check_name(measure)
    if misfit := _fitting(case, measure):
        return _result(name, Answer.CANNOT_TELL, misfit, {"limit": limit})
    rows = _corrected(_tests(case, cells, measure, limit))
    single = [row for row in rows if not row.crossed]
    every = _every(case, cells, measure)
    answer, words = _answer(rows, single, limit, (measure, _against(case, measure)), every)
    evidence = {
        "limit": limit,
        "limits_of_gap": _limits_of_gap(measure, limit),
        "threshold": case.threshold,
        "groups": [row.shown() for row in single],
        "intersections": [row.shown() for row in rows if row.crossed and not row.small][:50],
        "counts": _counts(cells) if case.kind is OutputKind.PROBABILITY else {},
        "largest_gap_between_groups": _range(single),
    }
    unclear = [row for row in single if row.answer is Answer.CANNOT_TELL]
    more = _more(unclear, single, every, case.rows)
    visible = [row.visible for row in single if row.visible is not None and not row.small]
    return CheckResult(
        check=name,
        group=GROUP,
        answer=answer,
        summary=words,
        evidence=evidence,
        more_rows=more if answer is Answer.CANNOT_TELL else None,
        smallest_visible=max(visible, default=None),
    )


def _tests(case: GateCase, cells: Cells, measure: str, limit: float) -> list[Tested]:
    if measure == "auc":
        return [row for name in cells.columns for row in auc_tests(case, name, limit)]
    if measure in _VALUES:
        words, value = _VALUES[measure]
        values = value(case)
        return [
            row for name in cells.columns for row in mean_tests(case, name, words, values, limit)
        ]
    sets = [*((name,) for name in cells.columns), *cells.crossings()]
    if measure == "change":
        return [row for columns in sets for row in change_tests(cells, columns, limit)]
    if measure == "selection_ratio":
        return [row for columns in sets for row in ratio_tests(cells, columns, limit)]
    before = case.against is not None and case.other is not None
    return [
        row
        for columns in sets
        for rate in RATES[measure]
        for row in rate_tests(cells, columns, rate, limit, before=before)
    ]


_VALUES: dict[str, tuple[str, Callable[[GateCase], Floats]]] = {
    "calibration": ("outcome minus score", lambda case: case.labels - case.candidate),
    "mean_error": ("mean error", lambda case: case.candidate - case.labels),
    "mean_absolute_error": (
        "mean absolute error",
        lambda case: np.abs(case.candidate - case.labels),
    ),
}
"""The measures that are a mean of a value of each row."""


def _corrected(rows: list[Tested]) -> list[Tested]:
    """Correct the p-values for how many groups are asked; the widest gaps come first."""
    tested = [row for row in rows if not row.small]
    adjusted = holm([row.p for row in tested]).tolist() if tested else []
    known = {id(row): p for row, p in zip(tested, adjusted, strict=True)}
    judged = [row.judged(known.get(id(row)), LEVEL) for row in rows]
    return sorted(judged, key=lambda row: (row.small, -abs(row.gap or 0.0), row.group))


class Every(msgspec.Struct, frozen=True, kw_only=True):
    """How many groups there are and how many rows they have, looked at or not.

    Of several columns the rows count once for each.
    """

    groups: int
    rows: int
    largest: int


def _every(case: GateCase, cells: Cells, measure: str) -> Every:
    sizes = [cells.frame[name].n_unique() for name in cells.columns]
    compared = [size for size in sizes if size > 1 or measure == "change"]
    most = MOST_AREAS if measure == "auc" else MAX_SLICES
    return Every(groups=sum(compared), rows=case.rows * len(compared), largest=most)


def _counts(cells: Cells) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for column in cells.columns:
        table = cells.table([column])
        flat, kept = table.counts.reshape(-1, 4).tolist(), largest(table, MAX_SLICES)
        for group, four in zip(table.groups, flat, strict=True):
            if group in kept:
                found[group] = dict(zip(("tn", "fp", "fn", "tp"), four, strict=True))
    return found


def _range(rows: list[Tested]) -> dict[str, float]:
    found: dict[str, float] = {}
    for measure in {row.measure for row in rows}:
        values = [row.value for row in rows if row.measure == measure and not row.small]
        known = [value for value in values if value is not None]
        if known:
            found[measure] = max(known) - min(known)
    return found


def _more(unclear: list[Tested], single: list[Tested], every: Every, rows: int) -> int | None:
    """Return how many more rows (in the same shares) would show enough groups to be alike."""
    shares = {row.group: row.rows / every.rows for row in single}
    waiting = {row.group for row in unclear}
    covered = sum(share for group, share in shares.items() if group not in waiting)
    times: dict[str, float] = {}
    for row in unclear:
        times[row.group] = max(times.get(row.group, 1.0), row.times_needed)
    for group, factor in sorted(times.items(), key=lambda one: one[1]):
        covered += shares[group]
        if covered >= COVERED:
            return max(0, round((factor - 1.0) * rows))
    return None


def _sizes(rows: list[Tested]) -> dict[str, int]:
    return {row.group: row.rows for row in rows}


def _answer(
    rows: list[Tested], single: list[Tested], limit: float, asked: tuple[str, str], every: Every
) -> tuple[Answer, str]:
    measure, against = asked
    failed = [row for row in rows if row.answer is Answer.FAIL]
    sizes = _sizes(single)
    unclear = {row.group for row in single if row.answer is not Answer.PASS}
    small = {row.group for row in single if row.small}
    if not sizes:
        return Answer.CANNOT_TELL, "All rows are of one group: there is no rest to compare with."
    bound = f"a ratio of {limit:g}" if measure == "selection_ratio" else f"{limit:g}"
    if failed:
        told = "; ".join(row.told() for row in failed[:3])
        return Answer.FAIL, f"Beyond the limit of {bound} {against}: {told}."
    within = {group: size for group, size in sizes.items() if group not in unclear}
    covered = sum(within.values()) / max(1, every.rows)
    words = (
        f"{len(within)} of {every.groups:,} groups lie within {bound} {against} "
        f"({covered:.0%} of rows); {len(unclear)} cannot be told, {len(small)} of them too small"
    )
    if len(sizes) < every.groups:
        words += f"; only the {every.largest} largest of a column are looked at"
    if not single[0].small and single[0].gap is not None:
        words += f"; the widest: {single[0].told()}"
    return (Answer.PASS if covered >= COVERED else Answer.CANNOT_TELL), f"{words}."


def _against(case: GateCase, measure: str) -> str:
    return f"against {case.rival_words}" if measure == "change" else "of the rest"


def _result(check: str, answer: Answer, summary: str, evidence: dict[str, Any]) -> CheckResult:
    return CheckResult(check=check, group=GROUP, answer=answer, summary=summary, evidence=evidence)
