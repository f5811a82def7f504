"""`thrive serve` as a real process: answers, refusals, kills, swaps, the drain."""

import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from tests.serving_home import (
    CONTRACT,
    MODEL,
    Server,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)

from thrive.domain.clock import ClockMode, ClockState, parse_time
from thrive.domain.model import ModelVersion
from thrive.serving.sealing import seal_logs
from thrive.store import predictions, projects, releases
from thrive.store.eventlog import gaps
from thrive.store.home import Home
from thrive.store.prediction_frames import predictions_between

ROW = {"origin": "EWR", "wind": 1.5, "flight_id": "f1"}
FOREVER = 1 << 43
SECRET = "0123456789abcdef" * 4
SECRETS = ("AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "THRIVE_SIGNING_KEY", "THRIVE_TOKEN")


class Shared(NamedTuple):
    home: Home
    version: ModelVersion
    server: Server


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server for all tests that leave it as healthy as they found it."""
    folder = tmp_path_factory.mktemp("shared")
    home = make_home(folder)
    version = add_version(home, first_package())
    route(home, live(version))
    with pytest.MonkeyPatch.context() as context:
        for name in SECRETS:
            context.setenv(name, SECRET)
        running = Server(folder)
    with running:
        yield Shared(home, version, running)
    home.close()


@pytest.fixture
def served(shared):
    """The shared server with version 1 in production and nothing beside it."""
    with shared.home.read() as tx:
        table = releases.current_routing(tx, shared.home.project_id, MODEL)
    wanted = [live(shared.version)]
    if table.variants != wanted:
        shared.server.wait_for_revision(route(shared.home, *wanted))
    return shared


@pytest.fixture
def own(tmp_path):
    """A home of the test's own, with version 1 in production and no server yet."""
    home = make_home(tmp_path)
    route(home, live(add_version(home, first_package())))
    yield home
    home.close()


def first_package():
    return constant_package(0.3, EWR=0.7, JFK=0.1)


def sealed(home):
    return predictions_between(home, 0, FOREVER * 1000, MODEL)


def test_no_process_that_runs_a_model_is_told_a_secret_of_its_agent(served):
    candidate = add_version(served.home, constant_package(0.9))
    served.server.wait_for_revision(
        route(served.home, live(served.version, 0.5), live(candidate, 0.5))
    )
    (worker,) = served.server.worker_pids()
    beside = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    assert beside, "the candidate has no process"
    assert SECRET in environment_of(served.server.process.pid)
    for pid in (worker, *beside):
        assert SECRET not in environment_of(pid)
        assert "OMP_NUM_THREADS=1" in environment_of(pid)


def environment_of(pid):
    return Path(f"/proc/{pid}/environ").read_text()


def test_it_answers_logs_and_shows_what_it_did(served):
    said = served.server.log.read_text()
    assert f"serving at http://127.0.0.1:{served.server.port} (Ctrl-C stops)" in said
    home, _, server = served
    seal_logs(home, force=True)
    before = server.ask("/health")[1]["counters"]
    answer = server.predict([ROW, {"origin": "JFK", "wind": None, "flight_id": "f2"}])
    assert (answer["model"], answer["version"], answer["variant"]) == (MODEL, 1, "production")
    assert [(p["score"], p["decision"]) for p in answer["predictions"]] == [
        (0.7, True),
        (0.1, False),
    ]
    assert server.ask(f"/predict/{MODEL}", ROW)[1]["predictions"][0]["score"] == 0.7
    split = {"dataframe_split": {"columns": ["origin", "wind"], "data": [["EWR", 1], ["LGA", 2]]}}
    assert server.ask("/invocations", split) == (200, {"predictions": [0.7, 0.3]})
    assert server.ask("/ping")[0] == 200
    health = server.ask("/health")[1]
    assert list(health["revisions"]) == [MODEL]
    assert health["routing_age_s"] < 5
    assert health["counters"] == {**before, "answered": before["answered"] + 3}
    assert health["counters"]["dropped"] == 0
    labels = f'worker="0",model="{MODEL}",version="1",variant="production"'
    assert f"thrive_prediction_seconds_count{{{labels}}}" in server.ask("/metrics")[1]
    schema = server.ask("/openapi.json")[1]["paths"][f"/predict/{MODEL}"]["post"]
    rows = schema["requestBody"]["content"]["application/json"]["schema"]["oneOf"][0]
    assert set(rows["properties"]["rows"]["items"]["properties"]) == {"origin", "wind", "flight_id"}
    assert MODEL in server.ask("/")[1]

    assert seal_logs(home, force=True) == 5
    ids = [each["id"] for each in answer["predictions"]]
    frame = sealed(home).filter(pl.col("prediction_id").is_in(ids))
    assert frame["prediction_id"].to_list() == ids
    assert frame["x.wind"].to_list() == [1.5, None]
    assert frame["k.flight_id"].to_list() == ["f1", "f2"]
    assert frame["decision"].to_list() == ["true", "false"]


NOT_FOUND = ("/predict/nobody", {"rows": [ROW]}, 404, "There is no model")
REFUSALS = [
    NOT_FOUND,
    ("/nowhere", None, 404, "nothing at"),
    (f"/predict/{MODEL}", None, 405, "not answered"),
    (f"/predict/{MODEL}", b"{", 400, "not JSON"),
    (f"/predict/{MODEL}", b"\xff\xfe", 400, "not JSON"),
    (f"/predict/{MODEL}", b"[" * 100_000, 400, "not JSON"),
    (f"/predict/{MODEL}", b'{"rows": [{"wind": NaN}]}', 400, "not JSON"),
    (f"/predict/{MODEL}", [], 422, "not an object"),
    (f"/predict/{MODEL}", {"rows": []}, 422, "empty"),
    (f"/predict/{MODEL}", {"rows": {}}, 422, "an object, not a list"),
    (f"/predict/{MODEL}", {"rows": [3]}, 422, "Row 0 is a number"),
    (f"/predict/{MODEL}", {"rows": [{"origin": 3, "wind": 1}]}, 422, "'origin' is 3, "),
    (f"/predict/{MODEL}", {"rows": [{"origin": "EWR"}]}, 422, "'wind' is absent"),
    (f"/predict/{MODEL}", {"rows": [{**ROW, "hum": 1}]}, 422, "'hum' is unknown"),
    (f"/predict/{MODEL}", {"rows": [{**ROW, "flight_id": [1]}]}, 422, "'flight_id' is a list"),
    (
        f"/predict/{MODEL}",
        {**ROW, "flight_id": 1 << 64},
        422,
        "'flight_id' is 18446744073709551616",
    ),
    (f"/predict/{MODEL}", {"rows": [ROW] * 10_001}, 413, "10,001 rows"),
    ("/invocations", {"dataframe_split": {"columns": ["origin"]}}, 422, "no lists"),
    ("/invocations", {"instances": [ROW], "inputs": [ROW]}, 422, "has 2 of"),
]


def test_bad_input_is_told_precisely_and_never_a_500(served):
    server = served.server
    for path, body, status, words in REFUSALS:
        raw = body if isinstance(body, bytes) else None
        found, answer = server.ask(path, None if raw else body, raw=raw)
        assert found == status, (path, body, answer)
        assert words in answer["error"]["message"], answer
        assert answer["message"] == answer["error"]["message"]
    text = server.ask(f"/predict/{MODEL}", {"rows": [ROW]}, Content_Type="text/csv")
    assert text[0] == 415
    packed = server.ask(f"/predict/{MODEL}", {"rows": [ROW]}, Content_Encoding="gzip")
    assert packed[0] == 415
    late = server.ask(f"/predict/{MODEL}", {"rows": [ROW]}, X_Thrive_Time="2013-01-01")
    assert late[0] == 400
    assert "replayed" in late[1]["error"]["message"]
    assert server.predict([ROW])["predictions"][0]["score"] == 0.7


def test_an_answer_is_on_the_disk_first_where_the_caller_asks(served):
    status, answer = served.server.ask(f"/predict/{MODEL}?logged=sync", {"rows": [ROW]})
    assert status == 200
    assert answer["predictions"][0]["id"]


def test_a_name_that_points_here_by_itself_is_not_answered(served):
    """DNS rebinding: a page calls this machine by a name of its own."""
    for path in ("/", f"/predict/{MODEL}", "/metrics", "/explain/x"):
        status, said = served.server.ask(path, Host="evil.example")
        assert (status, said["error"]["code"]) == (403, "ForeignHost")
    assert served.server.ask("/ping", Host="evil.example")[0] == 200
    for name in ("localhost", f"LOCALHOST:{served.server.port}", "[::1]:9"):
        assert served.server.ask("/", Host=name)[0] == 200


def raw_request(body: bytes, *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} /predict/{MODEL} HTTP/1.1", "Host: localhost", *headers]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def read_responses(connection: socket.socket, count: int) -> list[tuple[int, dict, bytes]]:
    found, stream = [], connection.makefile("rb")
    for _ in range(count):
        status = int(stream.readline().split()[1])
        lines = iter(lambda: stream.readline().strip().decode(), "")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        found.append((status, headers, stream.read(int(headers["content-length"]))))
    return found


def test_requests_in_pieces_and_in_a_row_are_answered_alike_and_in_order(served):
    rows = [{"origin": origin, "wind": 2.0, "flight_id": n} for n, origin in enumerate("EJL")]
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    whole = raw_request(json.dumps(rows[0]).encode(), f"traceparent: {trace}")
    chosen = raw_request(json.dumps(rows[1]).encode(), "X-Thrive-Time: 1")  # takes the long way
    waits = raw_request(json.dumps(rows[2]).encode(), "Expect: 100-continue")
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=30) as connection:
        connection.sendall(whole)
        read_responses(connection, 1)  # the host's name is known from here on
        connection.sendall(whole + chosen + whole + raw_request(b"{") + whole)
        statuses = [status for status, _, _ in read_responses(connection, 5)]
        assert statuses == [200, 400, 200, 400, 200]
        connection.sendall(waits[:-10])
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(waits[-10:])
        assert read_responses(connection, 1)[0][0] == 200
        connection.sendall(raw_request(b"", method="GET"))
        assert read_responses(connection, 1)[0][0] == 405
        connection.sendall(whole)
        connection.sendall(whole[:-7])
        time.sleep(0.05)  # what came is read by then: the rest comes as a second piece
        connection.sendall(whole[-7:])
        (_, quick, first), (_, slow, second) = read_responses(connection, 2)
        connection.sendall(raw_request(json.dumps(rows[0]).encode(), "Connection: close"))
        assert read_responses(connection, 1)[0][1]["connection"] == "close"
        assert connection.recv(1) == b""
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=30) as connection:
        connection.sendall(whole + whole + b"this is no HTTP\r\n\r\n")
        both = connection.makefile("rb").read()
        assert re.findall(rb"HTTP/1.1 (\d+)", both) == [b"200", b"200", b"400"]
    assert list(quick) == list(slow)
    same = {"content-type", "content-length", "x-model-version", "x-variant"}
    assert all(quick[name] == slow[name] for name in same)
    assert quick["traceparent"][:36] == slow["traceparent"][:36] == trace[:36]
    answers = [json.loads(each)["predictions"][0] for each in (first, second)]
    ids = [each.pop("id") for each in answers]
    assert answers[0] == answers[1]
    assert ids == [quick["x-prediction-id"], slow["x-prediction-id"]]
    records = logged_as(served.home, ids)
    assert records[0] == records[1]


