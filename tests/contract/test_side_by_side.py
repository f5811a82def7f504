"""Several servers on one PostgreSQL: nothing is lost, done twice or half done."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.contract import nouns
from tests.servers import PostgresServer

from thrive.domain.actor import local_actor
from thrive.domain.errors import (
    Conflict,
    InfrastructureError,
    NotFound,
    StoreBusy,
    StoreUnavailable,
    UsageError,
)
from thrive.domain.experiment import LoggedModel, LoggedState
from thrive.domain.project import JobState
from thrive.domain.run import MetricPoint
from thrive.operations import Context
from thrive.server.mlflow.calls import Call
from thrive.server.mlflow.given import Given
from thrive.server.mlflow.logbook import Entry, write_together
from thrive.server.mlflow.registry_shapes import STAGE_TAG
from thrive.server.mlflow.routes import ROUTES, RouteTable
from thrive.store import (
    audit,
    changes,
    experiments,
    jobs,
    logged_models,
    models,
    predictions,
    projects,
    references,
    releases,
    runs,
    worker_numbers,
)
from thrive.store.database import Database
from thrive.store.home import Home, connect_home, open_home
from thrive.store.migrations import HEAD, schema_of
from thrive.store.observations import Observation, append_points
from thrive.store.place import FOLDER
from thrive.tracking.search import index_of


@pytest.fixture
def home(postgresql_home: Home) -> Home:
    return postgresql_home


@pytest.fixture
def database_of() -> Iterator[Callable[[Home], Database]]:
    """Open the database of a home once more, as another server would."""
    opened: list[Database] = []

    def open_again(home: Home) -> Database:
        opened.append(Database(home.database.engine.url.render_as_string(hide_password=False)))
        return opened[-1]

    yield open_again
    for database in opened:
        database.close()


@pytest.fixture
def context(home: Home) -> Context:
    return Context(home, local_actor("tester"), operation="test")


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def test_links_of_two_processes_and_two_threads_make_one_whole_chain(context, tmp_path):
    script = """
        import sys
        from pathlib import Path
        from thrive.domain.actor import local_actor
        from thrive.operations import Context
        from thrive.store.home import open_home
        home = open_home(Path(sys.argv[1]))
        context = Context(home, local_actor("other"), operation="test")
        for index in range(50):
            with context.write(f"thing:{index}"):
                pass
        home.close()
    """
    others = [python(script, tmp_path) for _ in range(2)]

    def write(_: int) -> None:
        for index in range(50):
            with context.write(f"mine:{index}"):
                pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    for other in others:
        ended(other)
    with context.read() as tx:
        links = audit.entries(tx, context.project_id, limit=1000)
        assert audit.first_broken(tx, context.project_id) is None
    assert [link.seq for link in links] == list(range(1, 201))


def race(many: int, step: Callable[[int], object]) -> list[object]:
    """Call `step` with each number at the same moment; return answers and conflicts."""
    barrier = threading.Barrier(many)

    def attempt(number: int) -> object:
        barrier.wait()
        try:
            return step(number)
        except Conflict as error:
            return error

    with ThreadPoolExecutor(many) as pool:
        return list(pool.map(attempt, range(many)))


@pytest.mark.parametrize("locked", [True, False], ids=["with the audit head", "without"])
def test_of_fifty_racing_promoters_one_wins_each_revision(home, context, locked):
    def promote(revision: int) -> int:
        opened = context.write("model:delay") if locked else home.write()
        with opened as tx:
            table = nouns.routing(revision=revision)
            releases.move_routing(tx, home.project_id, table, revision - 1)
        return 1

    for revision in (1, 2, 3):
        answers = race(17, lambda _, wanted=revision: promote(wanted))
        assert answers.count(1) == 1
        assert sum(isinstance(each, Conflict) for each in answers) == 16
    with home.read() as tx:
        history = releases.routing_history(tx, home.project_id, "delay")
    assert [table.revision for table in history] == [3, 2, 1]


def test_four_workers_take_each_job_once(home):
    with home.write() as tx:
        wanted = {jobs.add(tx, home.project_id, nouns.job()).job_id for _ in range(40)}

    def work(_: int) -> list[str]:
        done: list[str] = []
        while True:
            with home.write() as tx:
                job = jobs.take(tx, home.project_id, 60)
            if job is None:
                return done
            with home.write() as tx:
                jobs.finish(tx, home.project_id, job, JobState.DONE)
            done.append(job.job_id)

    shares = race(4, work)
    done = [each for share in shares if isinstance(share, list) for each in share]
    assert len(done) == 40
    assert set(done) == wanted


def test_the_same_dedupe_key_lease_outcome_use_and_reference_race_without_error(home):
    project = home.project_id
    outcome = nouns.outcome()

    def write(number: int) -> tuple[str, int | None, int]:
        with home.write() as tx:
            job = jobs.add(tx, project, nouns.job(dedupe_key="retrain"))
        with home.write() as tx:
            fence = jobs.take_lease(tx, project, "controller", f"server-{number}", 60)
            new = predictions.insert_outcomes(tx, project, [outcome])
            projects.store_contract(tx, project, nouns.contract())
            projects.add_contact(tx, project, nouns.contact())
            references.add(tx, project, "run", "r", "a" * 64)
            runs.save(tx, project, nouns.run(run_id="f" * 32))
        return job.job_id, fence, new

    answers = race(12, write)
    triples = [each for each in answers if isinstance(each, tuple)]
    assert len(triples) == 12
    assert len({job_id for job_id, _, _ in triples}) == 1
    assert [fence for _, fence, _ in triples if fence] == [1]
    assert sum(new for _, _, new in triples) == 1


def test_points_of_one_run_from_two_writers_are_all_kept(home):
    def log(number: int) -> None:
        for step in range(10):
            point = MetricPoint(key="auc", value=float(number), step=step, at=0)
            with home.write() as tx:
                append_points(tx, home.project_id, {"r" * 32: [point]})

    assert race(4, log) == [None] * 4
    with home.read() as tx:
        assert len(runs.metric_history(tx, home.project_id, "r" * 32, "auc")) == 40


def test_hosts_that_start_together_have_workers_of_different_numbers(home):
    def take(host: int) -> list[int]:
        with home.write() as tx:
            return worker_numbers.take(tx, home.project_id, f"{host:032x}", 3)

    numbers = [each for taken in race(8, take) if isinstance(taken, list) for each in taken]
    assert len(set(numbers)) == 24


def test_a_reader_of_the_change_feed_misses_nothing(context):
    """A change with a smaller number never appears after one with a greater number."""
    stop = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        while True:
            last = stop.is_set()
            with context.read() as tx:
                newer = changes.after(tx, context.project_id, seen[-1] if seen else 0)
            seen.extend(change.seq for change in newer)
            if last and not newer:
                return

    def write(number: int) -> None:
        for index in range(25):
            opened = context.write if number % 2 else context.observe
            with opened(f"thing:{number}-{index}"):
                pass

    reader = threading.Thread(target=follow)
    reader.start()
    race(6, write)
    stop.set()
    reader.join()
    with context.read() as tx:
        everything = [each.seq for each in changes.after(tx, context.project_id, 0, 10_000)]
    assert seen == everything
    assert len(everything) == 151


def test_a_reader_sees_one_state_and_cannot_write(home):
    with home.read() as tx:
        assert runs.find(tx, home.project_id) == []
        with home.write() as other:
            runs.save(other, home.project_id, nouns.run())
        assert runs.find(tx, home.project_id) == []
    with pytest.raises(StoreUnavailable, match="takes no writes"), home.read() as tx:
        runs.save(tx, home.project_id, nouns.run())


def test_servers_that_start_together_migrate_and_create_once(database_url, tmp_path):
    script = """
        import sys
        from pathlib import Path
        from thrive.store.home import connect_home
        home = connect_home(sys.argv[1], sys.argv[2], "flights", Path(sys.argv[3]), create=True)
        print(home.project_id)
        home.close()
    """
    objects = tmp_path / "objects"
    started = [
        python(script, database_url, objects, tmp_path / f"host-{number}") for number in range(3)
    ]
    ids = {ended(process).strip() for process in started}
    assert len(ids) == 1
    database = Database(database_url)
    assert schema_of(database) == HEAD
    with database.read() as tx:
        assert [project.name for project in projects.every(tx)] == ["flights"]
        assert len(changes.after(tx, ids.pop(), 0)) == 1
    database.close()


def backend_of(tx: sa.Connection) -> int:
    return tx.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()


def test_a_connection_lost_midway_leaves_nothing_and_the_next_call_works(
    home, context, postgresql: PostgresServer
):
    def write_and_lose() -> None:
        with context.write("run:1") as tx:
            runs.save(tx, home.project_id, nouns.run())
            with postgresql.connect() as beside:
                beside.execute("SELECT pg_terminate_backend(%s)", (backend_of(tx),))
            runs.save(tx, home.project_id, nouns.run())

    with pytest.raises(StoreUnavailable) as caught:
        write_and_lose()
    assert caught.value.transient
    with context.read() as tx:
        assert runs.find(tx, home.project_id) == []
        assert audit.entries(tx, home.project_id) == []
    with context.write("run:2") as tx:
        runs.save(tx, home.project_id, nouns.run())


def test_a_database_that_goes_and_comes_back_needs_no_restart(
    home, context, postgresql: PostgresServer
):
    with context.write("thing:1"):
        pass
    postgresql.stop()
    try:
        for _ in range(3):
            with pytest.raises(StoreUnavailable) as caught, context.write("thing:2"):
                pass
            assert caught.value.transient
            time.sleep(0.2)
    finally:
        postgresql.start()
    with context.write("thing:3"):
        pass
    with home.read() as tx:
        subjects = [link.subject for link in audit.entries(tx, home.project_id)]
    assert subjects == ["thing:1", "thing:3"]


def test_state_changes_that_wait_for_each_other_share_a_commit(home, context, monkeypatch):
    """One that fails is undone alone, another server's come in between, the chain is whole."""
    monkeypatch.setattr("thrive.store.group_commit.LONGEST_S", 60.0)
    commits: list[object] = []
    sa.event.listen(home.database.engine, "commit", commits.append)

    def change(number: int) -> None:
        with context.write(f"thing:{number}") as tx:
            references.add(tx, home.project_id, "thing", str(number), nouns.digest_of("shared"))
            if number % 3 == 1:
                raise Conflict("no", "")

    with ThreadPoolExecutor(8) as pool:
        with context.write("thing:first"):
            waiting = home.database._turns_by_key[home.project_id]._waiters
            changing = [pool.submit(change, number) for number in range(8)]
            while len(waiting) < len(changing):
                time.sleep(0.01)
        failed = [number for number, each in enumerate(changing) if each.exception()]
    assert failed == [1, 4, 7]
    assert len(commits) == 1
    with home.read() as tx:
        assert audit.first_broken(tx, home.project_id) is None
        links = [link.subject for link in audit.entries(tx, home.project_id)]
        fed = [change.id for change in changes.after(tx, home.project_id, 0)]
        used = references.users(tx, home.project_id, nouns.digest_of("shared"))
    assert links[0] == "thing:first"
    assert sorted(links[1:]) == [f"thing:{number}" for number in (0, 2, 3, 5, 6)]
    assert [f"thing:{name}" for name in fed[1:]] == links
    assert sorted(used) == [("thing", str(number)) for number in (0, 2, 3, 5, 6)]


