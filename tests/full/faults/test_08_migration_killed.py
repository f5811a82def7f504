"""Fault 8: `kill -9` while a home of before is brought to this schema."""

import json
import random
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from thrive.domain.errors import InfrastructureError, SchemaTooNew
from thrive.domain.identifiers import new_id
from thrive.store import migrations
from thrive.store.database import Database
from thrive.store.home import FOLDER, open_home
from thrive.store.lock import FileLock
from thrive.store.migrations import HEAD, refuse_other_schema, schema_of

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]
OLD = "0003"
ROWS = 20_000
KILLS = 10
SEED = 8

MIGRATE = """
    import sys
    from pathlib import Path
    from thrive.store.database import Database
    from thrive.store.home import migrate_home
    from thrive.store.migrations import migrate
    print("begun", flush=True)
    if "://" in sys.argv[1]:
        database = Database(sys.argv[1])
        migrate(database)
        database.close()
    else:
        migrate_home(Path(sys.argv[1]))
"""


def old_database(database: Database) -> str:
    """Make an empty database one of the schema `OLD` with rows in it; return its project's id."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    project = new_id()
    with database.write() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, OLD)
        tx.execute(
            sa.text(
                "INSERT INTO projects (project_id, name, clock_mode, replay_now, created_at)"
                " VALUES (:project, 'old', 'real', 0, 1)"
            ),
            {"project": project},
        )
        tx.execute(
            sa.text("INSERT INTO changes (project_id, kind, id) VALUES (:project, 'thing', :id)"),
            [{"project": project, "id": str(number)} for number in range(ROWS)],
        )
    return project


def start(place) -> subprocess.Popen[str]:
    """Start migrating a home in a process; return when it is about to."""
    script = [sys.executable, "-c", textwrap.dedent(MIGRATE), str(place)]
    process = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def kill_again_and_again(place, renew, check) -> set[str]:
    """Kill migrations at random moments; `check` returns the schema that each left behind."""
    began = time.monotonic()
    assert start(place).wait(timeout=120) == 0
    longest = time.monotonic() - began
    dice, seen = random.Random(SEED), set()
    for _ in range(KILLS):
        renew()
        process = start(place)
        time.sleep(dice.uniform(0, longest))
        process.kill()
        process.wait()
        seen.add(check())
    assert seen <= {OLD, HEAD}
    assert OLD in seen, "no kill came in time"
    renew()
    assert start(place).wait(timeout=120) == 0
    assert check() == HEAD
    return seen


def count(database: Database) -> int:
    with database.read() as tx:
        return tx.exec_driver_sql("SELECT count(*) FROM changes").scalar_one()


def test_08_a_home_in_a_folder_is_of_the_old_schema_or_of_the_new_one(tmp_path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    file = folder / "thrive.db"

    def renew() -> None:
        for path in folder.glob("thrive.db*"):
            path.unlink()
        database = Database(f"sqlite:///{file}", FileLock(folder / "lock"))
        project = old_database(database)
        database.close()
        record = {"format": 1, "project": project, "name": "old"}
        (folder / "home.json").write_text(json.dumps(record))

    def check() -> str:
        database = Database(f"sqlite:///{file}", FileLock(folder / "lock"))
        assert database.quick_check() == ""
        assert count(database) == ROWS
        found = schema_of(database)
        database.close()
        if found == HEAD:
            open_home(tmp_path).close()
            assert [rows_of(each) for each in folder.glob("*.backup") if whole(each)][:1] == [ROWS]
        else:
            with pytest.raises(InfrastructureError, match="needs") as refused:
                open_home(tmp_path)
            assert refused.value.hint == "thrive doctor --migrate"
        return found

    renew()
    kill_again_and_again(tmp_path, renew, check)
    with sqlite3.connect(file) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(SchemaTooNew, match="9999"):
        open_home(tmp_path)


def rows_of(path: Path) -> int:
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == (OLD,)
        return raw.execute("SELECT count(*) FROM changes").fetchone()[0]


def whole(path: Path) -> bool:
    """Tell whether a copy is a database: the kill may have come while it was made."""
    try:
        rows_of(path)
    except sqlite3.DatabaseError:
        return False
    return True


def test_08_a_database_of_a_team_is_of_the_old_schema_or_of_the_new_one(database):
    address = database.new_database()
    home = Database(address)
    old_database(home)
    home.close()
    copy = ""

    def renew() -> None:
        nonlocal copy
        if not copy:
            raise AssertionError("there is nothing to begin from")
        database.drop(address)
        with database.connect() as connection:
            words = (address.rpartition("/")[2], copy.rpartition("/")[2])
            connection.execute("CREATE DATABASE {} TEMPLATE {}".format(*words).encode())

    def check() -> str:
        opened = Database(address)
        found = schema_of(opened)
        assert count(opened) == ROWS
        if found != HEAD:
            with pytest.raises(InfrastructureError, match="needs"):
                refuse_other_schema(opened)
        opened.close()
        return found

    copy = database.new_database(template=address)
    kill_again_and_again(address, renew, check)
