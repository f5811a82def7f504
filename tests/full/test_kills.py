"""`kill -9` at random moments of the short demo: nothing acknowledged is lost, and it goes on.

What a command printed or a host answered counts as acknowledged. After every kill the home is
read from outside: the audit chain holds, stored files match their names, no run claims to be at
work without a process, and everything acknowledged until then is there.

`THRIVE_TEST_KILLS` (100) and `THRIVE_TEST_SEED` choose how many and which moments.
"""

import json
import os
import random
import re
import subprocess
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import polars as pl
import pytest
from tests.flights import ENVIRONMENT, MODEL, TRAINING, Story, answered, command, write_project

from thrive.domain.clock import DAY, format_time, machine_now
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job, JobState
from thrive.domain.run import RunState
from thrive.flows.doctor import doctor
from thrive.serving.lookup import find_prediction
from thrive.store import audit, gates, jobs, models, monitoring, predictions, releases
from thrive.store.prediction_frames import with_outcomes
from thrive.tracking.operations import list_runs

KILLS = int(os.environ.get("THRIVE_TEST_KILLS", "100"))
SEED = int(os.environ.get("THRIVE_TEST_SEED", str(random.SystemRandom().randrange(10**6))))
MINUTES = 15.0
END = "2013-04-01"


class Proxy(ThreadingHTTPServer):
    """Stands between the replay and the serving host, and notes what the host answered."""

    daemon_threads = True

    def __init__(self, story: Story) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.story = story
        self.answers: list[tuple[list[str], list[str]]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_) -> None:
        """Say nothing: callers are killed here."""


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_GET(self) -> None:
        self._forward(None)

    def do_POST(self) -> None:
        self._forward(self.rfile.read(int(self.headers["Content-Length"])))

    def _forward(self, body: bytes | None) -> None:
        kept = ("Content-Type", "X-Thrive-Time")
        headers = {name: self.headers[name] for name in kept if name in self.headers}
        try:
            with urlopen(
                Request(self.server.story.url + self.path, body, headers), timeout=8
            ) as got:
                status, content = got.status, got.read()
        except HTTPError as error:
            status, content = error.code, error.read()
        except (URLError, OSError, ValueError):
            status, content = 503, b'{"error": {"message": "the host is away"}}'
        if body is not None and status == 200:
            keys = [row["flight_id"] for row in json.loads(body)["rows"]]
            ids = [each["id"] for each in json.loads(content)["predictions"]]
            self.server.answers.append((keys, ids))
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            pass

    def log_message(self, *_) -> None:
        pass


