"""Named checks: for each name in the law files, what stands against a version.

A check yields problems, and none where the duty is met; it reads the same records as the evidence.
"""

from thrive.governance.checks import about_data, after, building, general
from thrive.governance.checks.registry import (
    ANSWER_OPTION,
    CHECKS,
    Check,
    Problem,
    unanswered,
)

__all__ = [
    "ANSWER_OPTION",
    "CHECKS",
    "Check",
    "Problem",
    "about_data",
    "after",
    "building",
    "general",
    "unanswered",
]
