"""What ends a release at once: a candidate that errs or is slow more often than production.

Both differences are tested by always-valid sequential tests, as they are looked at all the time
(a z-test looked at every 100 requests aborts a third of all equal candidates); a circuit breaker
stands before them for failures that need no test.
"""

import msgspec

from thrive.release.evidence import Counts, Evidence
from thrive.statistics.intervals import wilson
from thrive.statistics.sequential import (
    Side,
    difference_of_proportions,
    sample_ratio_mismatch,
)

ALPHA = 0.05
"""Chance that an equal candidate is ended over its whole release, shared by the guards."""
GUARDS = 2
FIRST_LOOK = 100
"""Requests of the candidate from which on the sequential tests are read."""
RUN_LIMIT = 5
HALF_OF = 20
SLOW_SHARE = 0.01
"""A p99 limit means that one request in a hundred may be slower."""
MISMATCH = 0.0005


class Harm(msgspec.Struct, frozen=True, kw_only=True):
    """Why a release ends: the guard and the finding in words."""

    guard: str
    words: str


def find_harm(evidence: Evidence, error_rate: float, p99_ms: float | None) -> Harm | None:
    """Return what a candidate did that ends its release, or None.

    Args:
        evidence: of the present phase.
        error_rate: share of errors that the contract tolerates (0..1).
        p99_ms: latency that one request in a hundred may exceed; None: not guarded.
    """
    candidate, production = evidence.candidate, evidence.production
    if candidate.longest_run >= RUN_LIMIT:
        return Harm(guard="breaker", words=f"{candidate.longest_run} errors in a row")
    if candidate.requests >= HALF_OF and candidate.errors * 2 >= candidate.requests:
        words = f"{candidate.errors} of {candidate.requests} requests failed"
        return Harm(guard="breaker", words=words)
    found = _worse(
        "error_rate", "failed", candidate.errors, production.errors, evidence, error_rate
    )
    if found is None and p99_ms is not None:
        name = f"took over {p99_ms:g} ms"
        found = _worse("p99_ms", name, candidate.slow, production.slow, evidence, SLOW_SHARE)
    return found


def _worse(
    guard: str, verb: str, bad: int, bad_before: int, evidence: Evidence, limit: float
) -> Harm | None:
    """Compare a share with production's; without production, with the limit alone."""
    rows, before = evidence.candidate.requests, evidence.production.requests
    if rows < FIRST_LOOK or bad / rows <= limit:
        return None
    if before == 0:
        low = wilson(bad, rows, 0.999).low
        words = f"{bad} of {rows} requests {verb}; at most {limit:.1%} may"
        return Harm(guard=guard, words=words) if low > limit else None
    look = difference_of_proportions(
        bad_before, before, bad, rows, alpha=ALPHA / GUARDS, side=Side.GREATER
    )
    if look.p_value > ALPHA / GUARDS:
        return None
    words = (
        f"{bad} of {rows} requests {verb} ({bad / rows:.1%}), against {bad_before} of {before} "
        f"in production ({bad_before / before:.1%}); always-valid p = {look.p_value:.2g}"
    )
    return Harm(guard=guard, words=words)


def find_mismatch(evidence: Evidence, share: float) -> str | None:
    """Return in words that keys were not drawn as the shares say, or None.

    Then the two groups differ by more than the version, and no comparison of them means anything.
    """
    if evidence.assigned is None or not sum(evidence.assigned):
        return None
    p_value = sample_ratio_mismatch(list(evidence.assigned), [1 - share, share])
    if p_value >= MISMATCH:
        return None
    mine = evidence.assigned[1] / sum(evidence.assigned)
    return f"{mine:.2%} of the keys met the candidate instead of {share:.2%} (p = {p_value:.2g})"


def enough(counts: Counts, rows: int) -> bool:
    """Tell whether a version made so many predictions."""
    return counts.rows >= rows
