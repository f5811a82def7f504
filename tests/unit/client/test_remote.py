import json
import os
import shutil
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import msgspec
import pytest
from tests.rest import LOCAL_TOKEN, make_app, running
from tests.serving_home import CONTRACT, make_home

import thrive
from thrive.client.local_server import (
    LocalServer,
    find_local_server,
    remove_local_server,
    write_local_server,
)
from thrive.client.remote import RemoteInvoker, connect, remote_invoker, running_server
from thrive.client.transport import Transport
from thrive.domain.actor import ANYONE
from thrive.domain.errors import (
    Conflict,
    ContractError,
    ContractGap,
    Interrupted,
    NotFound,
    NotRight,
    Refused,
    StoreBusy,
    StoreUnavailable,
    ThriveError,
    UsageError,
)
from thrive.domain.project import JobState, TeamContact
from thrive.operations import Kind, Operation
from thrive.store import jobs, projects


class Scripted(BaseHTTPRequestHandler):
    """Answers what the test wrote, in order; a None is a connection that breaks."""

    protocol_version = "HTTP/1.1"
    script: ClassVar[list] = []
    seen: ClassVar[list] = []

    def do_GET(self):
        length = int(self.headers.get("content-length", 0))
        type(self).seen.append((self.command, self.path, self.rfile.read(length)))
        answer = type(self).script.pop(0)
        if answer is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, body = answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the name http.server calls

    def log_message(self, *_):
        pass


@pytest.fixture
def scripted():
    handler = type("Handler", (Scripted,), {"script": [], "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr("thrive.client.transport.PAUSE_S", 0.001)


def error(code, what="w", hint="h"):
    return {"error": {"code": code, "what": what, "hint": hint}}


EMPTY = {"items": [], "next": None}


def test_a_read_is_tried_again_when_that_may_help(scripted):
    scripted.script[:] = [(503, error("StoreBusy")), None, (200, EMPTY)]
    with connect(scripted.url, "t") as workspace:
        assert workspace.jobs.list().items == []
    assert len(scripted.seen) == 3


def test_a_write_is_sent_once(scripted):
    scripted.script[:] = [(503, error("StoreBusy")), None]
    with connect(scripted.url, "t") as workspace:
        with pytest.raises(StoreBusy):
            workspace.jobs.cancel("a")
        with pytest.raises(StoreUnavailable, match="does not answer"):
            workspace.jobs.cancel("a")
    assert [seen[0] for seen in scripted.seen] == ["POST", "POST"]


def test_a_terminal_error_is_not_tried_again(scripted):
    scripted.script[:] = [(404, error("NotFound"))]
    with connect(scripted.url, "t") as workspace, pytest.raises(NotFound):
        workspace.jobs.list()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (409, error("Conflict"), Conflict),
        (403, error("SomethingNewer"), Refused),
        (418, error("SomethingNewer"), UsageError),
        (404, b"<html>a proxy", NotFound),
        (401, b"", Refused),
        (400, b"{", UsageError),
    ],
)
def test_an_error_becomes_the_class_it_names_or_the_nearest(scripted, status, body, kind):
    scripted.script[:] = [(status, body)]
    with connect(scripted.url, "t") as workspace, pytest.raises(ThriveError) as raised:
        workspace.jobs.list()
    assert type(raised.value) is kind


def test_a_server_that_is_not_there_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with connect(url, "t") as workspace, pytest.raises(StoreUnavailable, match=url):
            workspace.jobs.list()


def test_a_connection_the_server_closed_is_not_used_for_a_write(scripted):
    scripted.script[:] = [(200, EMPTY), (404, error("NotFound"))]
    with connect(scripted.url, "t") as workspace:
        workspace.jobs.list()
        idle = workspace._invoker._transport._idle
        idle[0][1].sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(NotFound):
            workspace.jobs.cancel("a")


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x", "http://", "http://x/?q=1"])
def test_what_is_no_url_is_told(url):
    with pytest.raises(UsageError, match="not the URL"):
        connect(url, "t")


def test_many_threads_share_one_workspace(home):
    app = make_app(home)
    with running(app) as url, connect(url, LOCAL_TOKEN) as workspace, ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda _: workspace.jobs.list(), range(64)))
        assert len(workspace._invoker._transport._idle) <= 8
    assert all(page.items == [] for page in pages)


def test_what_needs_a_home_is_refused_with_what_to_do_instead():
    with connect("http://127.0.0.1:9", "t") as workspace:
        for call in (workspace.doctor, workspace.tick, workspace.worker):
            with pytest.raises(Refused, match="folder of a project with its home"):
                call()
        with pytest.raises(Refused, match="begun already") as refused:
            workspace.init()
        assert refused.value.hint == "thrive status --home http://127.0.0.1:9"
        with pytest.raises(Refused, match="itself") as refused:
            workspace.ui()
        assert "open http://127.0.0.1:9" in refused.value.hint


