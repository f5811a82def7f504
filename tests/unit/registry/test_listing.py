"""What is told of models: the list, with few questions however many they are, and the past."""

from datetime import datetime

import pytest
import sqlalchemy as sa

from thrive.domain.errors import UsageError
from thrive.domain.model import Model, ModelVersion
from thrive.domain.release import RoutingTable, Variant
from thrive.registry.operations import list_models, show_history
from thrive.store import models, releases


def add(context, name, *, versions=2, live=(1,)):
    with context.write(f"model:{name}") as tx:
        models.save(
            tx, context.project_id, Model(name=name, owner="flights-ml", purpose="", created_at=0)
        )
        for number in range(1, versions + 1):
            version = ModelVersion(
                model=name, version=number, package=f"{number:064x}", signature={}, metrics={},
                run_id="", contract="", commit="", dirty=False, created_at=0, actor="",
            )  # fmt: skip
            models.insert_version(tx, context.project_id, version, [])
        for revision, number in enumerate(live, 1):
            table = RoutingTable(
                model=name, revision=revision, fallback=None, salt="", at=revision, reason="",
                actor="", variants=[Variant(version=number, package="", share=1.0)],
            )  # fmt: skip
            releases.move_routing(tx, context.project_id, table, revision - 1)


def asked(context):
    """Return the list of models and how many statements it took."""
    statements = []
    with context.read() as tx:
        engine = tx.engine

    def note(_connection, _cursor, statement, *_):
        statements.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        return list_models(context), len(statements)
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def test_fifty_models_are_listed_with_as_many_questions_as_one(context):
    add(context, "m-00", versions=3, live=(1, 2))
    (row,), few = asked(context)
    assert (row.newest, row.versions, row.production, row.owner) == (3, 3, 2, "flights-ml")
    add(context, "m-01", versions=0, live=())
    add(context, "m-02", live=())
    for number in range(3, 50):
        add(context, f"m-{number:02}")
    rows, count = asked(context)
    assert count == few
    assert [row.name for row in rows] == [f"m-{number:02}" for number in range(50)]
    assert (rows[1].newest, rows[1].versions, rows[1].production) == (None, 0, None)
    assert (rows[2].newest, rows[2].versions, rows[2].production) == (2, 2, None)
    assert (rows[49].newest, rows[49].versions, rows[49].production) == (2, 2, 1)


@pytest.mark.parametrize(
    ("at", "what"),
    [
        ("2026-04-30", []),
        ("2026-05-01", ["traffic: @1 100%"]),
        ("2026-05-02T09:59", ["traffic: @1 100%"]),
        ("2026-05-02T12:00+02:00", ["traffic: @2 90%, @3 10%"]),
        ("2026-05-02", ["traffic: @2 90%, @3 10%"]),
        ("2026-06-01", ["traffic: none"]),
    ],
)
def test_history_tells_what_was_in_production_at_a_moment(context, at, what):
    add(context, "flight-delay", versions=3, live=())
    moves = [
        ("2026-05-01T15:00", [(1, 1.0)], "the first"),
        ("2026-05-02T10:00", [(2, 0.9), (3, 0.1)], "better at night"),
        ("2026-05-03T10:00", [], "the service ends"),
    ]
    for revision, (moment, shares, reason) in enumerate(moves, 1):
        table = RoutingTable(
            model="flight-delay", revision=revision, fallback=None, salt="", reason=reason,
            at=round(datetime.fromisoformat(f"{moment}+00:00").timestamp() * 1_000_000),
            actor="flights-ml",
            variants=[Variant(version=one, package="", share=share) for one, share in shares],
        )  # fmt: skip
        with context.write("routing:flight-delay") as tx:
            releases.move_routing(tx, context.project_id, table, revision - 1)
    found = show_history(context, "flight-delay", at=at)
    assert [row.what for row in found] == what
    reasons = {f"traffic: {words}": reason for words, (_, _, reason) in zip(
        ("@1 100%", "@2 90%, @3 10%", "none"), moves, strict=True)}  # fmt: skip
    assert [(row.actor, row.detail["reason"]) for row in found] == [
        ("flights-ml", reasons[words]) for words in what
    ]


def test_a_moment_that_is_none_is_told(context):
    add(context, "flight-delay")
    with pytest.raises(UsageError, match="no moment"):
        show_history(context, "flight-delay", at="yesterday")
