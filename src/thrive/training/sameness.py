"""Whether two values are the same: bit by bit, within a tolerance, or not.

Content is compared, not pickles, which carry the order in which things were met: arrays and
tables by their bytes and numbers, containers member by member, objects by their state.
"""

import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

DEEPEST = 60
"""Levels of containers that are looked into; what lies deeper is compared as a pickle."""


class Sameness(msgspec.Struct):
    """How far two values are the same.

    Attributes:
        exact: every bit is equal.
        within: numbers differ by no more than the tolerance, all else is equal.
        largest: the largest difference of two numbers, relative to the larger of 1 and theirs.
        place: where the first difference lies, in words.
    """

    exact: bool = True
    within: bool = True
    largest: float = 0.0
    place: str = ""


def compare(first: Any, second: Any, tolerance: float) -> Sameness:
    """Return how far two values are the same.

    Args:
        first: any value that an artifact holds.
        second: another one.
        tolerance: the relative difference of numbers that still counts as equal.
    """
    comparison = _Comparison(tolerance)
    comparison.values(first, second, "", 0)
    return comparison.found


class _Comparison:
    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._pairs: dict[tuple[int, int], Any] = {}  # holds both, so that no id is used twice
        self.found = Sameness()

    def values(self, first: Any, second: Any, place: str, depth: int) -> None:
        """Compare one pair of values."""
        if not self.found.within or first is second or (id(first), id(second)) in self._pairs:
            return
        if type(first) is not type(second):
            self._differ(place, f"{type(first).__name__} and {type(second).__name__}")
        elif isinstance(first, float | complex):
            self._number(first, second, place)
        elif first is None or isinstance(first, bool | int | str | bytes):
            if first != second:
                self._differ(place, f"{first!r:.40} and {second!r:.40}")
        else:
            self._pairs[id(first), id(second)] = first, second
            self._compound(first, second, place, depth)

    def _compound(self, first: Any, second: Any, place: str, depth: int) -> None:
        arrays = _arrays(first), _arrays(second)
        if arrays[0] is not None and arrays[1] is not None:
            self._tables(arrays[0], arrays[1], place)
            return
        one, other = (_members(first), _members(second)) if depth < DEEPEST else (None, None)
        if one is None or other is None:
            if not _same_pickle(first, second):
                self._differ(place, f"two {type(first).__name__} that differ")
        elif list(one) != list(other):
            self._differ(place, f"members {list(one)!r:.60} and {list(other)!r:.60}")
        else:
            for name in one:
                self.values(one[name], other[name], f"{place}{_step(name)}", depth + 1)

    def _tables(self, first: Mapping[str, Any], second: Mapping[str, Any], place: str) -> None:
        if list(first) != list(second):
            self._differ(place, f"columns {list(first)!r:.60} and {list(second)!r:.60}")
            return
        for name in first:
            self._array(first[name], second[name], f"{place}[{name}]" if name else place)

    def _array(self, first: Any, second: Any, place: str) -> None:
        import numpy as np

        if first.dtype != second.dtype or first.shape != second.shape:
            words = f"{first.dtype}{list(first.shape)} and {second.dtype}{list(second.shape)}"
            self._differ(place, words)
        elif first.dtype == object:
            pairs = zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
            for at, (one, other) in enumerate(pairs):
                self.values(one, other, f"{place}[{at}]", DEEPEST // 2)
        elif first.tobytes() != second.tobytes():
            if first.dtype.kind not in "fc":
                at = int(np.flatnonzero((first != second).ravel())[:1].sum())
                self._differ(f"{place}[{at}]", "another value")
                return
            self._numbers(np.asarray(first), np.asarray(second), place)

    def _numbers(self, first: Any, second: Any, place: str) -> None:
        import numpy as np

        with np.errstate(all="ignore"):
            scale = np.maximum(1.0, np.maximum(np.abs(first), np.abs(second)))
            apart = np.abs(first - second) / scale
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
        self._apart(float(apart.max()), f"{place}[{int(apart.argmax())}]")

    def _number(self, first: Any, second: Any, place: str) -> None:
        if first == second or (first != first and second != second):  # noqa: PLR0124 - NaN
            if repr(first) != repr(second):
                self._apart(0.0, place)  # 0.0 and -0.0
            return
        apart = abs(first - second) / max(1.0, abs(first), abs(second))
        self._apart(math.inf if math.isnan(apart) else apart, place)

    def _apart(self, difference: float, place: str) -> None:
        found = self.found
        found.exact = False
        found.within = found.within and difference <= self._tolerance
        if not found.place or difference > found.largest:
            found.place = f"{place or 'the value'}: numbers differ by {difference:.3g}"
        found.largest = max(found.largest, difference)

    def _differ(self, place: str, words: str) -> None:
        self.found.exact = self.found.within = False
        self.found.largest = math.inf
        self.found.place = f"{place or 'the value'}: {words}"


def _arrays(value: Any) -> dict[str, Any] | None:
    """Return the columns of a table, or an array under an empty name; None for other values."""
    module = type(value).__module__.partition(".")[0]
    name = type(value).__name__
    if module == "numpy" and hasattr(value, "dtype") and hasattr(value, "tobytes"):
        import numpy as np

        return {"": np.asarray(value)}
    if module == "polars" and name == "DataFrame":
        return {str(column): value[column].to_numpy() for column in value.columns}
    if module == "polars" and name == "Series":
        return {"": value.to_numpy()}
    if module == "pandas" and name == "DataFrame":
        return {"index": value.index.to_numpy(), **{str(c): value[c].to_numpy() for c in value}}
    if module == "pandas" and name == "Series":
        return {"index": value.index.to_numpy(), "": value.to_numpy()}
    return None


def _members(value: Any) -> dict[Any, Any] | None:
    """Return the members of a container or the state of an object; None if it shows none."""
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, Sequence):
        return dict(enumerate(value))
    if isinstance(value, set | frozenset):
        return dict(enumerate(sorted(value, key=repr)))
    return dict(_state(value)) or None


def _state(value: Any) -> Iterator[tuple[str, Any]]:
    try:
        reduced = value.__reduce_ex__(5)
    except Exception:  # noqa: BLE001 - whatever refuses to be pickled shows no state
        return
    if isinstance(reduced, str):
        return
    for at, part in enumerate(reduced[:3]):
        if at:
            yield ("state" if at == 2 else "made of"), part


def _step(name: Any) -> str:
    return f".{name}" if isinstance(name, str) and name.isidentifier() else f"[{name!r}]"


def _same_pickle(first: Any, second: Any) -> bool:
    try:
        return pickle.dumps(first, protocol=5) == pickle.dumps(second, protocol=5)
    except Exception:  # noqa: BLE001 - what cannot be compared is not called equal
        return False
