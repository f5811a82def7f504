"""OpenMetrics text: GitLab shows in a merge request how each number moved (`reports:metrics`).

Labels name the model and the check alone, so that the same series is found in the next run.
"""

import math
from collections.abc import Iterator

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.gate_file import GateFile

_ANSWERS = {Answer.PASS: 1, Answer.CANNOT_TELL: 0, Answer.FAIL: -1}
_NUMBERS = ("gain", "low", "high", "candidate", "rival", "smallest_visible_loss")


def openmetrics(found: GateFile) -> str:
    """Return the verdict as OpenMetrics text: answers (1 pass, 0 cannot tell, -1 fail), numbers."""
    verdict = found.verdict
    lines = [
        "# TYPE thrive_gate_answer gauge",
        f'thrive_gate_answer{{model="{verdict.model}"}} {_ANSWERS[verdict.answer]}',
        "# TYPE thrive_gate_check_answer gauge",
        *(
            _sample("check_answer", verdict.model, one.check, _ANSWERS[one.answer])
            for one in verdict.results
        ),
        "# TYPE thrive_gate_value gauge",
        *(line for one in verdict.results for line in _values(verdict.model, one)),
        "# EOF",
    ]
    return "\n".join(lines) + "\n"


def _values(model: str, one: CheckResult) -> Iterator[str]:
    for name in _NUMBERS:
        value = one.evidence.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            yield _sample("value", model, one.check, value, f',value="{name}"')
    for size in one.evidence.get("sizes", []):
        if "ratio" in size:
            name = f"time ratio, rows {size['rows']}"
            yield _sample("value", model, one.check, size["ratio"], f',value="{name}"')


def _sample(kind: str, model: str, check: str, value: float, more: str = "") -> str:
    quoted = check.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'thrive_gate_{kind}{{model="{model}",check="{quoted}"{more}}} {value:.10g}'
