"""The stop button: who may press it, what it does, and how the traffic comes back."""

import pytest
from tests.rest import ask, make_app, new_token
from tests.serving_home import MODEL, add_version, constant_package, live, make_home, route

from thrive.domain.actor import Role, local_actor
from thrive.flows.workspace import Workspace
from thrive.operations import Context
from thrive.store import releases


@pytest.fixture
def ctx(tmp_path):
    home = make_home(tmp_path)
    yield Context(home, local_actor("grace"), folder=tmp_path, operation="test")
    home.close()


def served(ctx):
    with ctx.read() as tx:
        table = releases.current_routing(tx, ctx.project_id, MODEL)
    return [each.version for each in table.variants], table.stopped


def test_whoever_keeps_the_platform_stops_a_model_and_an_ml_engineer_brings_it_back(ctx):
    version = add_version(ctx.home, constant_package(0.7))
    route(ctx.home, live(version))
    keys = {role: new_token(ctx, role.value, role.value) for role in Role}
    app = make_app(ctx.home)

    def post(role, verb, **words):
        return ask(app, "POST", f"/api/releases/{verb}", token=keys[role], body=words)

    words = {"model": MODEL, "reason": "warnings for every flight"}
    for verb in ("promote", "rollback", "resume"):
        assert post(Role.PLATFORM, verb, **words).code == "Refused"
    assert post(Role.PLATFORM, "start", version=f"{MODEL}@1").code == "Refused"
    assert post(Role.DATA_SCIENTIST, "stop", **words).code == "Refused"
    assert served(ctx) == ([1], False)
    stopped = post(Role.PLATFORM, "stop", **words)
    assert (stopped.status, stopped.json()["variants"]) == (200, [])
    assert served(ctx) == ([], True)
    assert post(Role.PLATFORM, "stop", **words).code == "Conflict"
    assert post(Role.ML_ENGINEER, "rollback", **words).status == 200
    assert served(ctx) == ([1], False)
    app.close()


def test_a_stop_ends_the_release_and_gives_nothing_back_that_was_only_in_the_shadow(ctx):
    workspace = Workspace(ctx)
    first = add_version(ctx.home, constant_package(0.7))
    route(ctx.home, live(first))
    workspace.releases.rollback(MODEL, reason="wrong warnings", yes=True)
    second = add_version(ctx.home, constant_package(0.6))
    route(ctx.home, live(second, shadow=True))
    workspace.releases.stop(MODEL, reason="too slow")
    assert served(ctx) == ([], False), "what was left for a reason stays left"
