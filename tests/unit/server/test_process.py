import asyncio
import os
import socket
import threading
import time

import pytest
from tests.rest import LOCAL_TOKEN, make_app, new_token, running

from thrive.client.local_server import LocalServer, write_local_server
from thrive.domain.actor import local_actor
from thrive.domain.errors import Conflict, InfrastructureError, Refused, UsageError
from thrive.flows.catalogue import load_all
from thrive.operations import invoke
from thrive.server.background import Background
from thrive.server.http import HEAD_BYTES
from thrive.server.options import host_names, is_loopback
from thrive.server.process import ServerOptions, bind, run_server, serve


def start(home, **options):
    """Start a server that is expected to refuse."""
    return run_server(home, local_actor("owner"), dict, ServerOptions(**options), Background())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "thrive.example.org"])
def test_a_door_for_others_needs_a_created_token(home, host):
    """Case 48: a bind that others reach, with nobody to know, is refused at the start."""
    with pytest.raises(Refused, match="no token was created"):
        start(home, host=host, port=0)


def test_an_expired_token_opens_no_door(home, context):
    new_token(context, "ana", "platform", expires="0 s")
    with pytest.raises(Refused, match="no token was created"):
        start(home, host="0.0.0.0", port=0)


def test_a_folder_has_one_server(home):
    app = make_app(home)
    with running(app) as url:
        write_local_server(home.folder, LocalServer(url=url, token="t", pid=os.getpid()))
        with pytest.raises(Conflict, match=url):
            start(home, port=0)


def test_a_taken_port_and_no_port_are_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InfrastructureError, match=f"127.0.0.1:{port} cannot be listened on"):
            bind("127.0.0.1", port)
    with pytest.raises(UsageError, match="no port"):
        bind("127.0.0.1", 65536)


def test_names_follow_the_bound_address():
    assert host_names("0.0.0.0", ("a.example",)) == ("a.example",)
    assert host_names("192.0.2.1", ()) == ("192.0.2.1",)
    assert host_names("2001:db8::1", ()) == ("[2001:db8::1]",)
    assert [is_loopback(host) for host in ("localhost", "127.9.9.9", "::1", "0.0.0.0", "x")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def exchange(url, sent):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as caller:
        threading.Thread(target=_push, args=(caller, sent)).start()
        answer = b""
        while part := _read(caller):
            answer += part
            if b"\r\n\r\n" in answer:
                break
        return answer.partition(b"\r\n")[0]


def _push(caller, sent):
    try:
        caller.sendall(sent)
    except OSError:
        return


def _read(caller):
    try:
        return caller.recv(65536)
    except OSError:
        return b""


def test_a_head_that_does_not_end_is_cut_off(home):
    app = make_app(home)
    with running(app) as url:
        endless = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * (4 * HEAD_BYTES)
        assert exchange(url, endless) in {b"HTTP/1.1 431 Request Header Fields Too Large", b""}
        large = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 40_000 + b"\r\n\r\n"
        assert exchange(url, large).startswith(b"HTTP/1.1 431")
        body = b"x" * 300_000
        head = (
            b"POST /api/jobs/cancel HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer "
            + LOCAL_TOKEN.encode()
            + b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        assert exchange(url, head + body).startswith(b"HTTP/1.1 400"), "a long body is no long head"


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nhost: local"])
def test_a_head_that_never_comes_is_not_awaited_for_ever(home, monkeypatch, sent):
    monkeypatch.setattr("thrive.server.http.HEAD_SECONDS", 0.2)
    app = make_app(home)
    with running(app) as url:
        assert exchange(url, sent) == b""
        whole = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
        assert exchange(url, whole).startswith(b"HTTP/1.1 200")


def test_nobody_is_hung_up_on_for_time_in_which_the_server_was_stopped(home, monkeypatch):
    monkeypatch.setattr("thrive.server.process.KEEP_ALIVE_S", 0.3)
    monkeypatch.setattr("thrive.server.http.LATE_S", 0.2)
    uvloop = pytest.importorskip("uvloop")
    app = make_app(home)
    listening = bind("127.0.0.1", 0)
    asked = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"

    async def calls():
        told = asyncio.Event()
        serving = asyncio.create_task(serve(app, listening, told))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        for _ in range(3):
            writer.write(asked)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(size)
            time.sleep(0.8)  # noqa: ASYNC251 - it stops caller and server, as a paused machine does
            await asyncio.sleep(0.1)
        assert await reader.read() == b"", "who stays silent is hung up on"
        writer.close()
        told.set()
        await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(calls())
    app.close()


@pytest.mark.parametrize("missing", ["database", "objects", "project"])
def test_a_team_home_is_named_whole(context, missing):
    given = {"database": "postgresql://db/x", "objects": "s3://b/x", "project": "x", missing: ""}
    with pytest.raises(UsageError, match="database, an object store and a project"):
        invoke(load_all()["server"], context, given)


def test_a_team_server_leaves_the_home_of_a_folder_alone(context):
    given = {"database": "postgresql://db/x", "objects": "s3://b/x", "project": "x"}
    with pytest.raises(Conflict, match="database of its own"):
        invoke(load_all()["server"], context, given)
