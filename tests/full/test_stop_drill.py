"""The stop button on a real serving process: measured, and everything as before afterwards."""

import time

import pytest
from tests.serving_home import MODEL, Server, add_version, constant_package, live, make_home, route

from thrive.domain.actor import local_actor
from thrive.domain.errors import Conflict, Refused
from thrive.flows.oversight import drills_stop
from thrive.operations import Context
from thrive.store import oversight, releases

pytestmark = pytest.mark.full


def wait_for_first_word(home):
    """Wait until the host has said where it is; it does so once its workers are ready."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with home.read() as tx:
            if any(each.url for each in releases.find_hosts(tx, home.project_id)):
                return
        time.sleep(0.05)
    raise AssertionError("the host never spoke")


def test_the_stop_is_measured_and_the_traffic_comes_back(tmp_path):
    home = make_home(tmp_path)
    ctx = Context(home, local_actor("grace"), folder=tmp_path, operation="drills stop")
    with pytest.raises(Conflict, match="Nothing of delay is live"):
        drills_stop(ctx, MODEL)
    version = add_version(home, constant_package(0.7))
    before = route(home, live(version))
    with pytest.raises(Refused, match="No host serves"):
        drills_stop(ctx, MODEL)
    with Server(tmp_path):
        wait_for_first_word(home)
        drill = drills_stop(ctx, MODEL)
    assert drill.hosts == 1
    assert drill.took is not None
    assert drill.took > 0
    with home.read() as tx:
        history = releases.routing_history(tx, home.project_id, MODEL)
        assert oversight.find_drills(tx, home.project_id, MODEL) == [drill]
    assert [each.revision for each in history][:2] == [before + 2, before + 1]
    assert history[1].variants == []
    assert [each.version for each in history[0].variants] == [1]
    home.close()