def test_a_change_that_cannot_be_committed_fails_all_who_share_it(home, context, monkeypatch):
    monkeypatch.setattr("thrive.store.group_commit.LONGEST_S", 60.0)

    def change(number: int) -> None:
        with context.write(f"thing:{number}"):
            pass

    def cut(connection: sa.Connection) -> None:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.close()

    def all_of_them(pool: ThreadPoolExecutor) -> None:
        with context.write("thing:first"):
            waiting = home.database._turns_by_key[home.project_id]._waiters
            changing.extend(pool.submit(change, number) for number in range(4))
            while len(waiting) < len(changing):
                time.sleep(0.01)
            sa.event.listen(home.database.engine, "commit", cut, once=True)

    changing: list[Future[None]] = []
    with ThreadPoolExecutor(4) as pool:
        with pytest.raises(StoreUnavailable):
            all_of_them(pool)
        errors = {type(each.exception()) for each in changing}
    assert errors == {StoreUnavailable}
    change(9)
    with home.read() as tx:
        assert [link.subject for link in audit.entries(tx, home.project_id)] == ["thing:9"]


def test_a_writer_that_waits_too_long_is_told_so(home, context, database_of):
    def wait() -> None:
        with database_of(home).write() as tx:
            tx.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
            audit.lock_head(tx, home.project_id)

    with context.write("thing:1"), pytest.raises(StoreBusy, match="Another writer"):
        wait()


