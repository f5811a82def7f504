"""Structs to rows and back: the one place where a noun meets its table.

Texts and numbers are checked here, so that a value has a home on every database or on none:
SQLite takes what PostgreSQL refuses.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from thrive.domain.errors import NotFound, UsageError
from thrive.store.database import Tx

S = TypeVar("S", bound=msgspec.Struct)
V = TypeVar("V")
_INT64 = range(-(1 << 63), 1 << 63)


@cache
def _columns(table: sa.Table) -> dict[str, int | None]:
    """Return the columns of a table with the number of characters a text may have."""
    return {
        column.name: getattr(column.type, "length", None)
        if isinstance(column.type, sa.String)
        else None
        for column in table.columns
    }


def to_row(project_id: str, struct: msgspec.Struct, table: sa.Table) -> dict[str, Any]:
    """Return the struct as a row of `table`: enums as text, nested structs as JSON values.

    Raises:
        UsageError: a text is too long or holds a NUL, or a number has more than 64 bits.
    """
    values: dict[str, Any] = msgspec.to_builtins(struct)
    known = _columns(table)
    row = {key: value for key, value in values.items() if key in known}
    row["project_id"] = project_id
    for name, value in row.items():
        if type(value) is str:
            _check_text(name, value, known[name])
        elif type(value) is int and value not in _INT64:
            raise UsageError(f"{name} = {value} has more than 64 bits.", "give a smaller number")
    return row


def _check_text(name: str, value: str, length: int | None) -> None:
    if length is not None and len(value) > length:
        raise UsageError(
            f"{name} has {len(value)} characters: {value[:60]!r}...",
            f"give at most {length} characters",
        )
    if "\0" in value:
        raise UsageError(f"{name} holds a NUL character: {value[:60]!r}.", "remove it")


def from_row(kind: type[S], row: sa.RowMapping) -> S:
    """Return the struct a row holds; columns the struct does not know are left out."""
    return msgspec.convert({str(key): value for key, value in row.items()}, kind, strict=False)


def insert(tx: Tx, project_id: str, table: sa.Table, *structs: msgspec.Struct) -> None:
    """Insert structs as rows of `table`."""
    if structs:
        tx.execute(_insertion(table), [to_row(project_id, struct, table) for struct in structs])


def insert_missing(tx: Tx, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert those rows whose key is not taken, even by a writer beside this one; count them."""
    if not rows:
        return 0
    counted = {"preserve_rowcount": True}
    insertion = _addition(tx.dialect.name, table)
    return tx.execute(insertion, list(rows), execution_options=counted).rowcount


def add_many(tx: Tx, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Do what `insert_missing` does, for rows of what the driver takes as it is.

    That is texts, numbers, bytes, and of JSON the text.
    """
    if not rows:
        return 0
    return change_many(tx, _addition(tx.dialect.name, table), rows, tuple(rows[0]))


def change_many(
    tx: Tx,
    statement: Any,
    rows: Sequence[Mapping[str, Any]],
    columns: tuple[str, ...] | None = None,
) -> int:
    """Execute one statement for many rows of what the driver takes as it is; count what changed.

    SQLAlchemy looks at each value of each row; where there are many, that takes longer than the
    database does.

    Args:
        tx: the transaction.
        statement: an insertion or a change with named parameters.
        rows: the parameters.
        columns: those that an insertion is to name.
    """
    if not rows:
        return 0
    text, places = _spelled(tx.dialect, statement, columns)
    values: list[Any] = list(map(itemgetter(*places), rows)) if places else list(rows)
    counted = {"preserve_rowcount": True}
    return tx.exec_driver_sql(text, values, execution_options=counted).rowcount


@cache
def _spelled(
    dialect: sa.Dialect, statement: Any, columns: tuple[str, ...] | None
) -> tuple[str, Sequence[str]]:
    """Return a statement in the words of a database, and its parameters where they have places."""
    compiled = statement.compile(dialect=dialect, column_keys=columns)
    return str(compiled), compiled.positiontup or ()


def upsert(tx: Tx, project_id: str, table: sa.Table, *structs: msgspec.Struct) -> None:
    """Insert structs, or write all columns of the rows that have their primary keys."""
    rows = [to_row(project_id, struct, table) for struct in structs]
    if not rows:
        return
    tx.execute(_renewal(tx.dialect.name, table, tuple(rows[0])), rows)


@cache
def _insertion(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


@cache
def _renewal(dialect: str, table: sa.Table, names: tuple[str, ...]) -> Any:
    """Return an insertion that writes the named columns where the key is taken; made once."""
    keys = [column.name for column in table.primary_key]
    insertion = _inserting(dialect, table)
    renewed = {name: insertion.excluded[name] for name in names if name not in keys}
    return insertion.on_conflict_do_update(index_elements=keys, set_=renewed)


@cache
def _addition(dialect: str, table: sa.Table) -> Any:
    return _inserting(dialect, table).on_conflict_do_nothing()


def _inserting(dialect: str, table: sa.Table) -> Any:
    """Return an insertion of the database's own dialect: ON CONFLICT is no standard SQL."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # who has none does not pay for it

    return postgresql.insert(table)


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


_LEAST = 8
"""Digits that somebody must type of an id."""
_TOLD = 16
"""Digits of an id that are told: of two that are made in one millisecond, 12 are the same."""


def named(
    tx: Tx, project_id: str, kind: type[S], column: sa.Column[Any], given: str, noun: str
) -> S:
    """Return what somebody means who typed an id, or the beginning of one (8 digits or more).

    Ids begin with their time, so those of one minute share their first digits.

    Args:
        tx: a transaction.
        project_id: the project.
        kind: the struct.
        column: of the ids; its table holds the rows.
        given: what was typed.
        noun: what the ids are of, e.g. `run`; its command `runs list` shows them.

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several; the message names some.
    """
    query = mine(column.table, project_id).where(begins_with(column, given))
    few = len(given) < _LEAST
    found = [] if few else many(tx, kind, query.order_by(column.desc()).limit(4))
    if not found:
        more = f"{_LEAST} digits or more of its id: " if few else ""
        raise NotFound(f"There is no {noun} {given!r}.", f"{more}thrive {noun}s list")
    if len(found) > 1:
        ids = [str(getattr(each, column.name))[:_TOLD] for each in found]
        listed = ", ".join(dict.fromkeys(ids))
        raise UsageError(
            f"{given!r} begins the ids of several {noun}s: {listed}.", "give more of it"
        )
    return found[0]


_AT_ONCE = 400
"""Values that one query names: a database takes some thousands of them."""


def batched(values: Sequence[V]) -> Iterator[Sequence[V]]:
    """Yield values in as many at once as a query may name."""
    for first in range(0, len(values), _AT_ONCE):
        yield values[first : first + _AT_ONCE]


def begins_with(column: sa.Column[Any], beginning: str) -> sa.ColumnElement[bool]:
    """Return a condition that no wildcard or other case slips through, unlike LIKE's."""
    return (column >= beginning) & (column < f"{beginning}\U0010ffff")
