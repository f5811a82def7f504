"""Was the version trained on the rows it is judged on? By the fingerprints kept beside it."""

from typing import Any

from thrive.domain.gate import Answer, CheckResult
from thrive.domain.model import ModelVersion
from thrive.gates.case import GateCase
from thrive.packaging.trained_rows import TrainedRows, read_trained_rows
from thrive.statistics.intervals import wilson
from thrive.store.blobs import BlobStore

CHECK = "leak"
LARGEST = 0.01
"""Share of judged rows that a version may have been trained on."""
CONFIDENCE = 0.98


def check_leak(case: GateCase, blobs: BlobStore) -> CheckResult | None:
    """Judge whether the judged rows were trained on; informs while that is not recorded.

    Rows that look alike by chance are allowed for: as many as look alike among the judged rows.

    Args:
        case: the rows.
        blobs: where the fingerprints are.
    """
    if not case.rows:
        return None
    own = _seen(case, case.version, blobs)
    if "share" not in own:
        return _result(Answer.CANNOT_TELL, f"{own['unknown']}.", own, advisory=True)
    evidence: dict[str, Any] = {**own, "largest": LARGEST}
    words = f"Trained on {own['seen']:,} of {own['asked']:,} judged rows ({own['share']:.1%})"
    if own["alike"]:
        words += f"; {own['alike']:.1%} of them look alike among themselves"
    if case.against is not None:
        rival = _seen(case, case.against, blobs)
        evidence["rival"] = rival
        if rival.get("share", 0.0) > LARGEST:
            words += f"; {case.rival_words} on {rival['share']:.1%}: it looks better than it is"
    answer = Answer.FAIL if own["surely"] > LARGEST + own["alike"] else Answer.PASS
    return _result(answer, f"{words}.", evidence)


def _seen(case: GateCase, version: ModelVersion, blobs: BlobStore) -> dict[str, Any]:
    """Return what is known of the rows that a version was trained on among those judged."""
    if not version.trained_rows:
        return {"unknown": "What it was trained on is not recorded: register(trained_on=ROWS)"}
    known = read_trained_rows(bytes(blobs.get(version.trained_rows)))
    absent = [name for name in known.columns if name not in case.frame.columns]
    if absent:
        return {"unknown": f"The judged rows have no column {', '.join(absent)} to compare"}
    return _counted(case, known)


def _counted(case: GateCase, known: TrainedRows) -> dict[str, Any]:
    seen, asked = known.seen(case.frame)
    distinct = case.frame.select(known.columns).n_unique()
    return {
        "columns": known.columns,
        "trained_rows": known.rows,
        "seen": seen,
        "asked": asked,
        "share": seen / asked if asked else 0.0,
        "surely": wilson(seen, asked, CONFIDENCE).low,
        "alike": 1.0 - distinct / case.rows,
    }


def _result(
    answer: Answer, summary: str, evidence: dict[str, Any], *, advisory: bool = False
) -> CheckResult:
    return CheckResult(
        check=CHECK,
        group="quality",
        answer=answer,
        summary=summary,
        evidence=evidence,
        advisory=advisory,
    )
