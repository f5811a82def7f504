"""Does the model treat groups alike? One table of counts, each group against the rest, Holm.

A gap of the largest and the smallest group is reported and never judged: with many groups it is
large by chance alone. Groups with few rows or few positives are never green.
"""

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import GateCase
from thrive.gates.quality import LEVEL, each_group
from thrive.packaging.signature import OutputKind
from thrive.statistics.distributions import normal_survival
from thrive.statistics.intervals import difference_of_proportions
from thrive.statistics.metrics import ece
from thrive.statistics.multiplicity import holm

GROUP = "bias"
MIN_ROWS, MIN_EVENTS = 30, 10
COVERED = 0.5
"""The check passes when groups with this share of all rows are shown to lie within tolerance."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The four counts of one group: label by decision."""

    tp: int
    fn: int
    fp: int
    tn: int

    @property
    def rows(self) -> int:
        """All rows of the group."""
        return self.tp + self.fn + self.fp + self.tn

    def of(self, rate: str) -> tuple[int, int]:
        """Return (successes, trials) of a rate."""
        return {
            "tpr": (self.tp, self.tp + self.fn),
            "fpr": (self.fp, self.fp + self.tn),
            "selection": (self.tp + self.fp, self.rows),
        }[rate]


RATES: dict[str, tuple[str, ...]] = {
    "equal_opportunity": ("tpr",),
    "equalized_odds": ("tpr", "fpr"),
    "demographic_parity": ("selection",),
}
"""The rates whose gap each measure limits."""


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


def counts_by_group(case: GateCase, names: list[str]) -> dict[str, Counts]:
    """Return the one table of counts: group, label, decision."""
    decided = case.candidate >= case.threshold
    return {
        f"{name}={value}": _count(case.labels[mask] == 1, decided[mask])
        for name, value, mask in each_group(case, names)
    }


def _count(label: NDArray[np.bool_], decided: NDArray[np.bool_]) -> Counts:
    cells = np.bincount(2 * label.astype(np.int64) + decided, minlength=4)
    return Counts(tn=int(cells[0]), fp=int(cells[1]), fn=int(cells[2]), tp=int(cells[3]))


def _judged(
    case: GateCase, name: str, rates: tuple[str, ...], limit: float, columns: list[str]
) -> CheckResult:
    table = counts_by_group(case, columns)
    whole = _count(case.labels == 1, case.candidate >= case.threshold)
    rows = [
        _gap(group, rate, counts, _rest(whole, counts), limit)
        for group, counts in table.items()
        for rate in rates
    ]
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]) if tested else [], strict=True):
        row["p_adjusted"] = float(p)
        row["answer"] = Answer.FAIL.value if p < LEVEL else row["answer"]
    rows.sort(key=lambda row: (row["p"] is None, -abs(row["gap"] or 0.0), row["group"]))
    _add_change(case, rows)
    evidence = {
        "limit": limit,
        "threshold": case.threshold,
        "groups": rows,
        "counts": {group: msgspec.structs.asdict(one) for group, one in table.items()},
        "calibration": _calibration(case, columns),
        "largest_gap_between_groups": _range(rows, rates),
    }
    answer, words = _answer(rows, limit, len(table), len(columns) * whole.rows)
    return _result(name, answer, words, evidence)


def _rest(whole: Counts, part: Counts) -> Counts:
    return Counts(
        tp=whole.tp - part.tp, fn=whole.fn - part.fn, fp=whole.fp - part.fp, tn=whole.tn - part.tn
    )


def _gap(group: str, rate: str, own: Counts, rest: Counts, limit: float) -> dict[str, Any]:
    """Compare one group's rate with the rest's: gap, interval, and p of "within the limit"."""
    hits, trials = own.of(rate)
    rest_hits, rest_trials = rest.of(rate)
    interval = difference_of_proportions(rest_hits, rest_trials, hits, trials, 0.90)
    small = min(trials, rest_trials) < MIN_EVENTS or own.rows < MIN_ROWS
    within = interval.low >= -limit and interval.high <= limit
    row: dict[str, Any] = {
        "group": group,
        "rate": rate,
        "rows": own.rows,
        "trials": trials,
        "value": hits / trials if trials else None,
        "rest": rest_hits / rest_trials if rest_trials else None,
        "gap": None if math.isnan(interval.estimate) else interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "small": small,
        "p": None if small else _p_beyond(hits, trials, rest_hits, rest_trials, limit),
        "answer": Answer.PASS.value if within and not small else Answer.CANNOT_TELL.value,
    }
    return row


def _p_beyond(hits: int, trials: int, rest_hits: int, rest_trials: int, limit: float) -> float:
    """One-sided p of "the gap is within the limit" (one row added to each side, Agresti 2000)."""
    first, second = (hits + 1) / (trials + 2), (rest_hits + 1) / (rest_trials + 2)
    variance = first * (1 - first) / (trials + 2) + second * (1 - second) / (rest_trials + 2)
    return normal_survival((abs(first - second) - limit) / math.sqrt(variance))


def _add_change(case: GateCase, rows: list[dict[str, Any]]) -> None:
    """Add how each group's rate changed against the rival's decisions on the same rows."""
    if case.against is None or case.other is None:
        return
    decided = case.other >= case.threshold
    before = {
        f"{name}={value}": _count(case.labels[mask] == 1, decided[mask])
        for name, value, mask in each_group(case, sorted({_column(row) for row in rows}))
    }
    for row in rows:
        hits, trials = before[row["group"]].of(row["rate"])
        row["change"] = row["value"] - hits / trials if trials else None


def _column(row: dict[str, Any]) -> str:
    return row["group"].partition("=")[0]


def _calibration(case: GateCase, columns: list[str]) -> dict[str, float]:
    return {
        f"{name}={value}": ece(case.labels[mask], case.candidate[mask])
        for name, value, mask in each_group(case, columns)
        if mask.sum() >= MIN_ROWS
    }


def _range(rows: list[dict[str, Any]], rates: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for rate in rates:
        values = [row["value"] for row in rows if row["rate"] == rate and not row["small"]]
        if values:
            found[rate] = max(values) - min(values)
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
    return (
        f"{row['group']} {row['rate']} {row['value']:.3f}, the rest {row['rest']:.3f} "
        f"(gap {row['gap']:+.3f}, between {row['low']:+.3f} and {row['high']:+.3f})"
    )


def _result(check: str, answer: Answer, summary: str, evidence: dict[str, Any]) -> CheckResult:
    return CheckResult(check=check, group=GROUP, answer=answer, summary=summary, evidence=evidence)
