"""Do the labels of rows that look the same to the model contradict each other?"""

from typing import TYPE_CHECKING, Any

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import GateCase
from thrive.packaging.signature import OutputKind
from thrive.statistics.intervals import wilson

if TYPE_CHECKING:
    import polars as pl

CHECK = "labels"


def check_labels(case: GateCase) -> CheckResult | None:
    """Say how often judged rows with the same inputs have different labels; it never blocks.

    Of rows with the same inputs every model is wrong at least about those whose label is not the
    most frequent one: noise of the labels, or something that the inputs do not show. It is known
    of repeated inputs alone; other rows show no noise of their labels.

    Args:
        case: the rows.

    Returns:
        None where the model answers with numbers, takes nested values, or no row is judged.
    """
    names = [name for name in case.manifest.signature.names if name in case.frame.columns]
    number = case.kind is OutputKind.NUMBER or (case.kind is OutputKind.VECTOR and not case.classes)
    nested = any(case.frame.schema[name].is_nested() for name in names)
    if not case.rows or not names or number or nested:
        return None
    repeated, contrary = _counted(case.frame.select(names), case)
    evidence: dict[str, Any] = {
        "rows": case.rows,
        "repeated": repeated,
        "contrary": contrary,
        "inputs": names,
    }
    if not repeated:
        words = "No two judged rows have the same inputs: they show no noise of the labels."
        return _result(words, evidence)
    share = wilson(contrary, repeated)
    evidence |= {"share": share.estimate, "low": share.low, "high": share.high}
    words = (
        f"{repeated:,} of {case.rows:,} judged rows have the inputs of another; "
        f"{contrary:,} of these ({share.estimate:.1%}, {share.low:.1%} to {share.high:.1%}) have "
        "another label than most that look the same: so many no model can answer."
    )
    return _result(words, evidence)


def _counted(inputs: "pl.DataFrame", case: GateCase) -> tuple[int, int]:
    """Return how many rows have the inputs of another, and how many of them the rarer label."""
    import polars as pl

    plain = inputs.rename({name: f"x.{name}" for name in inputs.columns})
    same, labelled = plain.columns, plain.with_columns(label=pl.Series(case.labels))
    each = labelled.group_by([*same, "label"]).len("rows")
    several = each.group_by(same).agg(
        pl.col("rows").sum().alias("all"), pl.col("rows").max().alias("most")
    )
    several = several.filter(pl.col("all") > 1)
    return int(several["all"].sum()), int((several["all"] - several["most"]).sum())


def _result(summary: str, evidence: dict[str, Any]) -> CheckResult:
    return CheckResult(
        check=CHECK,
        group="quality",
        answer=Answer.PASS,
        summary=summary,
        evidence=evidence,
        advisory=True,
    )
