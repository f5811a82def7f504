"""Does the model treat groups alike? One table of counts, each group against the rest, Holm.

A gap of the largest and the smallest group is reported and never judged: with many groups it is
large by chance alone. Groups with few rows or few positives are never green.
"""

import math
from typing import Any

import msgspec

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import GateCase
from thrive.gates.quality import LEVEL, group_values, largest_groups
from thrive.packaging.signature import OutputKind
from thrive.statistics.fairness import (
    CountTable,
    GroupGap,
    Rate,
    count_table,
    gaps,
    group_calibration,
)
from thrive.statistics.multiplicity import holm

GROUP = "bias"
MIN_ROWS, MIN_EVENTS = 30, 10
CONFIDENCE = 0.90
"""Of the shown interval; two-sided, so that each end is a one-sided bound at 95 %."""
COVERED = 0.5
"""The check passes when groups with this share of all rows are shown to lie within tolerance."""


RATES: dict[str, tuple[Rate, ...]] = {
    "equal_opportunity": (Rate.TRUE_POSITIVE,),
    "equalized_odds": (Rate.TRUE_POSITIVE, Rate.FALSE_POSITIVE),
    "demographic_parity": (Rate.SELECTION,),
}
"""The rates whose gap each measure limits."""


class Grouped(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one column's groups, counted.

    Attributes:
        column: which one.
        codes: the group of each row, as its place in `table.groups`.
        judged: the largest groups; the others are part of the rest.
        table: group, label, decision of the candidate.
    """

    column: str
    codes: Any
    judged: set[str]
    table: CountTable

    def rows(self) -> dict[str, int]:
        """Return how many rows each judged group has."""
        sizes = self.table.counts.sum(axis=(1, 2)).tolist()
        every = dict(zip(self.table.groups, sizes, strict=True))
        return {group: rows for group, rows in every.items() if group in self.judged}


def check_bias(case: GateCase) -> list[CheckResult]:
    """Judge every measure the contract limits; nothing when it names no groups."""
    terms = case.terms.gates.bias
    if terms is None or not terms.groups:
        return []
    results: list[CheckResult] = []
    for measure, limit in terms.limits().items():
        name = measure.replace("_", " ")
        reason = _not_judged(case, terms.groups, measure)
        if reason:
            results.append(_result(name, Answer.CANNOT_TELL, reason, {"limit": limit}))
        else:
            results.append(_judged(case, name, RATES[measure], limit, terms.groups))
    if not results:
        why = "The contract names groups and no limit: write equal_opportunity = 0.10."
        results.append(_result("bias", Answer.CANNOT_TELL, why, {}))
    return results


def _not_judged(case: GateCase, groups: list[str], measure: str) -> str:
    if case.kind is not OutputKind.PROBABILITY:
        return "The measure is one of decisions between two classes; this model makes none."
    if case.candidate is None or not case.rows:
        return "The candidate answers no labelled row."
    absent = [name for name in groups if name not in case.frame.columns]
    if absent:
        return f"The evaluation table has no column {', '.join(absent)}."
    if measure not in RATES:
        return f"{measure} by group is reported, not judged yet: its error by chance is unknown."
    return ""


def grouped(case: GateCase, column: str) -> Grouped:
    """Return the table of counts of a column's groups."""
    values = group_values(case, column)
    names = values.unique().sort().to_list()
    codes = values.rank("dense").to_numpy() - 1
    table = count_table(codes, case.labels == 1, case.candidate >= case.threshold)
    named = msgspec.structs.replace(table, groups=tuple(names))
    return Grouped(
        column=column, codes=codes, judged=set(largest_groups(values, column)), table=named
    )


def _judged(
    case: GateCase, name: str, rates: tuple[Rate, ...], limit: float, columns: list[str]
) -> CheckResult:
    every = [grouped(case, column) for column in columns]
    rows = [row for one in every for rate in rates for row in _gaps(case, one, rate, limit)]
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]) if tested else [], strict=True):
        row["p_adjusted"] = float(p)
        row["answer"] = Answer.FAIL.value if p < LEVEL else row["answer"]
    rows.sort(key=lambda row: (row["p"] is None, -abs(row["gap"] or 0.0), row["group"]))
    evidence = {
        "limit": limit,
        "threshold": case.threshold,
        "groups": rows,
        "counts": {label: counts for one in every for label, counts in _counts(one).items()},
        "calibration": {label: error for one in every for label, error in _calibration(case, one)},
        "largest_gap_between_groups": _range(rows, rates),
    }
    groups = sum(len(one.judged) for one in every)
    answer, words = _answer(rows, limit, groups, len(columns) * case.rows)
    return _result(name, answer, words, evidence)


