"""Callers who are slow, many, large or silent, and a worker that its model holds for ever."""

import contextlib
import http.client
import json
import os
import re
import resource
import select
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from tests.serving_home import MODEL, Server, add_version, constant_package, live, make_home, route

from thrive.serving import workers

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

ROW = {"origin": "EWR", "wind": 1.5, "flight_id": "f1"}
CONNECTIONS = 10_000
BODY = json.dumps(ROW).encode()
REQUEST = (
    f"POST /predict/{MODEL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY


def whole_answer(line):
    """Read an answer to its end, in however many pieces it comes."""
    came = b""
    while not came.partition(b"\r\n\r\n")[2].endswith(b"}"):
        piece = line.recv(4096)
        assert piece, "the line was closed"
        came += piece
    return came


@pytest.fixture
def few_files():
    """Start what a test starts with the limit of files that most shells have; give the most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def server(tmp_path, few_files):
    home = make_home(tmp_path)
    route(home, live(add_version(home, constant_package(0.3))))
    with Server(tmp_path) as running:
        yield running
    home.close()


def resident_mb(pid: int) -> float:
    said = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", said)[1]) / 1024


def test_ten_thousand_connections_are_kept_and_each_is_answered(server, few_files):
    if few_files < CONNECTIONS + 500:
        pytest.skip(f"this machine allows {few_files} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (few_files, few_files))
    (pid,) = server.worker_pids()
    before = resident_mb(pid)
    with contextlib.ExitStack() as stack:
        lines = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            for _ in range(CONNECTIONS)
        ]
        for _ in range(2):
            for line in lines:
                line.sendall(REQUEST)
                assert whole_answer(line).startswith(b"HTTP/1.1 200 OK\r\n")
        grown = resident_mb(pid) - before
        assert server.predict([ROW])["predictions"][0]["score"] == 0.3
    print(f"{CONNECTIONS} connections: {grown:.0f} MB, {grown / CONNECTIONS * 1024:.1f} kB each")
    assert grown < 200
    assert server.worker_pids() == [pid]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_cuts_off_nobody_who_connects_anew_for_each_request(tmp_path, workers):
    home = make_home(tmp_path)
    route(home, live(add_version(home, constant_package(0.3))))
    ended: list[str] = []
    answered = [0]

    def ask_on():
        while True:
            try:
                with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
                    line.sendall(REQUEST.replace(b"Host", b"Connection: close\r\nHost"))
                    said = line.makefile("rb").read()
            except OSError as error:
                ended.append(type(error).__name__)
                return
            assert said.startswith(b"HTTP/1.1 200"), said
            answered[0] += 1

    server = Server(tmp_path, workers)
    callers = [threading.Thread(target=ask_on) for _ in range(12)]
    for each in callers:
        each.start()
    time.sleep(1.0)
    server.stop()
    for each in callers:
        each.join()
    home.close()
    assert ended == ["ConnectionRefusedError"] * 12
    assert answered[0] > 100


def test_callers_who_do_not_read_and_bodies_that_do_not_come_hold_up_nobody(server):
    rows = json.dumps({"rows": [ROW] * 10_000}).encode()
    head = f"POST /predict/{MODEL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    (pid,) = server.worker_pids()
    before = resident_mb(pid)
    with contextlib.ExitStack() as stack:

        def line():
            return stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))

        silent = [line() for _ in range(100)]
        for each in silent:
            each.sendall((head % 5000).encode() + b"{")
        greedy = [line() for _ in range(20)]
        for each in greedy:
            each.setblocking(False)
        stop, waiting = (
            time.monotonic() + 5,
            {each: memoryview((head % len(rows)).encode() + rows) for each in greedy},
        )
        while time.monotonic() < stop:
            _, ready, _ = select.select([], list(waiting), [], 0.05)
            for each in ready:
                sent = each.send(waiting[each])
                waiting[each] = waiting[each][sent:] or memoryview(
                    (head % len(rows)).encode() + rows
                )
            assert server.predict([ROW])["predictions"][0]["score"] == 0.3
        assert resident_mb(pid) - before < 500
        late = [each.recv(12) for each in silent[:5]]
    assert late == [b"HTTP/1.1 408"] * 5


def test_huge_bodies_at_once_take_bounded_memory_and_are_told_to_come_back(server):
    (pid,) = server.worker_pids()
    body = json.dumps({**ROW, "flight_id": "x" * (15 << 20)}).encode()
    statuses: list[int] = []

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request(
                "POST", f"/predict/{MODEL}", body, {"Content-Type": "application/json"}
            )
            statuses.append(connection.getresponse().status)
        connection.close()

    callers = [threading.Thread(target=ask) for _ in range(30)]
    most = 0.0
    for each in callers:
        each.start()
    while any(each.is_alive() for each in callers):
        most = max(most, resident_mb(pid))
        time.sleep(0.02)
    print(f"30 bodies of 15 MB at once: at most {most:.0f} MB; {sorted(statuses)}")
    assert set(statuses) <= {200, 429}
    assert len(statuses) == 30
    assert statuses.count(200) >= 8
    assert most < 1500
    assert server.predict([ROW])["predictions"][0]["score"] == 0.3


def test_a_worker_that_is_held_for_ever_is_started_again(server):
    (pid,) = server.worker_pids()
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    answers = []
    while not answers:
        assert time.monotonic() - began < workers.STUCK_S + 60
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request(
                "POST", f"/predict/{MODEL}", BODY, {"Content-Type": "application/json"}
            )
            answers.append(connection.getresponse().status)
    took = time.monotonic() - began
    print(f"answered again after {took:.0f} s")
    assert answers == [200]
    assert took >= workers.STUCK_S
    assert server.worker_pids() != [pid]
