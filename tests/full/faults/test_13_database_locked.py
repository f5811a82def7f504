"""Fault 13: another process holds the database for longer than writers wait."""

import http.client
import json
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from tests.callers import calling, check_exactly_once
from tests.end_to_end.test_server import served
from tests.serving_home import RemoteHost

from thrive.store import audit

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]
WRITERS = 12
"""More than the server has threads for writes."""

HOLD = """
    import sys
    from pathlib import Path
    from thrive.store import audit
    from thrive.store.home import open_home
    home = open_home(Path(sys.argv[1]))
    with home.write() as tx:
        audit.lock_head(tx, home.project_id)
        print("held", flush=True)
        sys.stdin.readline()
"""


@contextmanager
def held(folder):
    """Hold the writer's lock of a home in another process, as a long transaction does."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(folder)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.communicate("go\n", timeout=60)


def ask(known, method, path, body=None):
    """Return the status, the seconds and the decoded answer of one request."""
    connection = http.client.HTTPConnection(known["url"].removeprefix("http://"), timeout=120)
    headers = {"Authorization": f"Bearer {known['token']}", "Content-Type": "application/json"}
    began = time.monotonic()
    connection.request(method, path, body and json.dumps(body), headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, time.monotonic() - began, content


def create(known, name):
    return ask(known, "POST", "/api/tokens/create", {"name": name, "role": ["auditor"]})


@pytest.mark.parametrize("kind", ["house", "team"])
def test_13_readers_go_on_and_writers_are_told_to_try_again(kind, request, tmp_path):
    house = request.getfixturevalue(kind)
    with ExitStack() as stack:
        _, known = stack.enter_context(served(house.folder, *house.words))
        host = stack.enter_context(RemoteHost(tmp_path / "edge", known["url"], house.token))
        pool = stack.enter_context(ThreadPoolExecutor(WRITERS))
        with calling(host) as seen:
            with held(house.folder):
                writes = [pool.submit(create, known, f"n{number}") for number in range(WRITERS)]
                reads = read_until_over(known, writes)
            for status, _, content in (each.result() for each in writes):
                assert (status, content["error"]["code"]) == (503, "StoreBusy")
            assert len(reads) > 20
            assert {status for status, _, _ in reads} == {200}
            assert max(seconds for _, seconds, _ in reads) < 10, "no read waits for a writer"
            assert create(known, "after")[0] == 200
            host.wait_for_revision(house.switch())
        assert seen.failures == []
        host.stop()
        check_exactly_once(house.home, seen.ids)
    with house.home.read() as tx:
        assert audit.first_broken(tx, house.home.project_id) is None


def read_until_over(known, writes):
    over = threading.Event()
    threading.Thread(target=lambda: ([each.result() for each in writes], over.set())).start()
    reads = []
    while not over.wait(0.3):
        reads.append(ask(known, "GET", "/api/jobs/list"))
    return reads
