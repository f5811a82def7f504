"""Words that all formats share: order of the checks, what more rows would do, how to run again."""

from thrive.contract.schema import Unclear
from thrive.domain.gate import Answer, CheckResult, Verdict
from thrive.domain.reference import format_reference
from thrive.gates.gate_file import GateFile

_ORDER = {Answer.FAIL: 0, Answer.CANNOT_TELL: 1, Answer.PASS: 2}


def worst_first(results: list[CheckResult]) -> list[CheckResult]:
    """Return results with failures first, then those that cannot tell; else in their order."""
    return sorted(results, key=lambda one: _ORDER[one.answer])


def title(verdict: Verdict) -> str:
    """Return what was judged against what."""
    rival = f"version {verdict.against}" if verdict.against else f"baseline {verdict.baseline!r}"
    return f"{format_reference(verdict.model, verdict.version)} against {rival}"


def command(verdict: Verdict) -> str:
    """Return what to type to judge the same again."""
    against = f" --against {verdict.against}" if verdict.against else " --against baseline"
    return f"thrive gates run {format_reference(verdict.model, verdict.version)}{against}"


def settles(one: CheckResult) -> str:
    """Return how many more rows would settle a check and what these can show; "" if unknown."""
    parts: list[str] = []
    if one.more_rows and one.answer is Answer.CANNOT_TELL:
        parts.append(f"about {one.more_rows:,} more rows would settle it")
    if one.smallest_visible is not None:
        parts.append(f"these rows can show {one.smallest_visible:.4g} at the least")
    return "; ".join(parts)


def blocks(found: GateFile, one: CheckResult) -> bool:
    """Tell whether an answer keeps the version from being let through."""
    if one.advisory or one.answer is Answer.PASS:
        return False
    warned = found.core().terms.get("on_unclear") == Unclear.WARN.value
    return one.answer is Answer.FAIL or not warned
