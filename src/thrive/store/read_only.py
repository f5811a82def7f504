"""An SQLite database where nobody may write: a read-only mount, a folder of somebody else.

SQLite wants to write beside a database even to read it, as readers and writers of a write-ahead log
meet in shared memory. Where the log is empty nothing is to be met, and the file is read as it is
(`immutable`); else SQLite is asked to do without writing, which it can where the shared memory
of the writers is there.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from thrive.domain.errors import InfrastructureError


def is_read_only(database: Path) -> bool:
    """Tell whether a database is there, and this process may not write beside it."""
    return database.exists() and not (
        os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)
    )


def connect_read_only(database: Path) -> sqlite3.Connection:
    """Return a connection that reads a database and writes nothing.

    Raises:
        InfrastructureError: its last writer left a log, and nobody may make what reading it takes.
    """
    log = Path(f"{database}-wal")
    logged = log.exists() and log.stat().st_size > 0
    how = "mode=ro" if logged else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"file:{quote(str(database))}?{how}",
        uri=True,
        check_same_thread=False,
        timeout=10,
        isolation_level=None,
    )
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()
    except sqlite3.OperationalError:
        connection.close()
        raise InfrastructureError(
            f"{database} can only be read, and what was written last is in a log beside it that "
            "takes leave to write.",
            "type `thrive doctor` where the folder can be written, or work in a copy of it",
        ) from None
    return connection


def not_writable(place: Path) -> InfrastructureError:
    """Return the error of writing where nobody may."""
    return InfrastructureError(
        f"{place} cannot be written: it is mounted read-only, or belongs to somebody else.",
        "what only reads works here; to write, make the folder writable or work in a copy of it",
    )
