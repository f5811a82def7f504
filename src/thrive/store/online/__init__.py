"""The online store: the newest row of each key of each view, read at inference.

One port, `OnlineStore`; one store a project: SQLite in the home's folder by default. What it holds
can be computed again at any time: it has no backup and needs none.
"""

from pathlib import Path

from thrive.store.online.lookup import Lookup, OnlineRows
from thrive.store.online.port import OnlineStore, OnlineTable, RawRows, Written
from thrive.store.online.sqlite import SqliteOnline

__all__ = [
    "Lookup",
    "OnlineRows",
    "OnlineStore",
    "OnlineTable",
    "RawRows",
    "SqliteOnline",
    "Written",
    "open_online",
]

FOLDER = "online"


def open_online(home_folder: Path) -> OnlineStore:
    """Return the online store of a home.

    Args:
        home_folder: the folder of the home on this machine.
    """
    return SqliteOnline(home_folder / FOLDER / "features.db")
