"""Every rate of every group with its interval: what a person looks at; it informs, never blocks."""

from typing import Any

import numpy as np

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import Floats, GateCase
from thrive.gates.counting import Cells, largest
from thrive.gates.group_tests import MIN_EVENTS, MIN_ROWS, MOST_AREAS
from thrive.gates.slices import group_values, largest_groups
from thrive.packaging.signature import OutputKind
from thrive.statistics.arrays import Booleans
from thrive.statistics.fairness import area, group_rates
from thrive.statistics.intervals import mean_interval
from thrive.statistics.metrics import ece, r2

CHECK = "groups"


def report_groups(case: GateCase, cells: Cells) -> CheckResult:
    """Return all rates of all groups, and which of them are too small to be judged.

    Of two classes the rates have Wilson intervals, beside them the area under the ROC curve and the
    expected calibration error; of numbers the mean error, the mean absolute error and R squared.
    """
    if case.kind is OutputKind.PROBABILITY:
        groups = [each for name in cells.columns for each in _of_decisions(case, cells, name)]
    else:
        groups = [each for name in cells.columns for each in _of_answers(case, name)]
    small = [each["group"] for each in groups if each["small"]]
    every = sum(group_values(case, name).n_unique() for name in cells.columns)
    of = "" if every == len(groups) else f"of {every:,} "
    words = f"{len(groups)} {of}groups, {len(small)} of them too small to judge"
    words += f": {', '.join(small[:5])}." if small else "."
    return CheckResult(
        check=CHECK,
        group="bias",
        answer=Answer.CANNOT_TELL if len(small) == len(groups) else Answer.PASS,
        summary=words,
        evidence={"rates": groups},
        advisory=True,
    )


def _of_decisions(case: GateCase, cells: Cells, column: str) -> list[dict[str, Any]]:
    table = cells.table([column])
    kept, values = largest(table, MOST_AREAS), group_values(case, column)
    found: list[dict[str, Any]] = []
    for each in group_rates(table):
        if each.group not in kept:
            continue
        mask = (values == each.group.removeprefix(f"{column}=")).to_numpy()
        found.append(
            {
                "group": each.group,
                "rows": each.rows,
                "positives": each.positives,
                "small": each.rows < MIN_ROWS or each.positives < MIN_EVENTS,
                "rates": {
                    rate.value: [one.estimate, one.low, one.high]
                    for rate, one in each.rates.items()
                },
                "roc_auc": area(case.labels[mask], case.candidate[mask])[0],
                "ece": ece(case.labels[mask], case.candidate[mask]),
            }
        )
    return found


def _of_answers(case: GateCase, column: str) -> list[dict[str, Any]]:
    values = group_values(case, column)
    found: list[dict[str, Any]] = []
    for name in largest_groups(values, column):
        mask = (values == name).to_numpy()
        rows = int(mask.sum())
        shown = {"group": f"{column}={name}", "rows": rows, "small": rows < MIN_ROWS}
        found.append({**shown, "rates": _means(case, mask)})
    return found


def _means(case: GateCase, mask: Booleans) -> dict[str, list[float]]:
    labels, answers = case.labels[mask], case.candidate[mask]
    if case.kind is not OutputKind.NUMBER:
        chosen = answers if answers.ndim == 1 else answers.argmax(axis=1)
        return {"accuracy": _interval((chosen == labels).astype(np.float64))}
    return {
        "mean_error": _interval(answers - labels),
        "mean_absolute_error": _interval(np.abs(answers - labels)),
        "r2": [r2(labels, answers)],
    }


def _interval(values: Floats) -> list[float]:
    found = mean_interval(values)
    return [found.estimate, found.low, found.high]
