"""The online store in one SQLite file: a table a version of a view, memory-mapped.

A request is one statement, whatever the number of its views and keys. Names of users stay out of
the SQL: tables are named by digest, columns by place. Writers take a lock file in turn and write
one transaction a view, so that a killed writer leaves the rows that were there.
"""

import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from thrive.domain.errors import DiskFull, InfrastructureError
from thrive.store.lock import FileLock
from thrive.store.online.encoding import as_booleans, booleans, kind_of, plain
from thrive.store.online.port import AT, OnlineTable, RawRows, Renewed, Written, require

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

MAP_BYTES = 1 << 33
VARIABLES = 7_000
"""Values bound by one statement: more, up to the 32,766 that SQLite takes, are no faster."""
_CHECKPOINT_BYTES = 16 << 20
_WRITING = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "wal_autocheckpoint=0",
    "temp_store=MEMORY",
    "cache_size=-65536",
)


class SqliteOnline:
    """Keeps the newest rows in one file.

    Args:
        path: the file; made, with its folder, when something is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def publish(self, table: OnlineTable, newest: "pl.DataFrame") -> Written:
        """Make the table hold exactly these rows; readers see the old ones or the new ones.

        Raises:
            DiskFull: there is no space; the rows are those that were there.
            InfrastructureError: the file cannot be written.
        """
        rows = _plain_rows(table, newest)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._write(partial(_replace, table=table, rows=rows))

    def renew(self, table: OnlineTable, newer: "pl.DataFrame") -> Renewed:
        """Put these rows over those of the same keys that are not newer; leave all others alone.

        Raises:
            DiskFull: there is no space; the rows are those that were there.
            InfrastructureError: the file cannot be written.
        """
        return self._write(partial(_renew, table=table, rows=_plain_rows(table, newer)))

    def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Make a change in one transaction, in turn with other writers."""
        with FileLock(self._path.with_suffix(".lock")).held():
            connection = self._connect()
            try:
                with _transaction(connection):
                    return change(connection)
            except sqlite3.OperationalError as error:
                if "full" in str(error):
                    raise DiskFull(f"No space left for {self._path}.", "free some") from None
                raise InfrastructureError(f"{self._path}: {error}.", "thrive doctor") from None
            finally:
                _checkpoint(connection, Path(f"{self._path}-wal"))
                connection.close()

    def holds(self, digest: str) -> bool:
        """Tell whether a table is there."""
        if not self._path.exists():
            return False
        connection = self._connect()
        try:
            found = connection.execute(
                "select 1 from sqlite_schema where type = 'table' and name = ?", (f"v_{digest}",)
            )
            return found.fetchone() is not None
        finally:
            connection.close()

    def drop(self, digest: str) -> None:
        """Remove a table, if it is there."""
        if not self.holds(digest):
            return
        with FileLock(self._path.with_suffix(".lock")).held():
            connection = self._connect()
            try:
                connection.execute(f"drop table {_table(digest)}")
            finally:
                connection.close()

    def forget(self, value: str) -> int:
        """Delete every row that has a value in one of its fields, and write the file anew.

        Returns:
            How many rows went.

        Raises:
            InfrastructureError: the file cannot be written.
        """
        if not self._path.exists():
            return 0
        with FileLock(self._path.with_suffix(".lock")).held():
            connection = self._connect()
            try:
                return _forget(connection, value)
            except sqlite3.OperationalError as error:
                raise InfrastructureError(f"{self._path}: {error}.", "thrive doctor") from None
            finally:
                connection.close()

    def reader(self, tables: Sequence[OnlineTable]) -> "SqliteReader":
        """Return a reader of some tables.

        Raises:
            NotFound: a table is not there.
        """
        require(self, tables)
        return SqliteReader(self._path, tables)

    def close(self) -> None:
        """Do nothing: connections live as long as a write or a reader."""

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        for pragma in _WRITING:
            connection.execute(f"pragma {pragma}").fetchall()
        return connection


