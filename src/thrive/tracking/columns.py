"""Columns of the run index: numbers and texts of many runs, one place a run."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrive.tracking.filters import Comparison, number_test, text_test

MISSING, NOT_A_NUMBER, THERE = 2, 1, 0
"""How values are ordered first, whichever way: numbers, NaN, then what is missing."""
_FIRST = 1024
Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]


def grown(array: NDArray[Any], size: int, fill: float) -> NDArray[Any]:
    """Return an array of at least `size` places, with `fill` in the new ones."""
    if len(array) >= size:
        return array
    longer = np.full(max(size, 2 * len(array), _FIRST), fill, array.dtype)
    longer[: len(array)] = array
    return longer


def _behind(rows: Rows | slice) -> int:
    """Return the place behind the last of some rising ones."""
    return rows.stop if isinstance(rows, slice) else int(rows[-1]) + 1


class Numbers:
    """Numbers by place; those never set are missing."""

    def __init__(self) -> None:
        self.values = np.zeros(0, np.float64)
        self.classes = np.zeros(0, np.int8)

    def fit(self, size: int) -> None:
        """Make room for `size` places."""
        self.values = grown(self.values, size, 0.0)
        self.classes = grown(self.classes, size, MISSING)

    def set(self, row: int, value: float | None) -> None:
        """Set the number at a place; None is NaN."""
        self.fit(row + 1)
        self.values[row] = 0.0 if value is None else value
        self.classes[row] = NOT_A_NUMBER if value is None else THERE

    def fill(self, rows: Rows | slice, values: Sequence[float | None]) -> None:
        """Set the numbers at several rising places; None is NaN."""
        self.fit(_behind(rows))
        numbers = np.array(values, np.float64)
        unknown = np.isnan(numbers)
        self.values[rows] = np.where(unknown, 0.0, numbers)
        self.classes[rows] = np.where(unknown, NOT_A_NUMBER, THERE)

    def clear(self, row: int) -> None:
        """Say that the number at a place is missing."""
        if row < len(self.classes):
            self.values[row] = 0.0
            self.classes[row] = MISSING

    def count(self, rows: Rows) -> int:
        """Return how many of some places hold a number or NaN."""
        if len(rows):
            self.fit(int(rows.max()) + 1)
        return int(np.count_nonzero(self.classes[rows] != MISSING))

    def spread(self, rows: Rows) -> tuple[float, float, float] | None:
        """Return the least, the median and the greatest number at some places; None of none."""
        if len(rows):
            self.fit(int(rows.max()) + 1)
        known = self.values[rows][self.classes[rows] == THERE]
        if not len(known):
            return None
        return float(known.min()), float(np.median(known)), float(known.max())

    def mask(self, condition: Comparison, size: int) -> Mask:
        """Return where a condition holds."""
        self.fit(size)
        there = self.classes[:size] == THERE
        return there & number_test(condition)(self.values[:size])

    def keys(self, rows: Rows, *, descending: bool) -> list[NDArray[Any]]:
        """Return what rows are sorted by, the weightier key first."""
        if len(rows):
            self.fit(int(rows.max()) + 1)
        values = self.values[rows]
        return [self.classes[rows], -values if descending else values]

    def at(self, row: int) -> tuple[int, float]:
        """Return class and value of a place, to go on behind it later."""
        self.fit(row + 1)
        return int(self.classes[row]), float(self.values[row])

    def key_of(self, value: float, *, descending: bool) -> float:
        """Return the key a value has among `keys`."""
        return -value if descending else value


class Texts:
    """Texts by place, each different one held once; those never set are missing."""

    def __init__(self) -> None:
        self.codes = np.zeros(0, np.int32)
        self.vocabulary: list[str] = []
        self._places: dict[str, int] = {}
        self._sorted: list[str] = []
        self._ranks = np.zeros(0, np.int64)

    def fit(self, size: int) -> None:
        """Make room for `size` places."""
        self.codes = grown(self.codes, size, -1)

    def set(self, row: int, text: str) -> None:
        """Set the text at a place."""
        self.fit(row + 1)
        code = self._places.get(text)
        if code is None:
            code = self._places[text] = len(self.vocabulary)
            self.vocabulary.append(text)
        self.codes[row] = code

    def fill(self, rows: Rows | slice, values: Sequence[Any]) -> None:
        """Set the texts at several rising places; what is none is spelled."""
        self.fit(_behind(rows))
        texts = list(map(str, values))
        for text in dict.fromkeys(texts):
            if text not in self._places:
                self._places[text] = len(self.vocabulary)
                self.vocabulary.append(text)
        self.codes[rows] = np.fromiter(map(self._places.__getitem__, texts), np.int32, len(texts))

    def clear(self, row: int) -> None:
        """Say that the text at a place is missing."""
        if row < len(self.codes):
            self.codes[row] = -1

    def equal(self, text: str, size: int) -> Mask:
        """Return where a text stands."""
        self.fit(size)
        return self.codes[:size] == self._places.get(text, -2)

    def among(self, test: Callable[[str], bool], size: int) -> Mask:
        """Return where a text passes a test; it is asked once for each different text."""
        self.fit(size)
        passed = np.fromiter((test(text) for text in self.vocabulary), bool, len(self.vocabulary))
        return np.append(passed, False)[self.codes[:size]]

    def count(self, rows: Rows) -> int:
        """Return how many of some places hold a text."""
        if len(rows):
            self.fit(int(rows.max()) + 1)
        return int(np.count_nonzero(self.codes[rows] >= 0))

    def mask(self, condition: Comparison, size: int) -> Mask:
        """Return where a condition holds."""
        self.fit(size)
        if condition.operator == "IS NULL":
            return self.codes[:size] < 0
        if condition.operator == "=":
            return self.equal(str(condition.value), size)
        return self.among(text_test(condition), size)

    def counted(self, rows: Rows) -> list[tuple[str, int]]:
        """Return the different texts at some places with their number, the most frequent first."""
        if len(rows):
            self.fit(int(rows.max()) + 1)
        codes = self.codes[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.vocabulary))
        found = [(self.vocabulary[code], int(counts[code])) for code in np.flatnonzero(counts)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def groups(self, rows: Rows, most: int) -> list[tuple[str, Rows]]:
        """Return the different texts at some places with their places, the most frequent first.

        Args:
            rows: the places.
            most: how many texts are returned.
        """
        frequent = self.counted(rows)[:most]
        codes = self.codes[rows]
        order = np.argsort(codes, kind="stable")
        among = codes[order]
        found: list[tuple[str, Rows]] = []
        for text, _ in frequent:
            first, last = np.searchsorted(among, [self._places[text], self._places[text] + 1])
            found.append((text, rows[order[first:last]]))
        return found

    def keys(self, rows: Rows, *, descending: bool) -> list[NDArray[Any]]:
        """Return what rows are sorted by, the weightier key first."""
        if len(rows):
            self.fit(int(rows.max()) + 1)
        self._rank()
        codes = self.codes[rows]
        ranks = np.append(self._ranks, 0)[codes]
        return [np.where(codes < 0, MISSING, THERE), -ranks if descending else ranks]

    def at(self, row: int) -> tuple[int, str]:
        """Return class and text of a place, to go on behind it later."""
        self.fit(row + 1)
        code = self.codes[row]
        return (MISSING, "") if code < 0 else (THERE, self.vocabulary[code])

    def key_of(self, text: str, *, descending: bool) -> float:
        """Return the key a text has among `keys`; between two ranks where it is unknown."""
        self._rank()
        rank: float = bisect_left(self._sorted, text)
        if text not in self._places:
            rank -= 0.5
        return -rank if descending else rank

    def _rank(self) -> None:
        if len(self._ranks) == len(self.vocabulary):
            return
        order = sorted(range(len(self.vocabulary)), key=self.vocabulary.__getitem__)
        self._sorted = [self.vocabulary[code] for code in order]
        self._ranks = np.empty(len(order), np.int64)
        self._ranks[order] = np.arange(len(order))
