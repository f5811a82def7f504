"""A team's own checks: typed functions, marked by `@check` and found by entry point.

A package offers one under the entry point group `thrive.gates`. The functions run in this
process, as installed code of the machine's owner; a model's package cannot bring any.

    @check("prices are plausible")
    def plausible(case: GateCase) -> CheckResult:
        worst = float(case.candidate.max())
        return passed(f"highest {worst:g}") if worst < 500 else failed(f"highest {worst:g}")
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import GateCase

ENTRY_POINTS = "thrive.gates"
GROUP = "own"
OwnCheck = Callable[[GateCase], CheckResult]
_NO_ANSWER = (
    'The check returned a {}: return passed("..."), failed("...") or cannot_tell("...") '
    "of thrive.gates."
)


def check(name: str, *, advisory: bool = False) -> Callable[[OwnCheck], OwnCheck]:
    """Mark a function as a check of one's own.

    Args:
        name: what it is called in verdicts.
        advisory: it informs and never blocks.

    Raises:
        UsageError: there is no name.
    """
    if not name.strip():
        raise UsageError("A check needs a name.", '@check("prices are plausible")')

    def marked(function: OwnCheck) -> OwnCheck:
        def asked(case: GateCase) -> CheckResult:
            found = cast("object", function(case))
            if not isinstance(found, CheckResult):
                found = cannot_tell(_NO_ANSWER.format(type(found).__name__))
            return msgspec.structs.replace(found, check=name, group=GROUP, advisory=advisory)

        asked.__doc__, asked.__name__ = function.__doc__, function.__name__
        return asked

    return marked


def passed(summary: str, **evidence: Any) -> CheckResult:
    """Return the answer pass, with what was found and numbers for it."""
    return _answered(Answer.PASS, summary, evidence)


def failed(summary: str, **evidence: Any) -> CheckResult:
    """Return the answer fail, with what was found and numbers for it."""
    return _answered(Answer.FAIL, summary, evidence)


def cannot_tell(summary: str, *, more_rows: int | None = None, **evidence: Any) -> CheckResult:
    """Return the answer cannot tell, with why, and how many more rows would settle it if known."""
    found = _answered(Answer.CANNOT_TELL, summary, evidence)
    return msgspec.structs.replace(found, more_rows=more_rows)


def _answered(answer: Answer, summary: str, evidence: dict[str, Any]) -> CheckResult:
    return CheckResult(check=GROUP, group=GROUP, answer=answer, summary=summary, evidence=evidence)


def own_checks(case: GateCase) -> list[CheckResult]:
    """Return the results of all installed own checks, by name."""
    return [_asked(point, case) for point in sorted(entry_points(group=ENTRY_POINTS))]


def _asked(point: EntryPoint, case: GateCase) -> CheckResult:
    """Ask one check; one that raises, or answers something else, cannot tell."""
    try:
        function: Callable[[GateCase], object] = point.load()
        found = function(case)
        if isinstance(found, CheckResult):
            return found
        words = _NO_ANSWER.format(type(found).__name__)
    except Exception as error:  # noqa: BLE001 - whatever a check raises is not the model's fault
        words = f"The check raised {type(error).__name__}: {str(error)[:200]}."
    return CheckResult(check=point.name, group=GROUP, answer=Answer.CANNOT_TELL, summary=words)
