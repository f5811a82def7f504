"""Corrections for many tests: adjusted p-values, to be compared with the level itself."""

import numpy as np
from numpy.typing import ArrayLike

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import Floats, floats
from thrive.statistics.distributions import normal_quantile

DRAWS, SEED = 20_000, 20130
_BLOCK = 16_384
_SMALLEST = 1e-15


def _checked(p_values: ArrayLike) -> Floats:
    p = floats(p_values, "p_values")
    if np.any(~((p >= 0.0) & (p <= 1.0))):
        raise UsageError(
            "some p-values are not between 0 and 1", "leave out tests without a result"
        )
    return p


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values (Holm 1979): controls the chance of any false alarm.

    Args:
        p_values: one a test, in any order; the answer keeps it.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Benjamini-Hochberg adjusted p-values (1995): controls the share of false alarms among alarms.

    Args:
        p_values: one a test, in any order; the answer keeps it.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty_like(p)
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled))
    return adjusted


def max_t(p_values: ArrayLike, influence: Floats) -> Floats:
    """Step-down max-T adjusted p-values of tests that are correlated (Westfall and Young 1993).

    What is compared with each statistic is the largest of correlated normals, drawn from the
    correlation that the tests' influences have (the multiplier bootstrap of Chernozhukov et al.
    2013, drawn at once); tests on the same rows are paid for once, and tests on rows of their own
    as by Sidak. The same input gives the same bytes.

    Args:
        p_values: one-sided, one a test, in any order; the answer keeps it.
        influence: units x tests: how much each unit moves each test's estimate, upwards where the
            test's evidence falls; zero where it takes no part.
    """
    p = _checked(p_values)
    tests = len(p)
    z = np.array([normal_quantile(1.0 - min(max(each, _SMALLEST), 1 - _SMALLEST)) for each in p])
    order = np.argsort(-z, kind="stable")
    rng = np.random.Generator(np.random.SFC64(SEED))
    drawn = rng.normal(size=(DRAWS, tests)) @ _root(_correlation(influence)).T
    largest = np.maximum.accumulate(drawn[:, order][:, ::-1], axis=1)[:, ::-1]
    beyond = (np.sum(largest >= z[order], axis=0) + 1) / (DRAWS + 1)
    adjusted = np.empty(tests)
    adjusted[order] = np.maximum.accumulate(beyond)
    return np.maximum(adjusted, p)


def _correlation(influence: Floats) -> Floats:
    tests = influence.shape[1]
    covariance = np.zeros((tests, tests))
    for start in range(0, len(influence), _BLOCK):
        block = influence[start : start + _BLOCK]
        covariance += block.T @ block
    spread = np.sqrt(np.diag(covariance))
    known = spread > 0.0
    scale = np.where(known, spread, 1.0)
    correlation: Floats = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _root(correlation: Floats) -> Floats:
    """Return a square root of a correlation that may be singular."""
    values, vectors = np.linalg.eigh(correlation)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root
