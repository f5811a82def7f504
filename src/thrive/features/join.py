"""Training rows: to each row of a table what its views said at that row's time, and not later.

Rows in are rows out, in their order. Tables that fit are joined in memory, larger ones over files;
what makes both point-in-time correct is the preparation of the right side: of a view's rows only
those take part that were, at some moment, the newest known ones.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thrive.domain.errors import UsageError
from thrive.features.declare import OnDemand
from thrive.features.in_memory import join_in_memory
from thrive.features.on_ray import Spreads, join_on_ray
from thrive.features.rows import ROW, STATUS, TIME, NormalRows, microseconds
from thrive.features.streamed import join_streamed

if TYPE_CHECKING:
    import polars as pl

IN_MEMORY = 60_000_000
"""Cells of rows and views together that are joined in memory: about half a GB."""


def join_views(
    entities: "pl.LazyFrame",
    time: str,
    views: Sequence[NormalRows],
    folder: Path,
    *,
    status: bool = False,
    in_memory: bool = True,
    cluster: Spreads | None = None,
) -> "pl.LazyFrame":
    """Return the rows of `entities`, in their order, with the columns of all views.

    Args:
        entities: rows with the entity columns of every view and a time.
        time: the column of the moment at which each row is asked about.
        views: the views' rows.
        folder: an empty folder for intermediate files; the result may read from it.
        status: add `VIEW_status` for each view.
        in_memory: whether all of it fits into memory; both ways give the same rows.
        cluster: where to join instead, in parts; the rows are the same again.

    Raises:
        UsageError: a column is missing, named twice, or of another type than the view's key.
        InfrastructureError: the disk is full, or the cluster is gone.
    """
    import polars as pl

    schema = entities.collect_schema()
    _check(schema, time, views)
    at = microseconds(pl.col(time), schema[time], time, up=False)
    keyed = entities.with_columns(at.alias(TIME))
    if in_memory and cluster is None:
        table = keyed.collect()
        moments = table[TIME].fill_null(np.iinfo(np.int64).min).to_numpy()
        return join_in_memory(table.drop(TIME), moments, views, status=status).lazy()
    placed = keyed.with_row_index(ROW)
    if cluster is None:
        out = join_streamed(placed, schema.names(), views, folder, status=status)
    else:
        out = join_on_ray(placed, schema.names(), views, folder, cluster, status=status)
    return pl.scan_parquet(out).select(
        pl.col(name).cast(dtype) for name, dtype in _result_types(schema, views, status=status)
    )


def add_on_demand(rows: "pl.LazyFrame", functions: Sequence[OnDemand]) -> "pl.LazyFrame":
    """Return the rows with each function's column, in the order given.

    Raises:
        UsageError: a function reads a column that is not there.
    """
    for each in functions:
        names = rows.collect_schema().names()
        missing = [name for name in each.inputs if name not in names]
        if missing:
            raise UsageError(
                f"On-demand feature {each.name!r} reads {missing[0]!r}, which no row has.",
                f"there are {', '.join(names[:20])}",
            )
        rows = rows.with_columns(each.expression())
    return rows


def _check(schema: Any, time: str, views: Sequence[NormalRows]) -> None:
    names = set(schema.names())
    taken = dict.fromkeys(names, "The rows")
    if time not in names:
        raise UsageError(f"The rows have no column {time!r}.", "name the one with their time")
    for view in views:
        called = view.definition.name
        for key in view.keys:
            if key.name not in names:
                raise UsageError(
                    f"View {called!r} is about {key.name!r}, which the rows do not have.",
                    f"the rows have {', '.join(schema.names()[:20])}",
                )
            _check_key(called, key.name, schema[key.name], key.dtype)
        for column in view.columns:
            if column.name in taken:
                raise UsageError(
                    f"{taken[column.name]} and view {called!r} both have {column.name!r}.",
                    "rename one of them",
                )
            taken[column.name] = f"View {called!r}"


def _check_key(view: str, name: str, given: Any, wanted: str) -> None:
    import polars as pl

    texts = ("String", "Categorical", "Enum")
    same = str(given) == wanted or (given.is_integer() and "Int" in wanted)
    both_text = given in (pl.String, pl.Categorical, pl.Enum) and wanted.startswith(texts)
    if not same and not both_text:
        raise UsageError(
            f"{name} is {given} in the rows and {wanted} in view {view!r}.",
            f"cast it: pl.col({name!r}).cast(pl.{wanted.partition('(')[0]})",
        )


def _result_types(
    schema: Any, views: Sequence[NormalRows], *, status: bool
) -> list[tuple[str, Any]]:
    """Return the columns as they came in: Parquet by way of DuckDB widens some types."""
    import polars as pl

    types = list(schema.items())
    for view in views:
        given = view.frame.collect_schema()
        types += [(column.name, given[column.name]) for column in view.columns]
        if status:
            types.append((view.definition.name + STATUS, pl.String()))
    return types