class SqliteReader:
    """Reads rows of fixed tables; for one thread at a time.

    Args:
        path: the file.
        tables: which.
    """

    def __init__(self, path: Path, tables: Sequence[OnlineTable]) -> None:
        connection = sqlite3.connect(
            path, isolation_level=None, timeout=1, check_same_thread=False, cached_statements=8
        )
        connection.execute(f"pragma mmap_size={MAP_BYTES}").fetchall()
        connection.execute("pragma query_only=1").fetchall()
        self._connection = connection
        self._names = list(dict.fromkeys(key.name for table in tables for key in table.keys))
        self._one = _query(tables, [f"?{n + 1}" for n in range(len(self._names))], self._names)
        self._many = _query_many(tables, self._names)
        self._tables = len(tables)
        self._width = sum(1 + len(table.columns) for table in tables)
        self._booleans = booleans(table.columns for table in tables)

    def read(self, keys: Sequence[Mapping[str, Any]]) -> RawRows:
        """Return the rows of keys, in their order.

        Raises:
            InfrastructureError: the file cannot be read.
        """
        try:
            rows = self._rows(keys)
        except (OverflowError, UnicodeError):
            rows = self._rows([_holdable(key) for key in keys])
        except sqlite3.Error as error:
            raise InfrastructureError(f"The online store: {error}.", "thrive doctor") from None
        found: list[Sequence[Any]] = [*zip(*rows, strict=True)] if keys else [()] * self._width
        cells = found[self._tables :]
        for place in self._booleans:
            cells[place] = as_booleans(cells[place])
        return RawRows(at=found[: self._tables], cells=cells)

    def _rows(self, keys: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        names = self._names
        if len(keys) == 1:
            key = keys[0]
            return self._connection.execute(self._one, [key.get(name) for name in names]).fetchall()
        wanted = (
            [key.get(names[0]) for key in keys]
            if len(names) == 1
            else [[key.get(name) for name in names] for key in keys]
        )
        return self._connection.execute(
            self._many, (msgspec.json.encode(wanted).decode(),)
        ).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _holdable(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return a key without values that no row can have: half characters, numbers of 65 bits."""
    return {name: value for name, value in key.items() if _fits(value)}


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 63


def _table(digest: str) -> str:
    assert digest.isalnum()
    return f'"v_{digest}"'


def _query(
    tables: Sequence[OnlineTable], values: Sequence[str], names: Sequence[str], start: str = ""
) -> str:
    """Return a query of one row a key: the times, then the columns of one table after the other.

    `values` are the SQL words of the keys' values.
    """
    given = dict(zip(names, values, strict=True))
    chosen = [f"t{number}.at" for number in range(len(tables))]
    joins: list[str] = []
    for number, table in enumerate(tables):
        side = f"t{number}"
        chosen += [f"{side}.c{place}" for place in range(len(table.columns))]
        same = " and ".join(
            f"{side}.k{place} = {given[key.name]}" for place, key in enumerate(table.keys)
        )
        joins.append(f"left join {_table(table.digest)} {side} on {same}")
    return f"select {', '.join(chosen)} from {start or '(select 1)'} {' '.join(joins)}"


def _query_many(tables: Sequence[OnlineTable], names: Sequence[str]) -> str:
    """Return the query of many keys, given as one JSON text."""
    single = len(names) == 1
    values = ["e.value"] if single else [f"e.value ->> {n}" for n in range(len(names))]
    return f"{_query(tables, values, names, 'json_each(?1) e')} order by e.key"


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        connection.rollback()
        raise


def _plain_rows(table: OnlineTable, rows: "pl.DataFrame") -> "pl.DataFrame":
    """Return rows as the table keeps them, in the order of its keys."""
    keys = [key.name for key in table.keys]
    return plain(rows, [*keys, AT, *(column.name for column in table.columns)]).sort(keys)


def _replace(connection: sqlite3.Connection, table: OnlineTable, rows: "pl.DataFrame") -> Written:
    """Bring a table to hold exactly `rows`, writing only what differs."""
    name = _table(table.digest)
    keys, fields = _fields(table)
    connection.execute(_create(name, table))
    known = connection.execute(f"select {', '.join(fields)} from {name}").fetchall()
    changed, gone = _differences(rows, known, len(keys))
    _insert(connection, f"{name} ({', '.join(fields)})", changed)
    same = " and ".join(f"{key} = ?" for key in keys)
    connection.executemany(f"delete from {name} where {same}", gone.iter_rows())
    return Written(rows=rows.height, changed=changed.height, removed=gone.height)


def _renew(connection: sqlite3.Connection, table: OnlineTable, rows: "pl.DataFrame") -> Renewed:
    name = _table(table.digest)
    keys, fields = _fields(table)
    listed = ", ".join(fields)
    connection.execute(_create("temp.staged", table))
    _insert(connection, f"temp.staged ({listed})", rows)
    added = connection.execute(f"insert or ignore into {name} select {listed} from temp.staged")
    others = fields[len(keys) :]
    written = ", ".join(f"{field} = excluded.{field}" for field in others)
    before = ", ".join(f"t.{field}" for field in others)
    after = ", ".join(f"excluded.{field}" for field in others)
    changed = connection.execute(
        f"insert into {name} as t select {listed} from temp.staged where true "
        f"on conflict ({', '.join(keys)}) do update set {written} "
        f"where excluded.at >= t.at and ({before}) is not ({after})"
    )
    return Renewed(added=added.rowcount, changed=added.rowcount + changed.rowcount)


def _insert(connection: sqlite3.Connection, into: str, rows: "pl.DataFrame") -> None:
    """Insert rows, many with a statement: that takes a third of the time of one by one."""
    width = len(rows.columns)
    one = f"({', '.join('?' * width)})"
    most = max(VARIABLES // width, 1)
    for part in rows.iter_slices(most * 100):
        cells: list[Any] = [None] * (width * part.height)
        for place, column in enumerate(part):
            cells[place::width] = column.to_list()
        for first in range(0, part.height, most):
            some = cells[first * width : (first + most) * width]
            values = ", ".join([one] * (len(some) // width))
            connection.execute(f"insert or replace into {into} values {values}", some)


def _forget(connection: sqlite3.Connection, value: str) -> int:
    connection.execute("pragma secure_delete=on").fetchall()
    found = "select name from sqlite_schema where type = 'table'"
    gone = 0
    for (name,) in connection.execute(found).fetchall():
        fields = [row[1] for row in connection.execute(f"pragma table_info({name})").fetchall()]
        same = " or ".join(f"cast({field} as text) = ?1" for field in fields)
        gone += connection.execute(f"delete from {name} where {same}", (value,)).rowcount
    connection.execute("vacuum")
    connection.execute("pragma wal_checkpoint(TRUNCATE)").fetchall()
    return gone


def _differences(
    rows: "pl.DataFrame", known: list[tuple[Any, ...]], keys: int
) -> tuple["pl.DataFrame", "pl.DataFrame"]:
    """Return the rows that are new or other than before, and the keys that are no more."""
    import polars as pl

    if not known:
        return rows, rows.select(rows.columns[:keys]).clear()
    before = pl.DataFrame(known, schema=rows.schema, orient="row")
    changed = rows.join(before, on=rows.columns, how="anti", nulls_equal=True)
    named = rows.columns[:keys]
    return changed, before.select(named).join(rows, on=named, how="anti")


def _fields(table: OnlineTable) -> tuple[list[str], list[str]]:
    """Return the fields of the keys, and all fields."""
    keys = [f"k{place}" for place in range(len(table.keys))]
    return keys, [*keys, "at", *(f"c{place}" for place in range(len(table.columns)))]


def _create(name: str, table: OnlineTable) -> str:
    keys = [f"k{place} {kind_of(key.dtype)} not null" for place, key in enumerate(table.keys)]
    columns = [f"c{place} {kind_of(each.dtype)}" for place, each in enumerate(table.columns)]
    primary = ", ".join(f"k{place}" for place in range(len(table.keys)))
    return (
        f"create table if not exists {name} "
        f"({', '.join([*keys, 'at INTEGER not null', *columns])}, primary key ({primary})) "
        "without rowid, strict"
    )


def _checkpoint(connection: sqlite3.Connection, log: Path) -> None:
    if log.exists() and log.stat().st_size > _CHECKPOINT_BYTES:
        connection.execute("pragma wal_checkpoint(TRUNCATE)").fetchall()
