"""Writers that wait for each other share a commit, and nothing else."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from thrive.domain.actor import local_actor
from thrive.domain.errors import Conflict, StoreBusy
from thrive.operations import Context
from thrive.store import audit, changes
from thrive.store.database import Database
from thrive.store.group_commit import GroupCommit
from thrive.store.home import create_home
from thrive.store.lock import FileLock


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'd.db'}", FileLock(tmp_path / "lock"))
    with made.write() as tx:
        tx.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY)")
    yield made
    made.close()


@pytest.fixture
def commits(database):
    """What was committed, counted."""
    counted = []
    sa.event.listen(database.engine, "commit", counted.append)
    return counted


def numbers(database):
    with database.read() as tx:
        return list(tx.exec_driver_sql("SELECT n FROM t ORDER BY n").scalars())


def insert(tx, number):
    tx.exec_driver_sql(f"INSERT INTO t VALUES ({number})")


def side_by_side(database, work, count):
    """Hold the turn until `count` writers wait for it, then let them go; return how each ended."""
    waiting = database._turns._waiters
    ended = [None] * count

    def one(number):
        try:
            with database.write() as tx:
                work(tx, number)
        except Exception as error:
            ended[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    try:
        with database.write() as tx:
            insert(tx, 1000)
            for thread in threads:
                thread.start()
            while len(waiting) < count:
                pass
    finally:
        for thread in threads:
            thread.join()
    return ended


def test_writers_that_wait_share_one_commit(database, commits):
    assert side_by_side(database, insert, 8) == [None] * 8
    assert len(commits) == 1
    assert numbers(database) == [*range(8), 1000]


def test_one_that_fails_undoes_its_own_part_alone(database, commits):
    def work(tx, number):
        insert(tx, number)
        if number % 2:
            raise Conflict("mine", "")
        if number == 4:
            insert(tx, 1000)

    ended = side_by_side(database, work, 6)
    assert [type(each).__name__ for each in ended] == [
        "NoneType", "Conflict", "NoneType", "Conflict", "Conflict", "Conflict",
    ]  # fmt: skip
    assert len(commits) == 1
    assert numbers(database) == [0, 2, 1000]


def test_a_first_one_that_fails_takes_nobody_along(database):
    def failing():
        with database.write() as tx:
            insert(tx, 1)
            raise Conflict("mine", "")

    with pytest.raises(Conflict):
        failing()
    with database.write() as tx:
        insert(tx, 2)
    assert numbers(database) == [2]


def test_a_commit_that_fails_fails_all_of_them(database):
    def full(_connection):
        raise OSError("the disk is gone")

    sa.event.listen(database.engine, "commit", full)
    with pytest.raises(OSError, match="the disk is gone"):
        side_by_side(database, insert, 3)
    sa.event.remove(database.engine, "commit", full)
    assert numbers(database) == []
    with database.write() as tx:
        insert(tx, 5)
    assert numbers(database) == [5]


def test_a_transaction_that_the_database_ended_fails_all_who_wrote_in_it(database):
    def work(tx, number):
        insert(tx, number)
        if number == 2:
            tx.exec_driver_sql("ROLLBACK")
            raise Conflict("the transaction is gone", "")

    with pytest.raises(Conflict, match="is gone"):
        side_by_side(database, work, 3)
    assert 1000 not in numbers(database)


def test_nobody_waits_for_ever():
    def never():
        raise AssertionError("it was not called")

    turns = GroupCommit(never, patience=0.05)
    turns._busy = True
    with pytest.raises(StoreBusy), turns.turn():
        pass
    assert not turns._waiters


def test_a_chain_that_many_threads_write_is_whole(tmp_path):
    home = create_home(tmp_path, "test")
    context = Context(home, local_actor("ada"), operation="test")

    def refuse(number):
        if number % 7 == 0:
            raise Conflict("no", "")

    def write(number):
        try:
            with context.write(f"thing:{number}"):
                refuse(number)
        except Conflict:
            return False
        with home.read() as tx:
            return f"thing:{number}" in {
                f"{each.kind}:{each.id}" for each in changes.after(tx, home.project_id, 0)
            }

    with ThreadPoolExecutor(16) as pool:
        seen = list(pool.map(write, range(200)))
    assert seen == [bool(number % 7) for number in range(200)], "what is written is read at once"
    with home.read() as tx:
        assert audit.first_broken(tx, home.project_id) is None
        assert len(audit.entries(tx, home.project_id, limit=500)) == sum(seen)
    home.close()
