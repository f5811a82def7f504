"""The online store on SQLite and on real PostgreSQL and Valkey servers: the same rows, whatever is asked."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import polars as pl
import pytest
from tests.servers import free_ports, valkey_server

from thrive.domain.errors import NotFound, StoreUnavailable, UsageError
from thrive.domain.features import FeatureColumn, SpecView
from thrive.domain.identifiers import new_id
from thrive.store.home import create_home
from thrive.store.online import (
    Lookup,
    OnlineTable,
    PostgresOnline,
    RedisOnline,
    SqliteOnline,
    open_online,
)
from thrive.store.online.line import Line

NOW = 1_700_000_000_000_000
KEYS = [FeatureColumn(name="origin", dtype="String"), FeatureColumn(name="leg", dtype="Int32")]
COLUMNS = [
    FeatureColumn(name="temp", dtype="Float64"),
    FeatureColumn(name="wet", dtype="Boolean"),
    FeatureColumn(name="kind", dtype="Categorical"),
    FeatureColumn(name="day", dtype="Date"),
]
VIEW = SpecView(name="weather", digest="a" * 64, keys=KEYS, columns=COLUMNS, ttl=10)
SINGLE = SpecView(
    name="airport",
    digest="b" * 64,
    keys=KEYS[:1],
    columns=[FeatureColumn(name="size", dtype="Int64")],
)


def table(view):
    return OnlineTable(digest=view.digest, keys=view.keys, columns=view.columns)


def rows(*cells):
    schema = {
        "origin": pl.String,
        "leg": pl.Int32,
        "temp": pl.Float64,
        "wet": pl.Boolean,
        "kind": pl.Categorical,
        "day": pl.Date,
        "_at": pl.Int64,
    }
    return pl.DataFrame(list(cells), schema=schema, orient="row")


ROWS = rows(
    ("JFK", 1, 1.5, True, "a", date(2024, 5, 1), NOW),
    ("JFK", 2, None, None, None, None, NOW - 11),
    ("LGÄ", 1, -0.0, False, "b", date(1969, 1, 1), NOW - 10),
)
SIZES = pl.DataFrame({"origin": ["JFK", "x'; --"], "size": [7, 2**62], "_at": [0, 0]})


@pytest.fixture(scope="module")
def valkey():
    with valkey_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql", "valkey"])
def store(request, tmp_path):
    if request.param == "sqlite":
        return SqliteOnline(tmp_path / "online" / "features.db")
    if request.param == "valkey":
        return RedisOnline(request.getfixturevalue("valkey"), new_id())
    return PostgresOnline(request.getfixturevalue("database_url"), new_id())


@pytest.fixture(params=["postgresql", "valkey"])
def server(request):
    """The address of each server, the class of its store, and what cuts all its connections."""
    if request.param == "valkey":
        address = request.getfixturevalue("valkey")
        return address, RedisOnline, lambda: cut_valkey(address)
    address = request.getfixturevalue("database_url")
    return address, PostgresOnline, lambda: cut_postgresql(address)


def cut_valkey(address):
    import redis

    redis.Redis.from_url(address).client_kill_filter(_type="normal", skipme=True)


def cut_postgresql(address):
    import psycopg

    with psycopg.connect(address, autocommit=True) as other:
        other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
            "and datname = current_database()"
        )


def test_rows_are_read_by_key_in_one_question(store):
    store.publish(table(VIEW), ROWS)
    store.publish(table(SINGLE), SIZES)
    lookup = Lookup(store, [VIEW, SINGLE])
    keys = [
        {"origin": "JFK", "leg": 1},
        {"origin": "LGÄ", "leg": 1},
        {"origin": "JFK", "leg": 2},
        {"origin": "x'; --", "leg": 1},
        {"origin": "JFK"},
        {"leg": 1},
        {"origin": None, "leg": None},
    ]
    found = lookup.read(keys, NOW)
    midnight = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp() * 1e6)
    missing = ["missing"] * 4
    assert found.status["weather"] == ["present", "present", "stale", *missing]
    assert list(found.values["temp"]) == [1.5, 0.0, None, None, None, None, None]
    assert list(found.values["wet"])[:3] == [True, False, None]
    assert list(found.values["kind"])[:2] == ["a", "b"]
    assert found.values["day"][0] == midnight
    assert list(found.values["size"]) == [7, None, 7, 2**62, 7, None, None]
    for one, key in enumerate(keys):
        alone = lookup.read([key], NOW)
        assert {name: values[0] for name, values in alone.values.items()} == {
            name: values[one] for name, values in found.values.items()
        }
    assert lookup.read([], NOW).status == {"weather": [], "airport": []}
    lookup.close()


def test_publishing_writes_what_differs_and_removes_what_is_gone(store):
    first = store.publish(table(VIEW), ROWS)
    assert (first.rows, first.changed, first.removed) == (3, 3, 0)
    again = store.publish(table(VIEW), ROWS)
    assert (again.rows, again.changed, again.removed) == (3, 0, 0)
    other = rows(("JFK", 1, 2.5, True, "a", None, NOW), ("EWR", 1, 0.5, None, None, None, NOW))
    lookup = Lookup(store, [VIEW])
    third = store.publish(table(VIEW), other)
    assert (third.rows, third.changed, third.removed) == (2, 2, 2)
    keys = [{"origin": origin, "leg": 1} for origin in ("JFK", "EWR", "LGÄ")]
    assert list(lookup.read(keys, NOW).values["temp"]) == [2.5, 0.5, None]
    lookup.close()


def test_renewing_writes_newer_rows_over_older_ones_and_leaves_the_rest(store):
    store.publish(table(VIEW), ROWS)
    newer = rows(
        ("JFK", 1, 2.5, False, "c", date(2024, 5, 1), NOW),
        ("JFK", 2, 9.0, True, "c", None, NOW - 12),
        ("BOS", 1, 3.0, None, "d", None, NOW - 3),
    )
    done = store.renew(table(VIEW), newer)
    assert (done.added, done.changed) == (1, 2)
    again = store.renew(table(VIEW), newer)
    assert (again.added, again.changed) == (0, 0)
    keys = [(row[0], row[1]) for row in [*ROWS.rows(), newer.row(2)]]
    found = Lookup(store, [VIEW]).read([{"origin": a, "leg": b} for a, b in keys], NOW - 3)
    assert list(found.values["temp"]) == [2.5, None, -0.0, 3.0]
    assert list(found.values["wet"]) == [False, None, False, None]
    assert list(found.at["weather"]) == [NOW, NOW - 11, NOW - 10, NOW - 3]


@pytest.mark.parametrize("origin", [2**70, "\ud800", "a\0b", "", True, 1.5, float("nan")])
def test_odd_keys_find_nothing(store, origin):
    store.publish(table(SINGLE), SIZES)
    lookup = Lookup(store, [SINGLE])
    assert lookup.read([{"origin": origin}], NOW).status == {"airport": ["missing"]}
    both = lookup.read([{"origin": origin}, {"origin": "JFK"}], NOW)
    assert both.status == {"airport": ["missing", "present"]}
    lookup.close()


def test_a_view_that_is_not_there_is_named(store):
    with pytest.raises(NotFound, match="holds no view aaaaaaaaaaaa"):
        Lookup(store, [VIEW])
    store.publish(table(VIEW), ROWS)
    store.drop(VIEW.digest)
    with pytest.raises(NotFound, match="holds no view"):
        Lookup(store, [VIEW])


def test_projects_share_a_server_and_no_row(server):
    address, kind, _ = server
    one, two = kind(address, new_id()), kind(address, new_id())
    one.publish(table(SINGLE), SIZES)
    with pytest.raises(NotFound):
        Lookup(two, [SINGLE])
    two.publish(table(SINGLE), SIZES.with_columns(size=pl.lit(1)))
    assert Lookup(one, [SINGLE]).read([{"origin": "JFK"}], NOW).values["size"][0] == 7


def test_a_reader_whose_connection_was_cut_asks_again(server):
    address, kind, cut = server
    store = kind(address, new_id())
    store.publish(table(SINGLE), SIZES)
    lookup = Lookup(store, [SINGLE])
    for _ in range(2):
        assert lookup.read([{"origin": "JFK"}], NOW).values["size"][0] == 7
        cut()
    lookup.close()


@pytest.mark.parametrize("kind", [PostgresOnline, RedisOnline])
def test_a_server_that_is_down_is_not_waited_for_by_each_request(kind):
    (port,) = free_ports(1)
    scheme = "redis" if kind is RedisOnline else "postgresql"
    store = kind(f"{scheme}://user:hunter2@127.0.0.1:{port}/0", new_id())
    with pytest.raises(StoreUnavailable, match="does not answer") as refused:
        store.publish(table(SINGLE), SIZES)
    assert "hunter2" not in str(refused.value)
    attempts = []

    def refuse():
        attempts.append(1)
        raise OSError

    line = Line(refuse, (OSError,))
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            line.ask(lambda connection: connection)
    assert len(attempts) == 1


def test_writers_of_one_view_take_turns(server):
    address, kind, _ = server
    project = new_id()

    def write(size):
        kind(address, project).publish(table(SINGLE), SIZES.with_columns(size=pl.lit(size)))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(6)))
    lookup = Lookup(kind(address, project), [SINGLE])
    found = lookup.read([{"origin": "JFK"}, {"origin": "x'; --"}], NOW).values["size"]
    assert len(set(found)) == 1
    lookup.close()


def test_the_setting_says_where(database_url, valkey, tmp_path, monkeypatch):
    create_home(tmp_path, "test").close()
    assert isinstance(open_online(tmp_path / ".thrive"), SqliteOnline)
    monkeypatch.setenv("THRIVE_ONLINE_STORE", database_url)
    assert isinstance(open_online(tmp_path / ".thrive"), PostgresOnline)
    monkeypatch.setenv("THRIVE_ONLINE_STORE", valkey)
    assert isinstance(open_online(tmp_path / ".thrive"), RedisOnline)
    with pytest.raises(UsageError, match="'mongodb' is no online store"):
        open_online(tmp_path / ".thrive", "mongodb://x")
