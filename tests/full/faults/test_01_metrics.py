"""Fault 1: `kill -9` of what reports metrics, and of the server that takes them."""

import json
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest
from tests.end_to_end.test_server import served
from tests.rest import new_token

from thrive.domain.actor import local_actor
from thrive.domain.run import RunState
from thrive.operations import Context
from thrive.store import runs
from thrive.tracking.recovery import as_seen, recover_dead_runs

pytestmark = pytest.mark.full
KILLS = 12
SERVER_KILLS = 4
WRITERS = 4
TOGETHER = 5
"""Points of one call."""

REPORTER = """
import sys, thrive
with thrive.run("kills", folder=sys.argv[1]) as run:
    print(run.id, flush=True)
    step = 0
    while True:
        step += 1
        run.log(loss=float(step), step=step)
        if step % 50 == 0:
            run.flush()
            print(step, flush=True)
"""


@pytest.fixture(params=["house", "team"])
def kept(request):
    return request.getfixturevalue(request.param)


def points_of(home, run_id, key):
    with home.read() as tx:
        return runs.metric_history(tx, home.project_id, run_id, key)


def killed(folder, seconds):
    """Let a script report for some seconds, kill it; return its run and the last word of it."""
    words = [sys.executable, "-c", REPORTER, str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    time.sleep(seconds)
    process.kill()
    said = process.stdout.read().split("\n")[:-1]
    process.wait()
    return run_id, int(said[-1]) if said else 0


def test_01_every_acknowledged_point_of_a_killed_script_is_there_once(kept):
    home, moments = kept.home, random.Random(1)
    lost = {}
    for _ in range(KILLS):
        run_id, acknowledged = killed(home.folder.parent, moments.uniform(0.0, 0.5))
        steps = [point.step for point in points_of(home, run_id, "loss")]
        assert steps == list(range(1, len(steps) + 1)), run_id
        assert len(steps) >= acknowledged
        with home.read() as tx:
            run = runs.get(tx, home.project_id, run_id)
        assert as_seen(run).state is RunState.INTERRUPTED
        if steps:
            assert run.summaries is not None
            assert run.summaries["loss"].points == len(steps)
            assert run.metrics["loss"] == len(steps)
        lost[run_id] = len(steps) - acknowledged
    assert sorted(lost) == sorted(run.run_id for run in recover_dead_runs(context_of(home)))
    assert recover_dead_runs(context_of(home)) == []


def context_of(home):
    return Context(home, local_actor("tester"), operation="test")


class Reporter(threading.Thread):
    """Logs batches of points over the wire, one after the other, and never a batch twice."""

    def __init__(self, url, token, run_id, key, stop):
        super().__init__()
        self.url, self.token, self.run_id, self.key, self.stop = url, token, run_id, key, stop
        self.sent = 0
        self.taken: list[int] = []

    def run(self):
        while not self.stop.is_set():
            self.sent += 1
            try:
                post(self.url, self.token, "runs/log-batch", **self.batch(self.sent))
            except (OSError, urllib.error.HTTPError):
                time.sleep(0.05)
            else:
                self.taken.append(self.sent)

    def takes_more(self, patience_s=60.0):
        """Wait until the server took another batch."""
        before, deadline = len(self.taken), time.monotonic() + patience_s
        while len(self.taken) == before:
            assert time.monotonic() < deadline, "the server takes nothing"
            time.sleep(0.01)

    def batch(self, number):
        points = [
            {"key": self.key, "value": 1.0, "step": number * TOGETHER + part, "timestamp": 1}
            for part in range(TOGETHER)
        ]
        return {"run_id": self.run_id, "metrics": points}


def post(url, token, path, **body):
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def test_01_every_batch_a_killed_server_took_is_there_once(kept):
    token = new_token(context_of(kept.home), "reporter", "data-scientist")
    stop = threading.Event()
    with ExitStack() as stack:
        process, known = stack.enter_context(served(kept.folder, *kept.words))
        url = known["url"]
        port = int(url.rpartition(":")[2])
        made = post(url, token, "runs/create", experiment_id="0", start_time=1)
        run_id = made["run"]["info"]["run_id"]
        writers = [Reporter(url, token, run_id, f"m{n % 2}", stop) for n in range(WRITERS)]
        for number, writer in enumerate(writers):
            writer.sent = number * 1_000_000
            writer.start()
        for kill in range(SERVER_KILLS):
            for writer in writers:
                writer.takes_more()
            time.sleep(0.2 * kill)
            process.kill()
            process.wait()
            (kept.folder / ".thrive" / "server.json").unlink(missing_ok=True)
            process, _ = stack.enter_context(served(kept.folder, *kept.words, port=port))
        for writer in writers:
            writer.takes_more()
        stop.set()
        for writer in writers:
            writer.join()
    check_batches(kept.home, run_id, writers)


def check_batches(home, run_id, writers):
    """A batch that was taken is there once and whole; one that was not, once or not at all."""
    stored = {
        key: [point.step for point in points_of(home, run_id, key)]
        for key in {writer.key for writer in writers}
    }
    batches = {}
    for key, steps in stored.items():
        assert len(set(steps)) == len(steps), key
        assert len(steps) % TOGETHER == 0
        batches[key] = {step // TOGETHER for step in steps}
        assert len(batches[key]) * TOGETHER == len(steps)
    for writer in writers:
        assert len(writer.taken) > SERVER_KILLS
        assert set(writer.taken) <= batches[writer.key]
    with home.read() as tx:
        summaries = runs.get(tx, home.project_id, run_id).summaries
    assert summaries is not None
    assert {key: each.points for key, each in summaries.items()} == {
        key: len(steps) for key, steps in stored.items()
    }
