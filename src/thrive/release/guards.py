"""What ends a release at once: a candidate that fails, is slow, or decides otherwise too often.

Errors, answers of NaN and late answers are compared with production's over the same minutes, other
decisions with the contract's limit. All are tested by always-valid sequential tests, as they are
looked at all the time (a z-test looked at every 100 requests aborts a third of all equal
candidates); a circuit breaker stands before them for failures that need no test.
"""

import msgspec

from thrive.contract.schema import Guard
from thrive.release.evidence import Counts, Evidence
from thrive.statistics.intervals import wilson
from thrive.statistics.sequential import (
    AlwaysValid,
    Side,
    difference_of_proportions,
    sample_ratio_mismatch,
    share_beyond,
)

ALPHA = 0.05
"""Chance that an equal candidate is ended in a phase, shared by the guards in force."""
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


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One guard as it stands: shares of the requests of either side, and what lies between them.

    Attributes:
        guard: its name in the contract.
        words: what is counted, e.g. `failed`.
        production: share of production's requests, None where it answered none.
        candidate: share of the candidate's requests.
        difference: candidate minus production; `low` and `high` bound it at every look.
        margin: the difference that is tolerated at the worst.
    """

    guard: str
    words: str
    production: float | None
    candidate: float
    difference: float | None
    low: float | None
    high: float | None
    margin: float


def readings(evidence: Evidence, guard: Guard) -> list[Reading]:
    """Return how each guard stands; nothing before the candidate was asked."""
    before, rows = evidence.production.requests, evidence.candidate.requests
    made: list[Reading] = []
    for each in _watched(evidence, guard) if rows else []:
        look = _difference(each, evidence, _alpha(guard)) if before else None
        made.append(
            Reading(
                guard=each.guard,
                words=each.verb,
                production=each.before / before if before else None,
                candidate=each.bad / rows,
                difference=look.estimate if look else None,
                low=max(look.low, -1.0) if look else None,
                high=min(look.high, 1.0) if look else None,
                margin=guard.margin,
            )
        )
    return made


def find_harm(evidence: Evidence, guard: Guard) -> Harm | None:
    """Return what a candidate did that ends its release, or None.

    Args:
        evidence: of the present phase.
        guard: what the contract tolerates.
    """
    candidate = evidence.candidate
    if candidate.longest_run >= RUN_LIMIT:
        return Harm(guard="breaker", words=f"{candidate.longest_run} errors in a row")
    if candidate.requests >= HALF_OF and candidate.errors * 2 >= candidate.requests:
        words = f"{candidate.errors} of {candidate.requests} requests failed"
        return Harm(guard="breaker", words=words)
    alpha = _alpha(guard)
    watched = (_worse(each, evidence, alpha) for each in _watched(evidence, guard))
    harm = next(filter(None, watched), None)
    return harm or _otherwise(evidence, guard, alpha)


def find_unproven(evidence: Evidence, guard: Guard) -> str:
    """Return in words what may still be worse than production by the margin, "" for nothing.

    A phase that ends because no harm was seen would end the sooner the less was seen: so the upper
    bound of the harm counts (non-inferiority), which holds at every look.
    """
    alpha = _alpha(guard)
    open_still = [
        f"requests that {each.verb} may be {high:.1%} more than production's, "
        f"{guard.margin:.1%} are tolerated"
        for each in _watched(evidence, guard)
        if each.bounded and (high := _difference(each, evidence, alpha).high) >= guard.margin
    ]
    return "; ".join(open_still)


class _Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A share of requests that is compared with production's.

    Attributes:
        limit: up to here it is no harm beside production.
        alone: up to here it is none where production answers nothing.
        bounded: whether it is to be shown not worse before a phase ends.
    """

    guard: str
    verb: str
    bad: int
    before: int
    limit: float
    alone: float
    bounded: bool = True


def _watched(evidence: Evidence, guard: Guard) -> list[_Watched]:
    candidate, production = evidence.candidate, evidence.production
    errors = _Watched(
        guard="error_rate",
        verb="failed",
        bad=candidate.errors,
        before=production.errors,
        limit=guard.error_rate,
        alone=guard.error_rate,
    )
    nan = _Watched(
        guard="nan",
        verb="were answered NaN",
        bad=candidate.nan,
        before=production.nan,
        limit=0.0,
        alone=guard.error_rate,
        bounded=False,  # they are errors too
    )
    if guard.p99_ms is None:
        return [errors, nan]
    slow = _Watched(
        guard="p99_ms",
        verb=f"took over {guard.p99_ms:g} ms",
        bad=candidate.slow,
        before=production.slow,
        limit=SLOW_SHARE,
        alone=SLOW_SHARE,
    )
    return [errors, nan, slow]


def _alpha(guard: Guard) -> float:
    """Return the share of each guard in force of the chance of a false end."""
    return ALPHA / (2 + (guard.p99_ms is not None) + (guard.disagreement is not None))


def _difference(each: _Watched, evidence: Evidence, alpha: float) -> AlwaysValid:
    return difference_of_proportions(
        each.before,
        evidence.production.requests,
        each.bad,
        evidence.candidate.requests,
        alpha=alpha,
        side=Side.GREATER,
    )


def _worse(each: _Watched, evidence: Evidence, alpha: float) -> Harm | None:
    """Compare a share with production's; without production, with the limit alone."""
    rows, before, bad = evidence.candidate.requests, evidence.production.requests, each.bad
    if rows < FIRST_LOOK or bad / rows <= (each.limit if before else each.alone):
        return None
    if before == 0:
        low = wilson(bad, rows, 0.999).low
        words = f"{bad} of {rows} requests {each.verb}; at most {each.alone:.1%} may"
        return Harm(guard=each.guard, words=words) if low > each.alone else None
    look = _difference(each, evidence, alpha)
    if look.p_value > alpha:
        return None
    words = (
        f"{bad} of {rows} requests {each.verb} ({bad / rows:.1%}), against {each.before} of "
        f"{before} in production ({each.before / before:.1%}); "
        f"always-valid p = {look.p_value:.2g}"
    )
    return Harm(guard=each.guard, words=words)


def _otherwise(evidence: Evidence, guard: Guard, alpha: float) -> Harm | None:
    """Compare how often the candidate decides otherwise than production, on the same rows."""
    found, limit = evidence.agreement, guard.disagreement
    if found is None or limit is None or not 0.0 < limit < 1.0 or found.requests < FIRST_LOOK:
        return None
    p_value = share_beyond(found.requests_otherwise, found.requests, limit)
    if p_value > alpha:
        return None
    share = found.requests_otherwise / found.requests
    words = (
        f"{share:.1%} of the rows of {found.requests} requests are decided otherwise than in "
        f"production, {limit:.1%} may; always-valid p = {p_value:.2g}"
    )
    return Harm(guard="disagreement", words=words)


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
