"""What goes wrong at the keyboard or on the disk: one clear message, and nothing half-written."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.serving_home import Server, add_version, constant_package, live, make_home, route

from thrive.cli.main import run
from thrive.domain.actor import local_actor
from thrive.flows.doctor import Finding, doctor
from thrive.operations import Context
from thrive.store import audit, datasets, models, runs
from thrive.store import home as home_module
from thrive.store.home import open_home
from thrive.store.lock import FileLock

TRIPS = "id,minutes,late\n" + "".join(f"{i},{i * 7 % 50},{i % 3 > 0}\n" for i in range(200))
SLOW = """\
import os, time
from pathlib import Path
from thrive import log, pipeline, register, step

@step
def wait(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    time.sleep(60)

@pipeline
def train(file: str = "step.pid"):
    log(before=1)
    wait(file)
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str


def thrive(folder: Path, *words: str) -> Said:
    """Run a command in this process, as its entry point would, on a folder."""
    out, err = StringIO(), StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(folder):
        code = run(list(words))
    return Said(code, out.getvalue(), err.getvalue())


def typed(folder: Path, *words: str, **options) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "thrive", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def begin(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "trips.csv").write_text(TRIPS)
    assert thrive(folder, "init", "--target", "late", "--owner", "riders").code == 0
    return folder


@pytest.fixture
def project(tmp_path):
    return begin(tmp_path / "rides")


def one_message(said: Said, code: int, *words: str) -> None:
    """Check that a failed command said one thing, how to go on, and nothing else."""
    assert said.code == code, said
    assert said.out == ""
    lines = said.err.splitlines()
    assert [line[:6] for line in lines] == ["error:", "next: "], said.err
    for word in words:
        assert word in lines[0], said.err


def check_whole(folder: Path) -> list[Finding]:
    """Check that the audit chain holds and that every stored file is what it should be."""
    home = open_home(folder)
    context = Context(home, local_actor("reader"), folder=folder, operation="doctor")
    try:
        diagnosis = doctor(context, blobs=0)
        assert diagnosis.sound, diagnosis
        with home.read() as tx:
            assert audit.first_broken(tx, home.project_id) is None
        return diagnosis.findings
    finally:
        home.close()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["data", "add", "trip.csv", "--name", "trips"], 5, "trip.csv"),
        (["run", "train.py"], 5, "train.py"),
        (["outcomes", "add", "late.parquet"], 5, "late.parquet"),
        (["models", "show", "taxis"], 5, "'taxis'"),
        (["gates", "run", "taxis@1"], 5, "'taxis'"),
        (["releases", "start", "taxis@1"], 5, "'taxis'"),
        (["models", "show", "taxis@first"], 2, "'first'"),
        (["audit", "list", "--limit", "many"], 2, '"many"'),
        (["serve", "--port", "http"], 2, '"http"'),
        (["data", "add", "trips.csv", "--naem", "trips"], 2, "--naem"),
        (["models", "shwo"], 2, "'shwo'"),
        (["init"], 7, "is a project already"),
        (["predictions", "show", "zz"], 2, "'zz'"),
        (["replays", "start", "rides", "x.parquet", "--until", "2013-02-01"], 6, "clock is real"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else "",
)
def test_wrong_words_get_one_answer(project, words, code, told):
    one_message(thrive(project, *words), code, told)
    check_whole(project)


def test_an_answer_for_a_program_is_json_and_has_the_same_code(project):
    said = thrive(project, "models", "show", "taxis", "--json")
    assert said.code == 5
    assert "taxis" in json.loads(said.out or said.err)["error"]["what"]


def test_a_broken_line_of_the_contract_is_named(project):
    path = project / "thrive.toml"
    text = path.read_text()
    lines = text.splitlines()
    number = next(index for index, line in enumerate(lines, 1) if line.startswith("target"))
    lines[number - 1] = "target = { column = "
    path.write_text("\n".join(lines))
    (project / "train.py").write_text(SLOW)
    for words in (["check"], ["data", "add"], ["run", "train.py"]):
        one_message(thrive(project, *words), 2, f"thrive.toml:{number}:")
    path.write_text(text.replace('risk = "undecided"', "risk = 3"))
    one_message(thrive(project, "check"), 2, "thrive.toml:", "risk")
    path.write_text(text)
    check_whole(project)


def test_a_file_that_is_no_table_makes_no_version(project):
    (project / "photo.csv").write_bytes(bytes(range(256)) * 40)
    one_message(thrive(project, "data", "add", "photo.csv", "--name", "photos"), 2, "photo.csv")
    assert json.loads(thrive(project, "data", "list", "--json").out) == []
    check_whole(project)