def test_several_projects_live_in_one_database(database_url, tmp_path):
    homes = [
        connect_home(database_url, str(tmp_path / "o"), name, tmp_path / name / FOLDER, create=True)
        for name in ("b", "a")
    ]
    with homes[0].read() as tx:
        assert [project.name for project in projects.every(tx)] == ["a", "b"]
    with pytest.raises(NotFound, match="no project") as caught:
        connect_home(database_url, str(tmp_path / "o"), "c", tmp_path / "c" / FOLDER)
    assert "init" in caught.value.hint
    again = open_home(tmp_path / "a")
    assert again.project_id == homes[1].project_id
    for each in (*homes, again):
        each.close()


def test_the_password_is_never_written_down(database_url, tmp_path):
    with_password = database_url.replace("postgres@", "postgres:very-secret@")
    made = connect_home(with_password, str(tmp_path / "o"), "p", tmp_path / FOLDER, create=True)
    assert "very-secret" not in (tmp_path / FOLDER / "home.json").read_text()
    assert "very-secret" not in repr(made.database.engine)
    made.close()
    open_home(tmp_path).close()


@pytest.mark.parametrize("address", ["mysql://a/b", "x", "file:///etc/passwd"])
def test_an_address_of_something_else_is_refused(address, tmp_path):
    with pytest.raises(UsageError, match="no database Thrive works on"):
        connect_home(address, str(tmp_path), "p", tmp_path / FOLDER)


