"""The online store in PostgreSQL: a table a version of a view, for a team whose hosts share it.

A request is one statement. Tables are named by project and digest, columns by place. A view is
replaced in one transaction, in which only rows that differ are written.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thrive.domain.errors import InfrastructureError, NotFound, StoreUnavailable
from thrive.store.online.encoding import INTEGER, REAL, as_booleans, booleans, kind_of, plain
from thrive.store.online.port import AT, OnlineTable, RawRows, Written

if TYPE_CHECKING:
    import polars as pl

_TYPES = {INTEGER: "bigint", REAL: "double precision"}


class PostgresOnline:
    """Keeps the newest rows in a PostgreSQL database.

    Args:
        address: `postgresql://user@host/database`; the password may stand in PGPASSWORD.
        project_id: the project: several share a database.

    Raises:
        InfrastructureError: the driver is not installed.
    """

    def __init__(self, address: str, project_id: str) -> None:
        self._address = address
        self._project = project_id

    def publish(self, table: OnlineTable, newest: "pl.DataFrame") -> Written:
        """Make the table hold exactly these rows; readers see the old ones or the new ones.

        Raises:
            StoreUnavailable: the database does not answer; the rows are those that were there.
        """
        names = [*(key.name for key in table.keys), AT, *(column.name for column in table.columns)]
        rows = plain(newest, names)
        name = self._name(table.digest)
        with _translated(), _connected(self._address) as connection:
            connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (name,))
            connection.execute(_create(name, table))
            connection.execute(
                f"create temp table staged (like {name} including all) on commit drop"
            )
            with connection.cursor() as cursor:
                with cursor.copy("copy staged from stdin") as copy:
                    for row in rows.iter_rows():
                        copy.write_row(row)
                changed = cursor.execute(_upsert(name, table)).rowcount
                removed = cursor.execute(_remove(name, table)).rowcount
        return Written(rows=rows.height, changed=changed, removed=removed)

    def digests(self) -> set[str]:
        """Return the digests of the tables that are there: their first 24 characters."""
        begin = f"o_{self._project}_"
        with _translated(), _connected(self._address) as connection:
            found = connection.execute(
                "select tablename from pg_tables where starts_with(tablename, %s)", (begin,)
            ).fetchall()
        return {name.removeprefix(begin) for (name,) in found}

    def drop(self, digest: str) -> None:
        """Remove a table, if it is there."""
        with _translated(), _connected(self._address) as connection:
            connection.execute(f"drop table if exists {self._name(digest)}")

    def reader(self, tables: Sequence[OnlineTable]) -> "PostgresReader":
        """Return a reader of some tables.

        Raises:
            NotFound: a table is not there.
            StoreUnavailable: the database does not answer.
        """
        there = self.digests()
        for table in tables:
            if table.digest[:24] not in there:
                raise NotFound(
                    f"The online store holds no view {table.digest[:12]}.",
                    "thrive features materialize",
                )
        return PostgresReader(self._address, tables, [self._name(each.digest) for each in tables])

    def close(self) -> None:
        """Do nothing: connections live as long as a write or a reader."""

    def _name(self, digest: str) -> str:
        assert digest.isalnum()
        assert self._project.isalnum()
        return f'"o_{self._project}_{digest[:24]}"'


class PostgresReader:
    """Reads rows of fixed tables on one connection, renewed when it breaks.

    Args:
        address: the database.
        tables: which.
        names: what they are called there.
    """

    def __init__(self, address: str, tables: Sequence[OnlineTable], names: Sequence[str]) -> None:
        self._address = address
        self._connection: Any = None
        kinds = {key.name: kind_of(key.dtype) for table in tables for key in table.keys}
        self._kinds = kinds
        self._query = _query(tables, names, kinds)
        self._shape = [(len(table.columns), booleans(table.columns)) for table in tables]

    def read(self, keys: Sequence[Mapping[str, Any]]) -> RawRows:
        """Return the rows of keys, in their order.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        wanted = [
            [_typed(key.get(name), kind) for key in keys] for name, kind in self._kinds.items()
        ]
        with _translated():
            rows = self._rows(wanted)
        width = sum(1 + count for count, _ in self._shape)
        cells: list[Sequence[Any]] = [*zip(*rows, strict=True)] if rows else [()] * width
        at: list[Sequence[int | None]] = []
        values: list[list[Sequence[Any]]] = []
        first = 0
        for count, flags in self._shape:
            at.append(cells[first])
            columns = cells[first + 1 : first + 1 + count]
            for place in flags:
                columns[place] = as_booleans(columns[place])
            values.append(columns)
            first += 1 + count
        return RawRows(at=at, values=values)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, wanted: list[list[Any]]) -> list[tuple[Any, ...]]:
        import psycopg

        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._address, autocommit=True, connect_timeout=2)
        try:
            return self._connection.execute(self._query, wanted, prepare=True).fetchall()
        except psycopg.OperationalError:
            self.close()
            raise


