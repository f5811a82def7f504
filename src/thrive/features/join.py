"""Training rows: to each row of a table what its views said at that row's time, and not later.

One as-of join a view, in DuckDB over files: rows in are rows out, in their order, and no table
has to fit into memory. The method is the one of interval joins over sorted runs; what makes it
point-in-time correct is the preparation of the right side, `_eligible`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thrive.domain.errors import InfrastructureError, UsageError
from thrive.domain.features import ValueStatus
from thrive.features.declare import OnDemand
from thrive.features.rows import AT, KNOWN, RECORDED, ROW, NormalRows, microseconds

if TYPE_CHECKING:
    import polars as pl

MEMORY = "512MB"
"""What DuckDB may hold before it writes to its temporary folder."""
STATUS = "_status"
"""Ending of the column that says whether a view's values are present, stale or missing."""
_TIME = "_time"


def join_views(
    entities: "pl.LazyFrame",
    time: str,
    views: Sequence[NormalRows],
    folder: Path,
    *,
    status: bool = False,
) -> "pl.LazyFrame":
    """Return the rows of `entities`, in their order, with the columns of all views.

    Args:
        entities: rows with the entity columns of every view and a time.
        time: the column of the moment at which each row is asked about.
        views: the views' rows.
        folder: an empty folder for intermediate files; the result reads from it.
        status: add `VIEW_status` for each view.

    Raises:
        UsageError: a column is missing, named twice, or of another type than the view's key.
        InfrastructureError: the disk is full.
    """
    import duckdb
    import polars as pl

    schema = entities.collect_schema()
    _check(schema, time, views)
    at = microseconds(pl.col(time), schema[time], time, up=False)
    keyed = entities.with_columns(at.alias(_TIME)).with_row_index(ROW)
    keyed.sink_parquet(folder / "entities.parquet", compression="lz4")
    for number, view in enumerate(views):
        view.frame.sink_parquet(folder / f"view-{number}.parquet", compression="lz4")
    out = folder / "rows.parquet"
    try:
        with duckdb.connect() as connection:
            _configure(connection, folder)
            prepared = [_eligible(connection, view, n, folder) for n, view in enumerate(views)]
            query = _query(schema.names(), views, prepared, folder, status=status)
            connection.execute(f"copy ({query}) to {_text(out)} (format parquet, compression lz4)")
    except duckdb.ConversionException as error:
        raise UsageError(f"The keys do not match: {error}.", "give both sides one type") from None
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise InfrastructureError(f"The join stopped: {error}.", "make room in .thrive") from None
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
    taken = dict.fromkeys(names, "the rows")
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


def _configure(connection: Any, folder: Path) -> None:
    for word in (
        f"set memory_limit = '{MEMORY}'",
        f"set temp_directory = {_text(folder / 'spill')}",
        "set preserve_insertion_order = false",
    ):
        connection.execute(word)


def _eligible(connection: Any, view: NormalRows, number: int, folder: Path) -> str:
    """Return a query of a view's rows of which, at any moment, the last known one is the right one.

    Of rows with the same key and times the last stands. Where rows say when they were recorded, a
    row that became known after a newer one was known is never the newest, and is left out.
    """
    file = f"read_parquet({_text(folder / f'view-{number}.parquet')})"
    keys = ", ".join(_name(key.name) for key in view.keys)
    if not view.timed:
        return (
            f"select * from {file} "
            f"qualify row_number() over (partition by {keys} order by {ROW} desc) = 1"
        )
    if view.revised:
        return _revised(file, keys)
    twice = connection.execute(
        f"select 1 from {file} group by {keys}, {AT} having count(*) > 1 limit 1"
    ).fetchone()
    if twice is None:
        return f"select * from {file}"
    return (
        f"select * from {file} "
        f"qualify row_number() over (partition by {keys}, {AT} order by {ROW} desc) = 1"
    )


def _revised(file: str, keys: str) -> str:
    ranked = (
        f"select *, row_number() over (partition by {keys} order by {AT}, {RECORDED}, {ROW}) "
        f"as _rank from {file}"
    )
    last = (
        f"select * from ({ranked}) "
        f"qualify row_number() over (partition by {keys}, {KNOWN} order by _rank desc) = 1"
    )
    return (
        f"select * from ({last}) "
        f"qualify _rank = max(_rank) over (partition by {keys} order by {KNOWN})"
    )


def _query(
    names: list[str],
    views: Sequence[NormalRows],
    prepared: Sequence[str],
    folder: Path,
    *,
    status: bool,
) -> str:
    chosen = [f"s.{_name(name)}" for name in names]
    joins: list[str] = []
    for number, (view, rows) in enumerate(zip(views, prepared, strict=True)):
        side = f"v{number}"
        fresh = _fresh(view, side)
        chosen += [
            f"case when {fresh} then {side}.{_name(column.name)} end as {_name(column.name)}"
            for column in view.columns
        ]
        if status:
            chosen.append(_status(view, side, fresh))
        same = " and ".join(f"s.{_name(key.name)} = {side}.{_name(key.name)}" for key in view.keys)
        later = f" and s.{_TIME} >= {side}.{KNOWN}" if view.timed else ""
        kind = "asof left join" if view.timed else "left join"
        joins.append(f"{kind} ({rows}) {side} on {same}{later}")
    file = f"read_parquet({_text(folder / 'entities.parquet')})"
    return f"select {', '.join(chosen)} from {file} s {' '.join(joins)} order by s.{ROW}"


def _fresh(view: NormalRows, side: str) -> str:
    ttl = view.definition.ttl
    return f"s.{_TIME} - {side}.{AT} <= {ttl}" if ttl else "true"


def _status(view: NormalRows, side: str, fresh: str) -> str:
    words = (
        f"case when {side}.{ROW} is null then '{ValueStatus.MISSING}' "
        f"when {fresh} then '{ValueStatus.PRESENT}' else '{ValueStatus.STALE}' end"
    )
    return f"{words} as {_name(view.definition.name + STATUS)}"


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


def _name(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _text(path: Path) -> str:
    escaped = str(path).replace("'", "''")
    return f"'{escaped}'"
