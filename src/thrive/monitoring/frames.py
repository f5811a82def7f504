"""A window's predictions in the shape of a reference table."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from thrive.domain.model import LABEL, SCORE, TIME

if TYPE_CHECKING:
    import polars as pl

DECISION = "_decision"
"""Reserved column of rows whose answer is a class: the class that was chosen."""
_FIXED = {"score": SCORE, "outcome": LABEL, "time": TIME, "decision": DECISION}
NUMERIC, CATEGORY, TEXT, VECTOR = "numeric", "category", "text", "vector"
"""The kinds of inputs: of a text its length is watched, of a vector (an embedding) its norm."""


def natural(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Rename inputs and keys to their own names, and score, outcome and time to the reserved."""
    import polars as pl

    names = dict(_FIXED)
    for prefix in ("x.", "k."):
        for column in frame.columns:
            if column.startswith(prefix) and column[2:] not in names.values():
                names[column] = column[2:]
    fixed = [column for column in ("variant", "error", "latency_us") if column in frame.columns]
    return frame.select(
        *fixed, *(pl.col(old).alias(new) for old, new in names.items() if old in frame.columns)
    )


def inputs_of(
    reference: "pl.DataFrame", names: Collection[str], texts: Collection[str] = ()
) -> dict[str, str]:
    """Return the inputs of a reference table with their kind; times and structs are left out.

    Args:
        reference: the table.
        names: the columns that are inputs; empty for all but the reserved.
        texts: those that hold words to read, not names of categories.
    """
    kinds: dict[str, str] = {}
    for name, dtype in reference.schema.items():
        reserved = name in {LABEL, SCORE, TIME, DECISION} or bool(names and name not in names)
        kind = None if reserved else _kind(dtype)
        if kind is not None:
            kinds[name] = TEXT if kind == CATEGORY and name in texts else kind
    return kinds


def _kind(dtype: "pl.DataType") -> str | None:
    import polars as pl

    if isinstance(dtype, pl.List | pl.Array):
        inner = dtype.inner
        return VECTOR if isinstance(inner, pl.DataType) and inner.is_numeric() else None
    if dtype.is_temporal() or dtype.is_nested():
        return None
    return NUMERIC if dtype.is_numeric() or dtype == pl.Boolean else CATEGORY


def answered(reference: "pl.DataFrame", classes: Sequence[str]) -> "pl.DataFrame":
    """Return a reference whose answers are as the log has them.

    Shares of classes become the largest share and the class it belongs to; a bare class becomes a
    decision without a score.

    Args:
        reference: with `_score`: a number, a list of shares, or a class.
        classes: the class of each share, in their order.
    """
    import polars as pl

    score = pl.col(SCORE)
    kind = reference.schema[SCORE]
    if kind.is_nested():
        shares = score.cast(pl.List(pl.Float64))
        places = [str(name) for name in classes]
        best = pl.lit(pl.Series(places, dtype=pl.String)).gather(shares.list.arg_max())
        return reference.with_columns(best.alias(DECISION), shares.list.max().alias(SCORE))
    if kind.is_numeric():
        return reference
    return reference.with_columns(
        score.cast(pl.String).alias(DECISION), pl.lit(None, pl.Float64).alias(SCORE)
    )


def numbers(frame: "pl.DataFrame", name: str) -> Any:
    """Return a column as float64 with NaN; an absent column, or a text in it, is missing."""
    import numpy as np
    import polars as pl

    if name not in frame.columns:
        return np.full(frame.height, np.nan)
    return frame[name].cast(pl.Float64, strict=False).to_numpy()


def measured(frame: "pl.DataFrame", name: str, kind: str) -> Any:
    """Return what is watched of an input that is no category, as float64 with NaN.

    Numbers as they are, texts by their characters, vectors by their Euclidean norm.
    """
    import numpy as np
    import polars as pl

    if kind == NUMERIC or name not in frame.columns:
        return numbers(frame, name)
    column = frame[name]
    if kind == TEXT:
        lengths = column.cast(pl.String).str.len_chars()
        return lengths.cast(pl.Float64).to_numpy().astype(np.float64)
    if column.dtype == pl.String:
        column = column.str.json_decode(pl.List(pl.Float64))
    elif isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    squares = column.cast(pl.List(pl.Float64)).list.eval(pl.element() ** 2).list.sum()
    known = squares.set(column.is_null(), None)
    return known.sqrt().to_numpy().astype(np.float64)


def value_counts(frame: "pl.DataFrame", name: str) -> dict[Any, int]:
    """Return how often each text stands in a column; an absent column is missing in every row."""
    import polars as pl

    if name not in frame.columns:
        return {None: frame.height}
    counted = frame.select(pl.col(name).cast(pl.String)).group_by(name).len("_rows")
    return dict(zip(counted[name].to_list(), counted["_rows"].to_list(), strict=True))


def truth(labels: "pl.Series", positive: object) -> Any:
    """Return labels of two classes as booleans; rows without a label must be gone already."""
    import polars as pl

    if labels.dtype == pl.String:
        return (labels == str(positive)).to_numpy()
    number = labels.cast(pl.Float64)
    if isinstance(positive, int | float):
        return (number == float(positive)).to_numpy()
    return (number > 0.5).to_numpy()