def logged_as(home, ids: list[str]) -> list[dict]:
    """Return what the log says of predictions, but for their ids and times."""
    seal_logs(home, force=True)
    found = sealed(home).filter(pl.col("prediction_id").is_in(ids))
    return found.drop("prediction_id", "time", "latency_us").to_dicts()


def test_a_body_that_is_too_large_is_not_read(served):
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=5) as stream:
        head = (
            f"POST /predict/{MODEL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
        )
        stream.sendall(head.encode())
        assert b"413" in stream.recv(200)


def test_a_head_that_does_not_end_is_not_kept_and_odd_ones_are_no_fault_of_ours(served):
    _, _, server = served
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as stream:
        stream.sendall(f"POST /predict/{MODEL} HTTP/1.1\r\nHost: localhost\r\nX-Long: ".encode())
        time.sleep(0.05)  # what came is read by then
        stream.sendall(b"x" * (66 << 10))
        assert stream.recv(12) == b"HTTP/1.1 431"
    digits = "9" * 5000
    long = {"Inference_Header_Content_Length": digits}
    assert server.ask(f"/v2/models/{MODEL}/infer", {"inputs": []}, **long)[0] == 400
    assert server.predict([ROW], traceparent=digits, X_Route_Key="\xff" * 300)["version"] == 1


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_killed_worker_comes_back_and_loses_no_acknowledged_answer(served):
    home, _, server = served
    kept: list[str] = []
    stop = threading.Event()

    def ask_on():
        while not stop.is_set():
            try:
                kept.append(server.predict([ROW])["predictions"][0]["id"])
            except (OSError, http.client.HTTPException):
                continue

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(ask_on) for _ in range(4)]
        try:
            for _ in range(3):
                time.sleep(0.4)
                (pid,) = server.worker_pids()
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
            before = len(kept)
            wait_until(lambda: len(kept) >= before + 20)
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    seal_logs(home, force=True)
    frame = sealed(home)
    assert set(kept) <= set(frame["prediction_id"])
    assert len(kept) == len(set(kept)) > 100
    assert frame["prediction_id"].n_unique() == frame.height
    with home.read() as tx:
        rows = predictions.find_sealed(tx, home.project_id)
    assert [gap for gap in gaps(rows) if not gap.unfinished] == []


