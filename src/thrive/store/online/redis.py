"""The online store in Redis or Valkey: a hash a version of a view, a field a key.

A request is one round trip: an HMGET a view, sent together. Values are MessagePack arrays of the
event time and the columns. A view is replaced in one MULTI, which writes only rows that differ.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from thrive.domain.errors import Conflict, InfrastructureError, StoreUnavailable
from thrive.store.online.encoding import as_booleans, booleans, holdable
from thrive.store.online.encoding import plain as plain_rows
from thrive.store.online.line import Line
from thrive.store.online.port import AT, OnlineTable, RawRows, Renewed, Written, require

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode
_BATCH = 5_000
_TRIES = 3


class RedisOnline:
    """Keeps the newest rows in a Redis or Valkey server.

    Args:
        address: `redis://`, `rediss://` or `valkey://` user:password@host:port/number.
        project_id: the project: several share a server.

    Raises:
        InfrastructureError: the driver is not installed.
    """

    def __init__(self, address: str, project_id: str) -> None:
        if find_spec("redis") is None:
            raise InfrastructureError(
                "The Redis driver is not installed.", "pip install 'thrive[redis]'"
            )
        self._address = address.replace("valkey", "redis", 1)
        self._begin = f"thrive:{project_id}:"

    def publish(self, table: OnlineTable, newest: "pl.DataFrame") -> Written:
        """Make the hash hold exactly these rows; readers see the old ones or the new ones.

        Raises:
            StoreUnavailable: the server does not answer; the rows are those that were there.
            Conflict: others kept writing the same view.
        """
        wanted = _packed(table, newest)
        return self._in_turn(table, lambda change: self._replace(change, table.digest, wanted))

    def renew(self, table: OnlineTable, newer: "pl.DataFrame") -> Renewed:
        """Put these rows over those of the same keys that are not newer; leave all others alone.

        Raises:
            StoreUnavailable: the server does not answer; the rows are those that were there.
            Conflict: others kept writing the same view.
        """
        rows = _packed(table, newer)
        return self._in_turn(table, lambda change: self._renew(change, table.digest, rows))

    def _in_turn(self, table: OnlineTable, change: Callable[[Any], T]) -> T:
        """Make a change of a watched view, again if another writer came between."""
        from redis.exceptions import WatchError

        with self._connected() as connection:
            for _ in range(_TRIES):
                try:
                    with connection.pipeline(transaction=True) as pipeline:
                        pipeline.watch(self._begin + table.digest)
                        return change(pipeline)
                except WatchError:
                    continue
        raise Conflict(
            f"Others keep writing the view {table.digest[:12]}.", "thrive features materialize"
        )

    def holds(self, digest: str) -> bool:
        """Tell whether a view is there.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        with self._connected() as connection:
            return bool(connection.sismember(f"{self._begin}views", digest))

    def drop(self, digest: str) -> None:
        """Remove a view, if it is there."""
        with self._connected() as connection, connection.pipeline(transaction=True) as change:
            change.srem(f"{self._begin}views", digest)
            change.unlink(self._begin + digest)
            change.execute()

    def reader(self, tables: Sequence[OnlineTable]) -> "RedisReader":
        """Return a reader of some views.

        Raises:
            NotFound: one is not there.
            StoreUnavailable: the server does not answer.
        """
        require(self, tables)
        return RedisReader(self._address, tables, [self._begin + each.digest for each in tables])

    def close(self) -> None:
        """Do nothing: connections live as long as a write or a reader."""

    def _replace(self, change: Any, digest: str, wanted: dict[bytes, bytes]) -> Written:
        name = self._begin + digest
        known: dict[bytes, bytes] = change.hgetall(name)
        changed = [pair for pair in wanted.items() if known.get(pair[0]) != pair[1]]
        gone = list(known.keys() - wanted.keys())
        change.multi()
        change.sadd(f"{self._begin}views", digest)
        _set_fields(change, name, changed)
        for first in range(0, len(gone), _BATCH):
            change.hdel(name, *gone[first : first + _BATCH])
        change.execute()
        return Written(rows=len(wanted), changed=len(changed), removed=len(gone))

    def _renew(self, change: Any, digest: str, rows: dict[bytes, bytes]) -> Renewed:
        name = self._begin + digest
        fields = list(rows)
        known: list[bytes | None] = []
        for first in range(0, len(fields), _BATCH):
            known += change.hmget(name, fields[first : first + _BATCH])
        newer = [
            (field, rows[field])
            for field, row in zip(fields, known, strict=True)
            if row is None or (row != rows[field] and _decode(row)[0] <= _decode(rows[field])[0])
        ]
        change.multi()
        _set_fields(change, name, newer)
        change.execute()
        return Renewed(added=known.count(None), changed=len(newer))

    @contextmanager
    def _connected(self) -> Generator[Any]:
        """Give a connection; its errors without the address."""
        from redis.exceptions import ConnectionError as Broken
        from redis.exceptions import RedisError, WatchError
        from redis.exceptions import TimeoutError as Late

        connection: Any = None
        try:
            connection = _connection(self._address, seconds=60.0)
            yield connection
        except (Broken, Late) as error:
            raise StoreUnavailable(
                "The online store does not answer.", "see THRIVE_ONLINE_STORE, then try again"
            ) from error
        except WatchError:
            raise
        except RedisError as error:
            raise InfrastructureError(
                f"The online store refuses it: {error}.", "see THRIVE_ONLINE_STORE"
            ) from error
        finally:
            if connection is not None:
                connection.close()


