"""Does the model answer odd rows, not only the tidy ones? Made from what a worker found."""

from typing import Any

from thrive.domain.gate import Answer, CheckResult

GROUP = "robustness"
KINDS = (
    "missing values",
    "unseen categories",
    "out-of-range numbers",
    "wrong types",
    "column order",
    "row order",
)
ODD_ROWS = "odd rows"
"""The check that stands for all kinds when the process died of one."""
ORDERS = frozenset({"column order", "row order"})
JUMPY = 3.0
"""Spreads of all answers that one row's answer may move by when its numbers hardly move."""


def answers_result(failure: str, rows: int) -> CheckResult:
    """Return the check that the version loads and answers every evaluation row."""
    answer = Answer.FAIL if failure else Answer.PASS
    words = f"Loads, and answers {rows:,} rows with finite numbers."
    if failure:
        words = f"{failure.rstrip('.')}."
    return CheckResult(
        check="answers", group=GROUP, answer=answer, summary=words, evidence={"rows": rows}
    )


def strained_results(found: list[dict[str, Any]]) -> list[CheckResult]:
    """Return one check for each kind of odd rows.

    Args:
        found: plain values of `thrive.gates.strain.Strained`.
    """
    return [_kind_result(kind, [one for one in found if one["kind"] == kind]) for kind in KINDS]


def noise_result(found: dict[str, Any]) -> CheckResult:
    """Return what a little noise does to the answers; informs, and never blocks."""
    steady = found["largest_in_spreads"] <= JUMPY
    words = (
        f"Numbers shaken by 1% of their spread move answers by {found['median']:.2g} in the "
        f"median, {found['largest']:.2g} at the most ({found['largest_in_spreads']:.1f} spreads)."
    )
    return CheckResult(
        check="noise",
        group=GROUP,
        answer=Answer.PASS if steady else Answer.CANNOT_TELL,
        summary=words,
        evidence=found,
        advisory=True,
    )


def unclear_results(reason: str) -> list[CheckResult]:
    """Return the checks when the worker gave no answer to odd rows."""
    return [
        CheckResult(check=kind, group=GROUP, answer=Answer.CANNOT_TELL, summary=f"{reason}.")
        for kind in KINDS
    ]


def answers_to_odd_rows_failed(reason: str) -> list[CheckResult]:
    """Return the failure of a version that died of odd rows, or took too long for them."""
    return [
        CheckResult(
            check=ODD_ROWS, group=GROUP, answer=Answer.FAIL, summary=f"{reason.rstrip('.')}."
        ),
    ]


def _kind_result(kind: str, tried: list[dict[str, Any]]) -> CheckResult:
    failed = {one["field"]: one["failure"] for one in tried if one["failure"]}
    crashed = [one for one in tried if one["failure"] and not one["refused"]]
    fields = sorted({one["field"] for one in tried if one["field"]})
    evidence = {"fields": fields, "failed": failed}
    answer = Answer.FAIL if crashed else Answer.PASS
    if crashed:
        first = crashed[0]
        place = f"{first['field']}: " if first["field"] else ""
        words = f"{place}{first['failure']}"
        words += f" ({len(crashed)} failures)." if len(crashed) > 1 else "."
    elif failed:
        words = f"Refuses them with a message: {', '.join(sorted(failed))}."
    else:
        noun = "field" if len(fields) == 1 else "fields"
        words = f"Answers them in {len(fields)} {noun}." if fields else "Answers as it should."
        words = words if tried and (fields or kind in ORDERS) else "No field admits them."
    return CheckResult(check=kind, group=GROUP, answer=answer, summary=words, evidence=evidence)