class Campaign:
    """Kills commands of one story, and knows what was acknowledged."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.rng = random.Random(SEED)
        self.kills: Counter[str] = Counter()
        self.deadline = time.monotonic() + MINUTES * 60
        self.versions: set[int] = set()
        self.approvals: set[str] = set()
        self.decided: set[str] = set()
        self.reported: set[str] = set()
        self.seen_answers = 0
        self.proxy = Proxy(story)

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(*words),
            cwd=self.story.folder,
            env=ENVIRONMENT | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def try_to_kill(self, kind: str, longest: float, *words: str, **environment: str):
        """Run a command and kill it at a random moment; return (code, output, errors)."""
        process = self.start(*words, **environment)
        try:
            out, err = process.communicate(timeout=self.rng.uniform(0.0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            self.kills[kind] += 1
            out, err = process.communicate()
        return process.returncode, out, err

    def goes_on(self, kind: str, share: float) -> bool:
        """Tell whether this kind still has kills to come, and time for them."""
        assert time.monotonic() < self.deadline, f"out of time after {self.kills}"
        return self.kills[kind] < max(1, round(KILLS * share))

    def verify(self) -> None:
        """Read the home from outside and compare it with what was acknowledged."""
        context = self.story.context()
        try:
            diagnosis = doctor(context, blobs=0)
            assert diagnosis.sound, diagnosis
            listed = list_runs(context).items
            assert RunState.RUNNING not in {run.state for run in listed}
            with context.read() as tx:
                project = context.project_id
                assert audit.first_broken(tx, project) is None
                approved = {
                    each.approval_id
                    for version in self.versions
                    for each in gates.find_approvals(tx, project, MODEL, version)
                }
                decisions = {each.alert_id for each in monitoring.find_decisions(tx, project)}
                numbers = {each.version for each in models.versions(tx, project, MODEL)}
                told = {
                    each.prediction_id
                    for each in predictions.find_outcomes(tx, project)
                    if each.source == "desk"
                }
                _check_routing(tx, project)
            assert self.versions <= numbers
            assert numbers == set(range(1, len(numbers) + 1))
            assert self.approvals <= approved
            assert self.decided <= decisions
            assert self.reported <= told
            self._check_new_answers(context.home)
        finally:
            context.home.close()

    def _check_new_answers(self, home) -> None:
        fresh = self.proxy.answers[self.seen_answers :]
        self.seen_answers += len(fresh)
        for keys, ids in fresh:
            for key, name in {keys[0]: ids[0], keys[-1]: ids[-1]}.items():
                assert find_prediction(home, name).keys["flight_id"] == key


def _check_routing(tx, project) -> None:
    """A release and the routing table move together, or not at all."""
    table = releases.current_routing(tx, project, MODEL)
    found = releases.find(tx, project, MODEL)
    assert (table is None) == (not found)
    if table is None:
        return
    (variant,) = table.variants
    newest = found[0]
    assert variant.version == newest.candidate
    assert variant.shadow == (newest.position == 0)
    assert len(releases.routing_history(tx, project, MODEL)) == newest.position + 1


@pytest.fixture
def campaign(tmp_path):
    story = Story(tmp_path / "flights")
    write_project(story.folder, END)
    story.begin()
    made = Campaign(story)
    print(f"seed {SEED}, {KILLS} kills")
    yield made
    story.stop()
    made.proxy.shutdown()


@pytest.mark.full
@pytest.mark.timeout(MINUTES * 60 + 120)
def test_a_hundred_kills_lose_nothing_acknowledged_and_the_loop_goes_on(campaign):
    version = kill_runs(campaign)
    kill_workers(campaign, version)
    kill_the_release(campaign, version)
    kill_what_is_live(campaign)
    print(dict(campaign.kills))
    assert campaign.kills.total() >= KILLS


def kill_runs(campaign: Campaign) -> int:
    """Kill trainings; then one is left alone. Return its version."""
    while campaign.goes_on("run", 0.2):
        _, _, err = campaign.try_to_kill("run", 8.0, "run", "train.py", *TRAINING)
        campaign.versions |= registered(err)
        campaign.verify()
    done = campaign.story.ask("run", "train.py", *TRAINING)
    assert done["state"] == "done"
    (label,) = done["models"]
    version = int(label.partition("@")[2])
    campaign.versions.add(version)
    campaign.verify()
    states = Counter(run["state"] for run in campaign.story.ask("runs", "list")["items"])
    assert set(states) <= {"done", "interrupted"}
    return version


def registered(text: str) -> set[int]:
    return {int(number) for number in re.findall(rf"registered {MODEL}@(\d+)\n", text)}


def kill_workers(campaign: Campaign, version: int) -> None:
    """Kill workers that judge a version; then one is left alone."""
    context = campaign.story.context()
    job = new_job(context, version)
    one_second = {"THRIVE_LEASE_SECONDS": "1"}
    while campaign.goes_on("worker", 0.1):
        campaign.try_to_kill("worker", 3.0, "worker", "--once", **one_second)
        campaign.verify()
        if stored_job(context, job).state is JobState.DONE:
            job = new_job(context, version)
    until = time.monotonic() + 60
    while stored_job(context, job).state is not JobState.DONE and time.monotonic() < until:
        campaign.start("worker", "--once", **one_second).communicate(timeout=60)
    ended = stored_job(context, job)
    assert ended.state is JobState.DONE, ended
    assert ended.result["answer"] == "pass"
    assert campaign.story.ask("gates", "show", f"{MODEL}@{version}")["answer"] == "pass"
    context.home.close()


def new_job(context, version: int) -> Job:
    """Queue a gate that any number of workers may die of."""
    job = Job(
        job_id=new_id(),
        operation="gates run",
        arguments={"model": f"{MODEL}@{version}"},
        state=JobState.WAITING,
        actor="tester",
        run_at=machine_now(),
        created_at=machine_now(),
        max_attempts=1000,
    )
    with context.home.write() as tx:
        return jobs.add(tx, context.project_id, job)


def stored_job(context, job: Job) -> Job:
    with context.read() as tx:
        return jobs.get(tx, context.project_id, job.job_id)


def kill_the_release(campaign: Campaign, version: int) -> None:
    """Kill the approval and the start of a release; both end as if nothing had happened."""
    label = f"{MODEL}@{version}"
    give = ["approvals", "give", label, "--reason", "the evidence was read", "--json"]
    while campaign.goes_on("approval", 0.04):
        code, out, _ = campaign.try_to_kill("approval", 1.2, *give)
        if code == 0:
            campaign.approvals.add(json.loads(out)["approval_id"])
        campaign.verify()
    campaign.story.type(*give)
    start = ["releases", "start", label]
    while campaign.goes_on("release", 0.04):
        code, _, err = campaign.try_to_kill("release", 1.2, *start)
        campaign.verify()
        if code in {0, 7}:
            break
        assert code == -9, err
    begun = campaign.start(*start)
    begun.communicate()
    assert begun.returncode in {0, 7}
    campaign.verify()


def kill_what_is_live(campaign: Campaign) -> None:
    """Kill the replay, the host, its workers, ticks and reports, until all kills are used up."""
    story = campaign.story
    story.serve()
    context = story.context()
    replay: subprocess.Popen[str] | None = None
    while campaign.kills.total() < KILLS:
        assert time.monotonic() < campaign.deadline, f"out of time after {campaign.kills}"
        if replay is None:
            replay = campaign.start(*story.replay_words(END, url=campaign.proxy.url), "--json")
        try:
            out, err = replay.communicate(timeout=campaign.rng.uniform(0.2, 6.0))
        except subprocess.TimeoutExpired:
            replay = kill_one(campaign, replay)
        else:
            assert replay.returncode == 0, (out, err)
            decide(campaign, json.loads(out))
            replay = None
        campaign.verify()
    if replay is not None:
        replay.kill()
        replay.communicate()
    finish(campaign, context)
    context.home.close()


def kill_one(campaign: Campaign, replay: subprocess.Popen[str]) -> subprocess.Popen[str] | None:
    """Kill one of the processes at work; return the replay if it lives on."""
    kinds = ["replay", "agent", "http worker", "tick", "report"]
    kind = campaign.rng.choices(kinds, [5, 2, 4, 2, 2])[0]
    if kind == "replay":
        replay.kill()
        replay.communicate()
        campaign.kills[kind] += 1
        return None
    if kind == "agent":
        assert campaign.story.server is not None
        campaign.story.server.kill()
        campaign.story.server.wait()
        campaign.kills[kind] += 1
        campaign.story.serve()
    elif kind == "http worker":
        kill_http_worker(campaign)
    elif kind == "tick":
        campaign.try_to_kill(kind, 2.0, "tick")
    elif campaign.proxy.answers:
        report(campaign)
    return replay


def kill_http_worker(campaign: Campaign) -> None:
    folder = campaign.story.folder / ".thrive" / "cache"
    host = json.loads((folder / "serving.json").read_bytes())["pid"]
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(host)], capture_output=True, text=True, check=False
    )
    pids = [int(word) for word in children.stdout.split()]
    if pids:
        os.kill(campaign.rng.choice(pids), 9)
        campaign.kills["http worker"] += 1


def report(campaign: Campaign) -> None:
    """Tell by hand what came of one flight, and kill the telling."""
    known = campaign.rng.choice(campaign.proxy.answers)[1]
    name = campaign.rng.choice(known)
    words = ["outcomes", "report", name, "1", "--source", "desk"]
    code, _, err = campaign.try_to_kill("report", 1.2, *words)
    if code == 0:
        campaign.reported.add(name)
    else:
        assert code in {-9, 7}, err


def decide(campaign: Campaign, said: dict) -> None:
    """Decide about each new alert, at the second attempt if the first was killed."""
    for alert in said["new_alerts"]:
        words = ["alerts", "decide", alert, "hold", "--reason", "it is looked into"]
        code, _, _ = campaign.try_to_kill("decision", 1.2, *words)
        if code == -9:
            campaign.verify()
            again = campaign.start(*words)
            _, err = again.communicate()
            assert again.returncode in {0, 6, 7}, err
        campaign.decided.add(alert)


def finish(campaign: Campaign, context) -> None:
    """Replay to the next midnight undisturbed; then compare every record with the world."""
    midnight = context.now() - context.now() % DAY + DAY
    until = format_time(midnight)[:10]
    while True:
        said = campaign.story.ask(*campaign.story.replay_words(until, url=campaign.proxy.url))
        decide(campaign, said)
        if said["now"] >= until:
            break
    campaign.verify()
    frame = answered(context, until)
    ids = {name for _, names in campaign.proxy.answers for name in names}
    assert ids <= set(frame["prediction_id"])
    check_duplicates(campaign, frame, ids)
    world = campaign.story.traffic(until)
    assert set(frame["k.flight_id"]) == set(world["flight_id"])
    joined = with_outcomes(context.home, frame).join(
        world.select("flight_id", "late", "known"), left_on="k.flight_id", right_on="flight_id"
    )
    due = joined.filter(pl.col("late").is_not_null() & (pl.col("known") <= midnight))
    assert due["outcome"].null_count() == 0
    with context.read() as tx:
        told = predictions.find_outcomes(tx, context.project_id)
        windows = monitoring.find_windows(tx, context.project_id, MODEL)
    replayed = [each.prediction_id for each in told if each.source == "replay"]
    assert sorted(replayed) == sorted(due["prediction_id"])
    days = Counter()
    for each in windows:
        days[each.version] += each.rows
    assert {k: v for k, v in days.items() if k} == Counter(
        frame.filter(pl.col("variant") == "production")["version"]
    )


def check_duplicates(campaign: Campaign, frame: pl.DataFrame, ids: set[str]) -> None:
    """No flight was answered twice to a caller; a second record has a killed host behind it."""
    asked = Counter(key for keys, _ in campaign.proxy.answers for key in keys)
    assert {key: count for key, count in asked.items() if count > 1} == {}
    extra = frame.filter(pl.col("prediction_id").is_in(list(ids)).not_())
    records = {name[:28] for name in extra["prediction_id"]}
    hosts = campaign.kills["agent"] + campaign.kills["http worker"]
    assert len(records) <= hosts, (len(records), campaign.kills)