class RedisReader:
    """Reads rows of fixed views on one connection.

    Args:
        address: the server.
        tables: which.
        names: what they are called there.
    """

    def __init__(self, address: str, tables: Sequence[OnlineTable], names: Sequence[str]) -> None:
        from redis.exceptions import RedisError

        self._line: Line[Any] = Line(lambda: _connection(address, seconds=1.0), (RedisError,))
        self._tables = [
            (name, [(key.name, key.dtype) for key in table.keys])
            for table, name in zip(tables, names, strict=True)
        ]
        self._counts = [len(table.columns) for table in tables]
        self._booleans = booleans(table.columns for table in tables)

    def read(self, keys: Sequence[Mapping[str, Any]]) -> RawRows:
        """Return the rows of keys, in their order.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        found = self._line.ask(lambda connection: self._ask(connection, keys)) if keys else []
        at: list[Sequence[int | None]] = []
        cells: list[Sequence[Any]] = []
        for place, count in enumerate(self._counts):
            nothing = [None] * (count + 1)
            rows = [_decode(row) if row else nothing for row in found[place]] if keys else []
            columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * (count + 1)
            at.append(columns[0])
            cells += columns[1:]
        for place in self._booleans:
            cells[place] = as_booleans(cells[place])
        return RawRows(at=at, cells=cells)

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def _ask(self, connection: Any, keys: Sequence[Mapping[str, Any]]) -> list[list[bytes | None]]:
        with connection.pipeline(transaction=False) as question:
            for name, parts in self._tables:
                fields = [
                    _encode([holdable(key.get(part), dtype) for part, dtype in parts])
                    for key in keys
                ]
                question.hmget(name, fields)
            return question.execute()


def _connection(address: str, *, seconds: float) -> Any:
    """Return a client of one connection that answers in `seconds` or fails, and tries once."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(
        address,
        socket_timeout=seconds,
        socket_connect_timeout=min(seconds, 5.0),
        single_connection_client=True,
        retry=Retry(NoBackoff(), 0),
    )


def _set_fields(change: Any, name: str, pairs: list[tuple[bytes, bytes]]) -> None:
    for first in range(0, len(pairs), _BATCH):
        change.hset(name, mapping=dict(pairs[first : first + _BATCH]))


def _packed(table: OnlineTable, rows: "pl.DataFrame") -> dict[bytes, bytes]:
    """Return key = row, both packed."""
    keys = [key.name for key in table.keys]
    plain = plain_rows(rows, [*keys, AT, *(column.name for column in table.columns)])
    return dict(_pairs(plain, len(keys)))


def _pairs(rows: "pl.DataFrame", keys: int) -> Iterator[tuple[bytes, bytes]]:
    for row in rows.iter_rows():
        yield _encode(row[:keys]), _encode(row[keys:])
