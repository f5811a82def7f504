"""How arrays come in: one-dimensional, of one length, in the type the mathematics needs."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thrive.domain.errors import UsageError

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]


def column(values: ArrayLike, name: str = "values") -> NDArray[Any]:
    """Return values as a one-dimensional array of whatever type they have.

    Raises:
        UsageError: if the values have more than one dimension.
    """
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 1:
        raise UsageError(
            f"{name} has {array.ndim} dimensions, one is needed",
            "pass one number a row, for example column 1 of predict_proba",
        )
    return array


def floats(values: ArrayLike, name: str = "values") -> Floats:
    """Return values as a one-dimensional float64 array (None becomes NaN)."""
    return column(values, name).astype(np.float64, copy=False)


def same_length(**arrays: NDArray[Any]) -> int:
    """Return the common length of the named arrays.

    Raises:
        UsageError: if the lengths differ or the arrays are empty.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise UsageError(
            f"the lengths differ: {lengths}", "pass arrays of the same rows in the same order"
        )
    length = next(iter(lengths.values()))
    if length == 0:
        raise UsageError(f"there are no rows in {', '.join(lengths)}", "pass at least one row")
    return length


def binary(labels: ArrayLike, name: str = "labels") -> Booleans:
    """Return labels of 0 and 1 (or booleans) as booleans.

    Raises:
        UsageError: if another value than 0 and 1 is among them.
    """
    array = column(labels, name)
    if array.dtype == np.bool_:
        return array
    truth: Booleans = array == 1
    if not np.all(truth | (array == 0)):
        raise UsageError(
            f"{name} hold other values than 0 and 1",
            "compare with the positive class first, for example labels == 'late'",
        )
    return truth


def codes(groups: ArrayLike, name: str = "clusters") -> tuple[NDArray[np.int64], int]:
    """Number the distinct values of a column: (a code a row, how many codes)."""
    array = column(groups, name)
    distinct, inverse = np.unique(array, return_inverse=True)
    return inverse.astype(np.int64, copy=False), len(distinct)
