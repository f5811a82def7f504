"""Forward-only numbered migrations: they bring a database to the shape of `store.tables`.

A home of an older schema is refused until `migrate` is asked for, which copies a SQLite database
first; a home of a newer schema is refused. `versions/` holds one file a step; `schema.sql`, which
is generated, holds what they make together, so that a new home takes a few milliseconds.
"""

from pathlib import Path

import sqlalchemy as sa

from thrive.domain.clock import machine_now
from thrive.domain.errors import InfrastructureError, SchemaTooNew
from thrive.store.database import Database
from thrive.store.postgresql import lock_schema

HEAD = "0030"
"""The newest step: the schema this Thrive reads and writes."""

SCHEMA = Path(__file__).with_name("schema.sql")
"""The statements of all steps together, on SQLite."""
END = ";\n\n"


def schema_of(database: Database) -> str:
    """Return the schema number of a database, empty for an empty one."""
    with database.read() as tx:
        if not sa.inspect(tx).has_table("alembic_version"):
            return ""
        return tx.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() or ""


def refuse_other_schema(database: Database) -> None:
    """Refuse a database that is not of this schema.

    Raises:
        SchemaTooNew: a newer Thrive wrote it.
        InfrastructureError: it needs migrating.
    """
    schema = schema_of(database)
    if schema > HEAD:
        raise SchemaTooNew(
            f"This home has schema {schema}; this Thrive reads up to {HEAD}.",
            "pip install --upgrade thrive",
        )
    if schema < HEAD:
        raise InfrastructureError(
            f"This home has schema {schema or 'none'}; this Thrive needs {HEAD}.",
            "thrive doctor --migrate",
        )


def migrate(database: Database) -> Path | None:
    """Bring a database to this schema; return the copy made first, None for an empty one.

    Of several processes that do so at once, one works. PostgreSQL is not copied: it changes its
    schema in one transaction, and its keepers have backups of their own.
    """
    schema = schema_of(database)
    if schema == HEAD:
        return None
    if schema > HEAD:
        refuse_other_schema(database)
    copy = _copy(database) if schema and database.is_sqlite else None
    with database.write() as tx:
        if not database.is_sqlite:
            lock_schema(tx)
        if database.is_sqlite and not sa.inspect(tx).get_table_names():
            _create(tx)
        else:
            upgrade(tx)  # nothing is left to do for whoever waited here
    return copy


def upgrade(tx: sa.Connection) -> None:
    """Take the steps that are missing, in the open transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = tx
    command.upgrade(config, "head")


def statements_of(tx: sa.Connection) -> str:
    """Return what makes a SQLite database as it stands: `schema.sql` holds it for `HEAD`."""
    query = (
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND substr(name, 1, 7) <> 'sqlite_'"
        " ORDER BY type DESC, name"
    )
    return "".join(f"{row[0]}{END}" for row in tx.exec_driver_sql(query))


def _create(tx: sa.Connection) -> None:
    for statement in SCHEMA.read_text().split(END)[:-1]:
        tx.exec_driver_sql(statement)
    tx.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))


def _copy(database: Database) -> Path:
    source = Path(str(database.engine.url.database))
    target = source.with_name(f"{source.name}.{machine_now()}.backup")
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("VACUUM INTO ?", (str(target),))
    return target