def test_a_missing_driver_is_said_with_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InfrastructureError, match="not installed") as caught:
        connect_home("postgresql://a@127.0.0.1:1/b", str(tmp_path), "p", tmp_path / FOLDER)
    assert caught.value.hint == "pip install 'thrive[postgresql]'"


def test_a_database_that_is_not_there_is_said_in_words(postgresql, tmp_path):
    objects: Path = tmp_path / "o"
    with pytest.raises(InfrastructureError, match="no such database"):
        connect_home(postgresql.address("none"), str(objects), "p", tmp_path / FOLDER)
    with pytest.raises(StoreUnavailable):
        connect_home("postgresql://a@127.0.0.1:1/b", str(objects), "p", tmp_path / FOLDER)


def answered(context: Context, method: str, path: str, **fields: object) -> object:
    """Have a route of MLflow's protocol answer, as a server does in a thread of its own."""
    found = RouteTable(ROUTES).find(method, path)
    assert found is not None
    route, parts = found
    return route.handler(Call(context, Given(fields), parts, index_of(context.home)))


def test_what_several_servers_note_of_one_thing_at_once_is_all_kept(home, context):
    """Tags of an experiment and of a logged model, and the points mirrored onto it."""
    with home.write() as tx:
        experiments.ensure(tx, home.project_id, "exp", 0)
        run = nouns.run(run_id="e" * 32)
        runs.save(tx, home.project_id, run)
        model = LoggedModel(
            model_id="m-" + "1" * 32, experiment_id=1, name="net", state=LoggedState.PENDING,
            created_at=0, updated_at=0,
        )  # fmt: skip
        logged_models.save(tx, home.project_id, model)

    def note(number: int) -> None:
        for turn in range(3):
            key = f"{number}-{turn}"
            tag = {"key": key, "value": "x"}
            answered(context, "POST", "experiments/set-experiment-tag", experiment_id="1", **tag)
            answered(context, "PATCH", f"logged-models/{model.model_id}/tags", tags=[tag])
            point = {"key": key, "value": 1.0, "timestamp": 1, "step": turn}
            entry = Entry(run.run_id, Observation(), {model.model_id: [point]})
            assert write_together(context, [entry]) == [None]

    assert race(4, note) == [None] * 4
    with home.read() as tx:
        tagged = experiments.get(tx, home.project_id, 1)
        found = logged_models.get(tx, home.project_id, model.model_id)
    assert len(tagged.tags) == len(found.tags) == len(found.metrics) == 12


def test_a_stage_has_one_version_whatever_server_moved_it(home, context):
    def call(path: str, **fields: object) -> None:
        answered(context, "POST", path, **fields)

    call("registered-models/create", name="m")
    for _ in range(4):
        call("model-versions/create", name="m", source="s3://elsewhere/m")

    def move(number: int) -> None:
        moved = {"name": "m", "version": str(number + 1), "stage": "Production"}
        call("model-versions/transition-stage", archive_existing_versions=True, **moved)
        call("model-versions/set-tag", name="m", version=str(number + 1), key="k", value="v")

    assert race(4, move) == [None] * 4
    with home.read() as tx:
        versions = models.versions(tx, home.project_id, "m")
    tags = [version.tags or {} for version in versions]
    assert sorted(each[STAGE_TAG] for each in tags) == ["Archived"] * 3 + ["Production"]
    assert [each["k"] for each in tags] == ["v"] * 4