def _gaps(case: GateCase, one: Grouped, rate: Rate, limit: float) -> list[dict[str, Any]]:
    """Compare each judged group's rate with the rest's: gap, interval, and both p-values."""
    rows, before = one.rows(), _before(case, one, rate)
    values = dict(zip(one.table.groups, _shares(one.table, rate), strict=True))
    return [
        _row(one, tested, rows[tested.group], values[tested.group], before.get(tested.group))
        for tested in gaps(one.table, rate, limit, CONFIDENCE)
        if tested.group in one.judged
    ]


def _row(
    one: Grouped, tested: GroupGap, rows: int, value: float, before: float | None
) -> dict[str, Any]:
    small = min(tested.rows, tested.rest_rows) < MIN_EVENTS or rows < MIN_ROWS
    within = tested.p_within < LEVEL and not small
    row: dict[str, Any] = {
        "group": f"{one.column}={tested.group}",
        "rate": tested.rate.value,
        "rows": rows,
        "trials": tested.rows,
        "value": _known(value),
        "rest": _known(value - tested.gap.estimate),
        "gap": _known(tested.gap.estimate),
        "low": tested.gap.low,
        "high": tested.gap.high,
        "small": small,
        "p": None if small else tested.p_exceeds,
        "p_within": tested.p_within,
        "answer": Answer.PASS.value if within else Answer.CANNOT_TELL.value,
    }
    if before is not None:
        row["change"] = _known(value - before)
    return row


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shares(table: CountTable, rate: Rate) -> list[float]:
    hits, trials = table.of(rate)
    pairs = zip(hits.tolist(), trials.tolist(), strict=True)
    return [h / n if n else math.nan for h, n in pairs]


def _before(case: GateCase, one: Grouped, rate: Rate) -> dict[str, float]:
    """Return each group's rate under the rival's decisions on the same rows, if it is a version."""
    if case.against is None or case.other is None:
        return {}
    table = count_table(one.codes, case.labels == 1, case.other >= case.threshold)
    return dict(zip(one.table.groups, _shares(table, rate), strict=True))


def _counts(one: Grouped) -> dict[str, dict[str, int]]:
    flat = one.table.counts.reshape(-1, 4).tolist()
    return {
        f"{one.column}={group}": dict(zip(("tn", "fp", "fn", "tp"), cells, strict=True))
        for group, cells in zip(one.table.groups, flat, strict=True)
        if group in one.judged
    }


def _calibration(case: GateCase, one: Grouped) -> list[tuple[str, float]]:
    found = group_calibration(one.codes, case.labels == 1, case.candidate)
    return [
        (f"{one.column}={group}", each.error)
        for group, each in zip(one.table.groups, found, strict=True)
        if group in one.judged and each.rows >= MIN_ROWS
    ]


def _range(rows: list[dict[str, Any]], rates: tuple[Rate, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for rate in rates:
        values = [row["value"] for row in rows if row["rate"] == rate and not row["small"]]
        if values:
            found[rate.value] = max(values) - min(values)
    return found


def _answer(
    rows: list[dict[str, Any]], limit: float, groups: int, all_rows: int
) -> tuple[Answer, str]:
    failed = [row for row in rows if row["answer"] == Answer.FAIL.value]
    unclear = {row["group"] for row in rows if row["answer"] == Answer.CANNOT_TELL.value}
    small = {row["group"] for row in rows if row["small"]}
    if failed:
        told = "; ".join(_told(row) for row in failed[:3])
        return Answer.FAIL, f"Beyond the limit of {limit:g} against the rest: {told}."
    within = {row["group"]: row["rows"] for row in rows if row["group"] not in unclear}
    covered = sum(within.values()) / all_rows
    words = (
        f"{len(within)} of {groups} groups lie within {limit:g} of the rest "
        f"({covered:.0%} of rows); {len(unclear)} cannot be told, {len(small)} of them too small"
    )
    if rows and rows[0]["gap"] is not None:
        words += f"; the widest: {_told(rows[0])}"
    return (Answer.PASS if covered >= COVERED else Answer.CANNOT_TELL), f"{words}."


def _told(row: dict[str, Any]) -> str:
    rate = row["rate"].replace("_", " ")
    return (
        f"{row['group']} {rate} {row['value']:.3f}, the rest {row['rest']:.3f} "
        f"(gap {row['gap']:+.3f}, between {row['low']:+.3f} and {row['high']:+.3f})"
    )


def _result(check: str, answer: Answer, summary: str, evidence: dict[str, Any]) -> CheckResult:
    return CheckResult(check=check, group=GROUP, answer=answer, summary=summary, evidence=evidence)
