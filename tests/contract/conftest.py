"""Homes on every backend: SQLite and a folder, PostgreSQL and a folder, PostgreSQL and S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers import PostgresServer, S3Server, postgresql_server, s3_server

from thrive.domain.identifiers import new_id
from thrive.store.database import Database
from thrive.store.home import Home, connect_home, create_home
from thrive.store.migrations import migrate
from thrive.store.place import FOLDER


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    with postgresql_server() as server:
        yield server


@pytest.fixture
def database_url(postgresql: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    address = postgresql.new_database()
    yield address
    postgresql.drop(address)


@pytest.fixture(scope="session")
def migrated(postgresql: PostgresServer) -> str:
    """A PostgreSQL database with the schema, to copy: that takes less than to migrate."""
    address = postgresql.new_database()
    database = Database(address)
    migrate(database)
    database.close()
    return address


@pytest.fixture
def postgresql_home(postgresql: PostgresServer, migrated: str, tmp_path: Path) -> Iterator[Home]:
    """A new project on PostgreSQL, its blobs in a folder."""
    address = postgresql.new_database(template=migrated)
    made = connect_home(address, str(tmp_path / "objects"), "test", tmp_path / FOLDER, create=True)
    yield made
    made.close()
    postgresql.drop(address)


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """A new home of each kind of database."""
    if request.param == "postgresql":
        yield request.getfixturevalue("postgresql_home")
        return
    made = create_home(tmp_path, "test")
    yield made
    made.close()


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place in a bucket; its keys stand in the environment, as a user's would."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    return f"s3://{s3.bucket}/{new_id()}"
