"""Signatures from training data, and typed columns from frames; vectorised with polars."""

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UsageError
from thrive.packaging.signature import NUMERIC, Columns, Field, FieldKind, Odd, Output, Signature

if TYPE_CHECKING:
    import polars as pl

MAX_LISTED_CATEGORIES = 1000


def infer_signature(
    frame: "pl.DataFrame",
    output: Output,
    *,
    example_rows: int = 3,
    refused: Collection[str] = (),
    seen: "pl.DataFrame | None" = None,
) -> Signature:
    """Return the signature that the training inputs `frame` show.

    A string column of at most 1000 different values is a category, of more a text. A field is
    nullable if the frame has a missing value (null or NaN) in it.

    Args:
        frame: the inputs only (no target), in the order the model was trained with.
        output: what the model answers.
        example_rows: how many of the first rows to keep as the example.
        refused: what a request must not hold, of `Odd`: categories or numbers beyond those of
            `frame` and `seen`, missing values.
        seen: further rows that the model was shown.

    Raises:
        UsageError: a column has a type that no field kind describes.
    """
    inputs = tuple(_infer_field(frame[name], refused) for name in frame.columns)
    if refused and seen is not None:
        more = infer_signature(seen.select(frame.columns), output, refused=refused).inputs
        inputs = tuple(map(_widened, inputs, more))
    whole = frame.fill_nan(None).drop_nulls() if Odd.MISSING in refused else frame
    return Signature(
        inputs=inputs, output=output, example=tuple(_example(whole.head(example_rows)))
    )


def _widened(field: Field, more: Field) -> Field:
    """Return a field with what further rows show of it as well."""
    bounds = ((min, field.low, more.low), (max, field.high, more.high))
    low, high = (None if a is None or b is None else pick(a, b) for pick, a, b in bounds)
    known = tuple(sorted({*field.categories, *more.categories}))
    categories = known if field.categories and more.categories else ()
    return msgspec.structs.replace(
        field,
        low=low,
        high=high,
        categories=categories,
        nullable=field.nullable or more.nullable,
    )


def _example(frame: "pl.DataFrame") -> list[dict[str, Any]]:
    import polars as pl

    plain = frame.with_columns(
        pl.selectors.float().fill_nan(None),
        pl.selectors.categorical().cast(pl.String),
        pl.selectors.enum().cast(pl.String),
        pl.selectors.temporal().dt.to_string("iso"),
    )
    return plain.to_dicts()


def _infer_field(series: "pl.Series", refused: Collection[str]) -> Field:
    kind = _kind(series)
    odd = {FieldKind.CATEGORY: Odd.UNSEEN} | dict.fromkeys(NUMERIC, Odd.OUTSIDE)
    nullable = Odd.MISSING not in refused and _lacks_some(series)
    low, high = _bounds(series) if kind in NUMERIC else (None, None)
    categories = _categories(series) if kind is FieldKind.CATEGORY else ()
    return Field(
        name=series.name,
        kind=kind,
        nullable=nullable,
        strict=odd.get(kind) in refused,
        categories=categories,
        low=low,
        high=high,
    )


def _lacks_some(series: "pl.Series") -> bool:
    return series.null_count() > 0 or (series.dtype.is_float() and bool(series.is_nan().any()))


def _kind(series: "pl.Series") -> FieldKind:
    import polars as pl

    dtype = series.dtype
    if dtype.is_integer():
        return FieldKind.INTEGER
    if dtype.is_numeric():
        return FieldKind.NUMBER
    if dtype == pl.Boolean:
        return FieldKind.BOOLEAN
    if dtype.base_type() in {pl.Categorical, pl.Enum}:
        return FieldKind.CATEGORY
    if dtype == pl.String:
        few = series.n_unique() <= MAX_LISTED_CATEGORIES
        return FieldKind.CATEGORY if few else FieldKind.TEXT
    if dtype.base_type() in {pl.Date, pl.Datetime}:
        return FieldKind.TIME
    raise UsageError(
        f"Column {series.name!r} has type {dtype}, which is no kind of input.",
        "cast it to numbers, booleans, strings or times before training",
    )


def _bounds(series: "pl.Series") -> tuple[float | None, float | None]:
    import polars as pl

    values = series.cast(pl.Float64).fill_nan(None)
    low, high = values.min(), values.max()
    finite = [float(v) if isinstance(v, float) and math.isfinite(v) else None for v in (low, high)]
    return finite[0], finite[1]


def _categories(series: "pl.Series") -> tuple[str, ...]:
    import polars as pl

    values = series.cast(pl.String).drop_nulls().unique().sort().to_list()
    return tuple(values) if len(values) <= MAX_LISTED_CATEGORIES else ()


def columns_of(signature: Signature, frame: "pl.DataFrame") -> Columns:
    """Return the typed columns of a frame that has the signature's inputs; vectorised.

    Raises:
        UsageError: an input is not a column of the frame.
    """
    missing = [name for name in signature.names if name not in frame.columns]
    if missing:
        raise UsageError(
            f"The frame has no column {missing[0]!r}.", f"it has {', '.join(frame.columns)[:200]}"
        )
    return {field.name: _typed(field, frame[field.name]) for field in signature.inputs}


def _typed(field: Field, series: "pl.Series") -> NDArray[Any]:
    import polars as pl

    if field.kind in NUMERIC:
        return series.cast(pl.Float64).fill_null(math.nan).to_numpy().astype(np.float64)
    if field.kind is FieldKind.TIME:
        return series.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")
    column = np.empty(len(series), dtype=object)
    column[:] = series.cast(pl.String).to_list()
    return column
