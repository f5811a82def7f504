"""A team's own checks: typed functions `(GateCase) -> CheckResult`, found by entry point.

A package offers one under the entry point group `thrive.gates`. The functions run in this
process, as installed code of the machine's owner; a model's package cannot bring any.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import GateCase

GROUP = "thrive.gates"
Check = Callable[[GateCase], CheckResult]


def own_checks(case: GateCase) -> list[CheckResult]:
    """Return the results of all installed own checks, by name."""
    return [_asked(point, case) for point in sorted(entry_points(group=GROUP))]


def _asked(point: EntryPoint, case: GateCase) -> CheckResult:
    """Ask one check; one that raises cannot tell."""
    try:
        check: Check = point.load()
        return check(case)
    except Exception as error:  # noqa: BLE001 - whatever a check raises is not the model's fault
        return CheckResult(
            check=point.name,
            group="own",
            answer=Answer.CANNOT_TELL,
            summary=f"The check raised {type(error).__name__}: {str(error)[:200]}.",
        )
