"""The as-of join of tables larger than memory: in DuckDB, over files, spilling where it must."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thrive.domain.errors import InfrastructureError, UsageError
from thrive.domain.features import ValueStatus
from thrive.features.rows import AT, KNOWN, RECORDED, ROW, STATUS, TIME, NormalRows

MEMORY = "384MB"
"""What DuckDB may hold before it writes to its temporary folder."""


def join_streamed(
    entities: Any, names: list[str], views: Sequence[NormalRows], folder: Path, *, status: bool
) -> Path:
    """Write the rows of `entities`, in their order, with the columns of all views; return the file.

    Args:
        entities: a lazy frame of the rows with their place `_row` and their moment `_time`.
        names: the columns of it that are kept.
        views: the views' rows.
        folder: for the file and all intermediate ones.
        status: add `VIEW_status` for each view.

    Raises:
        UsageError: the keys of both sides have no common type.
        InfrastructureError: the disk is full.
    """
    entities.sink_parquet(folder / "entities.parquet", compression="lz4")
    for number, view in enumerate(views):
        view.frame.sink_parquet(folder / f"view-{number}.parquet", compression="lz4")
    out = folder / "rows.parquet"
    with open_scratch(folder) as connection:
        prepared = [_eligible(connection, view, n, folder) for n, view in enumerate(views)]
        query = _query(names, views, prepared, folder, status=status)
        connection.execute(f"copy ({query}) to {quoted(out)} (format parquet, compression lz4)")
    return out


@contextmanager
def open_scratch(folder: Path) -> Generator[Any]:
    """Give a DuckDB connection that holds little in memory and spills into a folder.

    Raises:
        UsageError: values cannot be compared.
        InfrastructureError: the disk is full.
    """
    import duckdb

    try:
        with duckdb.connect() as connection:
            for word in (
                f"set memory_limit = '{MEMORY}'",
                f"set temp_directory = {quoted(folder / 'spill')}",
                "set preserve_insertion_order = false",
            ):
                connection.execute(word)
            yield connection
    except duckdb.ConversionException as error:
        raise UsageError(f"The keys do not match: {error}.", "give both sides one type") from None
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise InfrastructureError(f"The join stopped: {error}.", "make room in .thrive") from None


def _eligible(connection: Any, view: NormalRows, number: int, folder: Path) -> str:
    """Return a query of a view's rows of which, at any moment, the last known one is the right one.

    Of rows with the same key and times the last stands. Where rows say when they were recorded, a
    row that became known after a newer one was known is never the newest, and is left out.
    """
    file = f"read_parquet({quoted(folder / f'view-{number}.parquet')})"
    keys = ", ".join(quoted_name(key.name) for key in view.keys)
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
    chosen = [f"s.{quoted_name(name)}" for name in names]
    joins: list[str] = []
    for number, (view, rows) in enumerate(zip(views, prepared, strict=True)):
        side = f"v{number}"
        fresh = _fresh(view, side)
        chosen += [
            f"case when {fresh} then {side}.{name} end as {name}"
            for name in (quoted_name(column.name) for column in view.columns)
        ]
        if status:
            chosen.append(_status(view, side, fresh))
        same = " and ".join(
            f"s.{quoted_name(key.name)} = {side}.{quoted_name(key.name)}" for key in view.keys
        )
        later = f" and s.{TIME} >= {side}.{KNOWN}" if view.timed else ""
        kind = "asof left join" if view.timed else "left join"
        joins.append(f"{kind} ({rows}) {side} on {same}{later}")
    file = f"read_parquet({quoted(folder / 'entities.parquet')})"
    return f"select {', '.join(chosen)} from {file} s {' '.join(joins)} order by s.{ROW}"


def _fresh(view: NormalRows, side: str) -> str:
    ttl = view.definition.ttl
    return f"s.{TIME} - {side}.{AT} <= {ttl}" if ttl else "true"


def _status(view: NormalRows, side: str, fresh: str) -> str:
    words = (
        f"case when {side}.{ROW} is null then '{ValueStatus.MISSING}' "
        f"when {fresh} then '{ValueStatus.PRESENT}' else '{ValueStatus.STALE}' end"
    )
    return f"{words} as {quoted_name(view.definition.name + STATUS)}"


def quoted_name(name: str) -> str:
    """Return a column's name as SQL takes it."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def quoted(path: Path) -> str:
    """Return a path as SQL takes it."""
    escaped = str(path).replace("'", "''")
    return f"'{escaped}'"
