"""One database, SQLite or PostgreSQL, behind `read()` and `write()`.

SQLite: one writer at a time, and one commit for writers of a process that wait for each other.
Every write takes the home lock (an flock that all processes of the home share) and
`BEGIN IMMEDIATE`; the write-ahead log is checkpointed only under that lock, and so is the closing
of the last connection, because the SQLite that Python links may carry the WAL-reset bug.
`synchronous=FULL`: what is acknowledged survives a power cut; an observation (`durable=False`) at
once only the end of every process, and a power cut a second later. No connection crosses a fork.

PostgreSQL: readers see one state (repeatable read) and cannot write; writers run side by side, and
what must be one at a time takes a lock of its own (the head of the audit chain, the change feed).
Those of a process that would wait for such a lock share one commit, as on SQLite: `take_turns`.
"""

import functools
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from thrive.domain.errors import (
    Conflict,
    DiskFull,
    InfrastructureError,
    StoreBusy,
    StoreUnavailable,
    ThriveError,
    UsageError,
)
from thrive.settings import read_settings
from thrive.store import postgresql
from thrive.store.group_commit import GroupCommit
from thrive.store.json_text import json_text
from thrive.store.lock import FileLock
from thrive.store.read_only import connect_read_only, is_read_only, not_writable

if TYPE_CHECKING:
    from thrive.store.silence import Pulse

_logger = logging.getLogger(__name__)

Tx = sa.Connection
"""An open transaction; repositories take it first."""

CHECKPOINT_BYTES = 16 << 20
PATIENCE_S = 30.0
"""How long a writer waits for the others of its process."""
RELAXED_S = 1.0
"""How much of the time before a power cut observations may be lost of, while more of them come."""
_PATIENT = "PRAGMA busy_timeout=10000"
_READING = (_PATIENT, "PRAGMA temp_store=MEMORY", "PRAGMA cache_size=-4096")
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA wal_autocheckpoint=0",
    *_READING,
)


