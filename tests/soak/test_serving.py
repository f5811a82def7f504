"""Hours of answers while versions come and go: no request fails, and memory stays what it was.

`THRIVE_SOAK_SECONDS` says how long (an hour, if it says nothing), with a swap every minute or, in
a shorter run, ten in all.
"""

import http.client
import json
import os
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.serving_home import (
    MODEL,
    Server,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)

pytestmark = [pytest.mark.soak, pytest.mark.timeout(6 * 3600)]

SECONDS = float(os.environ.get("THRIVE_SOAK_SECONDS", "3600"))
SWAP_EVERY_S = min(60.0, SECONDS / 10)
CALLERS = 4
PAUSE_S = 0.002
MOST_GROWTH = 1.08


class Callers:
    """Threads that ask without end, over connections that are kept."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._port = port
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CALLERS)]
        for each in self._threads:
            each.start()

    def _run(self, number: int) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        count = 0
        while not self._stop.is_set():
            count += 1
            row = {"origin": "EWR", "wind": 1.5, "flight_id": f"{number}-{count}"}
            try:
                line.request(
                    "POST",
                    f"/predict/{MODEL}",
                    json.dumps({"rows": [row]}),
                    {"Content-Type": "application/json"},
                )
                answer = line.getresponse()
                said = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.wrong.append(repr(error))
                line.close()
                continue
            if answer.status != 200 or said["predictions"][0]["id"] is None:
                self.wrong.append(f"{answer.status}: {said}")
                continue
            version = said.get("version", said["predictions"][0].get("version"))
            with self._lock:
                self.answers[version] += 1
            time.sleep(PAUSE_S)
        line.close()

    def stop(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()


def family(pid: int) -> list[int]:
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += family(int(child))
    return found


def own_memory_mb(pid: int) -> float:
    """Return the memory that a server's processes have for themselves: no file, no shared page."""
    total = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))
    return total / 1024


def test_versions_come_and_go_without_a_failed_request_and_memory_is_flat(tmp_path):
    home = make_home(tmp_path)
    version = add_version(home, constant_package(0.5))
    route(home, live(version))
    memory: list[float] = []
    swaps = 0
    with Server(tmp_path, workers=2) as server:
        callers = Callers(server.port)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            newer = add_version(home, constant_package(0.1 + swaps % 8 / 10))
            server.wait_for_revision(route(home, live(version, 0.8), live(newer, 0.2)))
            time.sleep(SWAP_EVERY_S / 2)
            server.wait_for_revision(route(home, live(newer)))
            time.sleep(SWAP_EVERY_S / 2)
            version, swaps = newer, swaps + 1
            memory.append(own_memory_mb(server.process.pid))
        health = server.ask("/health")[1]
        callers.stop()
    home.close()
    third = len(memory) // 3
    before, after = (
        statistics.median(each) for each in (memory[third : 2 * third], memory[-third:])
    )
    print(
        f"{sum(callers.answers.values()):,} answers, {len(callers.wrong)} failed, {swaps} swaps, "
        f"memory {before:.1f} -> {after:.1f} MB, dropped {health['counters']['dropped']}"
    )
    assert callers.wrong == []
    assert set(callers.answers) >= set(range(2, swaps + 1))
    assert health["counters"]["failed"] == health["counters"]["dropped"] == 0
    assert after <= before * MOST_GROWTH
