"""Corrections for many tests: adjusted p-values, to be compared with the level itself."""

import numpy as np
from numpy.typing import ArrayLike

from thrive.domain.errors import UsageError
from thrive.statistics.arrays import Floats, floats


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