class Database:
    """A database with one rule for readers and one for writers.

    Args:
        url: an SQLAlchemy URL, `sqlite:////path/to/file` or `postgresql://...`.
        lock: the home lock; needed for SQLite, None for PostgreSQL.
    """

    def __init__(self, url: str, lock: FileLock | None = None) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self._lock = lock
        file = Path(sa.make_url(url).database or "") if self.is_sqlite else None
        self._only_read = file if file is not None and is_read_only(file) else None
        self._writing = threading.local()
        self._synced_at = float("-inf")
        self._log_bytes = 0
        self._relaxes = read_settings().durability == "normal"
        self._begin_turns()
        self._pulse: Pulse | None = None
        self.engine = self._create_engine(url)
        self._reading = self.engine if self.is_sqlite else postgresql.reading(self.engine)
        _register_fork(self)

    def _begin_turns(self) -> None:
        self._turns = GroupCommit(self._write_sqlite, PATIENCE_S)
        self._relaxed_turns = GroupCommit(self._write_relaxed, PATIENCE_S)
        self._turns_by_key: dict[str, GroupCommit] = {}

    def _create_engine(self, url: str) -> sa.Engine:
        if not self.is_sqlite:
            engine, self._pulse = postgresql.create_engine(postgresql.normal_address(url))
            return engine
        only_read = self._only_read
        how: dict[str, Any] = (
            {}
            if only_read is None
            else {"creator": functools.partial(connect_read_only, only_read)}
        )
        engine = sa.create_engine(
            url,
            **how,
            poolclass=QueuePool,
            pool_size=16,
            max_overflow=48,
            json_serializer=json_text,
            connect_args={"check_same_thread": False, "timeout": 10, "isolation_level": None},
        )
        prepare = _prepare_sqlite if only_read is None else _prepare_reading
        event.listen(engine, "connect", prepare)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def read(self) -> Generator[Tx]:
        """Open a transaction that sees one consistent state and writes nothing.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        self._refuse_silent()
        with translated(), self._reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def take_turns(self, key: str, lock: Callable[[Tx], object]) -> Generator[Tx]:
        """Open a writing transaction of those that must be one at a time; raises as `write`.

        Args:
            key: names what they have in common.
            lock: keeps those of other processes out until the commit.
        """
        if self.is_sqlite:
            with self.write() as tx:
                yield tx
            return
        known = self._turns_by_key.get(key)
        if known is None:
            opened = functools.partial(self._begin_locked, lock)
            known = self._turns_by_key.setdefault(key, GroupCommit(opened, PATIENCE_S))
        with self._written(known.turn()) as tx:
            yield tx

    @contextmanager
    def _begin_locked(self, lock: Callable[[Tx], object]) -> Generator[Tx]:
        with self.engine.begin() as connection:
            lock(connection)
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Generator[Tx]:
        """Open a writing transaction; it commits at the end or rolls back on an error.

        Args:
            durable: False for observations: their commit does not wait for the disk, unless the
                last one that did is more than `RELAXED_S` ago.

        Raises:
            StoreBusy: another writer held the home for too long.
            DiskFull: there is no space; nothing was written.
            StoreUnavailable: the database does not answer.
            InfrastructureError: the database can only be read here.
        """
        relaxed = self._relaxes and not durable
        if self.is_sqlite:
            turn = (self._relaxed_turns if relaxed else self._turns).turn()
        else:
            turn = self.engine.begin()
        with self._written(turn) as tx:
            if relaxed and not self.is_sqlite:
                tx.exec_driver_sql("SET LOCAL synchronous_commit TO off")
            yield tx

    @contextmanager
    def _written(self, turn: AbstractContextManager[Tx]) -> Generator[Tx]:
        self._refuse_silent()
        if self._only_read is not None:
            raise not_writable(self._only_read)
        if getattr(self._writing, "open", False):
            raise AssertionError("a write inside a write: pass the transaction on instead")
        self._writing.open = True
        try:
            with translated(), turn as connection:
                yield connection
        finally:
            self._writing.open = False

    def _refuse_silent(self) -> None:
        if self._pulse is not None and self._pulse.silent:
            raise StoreUnavailable("The database does not answer.", "thrive doctor")

    @contextmanager
    def _write_sqlite(self) -> Generator[Tx]:
        with self._written_sqlite() as tx:
            yield tx
        self._synced_at = time.monotonic()

    @contextmanager
    def _write_relaxed(self) -> Generator[Tx]:
        if time.monotonic() - self._synced_at < RELAXED_S:
            with self._written_sqlite("NORMAL") as tx:
                yield tx
        else:
            with self._write_sqlite() as tx:
                yield tx

    @contextmanager
    def _written_sqlite(self, synchronous: str = "") -> Generator[Tx]:
        assert self._lock is not None
        with self._lock.held():
            with self.engine.connect() as plain:
                raw: Any = plain.connection.driver_connection
                if synchronous:
                    raw.execute(f"PRAGMA synchronous={synchronous}")
                try:
                    connection = plain.execution_options(thrive_write=True)
                    with connection.begin():
                        yield connection
                finally:
                    if synchronous:
                        raw.execute("PRAGMA synchronous=FULL")
            self._checkpoint_if_large()

    def _checkpoint_if_large(self) -> None:
        """Move a long write-ahead log into the database.

        What was committed is safe in the log already: a disk that fails here fails no transaction,
        the log stays, and the next commit tries again. A reader that still needs the log is not
        waited for, as every writer would wait with it: the next try is when the log has grown.
        """
        wal = Path(f"{self.engine.url.database}-wal")
        size = wal.stat().st_size if wal.exists() else 0
        if size <= max(CHECKPOINT_BYTES, self._log_bytes):
            return
        with self.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            try:
                raw.execute("PRAGMA busy_timeout=0").fetchall()
                busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                self._log_bytes = size + CHECKPOINT_BYTES if busy else 0
            except sqlite3.OperationalError as error:
                _logger.warning("the write-ahead log stays as it is: %s", error)
            finally:
                raw.execute(_PATIENT).fetchall()

    def files(self) -> list[Path]:
        """Return the files that an SQLite database is in now; none for a server's."""
        name = self.engine.url.database
        if not self.is_sqlite or not name:
            return []
        return [path for suffix in ("", "-wal") if (path := Path(name + suffix)).exists()]

    def scrub(self) -> None:
        """Write the database anew, so that no page holds what was deleted from it.

        SQLite: VACUUM with secure deletion, then the write-ahead log is emptied. PostgreSQL:
        VACUUM FULL of every table of ours; its own write-ahead log ages out by itself.

        Raises:
            StoreBusy: a reader kept the write-ahead log in use.
        """
        with translated():
            if self._lock is None:
                postgresql.vacuum(self.engine)
                return
            with self._lock.held(), self.engine.connect() as connection:
                raw: Any = connection.connection.driver_connection
                raw.execute("PRAGMA secure_delete=ON").fetchall()
                raw.execute("VACUUM")
                busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                raw.execute("PRAGMA secure_delete=OFF").fetchall()
        if busy:
            raise StoreBusy("A reader keeps old pages of the database in use.", "try again")

    def quick_check(self) -> str:
        """Return what is damaged in an SQLite file, empty if nothing is (PRAGMA quick_check)."""
        if not self.is_sqlite:
            return ""
        with self.read() as tx:
            found = tx.exec_driver_sql("PRAGMA quick_check(5)").scalars().all()
        return "" if found == ["ok"] else "; ".join(found)

    def close(self) -> None:
        """Close every connection, under the home lock, as closing may checkpoint."""
        if self._lock is None or self._only_read is not None:
            self.engine.dispose()
            return
        with self._lock.held():
            self.engine.dispose()

    def forget_connections(self) -> None:
        """Leave the connections to the parent process: called in a forked child."""
        self.engine.dispose(close=False)
        if self._pulse is not None:
            self._pulse.forget()
        self._writing = threading.local()
        self._begin_turns()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in _PRAGMAS:
        connection.execute(pragma).fetchall()


