from pathlib import Path

import pytest

from thrive.domain.actor import ANYONE, KEEPERS, Actor, Role
from thrive.domain.errors import Refused, UsageError
from thrive.operations import (
    Context,
    Kind,
    Operation,
    PageSize,
    convert_arguments,
    invoke,
    operation,
)
from thrive.store import audit, changes


def move(context: Context, model: str, version: int = 1, *, to: str = "full") -> str:
    """Move a model."""
    with context.write(f"model:{model}", version=version):
        pass
    return f"{model}@{version} {to}"


def made(function=move, role=KEEPERS):
    return Operation("models move", function, kind=Kind.CALL, role=role, writes=True, next_hint="")


def test_a_write_leaves_one_audit_row_and_one_change(context):
    assert invoke(made(), context, {"model": "m", "version": 2}) == "m@2 full"
    with context.read() as tx:
        link = audit.latest(tx, context.project_id)[0]
        feed = changes.after(tx, context.project_id, 1)
    assert (link.actor, link.operation, link.subject) == ("tester", "models move", "model:m")
    assert link.detail == {"version": 2}
    assert [(change.kind, change.id) for change in feed] == [("model", "m")]


def test_a_role_that_may_not_is_refused_and_told_whom_to_ask(context):
    auditor = Actor(name="eva", roles=frozenset({Role.AUDITOR}))
    with pytest.raises(Refused, match="ask one of: platform"):
        invoke(made(), context.acting(auditor, ""), {"model": "m"})
    with context.read() as tx:
        assert audit.latest(tx, context.project_id) == []


def test_parameters_come_from_the_signature():
    described = [(item.name, item.positional, item.required) for item in made().parameters]
    assert described == [("model", True, True), ("version", True, False), ("to", False, False)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "m", "version": "two"}, "version"),
        ({"version": 1}, "missing required field `model`"),
        ({"model": "m", "speed": 1}, "unknown field `speed`"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(UsageError, match=words):
        convert_arguments(made(), arguments)


def test_arguments_are_converted_to_their_types():
    given = convert_arguments(made(), {"model": "m", "version": "3"})
    assert given == {"model": "m", "version": 3, "to": "full"}


def keep(context: Context, file: Path, *, limit: PageSize = 50) -> tuple[Path, int]:
    """Keep a file."""
    return file, limit


def test_text_becomes_a_path_where_one_is_wanted():
    for given in ("a/b.csv", Path("a/b.csv")):
        assert convert_arguments(made(keep), {"file": given})["file"] == Path("a/b.csv")
    with pytest.raises(UsageError, match="Expected `Path`, got `int`"):
        convert_arguments(made(keep), {"file": 3})


@pytest.mark.parametrize("limit", [0, -1, 1001, "many"])
def test_a_page_holds_one_to_a_thousand_items(limit):
    with pytest.raises(UsageError, match="limit"):
        convert_arguments(made(keep), {"file": "f", "limit": limit})


def test_an_operation_needs_a_role_and_a_docstring():
    with pytest.raises(AssertionError, match="no role"):
        operation("x y", role=frozenset())(move)

    def silent(context):
        return None

    with pytest.raises(AssertionError, match="no docstring"):
        operation("x y", role=ANYONE)(silent)


def test_an_operation_on_local_files_is_refused_on_a_server(home):
    server = Context(home, Actor(name="s", roles=frozenset(Role)), operation="data add")
    with pytest.raises(Refused, match="cannot run on a server"):
        server.local_folder()
    assert Context(home, server.actor, folder=Path("/x")).local_folder() == Path("/x")
