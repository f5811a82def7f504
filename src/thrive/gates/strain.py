"""Odd rows that a signature allows: does a model still answer? Runs inside a gate worker."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UsageError
from thrive.packaging.formats.predictor import Predictor
from thrive.packaging.rows import RowReader
from thrive.packaging.signature import NUMERIC, Columns, Field, FieldKind, Signature

ROWS = 64
UNSEEN = "a value never seen"
WRONG_TYPE, ROW_ORDER = "wrong types", "row order"
FEW, NOISY_ROWS, NOISE, NOISE_SEED = 4, 2000, 0.01, 20130
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
    found += [_reordered(predictor, few), _shuffled(predictor, few)]
    found += [_mistyped(predictor, field, few) for field in predictor.signature.inputs]
    return [msgspec.to_builtins(one) for one in found]


def _mistyped(predictor: Predictor, field: Field, few: Columns) -> Strained:
    """Send rows with a value of another type in one field, as a caller would.

    They are read by the signature first, as serving reads them: what it refuses with a message
    never reaches the model; what it lets through (an empty text) must be answered.
    """
    wrong: Any = "ten" if field.kind in NUMERIC else "" if field.kind is FieldKind.TEXT else [1]
    sent = {name: _as_sent(column[:FEW]) for name, column in few.items()}
    sent[field.name] = [wrong] * len(sent[field.name])
    try:
        columns = RowReader(predictor.signature).read(sent)
    except UsageError as error:
        return Strained(kind=WRONG_TYPE, field=field.name, failure=error.what, refused=True)
    return _tried(predictor, WRONG_TYPE, field.name, columns)


def _as_sent(column: NDArray[Any]) -> list[Any]:
    if column.dtype.kind == "M":
        return np.datetime_as_string(column, timezone="UTC").tolist()
    return [None if value != value else value for value in column.tolist()]  # noqa: PLR0124 - NaN


def sensitivity(predictor: Predictor, columns: Columns) -> dict[str, Any]:
    """Return how far answers move when each number is shaken by a hundredth of its spread.

    The shaking is the same in every run: its noise is drawn from a fixed seed.
    """
    few = {name: column[:NOISY_ROWS] for name, column in columns.items()}
    rng = np.random.Generator(np.random.SFC64(NOISE_SEED))
    shaken = dict(few)
    for field in predictor.signature.inputs:
        column = few[field.name]
        if field.kind is FieldKind.NUMBER and len(column) > 1:
            spread = float(np.nanstd(column)) * NOISE
            shaken[field.name] = column + spread * rng.normal(size=len(column))
    before = np.asarray(predictor.predict(few), dtype=np.float64)
    after = np.asarray(predictor.predict(shaken), dtype=np.float64)
    moved = np.abs(after - before)
    spread = float(before.std()) or 1.0
    return {
        "rows": len(before),
        "median": float(np.median(moved)),
        "largest": float(moved.max()),
        "largest_in_spreads": float(moved.max()) / spread,
    }


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


def _shuffled(predictor: Predictor, few: Columns) -> Strained:
    """Answer the same rows in another order: an answer must not depend on its neighbours."""
    rows = len(next(iter(few.values())))
    order = np.arange(rows)[::-1]
    try:
        expected = np.asarray(predictor.predict(few), dtype=np.float64)
        turned = {name: column[order] for name, column in few.items()}
        found = np.asarray(predictor.predict(turned), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - a crash is what is looked for
        return Strained(kind=ROW_ORDER, field="", failure=f"{type(error).__name__}: {error}"[:200])
    same = np.allclose(found[order], expected, rtol=0.0, atol=TOLERANCE)
    failure = "" if same else "answers a row otherwise beside other rows"
    return Strained(kind=ROW_ORDER, field="", failure=failure)
