"""Write the next migration from the difference between the tables and the newest schema.

usage: python scripts/new_migration.py NUMBER "what it does"
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config

from thrive.store import migrations
from thrive.store.database import Database
from thrive.store.lock import FileLock


def main(number: str, message: str) -> None:
    """Upgrade an empty database to the newest step, compare, and write the step that is missing."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/db", FileLock(Path(folder) / "lock"))
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        with database.write() as tx:
            config.attributes["connection"] = tx
            command.upgrade(config, "head")
            command.revision(config, message, autogenerate=True, rev_id=number)


main(*sys.argv[1:])
