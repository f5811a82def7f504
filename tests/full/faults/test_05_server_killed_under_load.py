"""Faults 4 and 5: `kill -9` of the server while a host answers, follows and ships."""

import time
from contextlib import ExitStack

import pytest
from tests.callers import calling, check_exactly_once
from tests.end_to_end.test_server import served
from tests.serving_home import RemoteHost

from thrive.store import audit

pytestmark = pytest.mark.full
KILLS = 6


def start(house, stack, port=0):
    """Start the server of a house where one was killed."""
    (house.folder / ".thrive" / "server.json").unlink(missing_ok=True)
    process, known = stack.enter_context(served(house.folder, *house.words, port=port))
    return process, known["url"]


def test_05_every_prediction_arrives_once_though_the_server_is_killed_again_and_again(
    house, tmp_path
):
    with ExitStack() as stack:
        process, url = start(house, stack)
        port = int(url.rpartition(":")[2])
        host = stack.enter_context(RemoteHost(tmp_path / "edge", url, house.token))
        with calling(host) as seen:
            for kill in range(KILLS):
                host.wait_for_revision(house.switch())
                time.sleep(0.4 * kill)
                process.kill()
                process.wait()
                time.sleep(0.5)
                process, _ = start(house, stack, port)
            host.wait_for_revision(house.switch())
        assert seen.failures == []
        assert len(seen.ids) > 200
        host.stop()
        check_exactly_once(house.home, seen.ids)
    assert house.home.database.quick_check() == ""
    with house.home.read() as tx:
        assert audit.first_broken(tx, house.home.project_id) is None
