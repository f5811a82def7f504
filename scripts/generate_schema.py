"""Write src/thrive/store/migrations/schema.sql: what all steps together make of an empty SQLite.

usage: python scripts/generate_schema.py [--check]
"""

import sys
import tempfile
from pathlib import Path

from thrive.store.database import Database
from thrive.store.lock import FileLock
from thrive.store.migrations import SCHEMA, statements_of, upgrade


def generated() -> str:
    """Return the statements of a database that went through every step."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/db", FileLock(Path(folder) / "lock"))
        with database.write() as tx:
            upgrade(tx)
        with database.read() as tx:
            text = statements_of(tx)
        database.close()
    return text


def main() -> int:
    """Write the file, or with --check say whether it is stale."""
    text = generated()
    fresh = SCHEMA.exists() and SCHEMA.read_text() == text
    if "--check" in sys.argv:
        print("fresh" if fresh else "stale: python scripts/generate_schema.py")
        return int(not fresh)
    SCHEMA.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
