"""What a serving host asks of an embedded home until its first answer, without SQLAlchemy.

To import SQLAlchemy took two thirds of an agent's time until its workers knew what to serve, for
six tiny questions. They are asked in SQL here; everything else of a home is behind `open_home`.
"""

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from thrive.domain.clock import ClockMode, ClockState
from thrive.domain.errors import NotFound, StoreUnavailable
from thrive.domain.features import FeatureSpec
from thrive.domain.left_out import LeftOut
from thrive.domain.release import RoutingTable
from thrive.store.blobs.folder import FolderBlobs
from thrive.store.eventlog import numbering
from thrive.store.lock import FileLock
from thrive.store.place import DATABASE, HOME_FORMAT, HOME_RECORD, LOCK

_STEPS = Path(__file__).parent / "migrations" / "versions"
_EMBEDDED = {"format", "project", "name"}
_PRAGMAS = ("synchronous=FULL", "wal_autocheckpoint=0", "busy_timeout=10000")


class QuickVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What serving wants to know of a model version."""

    contract: str
    features: FeatureSpec | None = None


class QuickHome:
    """An embedded home of this Thrive's schema, for as long as its block is open.

    Args:
        connection: to its database.
        folder: of the home.
        project_id: of its project.
        project: the name of its project.
    """

    def __init__(
        self, connection: sqlite3.Connection, folder: Path, project_id: str, project: str
    ) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._lock = FileLock(folder / LOCK)
        self.project_id = project_id
        self.project = project
        self.blobs = FolderBlobs(folder / "blobs")

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Generator[Self | None]:
        """Give the home in a folder; None where `open_home` is to look, and to say what is wrong.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        record = _record(folder)
        if record is None or not (folder / DATABASE).is_file():
            yield None
            return
        lock = FileLock(folder / LOCK)
        with _translated():
            connection = sqlite3.connect(
                folder / DATABASE, isolation_level=None, check_same_thread=False
            )
        try:
            yield cls._found(connection, folder, str(record["name"]))
        finally:
            with lock.held():  # closing may checkpoint
                connection.close()

    @classmethod
    def _found(cls, connection: sqlite3.Connection, folder: Path, name: str) -> Self | None:
        with _translated():
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").fetchall()
            query = "SELECT version_num FROM alembic_version"
            if connection.execute(query).fetchall() != [(_newest_step(),)]:
                return None
            query = "SELECT project_id FROM projects WHERE name = ?"
            rows = connection.execute(query, (name,)).fetchall()
        return cls(connection, folder, rows[0][0], name) if rows else None

    def clock(self) -> ClockState:
        """Return the project's clock."""
        query = "SELECT clock_mode, replay_now FROM projects WHERE project_id = ?"
        mode, now = self._rows(query)[0]
        return ClockState(mode=ClockMode(mode), replay_now=now)

    def models(self) -> list[str]:
        """Return the names of all models, in order."""
        query = "SELECT name FROM models WHERE project_id = ? ORDER BY name"
        return [name for (name,) in self._rows(query)]

    def routing(self, model: str) -> RoutingTable | None:
        """Return what is live for a model now, None when nothing ever was."""
        return next(iter(self._routing(model, 1)), None)

    def routing_history(self, model: str) -> list[RoutingTable]:
        """Return every routing table a model ever had, newest first."""
        return self._routing(model)

    def _routing(self, model: str, limit: int = -1) -> list[RoutingTable]:
        query = (
            "SELECT * FROM routing WHERE project_id = ? AND model = ?"
            " ORDER BY revision DESC LIMIT ?"
        )
        rows = [dict(row) for row in self._rows(query, model, limit)]
        for row in rows:
            row |= {name: _value(row[name]) for name in ("variants", "fallback")}
        return [msgspec.convert(row, RoutingTable, strict=False) for row in rows]

    def version(self, model: str, number: int) -> QuickVersion:
        """Return a version of a model.

        Raises:
            NotFound: there is none.
        """
        query = (
            "SELECT contract, features FROM model_versions"
            " WHERE project_id = ? AND model = ? AND version = ?"
        )
        for contract, features in self._rows(query, model, number):
            found = {"contract": contract, "features": _value(features)}
            return msgspec.convert(found, QuickVersion, strict=False)
        raise NotFound(f"There is no model version {model}@{number}.", "thrive models list")

    def contract(self, digest: str) -> str | None:
        """Return the text of a stored contract."""
        query = "SELECT text FROM contracts WHERE project_id = ? AND digest = ?"
        return next((text for (text,) in self._rows(query, digest)), None)

    def left_out(self) -> list[LeftOut]:
        """Return whom model servers do not answer about."""
        query = (
            "SELECT asked_key, columns, asked FROM restrictions"
            " WHERE project_id = ? AND lifted_at IS NULL"
        )
        rows = self._rows(query)
        return LeftOut.of((key, _value(columns), asked) for key, columns, asked in rows)

    @contextmanager
    def reading(self) -> Generator[None]:
        """See one consistent state in the block."""
        with _translated():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def worker_numbers(self, log_id: str, count: int) -> list[int]:
        """Take numbers for the workers that write a log folder; no other folder has them.

        Raises:
            Refused: every number is taken.
            InfrastructureError: the home cannot be written now.
        """
        query = "SELECT owner, name FROM leases WHERE project_id = ? AND name BETWEEN ? AND ?"
        with self._lock.held(), _translated(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            rows = self._rows(query, numbering.FIRST_ROW, numbering.LAST_ROW)
            taken = {owner: numbering.number_in(name) for owner, name in rows}
            return numbering.assign(taken, self._claim, log_id, count)

    def _claim(self, number: int, owner: str) -> bool:
        row = (self.project_id, numbering.row_of(number), owner)
        insertion = (
            "INSERT INTO leases (project_id, name, owner, fence, until) VALUES (?, ?, ?, 1, 0)"
            " ON CONFLICT DO NOTHING"
        )
        return self._connection.execute(insertion, row).rowcount == 1

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with _translated(), closing(self._connection.cursor()) as cursor:
            return cursor.execute(query, (self.project_id, *values)).fetchall()


def _record(folder: Path) -> dict[str, Any] | None:
    """Return what an embedded home says of itself, None for another one."""
    try:
        record = json.loads((folder / HOME_RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record if record.keys() == _EMBEDDED and record["format"] <= HOME_FORMAT else None


def _newest_step() -> str:
    """Return the schema of this Thrive, as `migrations.HEAD` does."""
    return max(path.name.partition("_")[0] for path in _STEPS.glob("[0-9]*.py"))


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except sqlite3.Error:
        raise StoreUnavailable("The database does not answer.", "thrive doctor") from None


def _value(column: Any) -> Any:
    """Return what a JSON column holds; SQLite keeps a number there as a number."""
    return json.loads(column) if isinstance(column, str) else column
