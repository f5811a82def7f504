"""Fault 25: ten thousand open runs, a million alerts, a hundred thousand versions of one model."""

import time

import pytest
import sqlalchemy as sa
from tests.contract import nouns
from tests.rest import ask, make_app
from tests.serving_home import MODEL, add_version, constant_package, live, route

from thrive.store import monitoring, runs
from thrive.store.tables.models import model_versions
from thrive.store.tables.monitoring import alerts
from thrive.store.tables.runs import runs as runs_table

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
RUNS, ALERTS, VERSIONS = 10_000, 1_000_000, 100_000
PROMISED_S = 0.2
SLOW_MACHINE = 10
"""By how much the machine of a test may be slower: what reads all rows is slower than that."""

ASKED = [
    ("/api/runs/list", ""),
    ("/api/alerts/list", ""),
    ("/api/models/list", ""),
    ("/api/models/show", f"model={MODEL}"),
    ("/api/releases/list", ""),
    ("/api/status", ""),
    ("/", ""),
    ("/runs", ""),
    ("/alerts", ""),
    ("/alerts", "state=closed"),
    ("/models", ""),
    (f"/models/{MODEL}", ""),
]


def multiply(tx, table, count, **changed):
    """Make `count` rows of the one that a table has, with other values in some columns."""
    id_of = "printf('%032x', i)" if tx.dialect.name == "sqlite" else "lpad(to_hex(i), 32, '0')"
    names = [column.name for column in table.columns]
    values = [changed.get(name, f'"{name}"').replace("ID", id_of) for name in names]
    columns = ", ".join(f'"{name}"' for name in names)
    tx.execute(
        sa.text(
            "WITH RECURSIVE series(i) AS"
            f" (SELECT 2 UNION ALL SELECT i + 1 FROM series WHERE i < {count})"
            f" INSERT INTO {table.name} ({columns}) SELECT {', '.join(values)}"
            f" FROM (SELECT * FROM {table.name} LIMIT 1) AS one, series"
        )
    )


@pytest.fixture(params=["house", "team"])
def home(request):
    """A home with one version in production and very many rows beside it."""
    made = request.getfixturevalue(request.param).home
    with made.write() as tx:
        monitoring.save_alert(tx, made.project_id, nouns.alert(model=MODEL))
        runs.save(tx, made.project_id, nouns.run())
        state = "CASE WHEN i % 1000 = 0 THEN state ELSE 'closed' END"
        multiply(tx, alerts, ALERTS, alert_id="ID", opened_at="i", state=state)
        multiply(tx, runs_table, RUNS, run_id="ID", started_at="i", name="'run'")
        multiply(tx, model_versions, VERSIONS, version="i", created_at="i", run_id="ID")
    if not made.database.is_sqlite:
        keep_house(made)
    return made


def keep_house(made):
    """Do what the database does by itself a minute after so many rows came."""
    with made.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as own:
        own.exec_driver_sql("VACUUM ANALYZE")


def test_25_lists_and_pages_read_what_they_show(home):
    app = make_app(home)
    took = {}
    for path, query in ASKED:
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            reply = ask(app, "GET", path, query=query)
            seconds.append(time.perf_counter() - began)
            assert reply.status == 200, reply.body
        took[f"{path}?{query}"] = min(seconds)
    app.close()
    told = {name: f"{seconds * 1000:.0f} ms" for name, seconds in took.items()}
    print(told)
    assert max(took.values()) < PROMISED_S * SLOW_MACHINE, told
    newest = add_version(home, constant_package(0.9))
    assert newest.version == VERSIONS + 1
    route(home, live(newest))
