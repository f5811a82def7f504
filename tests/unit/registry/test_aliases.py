import threading

import pytest
from tests.contract.nouns import model_version

from thrive.domain.actor import Actor, Role
from thrive.domain.errors import Conflict, NotFound, Refused, UsageError
from thrive.domain.model import Model
from thrive.operations import Context
from thrive.registry.aliases import alias_model, protect_alias
from thrive.store import audit, models


@pytest.fixture
def versions(context):
    with context.write("test:1") as tx:
        models.save(tx, context.project_id, Model(name="m", owner="o", purpose="", created_at=1))
        for number in (1, 2, 3):
            made = model_version(model="m", version=number)
            models.insert_version(tx, context.project_id, made, [])


def aliases(context):
    with context.read() as tx:
        return models.get(tx, context.project_id, "m").aliases


def scientist(context):
    actor = Actor(name="sam", roles=frozenset({Role.DATA_SCIENTIST}))
    return Context(context.home, actor, operation="models alias")


def test_an_alias_moves_with_its_reason_and_goes(context, versions):
    alias_model(context, "m@1", "best", reason="it is")
    assert aliases(context) == {"best": 1}
    alias_model(context, "m@2", "best", expect=1)
    alias_model(context, "m@2", "other", expect=0)
    assert aliases(context) == {"best": 2, "other": 2}
    alias_model(context, "m", "best", remove=True)
    assert aliases(context) == {"other": 2}
    with pytest.raises(NotFound):
        alias_model(context, "m", "best", remove=True)
    with context.read() as tx:
        details = [row.detail for row in audit.latest(tx, context.project_id)]
    assert {"alias": "best", "version": 1, "reason": "it is"} in details


@pytest.mark.parametrize("expect", [0, 2])
def test_an_alias_that_somebody_moved_is_left_alone(context, versions, expect):
    alias_model(context, "m@1", "best")
    with pytest.raises(Conflict, match="names version 1"):
        alias_model(context, "m@3", "best", expect=expect)
    assert aliases(context) == {"best": 1}


def test_of_many_that_move_it_at_once_one_does(context, versions):
    alias_model(context, "m@1", "best")
    outcomes = []

    def move():
        try:
            alias_model(context, "m@2", "best", expect=1)
            outcomes.append("moved")
        except Conflict:
            outcomes.append("late")

    threads = [threading.Thread(target=move) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["late"] * 7 + ["moved"]


def test_a_protected_alias_is_moved_by_whoever_may_release(context, versions):
    alias_model(scientist(context), "m@1", "field")
    protect_alias(context, "m", "field")
    for refused in ({"model": "m@2"}, {"model": "m", "remove": True}):
        with pytest.raises(Refused, match="protected"):
            alias_model(scientist(context), alias="field", **refused)
    alias_model(context, "m@2", "field")
    assert aliases(context) == {"field": 2}
    protect_alias(context, "m", "field", remove=True)
    alias_model(scientist(context), "m@3", "field")
    assert aliases(context) == {"field": 3}


@pytest.mark.parametrize("alias", ["", "latest", "V3", "a@b", "a/b", "a:b", "x" * 256, "a\n"])
def test_words_that_cannot_be_an_alias(context, versions, alias):
    with pytest.raises(UsageError):
        alias_model(context, "m@1", alias)


@pytest.mark.parametrize("given", [("m", False), ("m@1", True)])
def test_a_version_is_named_or_the_name_is_taken_away(context, versions, given):
    with pytest.raises(UsageError):
        alias_model(context, given[0], "best", remove=given[1])
    with pytest.raises(NotFound):
        alias_model(context, "m@9", "best")
