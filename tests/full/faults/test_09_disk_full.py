"""Fault 9: the disk of a serving host, or of the server, is full; answers go on."""

import contextlib
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.callers import calling, check_exactly_once, eventually, stored
from tests.end_to_end.test_server import served
from tests.serving_home import RemoteHost

from thrive.store.home import open_home

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]


@pytest.fixture
def small(tmp_path):
    """A disk of 40 megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take every byte that is left, also what is given back meanwhile."""
    filling = folder / "filling"
    with filling.open("ab", buffering=0) as handle:
        for size in (1 << 20, 4096, 64):
            with contextlib.suppress(OSError):
                while True:
                    handle.write(bytes(size))
    return filling


def test_09_a_host_with_a_full_disk_answers_counts_and_logs_again(house, small):
    with ExitStack() as stack:
        _, known = stack.enter_context(served(house.folder, *house.words))
        host = stack.enter_context(RemoteHost(small / "edge", known["url"], house.token))
        with calling(host) as seen:
            eventually(lambda: len(seen.ids) > 50)
            filling = fill(small)

            def dropped() -> int:
                fill(small)
                return host.ask("/health")[1]["counters"]["dropped"]

            eventually(lambda: dropped() > 20, 60)
            filling.unlink()
            host.wait_for_revision(house.switch())
            fresh = host.predict([{"origin": "EWR", "wind": 1.0, "flight_id": "new"}])
            eventually(lambda: fresh["predictions"][0]["id"] in stored(house.home), 60)
        assert seen.failures == []
        lost = host.ask("/health")[1]["counters"]["dropped"]
        host.stop()
    missing = set(seen.ids) - set(stored(house.home))
    assert len(missing) <= lost, "what is not there was counted"


def test_09_a_server_with_a_full_disk_says_so_and_its_hosts_answer(house, tmp_path, small):
    """The home is on the full disk: nothing is half-written, and all arrives when there is room."""
    home_folder = small / "home"
    house.home.close()
    shutil.move(house.folder, home_folder)
    house.home, house.folder = open_home(home_folder), home_folder
    with ExitStack() as stack:
        _, known = stack.enter_context(served(house.folder, *house.words))
        host = stack.enter_context(RemoteHost(tmp_path / "edge", known["url"], house.token))
        with calling(host) as seen:
            eventually(lambda: len(seen.ids) > 50)
            filling = fill(small)
            answered = len(seen.ids)
            eventually(lambda: bool(fill(small)) and len(seen.ids) > answered + 200, 60)
            filling.unlink()
            host.wait_for_revision(house.switch())
        assert seen.failures == []
        host.stop()
        check_exactly_once(house.home, seen.ids)
    assert house.home.database.quick_check() == ""