def test_a_second_writer_is_told_who_holds_the_home(project, monkeypatch):
    patient = functools.partial(FileLock, timeout=0.3)
    monkeypatch.setattr(home_module, "FileLock", patient)
    hold = (
        "import sys, time; from pathlib import Path; from thrive.store.lock import FileLock\n"
        "with FileLock(Path(sys.argv[1])).held(): print('held', flush=True); time.sleep(60)"
    )
    lock = project / ".thrive" / "lock"
    with subprocess.Popen([sys.executable, "-c", hold, str(lock)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        said = thrive(project, "data", "add")
        other.kill()
    one_message(said, 4, f"pid {other.pid}", "has been writing")
    assert thrive(project, "data", "add").code == 0
    check_whole(project)


@pytest.fixture
def small_disk(tmp_path):
    """A project on a disk of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk can be mounted by root only")
    try:
        yield begin(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_writes_and_keeps_what_was_there(small_disk, tmp_path):
    assert thrive(small_disk, "data", "add").code == 0
    large = tmp_path / "large.csv"
    large.write_text("a,b\n" + "".join(f"{i * 7919},{i * 104729 % 7907}\n" for i in range(700_000)))
    added = ["data", "add", str(large), "--name", "large"]
    one_message(thrive(small_disk, *added), 4, "No space")
    check_whole(small_disk)

    filling = small_disk / "filling"
    with filling.open("wb", buffering=0) as handle, contextlib.suppress(OSError):
        while True:
            handle.write(bytes(1024))
    (tmp_path / "more.csv").write_text(TRIPS + "201,1,True\n")
    one_message(
        thrive(small_disk, "data", "add", str(tmp_path / "more.csv"), "--name", "m"), 4, "space"
    )
    one_message(thrive(small_disk, "data", "list"), 4, "space")
    filling.unlink()
    check_whole(small_disk)
    listed = json.loads(thrive(small_disk, "data", "list", "--json").out)
    assert [(each["name"], each["versions"]) for each in listed] == [("trips", 1)]
    assert thrive(small_disk, "data", "add", str(tmp_path / "more.csv"), "--name", "m").code == 0
    check_whole(small_disk)


def test_a_killed_run_is_shown_as_interrupted_and_leaves_no_version(project):
    (project / "train.py").write_text(SLOW)
    process = typed(project, "run", "train.py")
    pid_file = project / "step.pid"
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    step = int(pid_file.read_text())
    process.kill()
    process.communicate()
    (run_row,) = json.loads(thrive(project, "runs", "list", "--json").out)["items"]
    assert run_row["state"] == "interrupted"
    _wait_gone(step)
    home = open_home(project)
    try:
        with home.read() as tx:
            assert models.find(tx, home.project_id) == []
            (stored,) = runs.find(tx, home.project_id)
            assert runs.get(tx, home.project_id, stored.run_id).metrics == {"before": 1.0}
    finally:
        home.close()
    check_whole(project)


def _wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} outlived the run it worked for")


def test_ctrl_c_ends_with_130_and_says_what_to_look_at(project):
    (project / "train.py").write_text(SLOW)
    process = typed(project, "run", "train.py", start_new_session=True)
    pid_file = project / "step.pid"
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert "next: thrive runs resume" in told


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server of one model."""
    folder = tmp_path_factory.mktemp("served")
    home = make_home(folder)
    version = add_version(home, constant_package(0.7))
    route(home, live(version))
    with Server(folder) as server:
        yield server
    home.close()


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "word"),
    [
        ("/predict/taxis", b'{"rows": []}', 404, "NotFound", "'taxis'"),
        ("/predict/delay", b'{"rows": [', 400, None, "JSON"),
        ("/predict/delay", b'{"rows": 3}', 422, "InvalidRows", "rows"),
        (
            "/predict/delay",
            b'{"rows": [{"flight_id": "f", "origin": "EWR", "wind": "much"}]}',
            422,
            None,
            "wind",
        ),
        (
            "/predict/delay",
            b'{"rows": [{"flight_id": "f", "origin": "EWR", "wind": 1, "wnid": 2}]}',
            422,
            None,
            "wnid",
        ),
    ],
    ids=["unknown model", "not JSON", "no rows", "wrong type", "unknown field"],
)
def test_wrong_traffic_is_refused_with_one_message(served, path, body, status, code, word):
    got, answer = served.ask(path, raw=body)
    assert got == status, answer
    error = answer["error"]
    assert word in error["message"]
    assert code is None or error["code"] == code
    again, fine = served.ask(
        "/predict/delay", {"rows": [{"flight_id": "f", "origin": "EWR", "wind": 1.0}]}
    )
    assert (again, fine["predictions"][0]["score"]) == (200, 0.7)


def test_data_of_another_shape_does_not_touch_the_version_that_stands(project):
    assert thrive(project, "data", "add").code == 0
    (project / "trips.csv").write_text("")
    said = thrive(project, "data", "add")
    assert said.code == 2, said
    home = open_home(project)
    with home.read() as tx:
        (version,) = datasets.versions(tx, home.project_id, "trips")
    home.close()
    assert version.rows == 200
    check_whole(project)