def test_a_stop_answers_what_has_come_and_ships_the_log(own, tmp_path):
    server = Server(tmp_path)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    body = json.dumps({"rows": [ROW] * 500}).encode()
    answered: list[int] = []

    def ask_on():
        while True:
            connection.request(
                "POST", f"/predict/{MODEL}", body, {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            response.read()
            answered.append(response.status)
            if response.headers.get("connection") == "close":
                return

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        caller = pool.submit(ask_on)
        time.sleep(0.3)
        said = server.stop()
        caller.result(timeout=5)
    assert set(answered) == {200}
    assert f"answered={len(answered)}" in said
    assert not (tmp_path / ".thrive" / "cache" / "serving.json").exists()
    assert sealed(own).height == 500 * len(answered)
    assert list((tmp_path / ".thrive" / "log").glob("*.segment")) == []
    with own.read() as tx:
        (host,) = releases.find_hosts(tx, own.project_id)
    assert host.url == ""
    assert host.answered == len(answered)


def test_a_new_routing_is_followed_without_a_failed_request(served):
    home, version, server = served
    second = add_version(home, constant_package(0.9))
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask_on():
        while not stop.is_set():
            answer = server.predict([ROW])
            seen.append((answer["version"], answer["variant"]))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        callers = [pool.submit(ask_on) for _ in range(2)]
        try:
            server.wait_for_revision(route(home, live(version), live(second, shadow=True)))
            server.wait_for_revision(route(home, live(version, 0.5), live(second, 0.5)))
            began = time.monotonic()
            server.wait_for_revision(route(home, live(second)))
            took = time.monotonic() - began
            wait_until(lambda: (second.version, "production") in seen)
            server.wait_for_revision(route(home, live(version)))
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    assert took < 2
    assert {number for number, _ in seen} == {1, second.version}
    assert {variant for _, variant in seen} <= {"production", "candidate"}
    seal_logs(home, force=True)
    logged = sealed(home).filter(pl.col("version") == second.version)
    counted = Counter(zip(logged["variant"], logged["error"], strict=True))
    assert counted["production", ""] > 0
    # on a busy machine the process beside production may miss its deadline; its caller does not,
    # and until it was started again there is none
    late = sum(counted.pop((variant, "timeout"), 0) for variant in ("candidate", "shadow"))
    gone = sum(counted.pop((variant, "not running"), 0) for variant in ("candidate", "shadow"))
    assert {error for _, error in counted} == {""}, counted
    assert late <= 1 + len(seen) // 100
    assert late or not gone


def test_shares_are_kept_and_a_key_stays_with_its_variant(served):
    home, version, server = served
    second = add_version(home, constant_package(0.9))
    server.wait_for_revision(route(home, live(version, 0.8), live(second, 0.2)))
    keys = [{**ROW, "flight_id": f"f{n}"} for n in range(400)]
    first = [server.predict([row])["variant"] for row in keys]
    assert 50 < first.count("candidate") < 110
    assert [server.predict([row])["variant"] for row in keys[:50]] == first[:50]
    named = {server.predict([row], X_Route_Key="one")["variant"] for row in keys[:20]}
    assert len(named) == 1


def test_a_shadow_answers_beside_the_fallback_on_every_row(served):
    home, _, server = served
    second = add_version(home, constant_package(0.9))
    server.wait_for_revision(route(home, live(second, shadow=True)))
    answer = server.predict([ROW, ROW])
    assert (answer["version"], answer["variant"]) == (0, "fallback")
    assert [p["score"] for p in answer["predictions"]] == [0.2, 0.2]
    ids = [each["id"] for each in answer["predictions"]]
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        seal_logs(home, force=True)
        shadow = sealed(home).filter(pl.col("variant") == "shadow", pl.col("live_id").is_in(ids))
        if shadow.height == 2:
            break
        time.sleep(0.05)
    assert shadow["score"].to_list() == [0.9, 0.9]
    assert shadow["live_id"].to_list() == ids
    assert shadow["k.flight_id"].to_list() == ["f1", "f1"]


def test_without_a_version_or_a_fallback_it_says_503_and_serves_again_when_there_is_one(
    tmp_path,
):
    rule = "fallback = 0.2\nfallback_rules = [\"0.8 if origin = 'EWR' and wind >= 1\"]"
    contract = CONTRACT.replace("fallback = 0.2", rule)
    home = make_home(tmp_path, contract)
    with Server(tmp_path) as server:
        status, answer = server.ask(f"/predict/{MODEL}", {"rows": [ROW]})
        assert status == 503
        assert "no fallback" in answer["error"]["message"]
        first = add_version(home, constant_package(0.4), contract=contract)
        server.wait_for_revision(route(home, live(first)))
        assert server.predict([ROW])["predictions"][0]["score"] == 0.4
        server.wait_for_revision(route(home))
        answers = server.predict([ROW, {**ROW, "wind": None}])["predictions"]
        assert [(each["score"], each["decision"]) for each in answers] == [
            (0.8, True),
            (0.2, False),
        ]
    home.close()


def test_a_damaged_package_keeps_the_version_that_works_until_it_is_whole_again(served):
    home, _, server = served
    before = server.ask("/health")[1]["revisions"]
    package = constant_package(0.95)  # no other test caches this one
    second = add_version(home, package)
    path = home.blobs.local_path(second.package)
    path.chmod(0o600)
    path.write_bytes(b"{}")
    revision = route(home, live(second))
    time.sleep(1.0)
    answer = server.predict([ROW])
    assert (answer["version"], answer["predictions"][0]["score"]) == (1, 0.7)
    assert server.ask("/health")[1]["revisions"] == before
    path.unlink()
    assert home.blobs.put(package.manifest.to_bytes()) == second.package
    server.wait_for_revision(revision)
    assert server.predict([ROW])["version"] == second.version


def test_the_store_may_go_away(served):
    server = served.server
    database = server.folder / ".thrive" / "thrive.db"
    elsewhere = database.with_name("elsewhere.db")
    database.rename(elsewhere)
    database.mkdir()
    time.sleep(1.0)
    assert server.predict([ROW])["predictions"][0]["score"] == 0.7
    assert server.ask("/health")[1]["routing_age_s"] >= 0
    database.rmdir()
    elsewhere.rename(database)


def test_the_event_time_is_the_caller_s_only_in_a_replay(own, tmp_path):
    home = own
    may = parse_time("2013-05-01")
    with home.write() as tx:
        clock = ClockState(mode=ClockMode.REPLAY, replay_now=may)
        projects.set_clock(tx, home.project_id, clock)
    with Server(tmp_path) as server:
        server.predict([ROW])
        server.predict([ROW], X_Thrive_Time="2013-05-02T06:00Z")
        server.predict([ROW], X_Thrive_Time=str(may + 1))
        assert server.ask(f"/predict/{MODEL}", ROW, X_Thrive_Time="soon")[0] == 400
    times = sorted(sealed(home)["time"])
    assert times == [may, may + 1, parse_time("2013-05-02T06:00Z")]


def test_several_workers_share_the_port_and_are_counted_together(own, tmp_path):
    with Server(tmp_path, workers=2) as server:
        health = server.ask("/health")[1]
        assert [each["worker"] for each in health["workers"]] == [0, 1]
        for _ in range(40):
            server.predict([ROW])
        time.sleep(1.2)
        assert server.ask("/health")[1]["counters"]["answered"] == 40
    assert sealed(own).height == 40


def test_a_second_agent_on_the_same_home_is_refused(served):
    with pytest.raises(AssertionError, match="served already"):
        Server(served.server.folder, log="second.log")
