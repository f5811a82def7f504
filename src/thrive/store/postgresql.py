"""What is PostgreSQL's own: its addresses, its engine, its error codes, its locks between servers.

Addresses are shown and kept without their password: it comes from the address given at start,
from `PGPASSWORD` or from the user's `.pgpass`.
"""

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError

from thrive.domain.errors import (
    Conflict,
    DiskFull,
    InfrastructureError,
    StoreBusy,
    StoreUnavailable,
    ThriveError,
    UsageError,
)
from thrive.store.json_text import json_text

if TYPE_CHECKING:
    from thrive.store.silence import Pulse

DRIVER = "postgresql+psycopg"
LOCK_SECONDS = 30
"""How long a statement waits for another writer's lock: as long as the home lock of SQLite."""
SILENCE_S = 25
"""After how long without a sign of life one connection is taken for cut: a network that was cut
sends no farewell. Keepalives below come to the same."""

SCHEMA_LOCK = 0x7468726976650001
"""The advisory lock of whoever brings a database to this schema."""
_CHANGES_LOCK = 0x74687269
_BLOBS_LOCK = 0x7468626C
_LOGS_LOCK = 0x74686C6F
_lock_changes = sa.select(
    sa.func.pg_advisory_xact_lock(
        _CHANGES_LOCK, sa.func.hashtext(sa.bindparam("project", type_=sa.Text))
    )
)
_lock_log = sa.select(
    sa.func.pg_advisory_xact_lock(_LOGS_LOCK, sa.func.hashtext(sa.bindparam("host", type_=sa.Text)))
)
_READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def normal_address(address: str) -> str:
    """Return a `postgres://` or `postgresql://` address as SQLAlchemy wants it.

    Raises:
        UsageError: it is an address of something else.
    """
    scheme, separator, rest = address.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", DRIVER):
        raise UsageError(
            f"{scheme[:40]!r} is no database Thrive works on.",
            "give postgresql://user@host/database, with the password in PGPASSWORD",
        )
    return f"{DRIVER}://{rest}"


def without_password(address: str) -> str:
    """Return an address that may be written down: its password is left out."""
    url = sa.make_url(address)
    query = {key: value for key, value in url.query.items() if key != "password"}
    bare = sa.URL.create(
        url.drivername, url.username, None, url.host, url.port, url.database, query
    )
    return bare.render_as_string(hide_password=False)


def create_engine(address: str) -> "tuple[sa.Engine, Pulse]":
    """Return an engine whose connections are tried before they are used, and its pulse.

    Raises:
        InfrastructureError: the driver is not installed.
    """
    try:
        engine = sa.create_engine(
            address,
            pool_size=8,
            max_overflow=24,
            json_serializer=json_text,
            hide_parameters=True,
            connect_args={
                "connect_timeout": 10,
                "application_name": "thrive",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": SILENCE_S * 1000,
                "options": f"-c lock_timeout={LOCK_SECONDS}s -c timezone=UTC",
            },
        )
        from thrive.store import silence  # it needs the driver
    except ModuleNotFoundError:
        raise InfrastructureError(
            "The PostgreSQL driver is not installed.", "pip install 'thrive[postgresql]'"
        ) from None
    return engine, silence.watch(engine)


def reading(engine: sa.Engine) -> sa.Engine:
    """Return the same engine for transactions that see one state and write nothing."""
    return engine.execution_options(**_READING)


def vacuum(engine: sa.Engine) -> None:
    """Write every table of ours anew, without the rows that were deleted or replaced."""
    from thrive.store.tables.schema import metadata

    preparer = engine.dialect.identifier_preparer
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in metadata.sorted_tables:
            connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {preparer.format_table(table)}")


def server_version(tx: sa.Connection) -> int:
    """Return the major version of the server."""
    return int(tx.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10000


def lock_schema(tx: sa.Connection) -> None:
    """Wait until no other server changes the schema; the lock ends with the transaction."""
    tx.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))


def lock_blobs(tx: sa.Connection) -> None:
    """Wait until nobody else decides which blobs are needed; the lock ends with the transaction.

    SQLite has one writer at a time and needs no more.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_BLOBS_LOCK)))


def lock_changes(tx: sa.Connection, project_id: str) -> None:
    """Make the changes of a project commit in the order of their numbers.

    Without it a reader that saw number 7 could miss number 6, whose transaction ended later.
    """
    tx.execute(_lock_changes, {"project": project_id})


def lock_log(tx: sa.Connection, project_id: str, host: str) -> None:
    """Wait until nobody else takes in the prediction log of a host; ends with the transaction.

    Without it two who were sent the same stretch would both find that it is not there.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(_lock_log, {"host": f"{project_id}/{host}"})


def count_from(tx: sa.Connection, column: sa.Column[int]) -> None:
    """Let an automatic counter go on after the greatest number in its column."""
    sequence = sa.func.pg_get_serial_sequence(column.table.name, column.name)
    greatest = sa.select(sa.func.max(column)).scalar_subquery()
    tx.execute(sa.select(sa.func.setval(sequence, sa.func.greatest(greatest, 1))))


_BUSY = (StoreBusy, "Another writer held what this one needs for too long.", "try again")
_AWAY = (StoreUnavailable, "The database does not answer.", "thrive doctor")
_REFUSED = (
    InfrastructureError,
    "The database refuses this user or password.",
    "set PGPASSWORD, or give the password in the address at start",
)
_NO_DATABASE = (InfrastructureError, "There is no such database.", "createdb, then try again")
_MEANINGS: dict[str, tuple[type[ThriveError], str, str]] = {
    "08": _AWAY,
    "22001": (UsageError, "A text is longer than the database takes.", "shorten it"),
    "22003": (UsageError, "A number is larger than 64 bits hold.", "give a smaller one"),
    "22021": (UsageError, "A text holds a character that cannot be stored.", "remove it"),
    "22": (UsageError, "A value has a form that cannot be stored.", "check what was given"),
    "23505": (Conflict, "Somebody else wrote the same thing first.", "read again, then decide"),
    "25006": (StoreUnavailable, "The database takes no writes just now.", "try again"),
    "28": _REFUSED,
    "3D": _NO_DATABASE,
    "40": _BUSY,
    "42501": (
        InfrastructureError,
        "The database user may not do this.",
        "let it own the database's schema",
    ),
    "53100": (
        DiskFull,
        "No space left for the database; nothing was written.",
        "free some space, then try again",
    ),
    "53": _AWAY,
    "55P03": _BUSY,
    "57": _AWAY,
}
_SAID = {
    "password authentication": _REFUSED,
    "no password": _REFUSED,
    "does not exist": _NO_DATABASE,
}


def translate(error: DBAPIError) -> ThriveError | None:
    """Return our error for one of PostgreSQL's, None for one that nobody foresaw."""
    state: str = getattr(error.orig, "sqlstate", None) or ""
    found = _MEANINGS.get(state) or _MEANINGS.get(state[:2])
    if found is None and not state:
        found = _unnumbered(error)
    return None if found is None else found[0](found[1], found[2])


def _unnumbered(error: DBAPIError) -> tuple[type[ThriveError], str, str] | None:
    """Return the meaning of an error of the driver itself, which has words and no number."""
    if isinstance(error, DataError):
        return _MEANINGS["22021" if "NUL" in str(error.orig) else "22"]
    words = str(error.orig)
    return next((found for sign, found in _SAID.items() if sign in words), None)
