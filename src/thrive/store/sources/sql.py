"""The rows of a query as Parquet: read-only, streamed, never whole in memory."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from thrive.domain.errors import NotFound, StoreUnavailable, UsageError
from thrive.store import postgresql
from thrive.store.sources.slices import write_rows

if TYPE_CHECKING:
    import polars as pl

CHUNK = 100_000
"""Rows that are held at a time."""
_KEPT = (bool, int, float, str, bytes, Decimal, date, datetime, time, timedelta)
_HINT = "THRIVE_CONNECTIONS='warehouse=postgresql://user@host/db lake=sqlite:///data/lake.db'"


def address_of(name: str, connections: Mapping[str, str], base: Path) -> str:
    """Return the address of a connection; the path of a SQLite file starts at `base`.

    Raises:
        NotFound: the settings name no such connection.
        UsageError: it is neither SQLite nor PostgreSQL.
    """
    address = connections.get(name)
    if address is None:
        known = f"; there are {', '.join(sorted(connections))}" if connections else ""
        raise NotFound(f"There is no connection {name!r} in the settings{known}.", _HINT)
    if address.startswith("sqlite:///"):
        path = (base / address.removeprefix("sqlite:///")).resolve()
        if not path.is_file():
            raise NotFound(f"The connection {name!r} names no file: {path}.", _HINT)
        return f"sqlite:///file:{path}?mode=ro&uri=true"
    if address.startswith("postgres"):
        return postgresql.normal_address(address)
    raise UsageError(f"The connection {name!r} is neither SQLite nor PostgreSQL.", _HINT)


def read(address: str, query: str, folder: Path) -> Path:
    """Write the rows of a query as Parquet; return the file, or the folder of files in order.

    Args:
        address: from `address_of`.
        query: one SELECT; give it an ORDER BY, so that the same rows are the same content.
        folder: where to; empty.

    Raises:
        UsageError: the database does not understand the query, or refuses it.
        StoreUnavailable: it does not answer.
    """
    try:
        engine = sa.create_engine(address, poolclass=sa.NullPool)
    except ModuleNotFoundError:
        raise UsageError(
            "The PostgreSQL driver is not installed.", 'pip install "thrive[postgresql]"'
        ) from None
    try:
        with engine.connect() as connection:
            _make_read_only(connection)
            streamed = connection.execution_options(stream_results=True, max_row_buffer=CHUNK)
            return _write(streamed.execute(_text(query)), folder)
    except DBAPIError as error:
        raise _translated(error) from None
    finally:
        engine.dispose()


def _text(query: str) -> sa.TextClause:
    """Return the query with its colons escaped: it takes no parameters."""
    return sa.text(query.strip().rstrip(";").replace(":", r"\:"))


def _make_read_only(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")


def _translated(error: DBAPIError) -> UsageError | StoreUnavailable:
    first = str(error.orig).strip().split("\n", 1)[0].rstrip(".")
    if isinstance(error, DataError):
        first = "a value cannot be converted"  # the database would quote it
    if isinstance(error, OperationalError) and error.connection_invalidated:
        return StoreUnavailable(f"The source's database does not answer: {first}.", "try again")
    if isinstance(error, OperationalError) and "connect" in first:
        return StoreUnavailable(f"The source's database does not answer: {first}.", "try again")
    return UsageError(f"The query cannot be read: {first}.", "correct the source's query")


def _write(result: "sa.CursorResult[Any]", folder: Path) -> Path:
    """Write chunks with the types of their own rows, then all of them with one type a column."""
    import polars as pl

    names = list(result.keys())
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"The query gives two columns {twice!r}.", "name one of them anew: AS")
    with TemporaryDirectory(dir=folder.parent, prefix="parts-") as place:
        parts: list[Path] = []
        for rows in result.partitions(CHUNK):
            part = Path(place) / f"{len(parts)}.arrow"
            _frame(names, rows).write_ipc(part)
            parts.append(part)
        if not parts:
            return write_rows(pl.DataFrame(schema=dict.fromkeys(names, pl.String)), folder)
        frames = [pl.scan_ipc(part) for part in parts]
        return write_rows(pl.concat(frames, how="vertical_relaxed"), folder)


def _frame(names: Sequence[str], rows: Sequence[Any]) -> "pl.DataFrame":
    import polars as pl

    columns = zip(*rows, strict=True)
    return pl.DataFrame(
        [
            pl.Series(name, [_cell(value) for value in values], strict=False)
            for name, values in zip(names, columns, strict=True)
        ]
    )


def _cell(value: Any) -> Any:
    """Return a value as a table holds it: documents as JSON, what it does not know as text."""
    if value is None or isinstance(value, _KEPT):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, default=str)
    return bytes(value) if isinstance(value, memoryview) else str(value)