def _connected(address: str) -> Any:
    """Return a connection whose block is one transaction."""
    import psycopg

    return psycopg.connect(address, connect_timeout=10)


class _translated:  # noqa: N801 - reads as the verb it is
    """Turns the driver's errors into ours, without its SQL or its address."""

    def __enter__(self) -> None:
        try:
            import psycopg  # noqa: F401 - is it there?
        except ImportError:
            raise InfrastructureError(
                "The PostgreSQL driver is not installed.", "pip install 'thrive[postgresql]'"
            ) from None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import psycopg

        if isinstance(error, psycopg.OperationalError):
            raise StoreUnavailable(
                "The online store does not answer.", "see THRIVE_ONLINE_STORE, then try again"
            ) from error


def _typed(value: Any, kind: str) -> Any:
    """Return a key in the type of its column; None for one that no row can have."""
    if value is None or isinstance(value, float):
        return None
    if kind != INTEGER:
        return value if isinstance(value, str) and _storable(value) else None
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    return number if -(1 << 63) <= number < 1 << 63 else None


def _storable(text: str) -> bool:
    return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text)


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


def _upsert(name: str, table: OnlineTable) -> str:
    keys, others = _places(table)
    renewed = ", ".join(f"{place} = excluded.{place}" for place in others)
    before = ", ".join(f"t.{place}" for place in others)
    after = ", ".join(f"excluded.{place}" for place in others)
    return (
        f"insert into {name} as t select * from staged on conflict ({', '.join(keys)}) "
        f"do update set {renewed} where ({before}) is distinct from ({after})"
    )


def _remove(name: str, table: OnlineTable) -> str:
    same = " and ".join(f"s.{key} = t.{key}" for key in _places(table)[0])
    return f"delete from {name} t where not exists (select 1 from staged s where {same})"


def _query(tables: Sequence[OnlineTable], names: Sequence[str], kinds: Mapping[str, str]) -> str:
    """Return the query of many keys: an array of values a key column in, a row a key out."""
    given = {name: f"e.v{place}" for place, name in enumerate(kinds)}
    arrays = ", ".join(
        f"%s::{'bigint' if kind == INTEGER else 'text'}[]" for kind in kinds.values()
    )
    chosen: list[str] = []
    joins: list[str] = []
    for number, (table, name) in enumerate(zip(tables, names, strict=True)):
        side = f"t{number}"
        chosen += [f"{side}.{place}" for place in _places(table)[1]]
        same = " and ".join(
            f"{side}.k{place} = {given[key.name]}" for place, key in enumerate(table.keys)
        )
        joins.append(f"left join {name} {side} on {same}")
    columns = ", ".join(f"v{place}" for place in range(len(kinds)))
    return (
        f"select {', '.join(chosen)} from unnest({arrays}) with ordinality as e({columns}, place) "
        f"{' '.join(joins)} order by e.place"
    )
