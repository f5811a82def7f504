"""Signatures from training data, and typed columns from frames; vectorised with polars."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UsageError
from thrive.packaging.signature import NUMERIC, Columns, Field, FieldKind, Output, Signature

if TYPE_CHECKING:
    import polars as pl

MAX_LISTED_CATEGORIES = 1000


def infer_signature(
    frame: "pl.DataFrame", output: Output, *, example_rows: int = 3, strict: bool = False
) -> Signature:
    """Return the signature that the training inputs `frame` show.

    A string column of at most 1000 different values is a category, of more a text. A field is
    nullable if the frame has a missing value (null or NaN) in it.

    Args:
        frame: the inputs only (no target), in the order the model was trained with.
        output: what the model answers.
        example_rows: how many of the first rows to keep as the example.
        strict: whether values outside the seen range or categories are refused.

    Raises:
        UsageError: a column has a type that no field kind describes.
    """
    return Signature(
        inputs=tuple(_infer_field(frame[name], strict) for name in frame.columns),
        output=output,
        example=tuple(_example(frame.head(example_rows))),
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


def _infer_field(series: "pl.Series", strict: bool) -> Field:
    kind = _kind(series)
    nullable = series.null_count() > 0 or (series.dtype.is_float() and bool(series.is_nan().any()))
    low, high = _bounds(series) if kind in NUMERIC else (None, None)
    categories = _categories(series) if kind is FieldKind.CATEGORY else ()
    return Field(
        name=series.name,
        kind=kind,
        nullable=nullable,
        strict=strict,
        categories=categories,
        low=low,
        high=high,
    )


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
