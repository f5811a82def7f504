import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from thrive.domain.errors import (
    Conflict,
    DiskFull,
    InfrastructureError,
    NotFound,
    SchemaTooNew,
    StoreBusy,
)
from thrive.store import audit, changes, database, projects
from thrive.store.database import Database
from thrive.store.home import create_home, open_home
from thrive.store.lock import FileLock, TurnLock, patiently
from thrive.store.migrations import HEAD, SCHEMA, schema_of, statements_of, upgrade
from thrive.store.tables.schema import metadata


def test_a_migrated_database_has_exactly_the_declared_tables(home):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with home.read() as tx:
        difference = compare_metadata(MigrationContext.configure(tx), metadata)
    assert difference == []


def test_a_new_home_is_what_all_steps_together_make(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/db", FileLock(tmp_path / "lock"))
    with database.write() as tx:
        upgrade(tx)
    with database.read() as tx:
        assert statements_of(tx) == SCHEMA.read_text(), "python scripts/generate_schema.py"
    assert schema_of(database) == HEAD
    database.close()


def test_the_newest_step_is_the_one_the_code_says():
    folder = Path(__file__).parents[3] / "src/thrive/store/migrations/versions"
    steps = sorted(path.name[:4] for path in folder.glob("[0-9]*.py"))
    assert steps[-1] == HEAD


def test_a_second_home_in_the_same_folder_is_refused(home, tmp_path):
    with pytest.raises(Conflict, match="exists already"):
        create_home(tmp_path, "again")


def test_a_folder_without_a_home_says_init(tmp_path):
    with pytest.raises(NotFound, match="thrive init"):
        open_home(tmp_path)


def test_a_newer_schema_is_refused_with_what_to_do(home, tmp_path):
    with home.write() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    home.close()
    with pytest.raises(SchemaTooNew, match="upgrade"):
        open_home(tmp_path)


def test_a_damaged_database_file_is_said_without_a_traceback_of_sql(home, tmp_path):
    home.close()
    (tmp_path / ".thrive" / "thrive.db").write_bytes(b"not a database, though long enough" * 100)
    with pytest.raises(InfrastructureError, match="damaged"):
        open_home(tmp_path)


def test_a_home_is_its_owner_s_alone(home, tmp_path):
    with home.write() as tx:
        projects.create(tx, "other")
    folder = tmp_path / ".thrive"
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("thrive.db", "thrive.db-wal", "home.json", "lock"):
        assert (folder / name).stat().st_mode & 0o077 == 0, name


def test_every_connection_waits_for_the_disk(home):
    with home.read() as tx:
        assert tx.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert tx.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert tx.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar() == 0


def synchronous(tx):
    return tx.exec_driver_sql("PRAGMA synchronous").scalar()


def test_observations_wait_for_the_disk_once_a_second_and_state_changes_always(home, monkeypatch):
    with home.write() as tx:
        assert synchronous(tx) == 2
    with home.write(durable=False) as tx:
        assert synchronous(tx) == 1
    with home.change() as tx:
        assert synchronous(tx) == 2
    with home.read() as tx:
        assert synchronous(tx) == 2
    monkeypatch.setattr(database, "RELAXED_S", 0.0)
    with home.write(durable=False) as tx:
        assert synchronous(tx) == 2


def test_where_metrics_are_as_durable_as_all_else(tmp_path, monkeypatch):
    monkeypatch.setenv("THRIVE_DURABILITY", "full")
    home = create_home(tmp_path, "careful")
    for _ in range(2):
        with home.write(durable=False) as tx:
            assert synchronous(tx) == 2
    home.close()


def test_an_observation_that_fails_leaves_its_connection_as_it_was(home):
    with home.write():
        pass
    with pytest.raises(ZeroDivisionError), home.write(durable=False):
        raise ZeroDivisionError
    for _ in range(20):
        with home.change() as tx:
            assert synchronous(tx) == 2


def test_an_error_inside_a_write_leaves_nothing(context):
    before = changes_of(context)
    with pytest.raises(RuntimeError), context.write("thing:1"):
        raise RuntimeError
    assert changes_of(context) == before


def test_a_write_inside_a_write_is_a_bug(home):
    with home.write(), pytest.raises(AssertionError), home.write():
        pass


def changes_of(context):
    with context.read() as tx:
        return changes.after(tx, context.project_id, 0), audit.entries(tx, context.project_id)


def test_a_second_writer_is_told_who_holds_the_home(tmp_path):
    path = tmp_path / "lock"
    impatient = FileLock(path, timeout=0.05)
    words = pytest.raises(StoreBusy, match=f"pid {os.getpid()}")
    with FileLock(path).held(), words, impatient.held():
        pass


def test_writers_in_threads_and_processes_never_lose_an_audit_link(context, tmp_path):
    script = """
        import sys
        from pathlib import Path
        from thrive.domain.actor import local_actor
        from thrive.operations import Context
        from thrive.store.home import open_home
        home = open_home(Path(sys.argv[1]))
        context = Context(home, local_actor("other"), operation="test")
        for index in range(30):
            with context.write(f"thing:{index}"):
                pass
        home.close()
    """
    other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)])

    def write() -> None:
        for index in range(30):
            with context.write(f"mine:{index}"):
                pass

    threads = [threading.Thread(target=write) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert other.wait(timeout=60) == 0
    with context.read() as tx:
        links = audit.entries(tx, context.project_id, limit=1000)
        assert audit.first_broken(tx, context.project_id) is None
    assert len(links) == 90
    assert [link.seq for link in links] == list(range(1, 91))


def test_a_changed_link_is_found(context):
    for index in range(3):
        with context.write(f"thing:{index}", value=index):
            pass
    with context.home.write() as tx:
        tx.exec_driver_sql("UPDATE audit SET subject = 'thing:9' WHERE seq = 2")
    with context.read() as tx:
        assert audit.first_broken(tx, context.project_id) == 2


def test_a_removed_last_link_is_found(context):
    for index in range(3):
        with context.write(f"thing:{index}"):
            pass
    with context.home.write() as tx:
        tx.exec_driver_sql("DELETE FROM audit WHERE seq = 3")
    with context.read() as tx:
        assert audit.first_broken(tx, context.project_id) == 3


def test_the_write_ahead_log_stays_small(context, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "CHECKPOINT_BYTES", 4 << 20)
    with context.home.write() as tx:
        tx.exec_driver_sql("CREATE TABLE big (data BLOB)")
    for _ in range(12):
        with context.home.write() as tx:
            tx.exec_driver_sql("INSERT INTO big VALUES (randomblob(1000000))")
    wal = tmp_path / ".thrive" / "thrive.db-wal"
    assert wal.stat().st_size < 8 << 20


def test_a_forked_child_opens_its_own_connections(home):
    with home.read() as tx:
        assert schema_of(home.database) == HEAD
        tx.exec_driver_sql("SELECT 1")
    child = os.fork()
    if child == 0:
        with home.write() as tx:
            projects.create(tx, "from-the-child")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    with home.read() as tx:
        assert projects.find(tx, "from-the-child") is not None


def test_kill_9_while_writing_loses_no_acknowledged_link(tmp_path):
    create_home(tmp_path, "killed").close()
    script = """
        import sys
        from pathlib import Path
        from thrive.domain.actor import local_actor
        from thrive.operations import Context
        from thrive.store.home import open_home
        home = open_home(Path(sys.argv[1]))
        context = Context(home, local_actor("writer"), operation="test")
        index = int(sys.argv[2])
        while True:
            with context.write(f"thing:{index}"):
                pass
            print(index, flush=True)
            index += 1
    """
    acknowledged: list[int] = []
    for round_number in range(4):
        start = str(1000 * round_number)
        command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), start]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged.append(int(writer.stdout.readline()))
            time.sleep(0.03 * (round_number + 1))
            writer.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in writer.stdout.read().split()]
    home = open_home(tmp_path)
    with home.read() as tx:
        subjects = {link.subject for link in audit.entries(tx, home.project_id, limit=10**6)}
        assert audit.first_broken(tx, home.project_id) is None
        assert len(changes.after(tx, home.project_id, 0, 10**6)) == len(subjects) + 1
    home.close()
    assert {f"thing:{index}" for index in acknowledged} <= subjects


