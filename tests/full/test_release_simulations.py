"""The guards of a release, looked at every 100 requests: false aborts, and how soon harm is found.

Whole canaries are simulated through the door that the release machine uses, with counts drawn from
the binomial distribution; the bounds are exact binomial ones.
"""

import numpy as np
import pytest
from scipy import stats

from thrive.contract.schema import Guard
from thrive.release.evidence import Agreement, Counts, Evidence
from thrive.release.guards import ALPHA, find_harm

pytestmark = pytest.mark.full

RUNS = 1000
EVERY = 100
GUARD = Guard(error_rate=0.01)
"""The contract's tolerated error rate: the canaries here lie above it, so the test decides."""


def aborted_at(rng, before: float, after: float, *, share: float, longest: int) -> int | None:
    """Return after how many requests of the canary the release ended, None if it never did."""
    bad = bad_before = 0
    stable = round(EVERY * (1 - share) / share)
    for requests in range(EVERY, longest + 1, EVERY):
        bad += int(rng.binomial(EVERY, after))
        bad_before += int(rng.binomial(stable, before))
        evidence = Evidence(
            candidate=Counts(requests=requests, errors=bad),
            production=Counts(requests=stable * requests // EVERY, errors=bad_before),
        )
        if find_harm(evidence, GUARD) is not None:
            return requests
    return None


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_an_equal_canary_is_ended_at_most_as_often_as_promised(share, rate):
    rng = np.random.default_rng(8)
    ended = sum(
        aborted_at(rng, rate, rate, share=share, longest=10_000) is not None for _ in range(RUNS)
    )
    assert ended <= stats.binom.ppf(0.99, RUNS, ALPHA), ended


def test_a_doubled_error_rate_of_two_percent_is_found_within_600_requests():
    rng = np.random.default_rng(9)
    found = [aborted_at(rng, 0.02, 0.04, share=0.1, longest=20_000) for _ in range(RUNS)]
    assert None not in found
    assert np.median(found) <= 600, np.median(found)


def test_ten_times_the_errors_are_found_at_the_first_looks():
    rng = np.random.default_rng(10)
    found = [aborted_at(rng, 0.02, 0.2, share=0.1, longest=5_000) for _ in range(200)]
    assert None not in found
    assert np.median(found) <= 200, np.median(found)


def ended_at(rng, guard, draw, longest) -> int | None:
    """Return after how many requests a release ended; `draw` adds the evidence of 100 more."""
    total = np.zeros(2)
    for requests in range(EVERY, longest + 1, EVERY):
        total += draw(rng)
        mine, theirs = int(total[0]), int(total[1])
        evidence = Evidence(
            candidate=Counts(requests=requests, errors=mine, nan=mine),
            production=Counts(requests=9 * requests, errors=theirs, nan=theirs),
        )
        if find_harm(evidence, guard) is not None:
            return requests
    return None


def test_answers_of_nan_are_found_and_equal_ones_end_a_release_as_rarely_as_promised():
    """Every NaN is an error as well: both guards look at the same events."""
    guard = Guard(error_rate=0.005)
    rng = np.random.default_rng(11)

    def equal(rng):
        return rng.binomial([EVERY, 9 * EVERY], 0.01)

    ended = sum(ended_at(rng, guard, equal, 10_000) is not None for _ in range(RUNS))
    assert ended <= stats.binom.ppf(0.99, RUNS, ALPHA), ended

    def more(rng):
        return rng.binomial([EVERY, 9 * EVERY], [0.03, 0.001])

    found = [ended_at(rng, guard, more, 5_000) for _ in range(200)]
    assert None not in found
    assert np.median(found) <= 300, np.median(found)


def otherwise_at(rng, rate, rows, longest) -> int | None:
    """Return after how many requests of some rows each a shadow that decides otherwise ended."""
    guard = Guard(disagreement=0.05)
    otherwise = 0.0
    for requests in range(EVERY, longest + 1, EVERY):
        otherwise += float(rng.binomial(rows, rate, EVERY).sum()) / rows
        share = otherwise / requests
        found = Agreement(
            rows=rows * requests,
            other_decisions=share,
            requests=requests,
            requests_otherwise=otherwise,
        )
        evidence = Evidence(candidate=Counts(requests=requests, rows=requests), agreement=found)
        if find_harm(evidence, guard) is not None:
            return requests
    return None


@pytest.mark.parametrize("rows", [1, 7])
def test_decisions_at_the_limit_end_a_release_rarely_and_twice_as_many_soon(rows):
    rng = np.random.default_rng(12)
    ended = sum(otherwise_at(rng, 0.05, rows, 10_000) is not None for _ in range(RUNS))
    assert ended <= stats.binom.ppf(0.99, RUNS, ALPHA), ended
    found = [otherwise_at(rng, 0.10, rows, 20_000) for _ in range(200)]
    assert None not in found
    assert np.median(found) <= 600, np.median(found)
