"""The online store in PostgreSQL: a table a version of a view, for a team whose hosts share it.

A request is one statement. Tables are named by project and digest, columns by place. A view is
replaced in one transaction, in which only rows that differ are written.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from thrive.domain.errors import InfrastructureError, StoreUnavailable
from thrive.store.online.encoding import INTEGER, REAL, as_booleans, booleans, holdable, kind_of
from thrive.store.online.encoding import plain as plain_rows
from thrive.store.online.line import Line
from thrive.store.online.port import AT, OnlineTable, RawRows, Renewed, Written, require

if TYPE_CHECKING:
    import polars as pl

_TYPES = {INTEGER: "bigint", REAL: "double precision"}
_READING = "-c statement_timeout=1000 -c default_transaction_read_only=on"
"""A request waits a second at most."""
_BEGIN = 24
"""Characters of a digest in a table's name: names have at most 63."""


class PostgresOnline:
    """Keeps the newest rows in a PostgreSQL database.

    Args:
        address: `postgresql://user@host/database`; the password may stand in PGPASSWORD.
        project_id: the project: several share a database.

    Raises:
        InfrastructureError: the driver is not installed.
    """

    def __init__(self, address: str, project_id: str) -> None:
        if find_spec("psycopg") is None:
            raise InfrastructureError(
                "The PostgreSQL driver is not installed.", "pip install 'thrive[postgresql]'"
            )
        self._address = address
        self._project = project_id

    def publish(self, table: OnlineTable, newest: "pl.DataFrame") -> Written:
        """Make the table hold exactly these rows; readers see the old ones or the new ones.

        Raises:
            StoreUnavailable: the database does not answer; the rows are those that were there.
            InfrastructureError: it refuses the rows; they are those that were there.
        """
        name = self._name(table.digest)
        with self._staged(table, newest, create=True) as cursor:
            changed = cursor.execute(_upsert(name, table, "")).rowcount
            removed = cursor.execute(_remove(name, table)).rowcount
        return Written(rows=newest.height, changed=changed, removed=removed)

    def renew(self, table: OnlineTable, newer: "pl.DataFrame") -> Renewed:
        """Put these rows over those of the same keys that are not newer; leave all others alone.

        Raises:
            StoreUnavailable: the database does not answer; the rows are those that were there.
            InfrastructureError: it refuses the rows; they are those that were there.
        """
        name = self._name(table.digest)
        with self._staged(table, newer, create=False) as cursor:
            added = cursor.execute(_insert(name)).rowcount
            changed = cursor.execute(_upsert(name, table, "excluded.at >= t.at and ")).rowcount
        return Renewed(added=added, changed=added + changed)

    @contextmanager
    def _staged(self, table: OnlineTable, rows: "pl.DataFrame", *, create: bool) -> Generator[Any]:
        """Give a cursor whose transaction holds the view's lock, and the rows in `staged`."""
        names = [*(key.name for key in table.keys), AT, *(column.name for column in table.columns)]
        name = self._name(table.digest)
        with self._transaction() as connection, connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", (name,))
            if create:
                cursor.execute(_create(name, table))
            cursor.execute(f"create temp table staged (like {name} including all) on commit drop")
            with cursor.copy("copy staged from stdin") as copy:
                for row in plain_rows(rows, names).iter_rows():
                    copy.write_row(row)
            yield cursor

    def holds(self, digest: str) -> bool:
        """Tell whether a table is there.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        with self._transaction() as connection:
            found = connection.execute("select to_regclass(%s)", (self._name(digest),)).fetchone()
        return found[0] is not None

    def drop(self, digest: str) -> None:
        """Remove a table, if it is there."""
        with self._transaction() as connection:
            connection.execute(f"drop table if exists {self._name(digest)}")

    def reader(self, tables: Sequence[OnlineTable]) -> "PostgresReader":
        """Return a reader of some tables.

        Raises:
            NotFound: a table is not there.
            StoreUnavailable: the database does not answer.
        """
        require(self, tables)
        return PostgresReader(self._address, tables, [self._name(each.digest) for each in tables])

    def close(self) -> None:
        """Do nothing: connections live as long as a write or a reader."""

    def _name(self, digest: str) -> str:
        assert digest.isalnum()
        assert self._project.isalnum()
        return f'"o_{self._project}_{digest[:_BEGIN]}"'

    @contextmanager
    def _transaction(self) -> Generator[Any]:
        """Give a connection whose block is one transaction; its errors without SQL or address."""
        import psycopg

        try:
            with psycopg.connect(self._address, connect_timeout=10) as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise StoreUnavailable(
                "The online store does not answer.", "see THRIVE_ONLINE_STORE, then try again"
            ) from error
        except psycopg.Error as error:
            said = error.diag.message_primary or type(error).__name__
            raise InfrastructureError(
                f"The online store refuses it: {said}.", "see THRIVE_ONLINE_STORE"
            ) from error


class PostgresReader:
    """Reads rows of fixed tables on one connection.

    Args:
        address: the database.
        tables: which.
        names: what they are called there.
    """

    def __init__(self, address: str, tables: Sequence[OnlineTable], names: Sequence[str]) -> None:
        import psycopg

        self._address = address
        self._line: Line[Any] = Line(self._connect, (psycopg.Error,))
        self._kinds = {key.name: key.dtype for table in tables for key in table.keys}
        self._query = _query(tables, names, self._kinds)
        self._tables = len(tables)
        self._width = sum(1 + len(table.columns) for table in tables)
        self._booleans = booleans(table.columns for table in tables)

    def read(self, keys: Sequence[Mapping[str, Any]]) -> RawRows:
        """Return the rows of keys, in their order.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        wanted = [
            [holdable(key.get(name), dtype) for key in keys] for name, dtype in self._kinds.items()
        ]
        rows = self._line.ask(lambda to: to.execute(self._query, wanted, prepare=True).fetchall())
        found: list[Sequence[Any]] = [*zip(*rows, strict=True)] if rows else [()] * self._width
        cells = found[self._tables :]
        for place in self._booleans:
            cells[place] = as_booleans(cells[place])
        return RawRows(at=found[: self._tables], cells=cells)

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def _connect(self) -> Any:
        import psycopg

        return psycopg.connect(
            self._address,
            autocommit=True,
            connect_timeout=2,
            tcp_user_timeout=2000,
            options=_READING,
        )


