"""Fault 22: the database is gone, a server dies, the network between host and server is cut."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest
import sqlalchemy as sa
from tests.callers import calling, check_exactly_once, eventually
from tests.end_to_end.test_server import served
from tests.fault_proxy import fault_proxy
from tests.serving_home import MODEL, RemoteHost

from thrive.store import audit, silence
from thrive.store.database import Database
from thrive.store.tables.project import leases

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]
GONE_S = 30.0


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def ticks(url):
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(x for x in lines if x.startswith("thrive_ticks_total")).split()[1])


def test_22_the_database_is_gone_for_thirty_seconds(team, tmp_path, database):
    with ExitStack() as stack:
        _, known = stack.enter_context(served(team.folder, *team.words))
        url = known["url"]
        host = stack.enter_context(RemoteHost(tmp_path / "edge", url, team.token))
        assert status(f"{url}/ready") == 200
        with calling(host) as seen:
            time.sleep(2)
            database.stop()
            began = time.monotonic()
            assert status(f"{url}/health") == 200
            assert status(f"{url}/ready") == 503
            answered = len(seen.ids)
            time.sleep(max(0.0, GONE_S - (time.monotonic() - began)))
            assert len(seen.ids) > answered + 100
            database.start()
            eventually(lambda: status(f"{url}/ready") == 200)
            before = ticks(url)
            host.wait_for_revision(team.switch())
            eventually(lambda: ticks(url) > before)
        assert seen.failures == []
        host.stop()
        check_exactly_once(team.home, seen.ids)
    with team.home.read() as tx:
        assert audit.first_broken(tx, team.home.project_id) is None


def lease(team):
    query = sa.select(leases.c.owner, leases.c.fence, leases.c.until).where(
        leases.c.name == "controller"
    )
    with team.home.read() as tx:
        return tx.execute(query).first()


def test_22_another_server_takes_over_and_the_host_goes_on(team, tmp_path):
    """The leader is killed with its lease in hand; a gateway sends the host to the other one."""
    folders = [tmp_path / "first", tmp_path / "second"]
    with ExitStack() as stack:
        running = []
        for folder in folders:
            folder.mkdir()
            running.append(stack.enter_context(served(folder, *team.words)))
        ports = [int(known["url"].rpartition(":")[2]) for _, known in running]
        proxy = stack.enter_context(fault_proxy(ports[0]))
        url = f"http://127.0.0.1:{proxy.port}"
        host = stack.enter_context(RemoteHost(tmp_path / "edge", url, team.token))
        eventually(lambda: lease(team) is not None)
        with calling(host) as seen:
            before = lease(team)
            running[0][0].kill()
            running[0][0].wait()
            proxy.target = ports[1]
            killed = time.monotonic()
            host.wait_for_revision(team.switch())
            other = ticks(running[1][1]["url"])
            eventually(lambda: ticks(running[1][1]["url"]) > other, 40)
            eventually(lambda: lease(team).fence > before.fence, 40)
            assert time.monotonic() - killed < 60
        assert seen.failures == []
        host.stop()
        check_exactly_once(team.home, seen.ids)


def timed_status(url, token=""):
    """Return the status of an answer and the seconds it took."""
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    began = time.monotonic()
    return status(asked), time.monotonic() - began


def test_22_the_database_takes_connections_and_stays_silent(team, tmp_path, database):
    """No request waits for ever, those after the first are refused at once; then all is well."""
    with ExitStack() as stack:
        proxy = stack.enter_context(fault_proxy(database.port))
        words = [word.replace(f":{database.port}/", f":{proxy.port}/") for word in team.words]
        folder = tmp_path / "behind"
        folder.mkdir()
        _, known = stack.enter_context(served(folder, *words))
        url = known["url"]
        host = stack.enter_context(RemoteHost(tmp_path / "edge", url, team.token))
        paths = ["/api/jobs/list", "/api/models/list", "/", "/metrics", "/ready"]
        assert {timed_status(url + each, known["token"])[0] for each in paths} == {200}
        with calling(host) as seen:
            for _ in range(2):
                proxy.silent = True
                first = timed_status(f"{url}/api/jobs/list", known["token"])
                assert first[0] == 503, first
                assert first[1] < 30, "5 s of patience, 5 s for a sign of life, a slow machine"
                later = [timed_status(url + each, known["token"]) for each in paths]
                assert {code for code, _ in later} == {503}
                assert max(seconds for _, seconds in later) < 5, later
                assert status(f"{url}/health") == 200
                proxy.silent = False
                eventually(lambda: status(f"{url}/ready") == 200, 30)
                assert timed_status(f"{url}/api/jobs/list", known["token"])[0] == 200
            host.wait_for_revision(team.switch())
        assert seen.failures == []
        host.stop()
        check_exactly_once(team.home, seen.ids)


def test_22_a_statement_that_takes_long_is_no_silence(database, monkeypatch):
    monkeypatch.setattr(silence, "QUIET_S", 0.5)
    house = Database(database.new_database())
    with house.read() as tx:
        assert tx.exec_driver_sql("SELECT 1 FROM pg_sleep(5)").scalar() == 1
    house.close()


def network(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def cable():
    """A network of two: this side is 10.77.0.1, and a namespace with 10.77.0.2."""
    if os.getuid() != 0:
        pytest.skip("network namespaces are made by root")
    name, ours, theirs = f"thrive{os.getpid()}", f"tha{os.getpid()}"[:15], f"thb{os.getpid()}"[:15]
    try:
        network("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespaces here")
    try:
        network("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        network("addr", "add", "10.77.0.1/30", "dev", ours)
        network("link", "set", ours, "up")
        network("netns", "exec", name, "ip", "addr", "add", "10.77.0.2/30", "dev", theirs)
        network("netns", "exec", name, "ip", "link", "set", theirs, "up")
        network("netns", "exec", name, "ip", "link", "set", "lo", "up")
        yield name, ours
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)
        subprocess.run(["ip", "link", "del", ours], check=False, capture_output=True)


class FarHost(RemoteHost):
    """A serving host on the other side of the cable."""

    def __init__(self, namespace, *given):
        self.inside = ["ip", "netns", "exec", namespace]
        super().__init__(*given)

    def _command(self, workers):
        return [*self.inside, *super()._command(workers)]

    def ask(self, path, body=None, **_):
        """Ask from inside: the host listens on the loopback of its own network."""
        data = json.dumps(body) if body is not None else ""
        script = (
            "import sys, urllib.request as u; d = sys.argv[2].encode() or None\n"
            "r = u.Request(sys.argv[1], d, {'Content-Type': 'application/json'})\n"
            "print(u.urlopen(r, timeout=10).read().decode())"
        )
        url = f"http://127.0.0.1:{self.port}{path}"
        said = subprocess.run(
            [*self.inside, sys.executable, "-c", script, url, data],
            capture_output=True,
            text=True,
            check=True,
        )
        return 200, json.loads(said.stdout)


def test_22_the_cable_between_host_and_server_is_pulled(house, tmp_path, cable):
    namespace, ours = cable
    with ExitStack() as stack:
        words = [*house.words, "--host", "10.77.0.1"]
        _, known = stack.enter_context(served(house.folder, *words))
        host = stack.enter_context(FarHost(namespace, tmp_path / "edge", known["url"], house.token))
        with calling(host, threads=1, pause_s=0.1) as seen:
            host.wait_for_revision(house.switch())
            network("link", "set", ours, "down")
            lost = house.switch()
            time.sleep(20)
            health = host.ask("/health")[1]
            assert health["revisions"][MODEL] == lost - 1
            assert health["routing_age_s"] > 5
            answered = len(seen.ids)
            eventually(lambda: len(seen.ids) > answered + 5)
            network("link", "set", ours, "up")
            back = time.monotonic()
            host.wait_for_revision(lost)
            assert time.monotonic() - back < 20
        assert seen.failures == []
        host.stop()
        check_exactly_once(house.home, seen.ids)
