"""An SQLite file of another program, only read."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thrive.domain.errors import UsageError


class ForeignDatabase:
    """Answers queries about a file that nothing here may change.

    Args:
        path: the file.

    Raises:
        UsageError: it is no SQLite database.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        self._db.row_factory = sqlite3.Row
        try:
            found = self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{path} is no SQLite database: {error}.", "give its path") from None
        self.tables = frozenset(str(row["name"]) for row in found)

    def rows(self, query: str, *values: Any) -> list[Mapping[str, Any]]:
        """Return the rows of a query, by column; `values` take the places of question marks."""
        return [dict(row) for row in self._db.execute(query, values)]