def _prepare_reading(connection: Any, _record: object) -> None:
    for pragma in _READING:
        connection.execute(pragma).fetchall()


def _begin_sqlite(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("thrive_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _register_fork(database: Database) -> None:
    reference = weakref.ref(database)

    def forget() -> None:
        alive = reference()
        if alive is not None:
            alive.forget_connections()

    os.register_at_fork(after_in_child=forget)


@contextmanager
def translated() -> Generator[None]:
    """Turn the database's errors into ours, without its SQL or its address."""
    try:
        yield
    except DBAPIError as error:
        ours = _translate(error)
        if ours is None:
            raise
        raise ours from error
    except UnicodeEncodeError:
        raise UsageError(
            "A text holds half a character (a lone surrogate).", "check its encoding"
        ) from None


_MEANINGS: tuple[tuple[tuple[str, ...], type[InfrastructureError], str, str], ...] = (
    (("locked", "busy"), StoreBusy, "The database is held by another writer.", "try again"),
    (
        ("is full", "no space", "ioerr_shmsize"),
        DiskFull,
        "No space left for the database; nothing was written.",
        "free some space, then try again",
    ),
    (
        ("malformed", "not a database"),
        InfrastructureError,
        "The database file is damaged.",
        "restore the newest backup into an empty folder: thrive backups restore FILE",
    ),
    (
        ("readonly", "unable to open"),
        InfrastructureError,
        "The database file cannot be opened for writing.",
        "thrive doctor",
    ),
)


def _translate(error: DBAPIError) -> ThriveError | None:
    if hasattr(error.orig, "sqlstate"):
        return postgresql.translate(error) or _unavailable(error)
    words = f"{error.orig} {getattr(error.orig, 'sqlite_errorname', '')}".lower()
    if isinstance(error, IntegrityError) and "unique" in words:
        return Conflict("Somebody else wrote the same thing first.", "read again, then decide")
    for signs, kind, what, hint in _MEANINGS:
        if any(sign in words for sign in signs):
            return kind(what, hint)
    return _unavailable(error)


def _unavailable(error: DBAPIError) -> StoreUnavailable | None:
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return StoreUnavailable("The database does not answer.", "thrive doctor")
    return None