def test_a_contract_here_is_held_against_what_the_server_knows(tmp_path, monkeypatch):
    text = CONTRACT.replace('risk = "minimal"\n', "")
    home, here = make_home(tmp_path / "server"), tmp_path / "here"
    here.mkdir()
    for folder in (here, tmp_path / "server"):
        (folder / "thrive.toml").write_text(f"contract = 1\n{text}")
    with thrive.open(tmp_path / "server") as opened:
        told = opened.check()
    assert told
    monkeypatch.chdir(here)
    app = make_app(home)
    with running(app) as url, connect(url, LOCAL_TOKEN) as workspace:
        assert workspace.check() == told
        with pytest.raises(ContractGap):
            workspace.check(for_="production")
        with home.write() as tx:
            contact = TeamContact(team="desk", channel="mailto:desk@example.org", arrived_at=1)
            projects.add_contact(tx, home.project_id, contact)
        assert len(workspace.check()) == len(told) - 1, "the team was reached: the server knows"
        (here / "thrive.toml").write_text("contract = ")
        with pytest.raises(ContractError, match=r"thrive\.toml:1"):
            workspace.check()
    home.close()


def test_a_token_comes_from_the_argument_the_environment_or_the_nearest_folder(
    home, tmp_path, monkeypatch
):
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    monkeypatch.delenv("THRIVE_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    app = make_app(home)
    with running(app) as url:
        with pytest.raises(Refused, match="no token"):
            connect(url)
        write_local_server(home.folder, LocalServer(url=url, token=LOCAL_TOKEN, pid=os.getpid()))
        with connect(url.replace("127.0.0.1", "localhost")) as workspace:
            assert workspace.jobs.list().items == []
        with pytest.raises(Refused, match="no token"):
            connect("http://127.0.0.1:9")
        with connect(url, "wrong") as workspace, pytest.raises(Refused, match="unknown, expired"):
            workspace.jobs.list()
        monkeypatch.setenv("THRIVE_TOKEN", "wrong")
        with connect(url) as workspace, pytest.raises(Refused, match="unknown, expired"):
            workspace.jobs.list()


def test_the_folder_tells_of_its_running_server_alone(home, tmp_path):
    assert running_server(tmp_path) is None
    app = make_app(home)
    with running(app) as url:
        known = LocalServer(url=url, token=LOCAL_TOKEN, pid=os.getpid())
        write_local_server(home.folder, known)
        assert stat.S_IMODE((home.folder / "server.json").stat().st_mode) == 0o600
        invoker = running_server(tmp_path)
        assert invoker("jobs list", {}).items == []
        invoker.close()
        copy = shutil.copytree(home.folder, tmp_path / "copy" / home.folder.name)
        assert find_local_server(copy) is None, "a copy is another home"
        write_local_server(home.folder, msgspec.structs.replace(known, pid=2**22 + 1))
        assert find_local_server(home.folder) is None
        write_local_server(home.folder, known)
    assert find_local_server(home.folder) is None, "nobody listens there any more"
    remove_local_server(home.folder, 1)
    assert (home.folder / "server.json").exists()
    remove_local_server(home.folder, os.getpid())
    assert not (home.folder / "server.json").exists()


class Trained(msgspec.Struct):
    words: str
    score: float


def train(ctx, name: str) -> Trained:
    """Train something for long."""
    raise AssertionError("only a worker executes it")


@pytest.fixture
def job_invoker(home):
    """An invoker of one long operation, whose worker is the test."""
    operation = Operation(
        "things train", train, kind=Kind.JOB, role=ANYONE, writes=True, next_hint=""
    )
    app = make_app(home, {"things train": operation, **_about_jobs()})
    told = []
    with running(app) as url:
        invoker = RemoteInvoker(Transport(url, LOCAL_TOKEN), lambda *words: told.append(words))
        invoker.operations = {"things train": operation}
        invoker.told = told
        yield invoker
        invoker.close()


def _about_jobs():
    from thrive.flows.catalogue import Catalogue

    return {name: Catalogue()[name] for name in ("jobs show", "jobs output")}


def work(home, state, **end):
    """Take the next job, be half way, and end it."""
    job = None
    while job is None:
        with home.write() as tx:
            job = jobs.take(tx, home.project_id, 30.0)
    with home.write() as tx:
        jobs.report(tx, home.project_id, job, seconds=30, progress=0.5, message="half way")
    threading.Event().wait(0.3)
    with home.write() as tx:
        jobs.finish(tx, home.project_id, job, state, **end)


def test_long_work_is_awaited_with_its_progress(job_invoker, home):
    worker = threading.Thread(
        target=work, args=(home, JobState.DONE), kwargs={"result": {"words": "m", "score": 0.5}}
    )
    worker.start()
    assert job_invoker("things train", {"name": "m"}) == Trained(words="m", score=0.5)
    worker.join()
    assert (0.5, "half way") in job_invoker.told


def test_long_work_that_failed_says_why(job_invoker, home):
    end = {"error": "Step fit failed.\n  next: read the log"}
    worker = threading.Thread(target=work, args=(home, JobState.FAILED), kwargs=end)
    worker.start()
    with pytest.raises(NotRight) as failed:
        job_invoker("things train", {"name": "m"})
    worker.join()
    assert (failed.value.what, failed.value.hint) == ("Step fit failed.", "read the log")


def test_cancelled_work_is_an_interruption(job_invoker, home):
    job_invoker._wait = False
    job = job_invoker("things train", {"name": "m"})
    with home.write() as tx:
        jobs.cancel(tx, home.project_id, job.job_id)
    with pytest.raises(Interrupted, match="cancelled"):
        job_invoker._result(job_invoker.operations["things train"], job)


def test_a_token_with_strange_characters_is_told():
    with pytest.raises(UsageError, match="characters"):
        remote_invoker("http://127.0.0.1:9", "a\nb")