def _sql_type(dtype: str) -> str:
    return _TYPES.get(kind_of(dtype), 'text collate "C"')


def _places(table: OnlineTable) -> tuple[list[str], list[str]]:
    keys = [f"k{place}" for place in range(len(table.keys))]
    return keys, ["at", *(f"c{place}" for place in range(len(table.columns)))]


def _create(name: str, table: OnlineTable) -> str:
    keys, _ = _places(table)
    parts = [f"k{n} {_sql_type(key.dtype)} not null" for n, key in enumerate(table.keys)]
    parts += ["at bigint not null"]
    parts += [f"c{n} {_sql_type(column.dtype)}" for n, column in enumerate(table.columns)]
    return (
        f"create table if not exists {name} ({', '.join(parts)}, primary key ({', '.join(keys)}))"
    )


def _insert(name: str) -> str:
    return f"insert into {name} select * from staged on conflict do nothing"


def _upsert(name: str, table: OnlineTable, only: str) -> str:
    keys, others = _places(table)
    renewed = ", ".join(f"{place} = excluded.{place}" for place in others)
    before = ", ".join(f"t.{place}" for place in others)
    after = ", ".join(f"excluded.{place}" for place in others)
    return (
        f"insert into {name} as t select * from staged on conflict ({', '.join(keys)}) "
        f"do update set {renewed} where {only}({before}) is distinct from ({after})"
    )


def _remove(name: str, table: OnlineTable) -> str:
    same = " and ".join(f"s.{key} = t.{key}" for key in _places(table)[0])
    return f"delete from {name} t where not exists (select 1 from staged s where {same})"


def _query(tables: Sequence[OnlineTable], names: Sequence[str], kinds: Mapping[str, str]) -> str:
    """Return the query of many keys: an array of values a key column in, a row a key out.

    A row holds the times, then the columns of one table after the other.
    """
    given = {name: f"e.v{place}" for place, name in enumerate(kinds)}
    arrays = ", ".join(
        f"%s::{'bigint' if kind_of(dtype) == INTEGER else 'text'}[]" for dtype in kinds.values()
    )
    chosen = [f"t{number}.at" for number in range(len(tables))]
    joins: list[str] = []
    for number, (table, name) in enumerate(zip(tables, names, strict=True)):
        side = f"t{number}"
        chosen += [f"{side}.c{place}" for place in range(len(table.columns))]
        same = " and ".join(
            f"{side}.k{place} = {given[key.name]}" for place, key in enumerate(table.keys)
        )
        joins.append(f"left join {name} {side} on {same}")
    columns = ", ".join(f"v{place}" for place in range(len(kinds)))
    return (
        f"select {', '.join(chosen)} from unnest({arrays}) with ordinality as e({columns}, place) "
        f"{' '.join(joins)} order by e.place"
    )
