"""How a request's columns become the numbers a model was fitted on: data, not code.

Whatever encoders, scalers and imputers a model was trained behind, a fitted one-column
preparation is one of two things: a number (perhaps filled, centred and scaled) or a lookup from
values to numbers. Both are plain data here; `sklearn_reader` derives them from fitted objects.
"""

import math
from collections.abc import Mapping
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel, UsageError

Value = str | float


class Number(msgspec.Struct, frozen=True, kw_only=True, tag="number", omit_defaults=True):
    """A number of the column `source`: missing ones filled, then (x - center) / scale."""

    source: str
    fill: Value | None = None
    center: float = 0.0
    scale: float = 1.0


class Lookup(msgspec.Struct, frozen=True, kw_only=True, tag="lookup", omit_defaults=True):
    """A code for each value of the column `source`; null stands for NaN.

    `other` answers for a value never seen, unless `refuse_other`; `missing` for no value.
    """

    source: str
    values: tuple[Value, ...]
    codes: tuple[float | None, ...]
    other: float | None = None
    missing: float | None = None
    refuse_other: bool = False


Feature = Number | Lookup


def check_features(features: tuple[Feature, ...], names: tuple[str, ...]) -> None:
    """Refuse features that no fitted preparation could have.

    Raises:
        UnsafeModel: a source is no input, a lookup's lengths differ, or a scale is zero.
    """
    for feature in features:
        if feature.source not in names:
            raise UnsafeModel(
                f"The model reads {feature.source[:80]!r}, which is no input of its signature.",
                "pack the model again",
            )
        if isinstance(feature, Lookup):
            fine = len(feature.values) == len(feature.codes) == len(set(feature.values))
        else:
            fine = feature.scale != 0 and not isinstance(feature.fill, str)
        if not fine:
            raise UnsafeModel(
                f"The preparation of {feature.source[:80]!r} contradicts itself.",
                "pack the model again",
            )


def numbers(feature: Number, column: NDArray[Any]) -> NDArray[np.float64]:
    """Return the prepared numbers of a column of shape (n,)."""
    values = np.asarray(column, dtype=np.float64)
    if isinstance(feature.fill, float):
        values = np.where(np.isnan(values), feature.fill, values)
    if feature.center != 0.0 or feature.scale != 1.0:
        values = (values - feature.center) / feature.scale
    return values


class Vocabulary:
    """All values that the lookups of one source column know, as row numbers.

    Rows 0..size-1 are the values, row `other` a value never seen, row `missing` no value.
    """

    def __init__(self, lookups: list[Lookup]) -> None:
        self.source = lookups[0].source
        self.values: list[Value] = list(
            dict.fromkeys(value for lookup in lookups for value in lookup.values)
        )
        self.refuse_other = any(lookup.refuse_other for lookup in lookups)
        self.other = len(self.values)
        self.missing = self.other + 1
        self._rows: dict[Any, int] = {value: row for row, value in enumerate(self.values)}
        self._rows[None] = self.missing

    def codes(self, lookup: Lookup) -> NDArray[np.float64]:
        """Return the code of each row under one of the lookups, shape (values + 2,)."""
        known = dict(zip(lookup.values, lookup.codes, strict=True))
        listed = [known.get(value, lookup.other) for value in self.values]
        return np.array([*listed, lookup.other, lookup.missing], dtype=np.float64)

    def row(self, value: Any) -> int:
        """Return the row number of one value."""
        row = self._rows.get(value, self.other)
        if row == self.other:
            if value != value:  # noqa: PLR0124 - NaN is the value that differs from itself
                return self.missing
            if self.refuse_other:
                self._refuse(value)
        return row

    def rows(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the row numbers of a column of shape (n,)."""
        found = np.fromiter(
            map(self._rows.get, column.tolist(), repeat(self.other)), np.intp, len(column)
        )
        strange = np.flatnonzero(found == self.other)
        if len(strange):
            values = column[strange]
            absent = values != values  # noqa: PLR0124 - NaN is what differs from itself
            found[strange[absent]] = self.missing
            if self.refuse_other and not absent.all():
                self._refuse(values[~absent][0])
        return found

    def _refuse(self, value: Any) -> None:
        raise UsageError(
            f"{str(value)[:80]!r} is no value of {self.source!r} that the model knows.",
            "train with an encoder that accepts unknown values, or send a known one",
        )


def vocabularies(features: tuple[Feature, ...]) -> dict[str, Vocabulary]:
    """Return one vocabulary for each source column that lookups read."""
    grouped: dict[str, list[Lookup]] = {}
    for feature in features:
        if isinstance(feature, Lookup):
            grouped.setdefault(feature.source, []).append(feature)
    return {source: Vocabulary(lookups) for source, lookups in grouped.items()}


def length(columns: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of rows of the columns."""
    return len(next(iter(columns.values())))


def code(value: float) -> float | None:
    """Return a code as it is stored: null for NaN."""
    return None if math.isnan(value) else float(value)
