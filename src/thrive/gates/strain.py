"""Odd rows that a signature allows: does a model still answer? Runs inside a gate worker."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from thrive.domain.errors import UsageError
from thrive.packaging.formats.predictor import Predictor
from thrive.packaging.signature import Columns, Field, FieldKind, Signature

ROWS = 64
UNSEEN = "a value never seen"
BEYOND = 10.0
"""How many widths of the training range a strained number lies outside it."""
TOLERANCE = 1e-9


class Strained(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one kind of odd rows in one field; `failure` is empty when it was answered."""

    kind: str
    field: str
    failure: str = ""
    refused: bool = False


def strained(predictor: Predictor, columns: Columns) -> list[dict[str, Any]]:
    """Return, as plain values, a `Strained` for each odd kind of rows.

    Args:
        predictor: the loaded model.
        columns: rows it answers; the first `ROWS` are strained.
    """
    few = {name: column[:ROWS] for name, column in columns.items()}
    found = [
        _tried(predictor, kind, field, odd)
        for kind, field, odd in _odd_rows(predictor.signature, few)
    ]
    found.append(_reordered(predictor, few))
    return [msgspec.to_builtins(one) for one in found]


def _odd_rows(signature: Signature, few: Columns) -> Iterator[tuple[str, str, Columns]]:
    for field in signature.inputs:
        if field.nullable:
            yield "missing values", field.name, {**few, field.name: _missing(field, few)}
        if field.strict:
            continue
        if field.kind is FieldKind.CATEGORY:
            odd = np.full(len(few[field.name]), UNSEEN, dtype=object)
            yield "unseen categories", field.name, {**few, field.name: odd}
        if field.kind in {FieldKind.NUMBER, FieldKind.INTEGER}:
            for value in _outside(field):
                odd = np.full(len(few[field.name]), value)
                yield "out-of-range numbers", field.name, {**few, field.name: odd}


def _missing(field: Field, few: Columns) -> Any:
    rows = len(few[field.name])
    if field.kind in {FieldKind.CATEGORY, FieldKind.TEXT}:
        return np.full(rows, None, dtype=object)
    if field.kind is FieldKind.TIME:
        return np.full(rows, np.datetime64("NaT"), dtype="datetime64[us]")
    return np.full(rows, math.nan)


def _outside(field: Field) -> tuple[float, float]:
    low = field.low if field.low is not None else 0.0
    high = field.high if field.high is not None else 1.0
    width = (high - low) or max(1.0, abs(high))
    return low - BEYOND * width, high + BEYOND * width


def _tried(predictor: Predictor, kind: str, field: str, odd: Columns) -> Strained:
    try:
        answer = np.asarray(predictor.predict(odd), dtype=np.float64)
    except UsageError as error:
        return Strained(kind=kind, field=field, failure=error.what, refused=True)
    except Exception as error:  # noqa: BLE001 - a crash is what is looked for
        failure = f"{type(error).__name__}: {str(error)[:200]}"
        return Strained(kind=kind, field=field, failure=failure)
    if not np.all(np.isfinite(answer)):
        return Strained(kind=kind, field=field, failure="answers NaN or infinity")
    return Strained(kind=kind, field=field)


def _reordered(predictor: Predictor, few: Columns) -> Strained:
    kind = "column order"
    turned = {name: few[name] for name in reversed(list(few))}
    try:
        expected = np.asarray(predictor.predict(few), dtype=np.float64)
        found = np.asarray(predictor.predict(turned), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - a crash is what is looked for
        return Strained(kind=kind, field="", failure=f"{type(error).__name__}: {str(error)[:200]}")
    same = np.allclose(found, expected, rtol=0.0, atol=TOLERANCE)
    failure = "" if same else "answers otherwise when the columns come in another order"
    return Strained(kind=kind, field="", failure=failure)
