"""Sources on real servers: a bucket, and a PostgreSQL database."""

import os
import time

import obstore
import polars as pl
import pytest
import sqlalchemy as sa
from obstore.store import S3Store

from thrive.data.operations import add, log
from thrive.data.refreshing import refresh
from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound, Refused, StoreUnavailable, UsageError
from thrive.operations import Context
from thrive.store.home import create_home
from thrive.store.sources import Reach, brought


@pytest.fixture
def project(tmp_path):
    home = create_home(tmp_path, "test")
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    yield Context(home, local_actor("tester"), folder=tmp_path, operation="test")
    home.close()


@pytest.fixture
def lake(bucket, tmp_path):
    """A client of a fresh prefix in the bucket, with its address."""
    name, _, prefix = bucket.removeprefix("s3://").partition("/")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    store = S3Store(
        name, prefix=prefix, config={"endpoint": endpoint}, client_options={"allow_http": True}
    )
    obstore.put(store, "trips/2024/a.csv", b"id,x\n1,2\n")
    obstore.put(store, "trips/2024/b.csv", b"id,x\n2,3\n")
    obstore.put(store, "trips/_SUCCESS", b"")
    obstore.put(store, "trips/readme.md", b"# no data")
    return store, bucket


def test_objects_become_the_version_their_files_would(project, lake, tmp_path):
    _, address = lake
    first = add(project, f"{address}/trips/", name="trips")
    assert (first.files, first.rows) == (2, 2)
    (tmp_path / "local" / "2024").mkdir(parents=True)
    (tmp_path / "local" / "2024" / "a.csv").write_text("id,x\n1,2\n")
    (tmp_path / "local" / "2024" / "b.csv").write_text("id,x\n2,3\n")
    assert add(project, "local", name="trips").version == first.version
    one = add(project, f"{address}/trips/2024/a.csv", name="one")
    assert (one.files, one.rows) == (1, 1)


def test_a_bucket_is_read_again_only_when_it_changed(project, lake, monkeypatch):
    store, address = lake
    add(project, f"{address}/trips", name="trips")
    with monkeypatch.context() as patched:
        patched.setattr("thrive.data.refreshing.add_version", None)
        [same] = refresh(project, "trips")
    assert same.what == "the source says that nothing changed"
    obstore.put(store, "trips/2024/b.csv", b"id,x\n2,4\n")
    [changed] = refresh(project, "trips")
    assert (changed.version, changed.is_new) == (2, True)
    assert [line.source for line in log(project, "trips")] == [f"{address}/trips"] * 2


def test_a_bucket_that_says_no(project, lake, monkeypatch):
    _, address = lake
    with pytest.raises(NotFound, match="no object to read"):
        add(project, f"{address}/nothing/", name="n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Refused, match="refuses our credentials"):
        add(project, f"{address}/trips/", name="trips")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        add(project, f"{address}/trips/", name="trips")
    assert time.monotonic() - began < 60


def test_a_query_on_postgresql(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr("thrive.store.sources.sql.CHUNK", 400)
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "create table trips as select n as id, n / 4.0::float8 as fare, 'r' || n as who, "
            "date '2024-01-01' + n as day, case when n > 500 then n::numeric / 3 end as part, "
            "jsonb_build_object('n', n) as doc from generate_series(1, 1000) n"
        )
    engine.dispose()
    plain = database_url.replace("postgresql+psycopg://", "postgresql://")
    reach = Reach(base=tmp_path, temporary=tmp_path, connections={"w": plain})
    with brought(
        "w: select * from trips where who like 'r%' and day::text > '2024' order by id", reach
    ) as found:
        frame = pl.read_parquet(found.path)
    assert frame.shape == (1000, 6)
    assert frame["fare"].sum() == pytest.approx(500500 / 4)
    assert frame["day"].dtype == pl.Date
    assert frame["part"].null_count() == 500
    assert frame["doc"][6] == '{"n": 7}'
    for query in (
        "with d as (delete from trips returning id) select * from d",
        "select * from nowhere",
    ):
        with pytest.raises(UsageError, match="cannot be read"), brought(f"w: {query}", reach):
            pass
    with brought("w: select count(*) as n from trips", reach) as found:
        assert pl.read_parquet(found.path).item() == 1000
    away = Reach(
        base=tmp_path, temporary=tmp_path, connections={"w": "postgresql://u@127.0.0.1:9/x"}
    )
    with (
        pytest.raises(StoreUnavailable, match="does not answer"),
        brought("w: select 1 as x", away),
    ):
        pass
