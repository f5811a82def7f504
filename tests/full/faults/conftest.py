from pathlib import Path

import pytest
from tests.rest import new_token
from tests.servers import postgresql_server
from tests.serving_home import add_version, constant_package, live, make_home, route, with_model

from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.home import FOLDER, Home, connect_home


@pytest.fixture(autouse=True)
def sealed_soon(monkeypatch):
    monkeypatch.setenv("THRIVE_SEAL_SECONDS", "1")


@pytest.fixture
def database():
    """A PostgreSQL of the test's own: it is stopped and started here."""
    with postgresql_server(durable=True) as server:
        yield server


class House:
    """A home with version 1 in production, and a token for a serving host."""

    def __init__(self, home: Home, folder: Path, words: list[str]) -> None:
        self.home = home
        self.folder = folder
        self.words = words
        self.first = add_version(home, constant_package(0.3, EWR=0.7))
        route(home, live(self.first))
        self.token = new_token(Context(home, local_actor("t"), operation="t"), "edge-1", "serve")

    def switch(self) -> int:
        """Put another version into production; return the routing revision."""
        return route(self.home, live(add_version(self.home, constant_package(0.9))))


@pytest.fixture
def house(tmp_path):
    """A house in a folder."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "thrive.toml").write_text("contract = 1\n")
    made = House(make_home(folder), folder, ["--no-worker"])
    yield made
    made.home.close()


@pytest.fixture
def team(tmp_path, database):
    """A house of a team on PostgreSQL, with files in a folder that all hosts see."""
    address, objects = database.new_database(), tmp_path / "objects"
    folder = tmp_path / "server"
    folder.mkdir()
    home = connect_home(address, str(objects), "flights", tmp_path / "own" / FOLDER, create=True)
    (tmp_path / "own" / "thrive.toml").write_text("contract = 1\n")
    words = ["--database", address, "--objects", str(objects), "--project", "flights"]
    made = House(with_model(home), folder, [*words, "--no-worker"])
    yield made
    made.home.close()
