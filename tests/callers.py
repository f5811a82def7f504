"""Callers that keep asking a serving host, and know what was acknowledged to them."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.serving_home import MODEL, Server

from thrive.store import predictions
from thrive.store.eventlog import gaps
from thrive.store.home import Home
from thrive.store.prediction_frames import predictions_between

ROW = {"origin": "EWR", "wind": 1.5, "flight_id": "f1"}
FOREVER = 1 << 53


class Callers:
    """What some threads were answered: ids, seconds, and failures."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def slowest(self, share: float = 0.99) -> float:
        ordered = sorted(self.seconds)
        return ordered[int(len(ordered) * share)]


@contextmanager
def calling(host: Server, threads: int = 2, pause_s: float = 0.02) -> Iterator[Callers]:
    """Ask a host all through the block; a request that is not answered with 200 is a failure."""
    seen = Callers()
    stop = threading.Event()

    def ask_on() -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                seen.ids.append(host.predict([ROW])["predictions"][0]["id"])
            except (OSError, http.client.HTTPException, AssertionError) as error:
                seen.failures.append(repr(error))
            seen.seconds.append(time.monotonic() - began)
            time.sleep(pause_s)

    running = [threading.Thread(target=ask_on) for _ in range(threads)]
    for each in running:
        each.start()
    try:
        yield seen
    finally:
        stop.set()
        for each in running:
            each.join()


def eventually(holds, seconds: float = 60.0) -> None:
    """Wait for so many seconds of this process's own time: a paused machine is nobody's fault."""
    left = seconds
    while True:
        began = time.monotonic()
        if holds():
            return
        assert left > 0, "it never came true"
        time.sleep(0.1)
        left -= min(time.monotonic() - began, 1.0)


def stored(home: Home) -> list[str]:
    """Return the ids of every prediction in the store, as often as they are there."""
    return predictions_between(home, 0, FOREVER, MODEL)["prediction_id"].to_list()


def check_exactly_once(home: Home, acknowledged: list[str]) -> None:
    """Wait until all that was acknowledged is in the store; then nothing is there twice or lost."""
    eventually(lambda: set(acknowledged) <= set(stored(home)))
    with home.read() as tx:
        rows = predictions.find_sealed(tx, home.project_id)
    found = stored(home)
    assert len(found) == len(set(found)), sorted(
        (row.host, row.worker, row.segment, row.from_offset, row.to_offset, row.rows)
        for row in rows
    )
    assert [each for each in gaps(rows) if not each.unfinished] == []
    assert sum(row.dropped for row in rows) == 0
