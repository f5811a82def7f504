"""One server carries every project of its database: their calls, their ticks, their jobs."""

import time

import pytest
from tests.contract.test_team_loop import CONTRACT, PIPELINE, write_rows
from tests.end_to_end.test_server import served
from tests.rest import new_token
from tests.servers import postgresql_server

from thrive.client.remote import connect
from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store import jobs, references
from thrive.store.home import connect_home
from thrive.store.place import FOLDER
from thrive.store.uploads import KIND

SECONDS = 60


@pytest.fixture
def team(tmp_path):
    """The addresses of a database and of a folder for its files."""
    with postgresql_server() as server:
        yield server.new_database(), str(tmp_path / "objects")


def test_a_project_beside_the_servers_own_is_ticked_and_worked(team, tmp_path, monkeypatch):
    database, objects = team
    other = connect_home(database, objects, "delay", tmp_path / "away" / FOLDER, create=True)
    context = Context(other, local_actor("keeper"), operation="test")
    token = new_token(context, "ana", "data-scientist", "data-engineer")
    unused = other.blobs.put(b"sent long ago")
    with other.write() as tx:
        references.add(tx, other.project_id, KIND, f"{1:020d}", unused)

    clone, place = tmp_path / "clone", tmp_path / "server"
    clone.mkdir()
    place.mkdir()
    (clone / "thrive.toml").write_text(CONTRACT)
    (clone / "train.py").write_text(PIPELINE)
    write_rows(clone)
    monkeypatch.chdir(clone)
    words = ["--database", database, "--objects", objects, "--project", "mine"]
    with served(place, *words) as (_, known), connect(known["url"], token) as workspace:
        assert workspace.data.add("rows.parquet").version == 1
        done = workspace.run("train.py")
        assert done.models == ["delay@1"]
        with connect(known["url"], known["token"]) as mine:
            assert mine.runs.list().items == [], "projects are walls"
        wait_until(lambda: not kept(other, unused))
        with other.read() as tx:
            assert jobs.due_projects(tx) == []
    assert (place / FOLDER / "projects" / other.project_id).is_dir()
    other.close()


def kept(home, digest):
    with home.read() as tx:
        return references.users(tx, home.project_id, digest)


def wait_until(condition):
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
