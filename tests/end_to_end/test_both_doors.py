"""One scenario on local files through both doors: a folder, and a server that has none of them."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
from blake3 import blake3
from tests.contract.test_team_loop import CONTRACT, PIPELINE, write_rows
from tests.rest import LOCAL_TOKEN, make_app, running

import thrive
from thrive.client.blobs import RemoteBlobs
from thrive.client.transport import Transport
from thrive.client.wire import PART_BYTES
from thrive.domain.actor import local_actor
from thrive.domain.errors import (
    Conflict,
    NotFound,
    Refused,
    StoreUnavailable,
    UsageError,
)
from thrive.flows.catalogue import load_all
from thrive.flows.worker import execute_next
from thrive.operations import Context
from thrive.store import references
from thrive.store.home import create_home


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a contract, a pipeline and data, and nothing of Thrive's in it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thrive.toml").write_text(CONTRACT)
    (folder / "train.py").write_text(PIPELINE)
    write_rows(folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def served(tmp_path):
    """A server of another folder, with a worker: its URL and its home."""
    load_all()
    place = tmp_path / "server"
    place.mkdir()
    home = create_home(place, "delay")
    stopping = threading.Event()
    context = Context(home, local_actor("worker"), folder=place)

    def work():
        while not stopping.wait(0.02):
            execute_next(context)

    worker = threading.Thread(target=work)
    worker.start()
    app = make_app(home)
    with running(app) as url:
        yield url, home
    stopping.set()
    worker.join()
    home.close()


@pytest.fixture(params=["folder", "server"])
def workspace(request, project):
    if request.param == "folder":
        create_home(project, "delay").close()
        with thrive.open(project) as opened:
            yield opened
        return
    url, _ = request.getfixturevalue("served")
    with thrive.connect(url, LOCAL_TOKEN) as connected:
        yield connected


def test_data_goes_in_a_model_is_trained_and_outcomes_follow(workspace, project, tmp_path, capsys):
    added = workspace.data.add("rows.parquet")
    assert (added.dataset, added.version, added.is_new, added.rows) == ("rows", 1, True, 2000)
    assert added.digest in (project / "thrive.lock").read_text()
    again = workspace.data.add("rows.parquet", name="rows")
    assert (again.version, again.is_new) == (1, False)
    assert workspace.data.show("rows").owner == "data"

    out = workspace.data.checkout("rows", to=tmp_path / "out")
    assert (out.version, out.files, out.written) == (1, 1, 1)
    original = (project / "rows.parquet").read_bytes()
    assert (tmp_path / "out" / "rows.parquet").read_bytes() == original
    assert workspace.data.checkout("rows@1", to=tmp_path / "out").written == 0
    (tmp_path / "out" / "rows.parquet").write_bytes(b"mine")
    with pytest.raises(Conflict, match="holds something else"):
        workspace.data.checkout("rows", to=tmp_path / "out")

    frame = pl.read_parquet(project / "rows.parquet")
    frame.with_columns(a=pl.col("a") + 1).write_parquet(project / "rows.parquet")
    assert workspace.data.add("rows.parquet").version == 2
    workspace.data.diff("rows", 1, 2, key="flight_id", html=Path("diff.html"))
    assert "<svg" in (project / "diff.html").read_text()

    done = workspace.run("train.py", ["seed=5"], experiment="doors")
    assert (done.state.value, done.models) == ("done", ["delay@1"])
    printed = capsys.readouterr().err
    assert printed.index("clean") < printed.index("fit"), "who waits sees what the steps do"
    assert printed.count("rows are here") == 1
    shown = workspace.runs.show(done.run_id)
    assert shown.params == {"seed": 5}
    assert shown.experiment == "doors"

    workspace.models.card("delay@1", to=tmp_path / "cards")
    assert {path.suffix for path in (tmp_path / "cards").iterdir()} == {".html", ".md", ".json"}

    (project / "outcomes.csv").write_text(
        "prediction_id,value,observed_at\n019283740000000100000001000000a0,1,2024-01-01T00:00:00Z\n"
    )
    told = workspace.outcomes.add("outcomes.csv")
    assert (told.received, told.added, told.orphans) == (1, 1, 1)
    assert workspace.outcomes.add("outcomes.csv").known == 1


def test_mistakes_are_told_alike(workspace, project):
    with pytest.raises(NotFound):
        workspace.data.add("nothing.csv", name="rows")
    with pytest.raises(UsageError, match="cannot name a dataset"):
        workspace.data.add("rows.parquet", name="../rows")
    with pytest.raises(NotFound):
        workspace.run("nothing.py")
    with pytest.raises(NotFound):
        workspace.outcomes.add("nothing.csv")
    (project / "rows.parquet").write_text("no parquet at all")
    with pytest.raises(UsageError, match="named like Parquet"):
        workspace.data.add("rows.parquet")


def test_a_schedule_takes_the_code_of_here_along(workspace, project):
    added = workspace.schedules.add("nightly", "train.py", cron="0 3 * * *", budget="1 a day")
    assert (added.target, added.code.entry) == ("train.py", "train.py")
    assert added.code.bundle
    assert workspace.schedules.show("nightly").schedule == added
    with pytest.raises(Conflict, match="'nightly'"):
        workspace.schedules.add("nightly", "train.py", cron="0 3 * * *")
    with pytest.raises(UsageError, match="needs a trigger"):
        workspace.schedules.add("other", "train.py")
    with pytest.raises(NotFound, match="absent"):
        workspace.schedules.add("other", "absent.py", cron="0 3 * * *")


def test_what_is_about_a_machine_is_refused(served):
    url, _ = served
    words = pytest.raises(Refused, match="without --home")
    with thrive.connect(url, LOCAL_TOKEN) as workspace, words:
        workspace.doctor()


def test_the_command_line_reaches_a_server_from_a_clone_without_a_home(served, project):
    url, _ = served

    def thrive_cli(*words):
        environment = {**os.environ, "THRIVE_TOKEN": LOCAL_TOKEN}
        return subprocess.run(
            [sys.executable, "-m", "thrive", *words, "--home", url],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    added = thrive_cli("data", "add", "rows.parquet")
    assert added.returncode == 0, added.stderr
    assert "rows" in added.stdout
    ran = thrive_cli("run", "train.py", "--seed", "4")
    assert ran.returncode == 0, ran.stderr
    assert "delay@1" in ran.stdout
    assert not (project / ".thrive").exists()
    assert thrive_cli("runs", "list").returncode == 0


def test_a_large_file_goes_in_parts_and_goes_on_where_it_broke(served, tmp_path, monkeypatch):
    url, home = served
    content = os.urandom(PART_BYTES * 2 + 123)
    path = tmp_path / "large.bin"
    path.write_bytes(content)
    digest = blake3(content).hexdigest()
    transport = Transport(url, LOCAL_TOKEN)
    blobs = RemoteBlobs(transport, tmp_path / "copies", None)
    sent = []
    real = Transport.put

    def breaking(self, target, body):
        sent.append(target)
        if len(sent) == 2:
            raise StoreUnavailable("cut", "")
        return real(self, target, body)

    monkeypatch.setattr(Transport, "put", breaking)
    monkeypatch.setattr("thrive.client.blobs.PAUSE_S", 0.001)
    assert blobs.send({digest: path}) == len(content)
    assert [word.rpartition("?")[2].partition("&")[0] for word in sent] == [
        "offset=0",
        f"offset={PART_BYTES}",
        f"offset={PART_BYTES}",
        f"offset={2 * PART_BYTES}",
    ]
    assert blobs.send({digest: path}) == 0
    assert blobs.get(digest) == content
    with home.read() as tx:
        assert references.kinds(tx, home.project_id, [digest]) == {digest: {"upload"}}
    transport.close()


def test_a_file_that_changes_on_its_way_is_told(served, tmp_path):
    url, home = served
    path = tmp_path / "moving.bin"
    transport = Transport(url, LOCAL_TOKEN)
    blobs = RemoteBlobs(transport, tmp_path / "copies", None)
    for size in (100, PART_BYTES + 1):
        path.write_bytes(os.urandom(size))
        digest = blake3(path.read_bytes()).hexdigest()
        path.write_bytes(os.urandom(size))
        with pytest.raises(Conflict, match="changed while it was sent"):
            blobs.send({digest: path})
        assert not home.blobs.has(digest)
    transport.close()
