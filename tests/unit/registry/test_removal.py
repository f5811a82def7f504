import msgspec
import pytest
from tests.serving_home import MODEL, add_version, constant_package, live, make_home, route

from thrive.data.cleaning import gc
from thrive.domain.actor import Actor, Role, local_actor
from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.flows.oversight import holds_place
from thrive.operations import Context
from thrive.registry.aliases import alias_model, protect_alias
from thrive.registry.operations import show_history, show_model
from thrive.registry.removal import delete_model, delete_version
from thrive.store import audit, models


@pytest.fixture
def context(tmp_path):
    home = make_home(tmp_path)
    yield Context(home, local_actor("ada"), operation="test")
    home.close()


@pytest.fixture
def versions(context):
    return [add_version(context.home, constant_package(score)) for score in (0.1, 0.2, 0.3)]


def test_a_version_goes_with_its_bytes_and_its_number_is_not_given_again(context, versions):
    alias_model(context, f"{MODEL}@3", "newest")
    digest = versions[2].package
    assert delete_model(context, f"{MODEL}@3", reason="wrong table").package == digest
    with pytest.raises(NotFound):
        show_model(context, f"{MODEL}@3")
    with context.read() as tx:
        assert models.get(tx, context.project_id, MODEL).aliases is None
        assert models.next_version(tx, context.project_id, MODEL) == 4
        row = audit.latest(tx, context.project_id)[0]
    assert (row.detail["package"], row.detail["reason"]) == (digest, "wrong table")
    assert gc(context, older_than="0s").removed >= 1
    with pytest.raises(NotFound):
        context.home.blobs.get(digest)
    assert context.home.blobs.get(versions[1].package)
    assert [each.version for each in show_model(context, MODEL).versions] == [2, 1]
    assert show_history(context, MODEL)


def test_what_was_released_is_kept(context, versions):
    route(context.home, live(versions[0]))
    route(context.home, live(versions[1]))
    for number in (1, 2):
        with pytest.raises(Refused, match="retire"):
            delete_model(context, f"{MODEL}@{number}", reason="gone")
    delete_model(context, f"{MODEL}@3", reason="never used")


def test_a_legal_hold_and_a_protected_alias_keep_a_version(context, versions):
    hold = holds_place(context, f"model:{MODEL}", reason="a court asks")
    with pytest.raises(Refused, match="hold"):
        delete_model(context, f"{MODEL}@3", reason="gone")
    assert msgspec.to_builtins(hold)["subject"] == f"model:{MODEL}"


def test_a_protected_alias_keeps_a_version(context, versions):
    alias_model(context, f"{MODEL}@3", "field")
    protect_alias(context, MODEL, "field")
    with pytest.raises(Refused, match="field"):
        delete_model(context, f"{MODEL}@3", reason="gone")


def test_who_may_and_what_must_be_said(context, versions):
    for wrong in ((MODEL, "r"), (f"{MODEL}@3", " ")):
        with pytest.raises(UsageError):
            delete_model(context, wrong[0], reason=wrong[1])
    engineer = Actor(name="ed", roles=frozenset({Role.ML_ENGINEER}))
    with pytest.raises(Refused, match="may not"):
        delete_version(Context(context.home, engineer, operation="x"), MODEL, 3, "gone")
