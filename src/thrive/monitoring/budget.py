"""The error budget: how many of the failed answers that the SLA allows are used up.

A window that fails more than the SLA allows is an alert by itself. Failures that are too few for
any one window add up here.
"""

from collections.abc import Sequence

import msgspec

from thrive.contract.schema import ModelTerms
from thrive.domain.clock import DAY, format_duration
from thrive.domain.monitoring import Window
from thrive.monitoring.findings import Findings

PERIOD = 30 * DAY


class ErrorBudget(msgspec.Struct, frozen=True, kw_only=True):
    """The failed answers of the last 30 days, or of as much of them as is looked at.

    Attributes:
        since: when the first window of the period began.
        until: when the last one ended.
        answers: answers users asked for, the failed ones too.
        failed: those that the version did not give.
        allowed: the share that may fail by the SLA.
        used: failed answers over those that may fail; above 1 the budget is overdrawn.
    """

    since: int
    until: int
    answers: int
    failed: int
    allowed: float
    used: float

    @property
    def words(self) -> str:
        """How much is used, and of what."""
        period = format_duration(self.until - self.since)
        return f"{self.used:.0%} of the error budget of the last {period} is used"


def error_budget(found: Sequence[tuple[Window, Findings]], terms: ModelTerms) -> ErrorBudget | None:
    """Return the error budget of a version; None where nothing is promised, or nobody asked.

    Args:
        found: its windows and what was found in them, oldest first.
        terms: with the SLA.
    """
    promised = terms.sla.availability
    if promised is None or promised >= 100.0 or not found:
        return None
    until = found[-1][0].end
    lately = [(window, item) for window, item in found if window.start >= until - PERIOD]
    failed = sum(item.errors for _, item in lately)
    answers = failed + sum(window.rows for window, _ in lately)
    if not answers:
        return None
    allowed = 1.0 - promised / 100.0
    return ErrorBudget(
        since=lately[0][0].start,
        until=until,
        answers=answers,
        failed=failed,
        allowed=allowed,
        used=failed / (allowed * answers),
    )
