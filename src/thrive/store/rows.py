"""Structs to rows and back: the one place where a noun meets its table."""

from functools import cache
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from thrive.store.database import Tx

S = TypeVar("S", bound=msgspec.Struct)


@cache
def _columns(table: sa.Table) -> frozenset[str]:
    return frozenset(table.columns.keys())


def to_row(project_id: str, struct: msgspec.Struct, table: sa.Table) -> dict[str, Any]:
    """Return the struct as a row of `table`: enums as text, nested structs as JSON values."""
    values: dict[str, Any] = msgspec.to_builtins(struct)
    known = _columns(table)
    row = {key: value for key, value in values.items() if key in known}
    row["project_id"] = project_id
    return row


def from_row(kind: type[S], row: sa.RowMapping) -> S:
    """Return the struct a row holds; columns the struct does not know are left out."""
    return msgspec.convert({str(key): value for key, value in row.items()}, kind, strict=False)


def insert(tx: Tx, project_id: str, table: sa.Table, *structs: msgspec.Struct) -> None:
    """Insert structs as rows of `table`."""
    if structs:
        tx.execute(sa.insert(table), [to_row(project_id, struct, table) for struct in structs])


def replace(tx: Tx, project_id: str, table: sa.Table, struct: msgspec.Struct) -> int:
    """Write all columns of the row that has the struct's primary key; return rows changed."""
    row = to_row(project_id, struct, table)
    keys = [column.name for column in table.primary_key]
    change = sa.update(table).values({key: row[key] for key in row if key not in keys})
    for name in keys:
        change = change.where(table.c[name] == row[name])
    return tx.execute(change).rowcount


def one(tx: Tx, kind: type[S], query: sa.Select[Any]) -> S | None:
    """Return the first row of a query as a struct, or None."""
    row = tx.execute(query.limit(1)).mappings().first()
    return None if row is None else from_row(kind, row)


def many(tx: Tx, kind: type[S], query: sa.Select[Any]) -> list[S]:
    """Return all rows of a query as structs."""
    return [from_row(kind, row) for row in tx.execute(query).mappings()]


def mine(table: sa.Table, project_id: str) -> sa.Select[Any]:
    """Return a query over the rows of one project."""
    return sa.select(table).where(table.c.project_id == project_id)