def test_a_full_disk_is_one_clear_error_and_nothing_is_half_written(context):
    with context.home.write() as tx:
        tx.exec_driver_sql("CREATE TABLE big (data BLOB)")
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar()
        tx.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")

    def fill() -> None:
        with context.write("thing:1") as tx:
            tx.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
            tx.exec_driver_sql("INSERT INTO big VALUES (randomblob(1000000))")

    with pytest.raises(DiskFull, match="nothing was written"):
        fill()
    with context.read() as tx:
        assert tx.execute(sa.text("SELECT count(*) FROM big")).scalar() == 0
        assert audit.latest(tx, context.project_id) == []


def test_a_postgresql_address_never_shows_in_an_error(monkeypatch):
    database = Database("postgresql+psycopg://user:secret@127.0.0.1:1/none")
    with pytest.raises(InfrastructureError) as caught, database.read():
        pass
    assert "secret" not in str(caught.value)


def test_a_long_reader_keeps_the_log_and_no_writer_waits_for_it(home, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "CHECKPOINT_BYTES", 20_000)
    log = tmp_path / ".thrive" / "thrive.db-wal"
    with home.read() as reading:
        known = projects.every(reading)
        for number in range(12):
            with home.write() as tx:
                projects.create(tx, f"p{number}")
                assert tx.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000
        assert log.stat().st_size > 20_000
        assert projects.every(reading) == known
    while log.stat().st_size > 20_000:
        with home.write() as tx:
            projects.create(tx, f"q{log.stat().st_size}-{time.monotonic_ns()}")
    with home.read() as tx:
        assert len(projects.every(tx)) > 12


def test_threads_take_turns_in_the_order_in_which_they_came():
    lock, order = TurnLock(), []
    assert lock.acquire(1.0)
    assert not lock.acquire(0.01)

    def wait(name):
        assert lock.acquire(60.0)
        order.append(name)
        lock.release()

    threads = [threading.Thread(target=wait, args=(name,)) for name in "abc"]
    for place, thread in enumerate(threads, 1):
        thread.start()
        while len(lock._waiting) < place:
            time.sleep(0.001)
    lock.release()
    assert lock.acquire(60.0)  # behind those that waited, however soon it came
    assert order == ["a", "b", "c"]
    lock.release()
    for thread in threads:
        thread.join()


def test_patience_is_of_the_process_s_own_time():
    asked = []

    def wait(part):
        asked.append(part)  # however late it comes back: a stopped process returns from one wait
        return len(asked) == 3

    assert patiently(wait, 30.0)
    assert asked == [1.0, 1.0, 1.0]
    asked.clear()
    assert not patiently(lambda part: bool(asked.append(part)), 2.5)
    assert asked == [1.0, 1.0, 0.5]
