"""The online store: the newest row of each key of each view, read at inference.

One port, `OnlineStore`; one store a project: SQLite in the home's folder by default,
PostgreSQL, Redis or Valkey for a team whose hosts share one. What it holds can be computed again at
any time: it has no backup and needs none.
"""

import json
from pathlib import Path

from thrive.domain.errors import UsageError
from thrive.settings import read_settings
from thrive.store.home import HOME_RECORD, HOST_RECORD
from thrive.store.online.lookup import Lookup, OnlineRows
from thrive.store.online.port import OnlineStore, OnlineTable, RawRows, Renewed, Written
from thrive.store.online.postgresql import PostgresOnline
from thrive.store.online.redis import RedisOnline
from thrive.store.online.sqlite import SqliteOnline

__all__ = [
    "Lookup",
    "OnlineRows",
    "OnlineStore",
    "OnlineTable",
    "PostgresOnline",
    "RawRows",
    "RedisOnline",
    "Renewed",
    "SqliteOnline",
    "Written",
    "open_online",
]

FOLDER = "online"


def open_online(home_folder: Path, address: str | None = None) -> OnlineStore:
    """Return the online store of a home: where the setting `online_store` says, else in its folder.

    Args:
        home_folder: the folder of the home on this machine.
        address: instead of the setting.

    Raises:
        UsageError: the address is of a store that is not known.
    """
    address = read_settings().online_store if address is None else address
    if not address:
        return SqliteOnline(home_folder / FOLDER / "features.db")
    if address.startswith(("postgresql://", "postgres://")):
        return PostgresOnline(address, _project_of(home_folder))
    if address.startswith(("redis://", "rediss://", "valkey://", "valkeys://")):
        return RedisOnline(address, _project_of(home_folder))
    raise UsageError(
        f"{address.partition(':')[0][:40]!r} is no online store.",
        "THRIVE_ONLINE_STORE=postgresql://user@host/database, redis://host:6379/0, or nothing",
    )


def _project_of(home_folder: Path) -> str:
    """Return the id of the project whose home, or serving host, this is: a store has many."""
    known = home_folder / HOME_RECORD
    record = known if known.exists() else home_folder / HOST_RECORD
    return str(json.loads(record.read_text())["project"])
