"""The keepers of a project at the command line: check, teams, doctor, audit, jobs."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import thrive
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.project import Job, JobState
from thrive.flows.catalogue import Catalogue, load_all
from thrive.flows.workspace import Namespaces
from thrive.store import jobs
from thrive.store.home import open_home

TEAM = '\n[team.riders]\nchannel = "{}"\n'


@pytest.fixture
def project(cli, tmp_path: Path) -> Path:
    """A project folder."""
    assert cli("init", "--owner", "riders", "--target", "late").code == 0
    return tmp_path


def with_channel(folder: Path, channel: str) -> None:
    path = folder / "thrive.toml"
    path.write_text(path.read_text().partition("\n[team.")[0] + TEAM.format(channel))


def test_a_test_message_closes_the_gap(cli, project):
    with_channel(project, "file:messages.txt")
    assert "has not answered a test message" in cli("check").out
    assert cli("teams", "test", "riders").code == 0
    assert "Thrive test message to riders" in (project / "messages.txt").read_text()
    assert "test message" not in cli("check").out
    with_channel(project, "file:other.txt")
    assert "has not answered a test message" in cli("check").out


def test_a_web_hook_gets_the_message(cli, project, monkeypatch):
    heard: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            return

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with_channel(project, f"http://127.0.0.1:{server.server_port}/hook")
    assert cli("teams", "test", "riders").code == 6  # it leads into our own network
    monkeypatch.setenv("THRIVE_WEBHOOK_HOSTS", "127.0.0.1")
    assert cli("teams", "test", "riders").code == 0
    server.shutdown()
    server.server_close()
    assert b"Thrive test message to riders" in heard[0]


@pytest.mark.parametrize(
    ("channel", "code", "said"),
    [
        ("mailto:a@example.org", 2, "THRIVE_SMTP_URL"),
        ("http://127.0.0.1:9/hook", 6, "https alone"),
        ("https://127.0.0.1:9/hook", 6, "our own network"),
        ("pigeon:home", 2, "pigeon"),
        ("", 6, "no channel"),
    ],
)
def test_a_message_that_cannot_arrive_is_not_remembered(cli, project, channel, code, said):
    with_channel(project, channel)
    answer = cli("teams", "test", "riders")
    assert answer.code == code
    assert said in answer.err
    with thrive.open(project) as workspace:
        assert [entry.operation for entry in workspace.audit.list().items] == ["init"]


def test_an_unknown_team(cli, project):
    assert cli("teams", "test", "nobody").code == 5


def test_check_names_line_step_and_cure(cli, project):
    gaps = json.loads(cli("check", "--json").out)
    source = next(gap for gap in gaps if "has no source" in gap["what"])
    line = (project / "thrive.toml").read_text().splitlines().index('source = ""') + 1
    assert source["where"] == f"thrive.toml:{line}"
    assert source["blocks"] == "train"
    assert source["fix"].startswith("write source = ")
    assert cli("check", "--for", "train").code == 6


def test_doctor_finds_a_sound_home_and_a_damaged_one(cli, project):
    (project / "a.csv").write_text("x\n1\n")
    cli("data", "add", "a.csv", "--name", "a")
    sound = cli("doctor", "--json")
    assert sound.code == 0
    assert json.loads(sound.out)["sound"] is True
    with thrive.open(project) as workspace:
        entry = workspace._context.home.blobs
        digest = next(d for d in entry.digests() if entry.get(d) == b"x\n1\n")
    path = project / ".thrive" / "blobs" / digest[:2] / digest[2:]
    path.chmod(0o600)
    path.write_bytes(b"y\n1\n")
    damaged = cli("doctor")
    assert damaged.code == 1
    assert f"{digest[:12]} is damaged; it is used by dataset version a@1" in damaged.out
    path.unlink()
    assert f"{digest[:12]} is missing" in cli("doctor").out


def test_doctor_finds_a_broken_audit_chain(cli, project):
    home = open_home(project)
    with home.write() as tx:
        tx.exec_driver_sql("UPDATE audit SET actor = 'somebody else'")
    home.close()
    assert cli("doctor").code == 1
    answer = cli("audit", "verify")
    assert answer.code == 1
    assert "entry 1" in answer.err


def test_doctor_without_a_home(cli):
    assert cli("doctor").code == 5


def test_a_home_of_another_schema_is_migrated_only_when_asked(cli, project):
    home = open_home(project)
    with home.write() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    home.close()
    answer = cli("status")
    assert answer.code == 4
    assert "9999" in answer.err
    assert cli("doctor").code == 1


def test_jobs_are_listed_shown_and_cancelled(cli, project):
    home = open_home(project)
    job = Job(
        job_id="0" * 32,
        operation="models retrain",
        arguments={},
        state=JobState.WAITING,
        actor="a",
        run_at=1,
        created_at=1,
    )
    with home.write() as tx:
        jobs.add(tx, home.project_id, job)
    home.close()
    assert "models retrain" in cli("jobs", "list").out
    assert cli("jobs", "cancel", "0" * 32).code == 0
    assert json.loads(cli("jobs", "show", "0" * 32, "--json").out)["state"] == "cancelled"
    assert cli("jobs", "cancel", "0" * 32).code == 7
    assert cli("jobs", "show", "1" * 32).code == 5


def test_init_keeps_what_is_written(cli, project):
    before = (project / "thrive.toml").read_text()
    assert cli("init").code == 7
    (project / ".thrive").rename(project / "gone")
    assert cli("init", "--owner", "x").code == 7
    assert cli("init").code == 0
    assert (project / "thrive.toml").read_text() == before


def test_init_says_what_a_folder_without_git_loses(cli, tmp_path):
    answer = json.loads(cli("init", "--json").out)
    assert answer["without"].startswith("no git")


def test_init_makes_a_folder_named_by_the_user(cli, tmp_path):
    assert cli("init", "My Project!").code == 0
    assert 'name = "my-project"' in (tmp_path / "My Project!" / "thrive.toml").read_text()


def test_the_names_are_built_around_any_way_to_call():
    said = []
    names = Namespaces(load_all(), lambda name, arguments: said.append((name, arguments)))
    names.data.show("trips")
    names.status()
    assert said == [("data show", {"name": "trips"}), ("status", {})]
    assert names.data.show.__doc__ == load_all()["data show"].function.__doc__


def test_the_lazy_catalogue_holds_the_same_operations():
    declared = {
        name: one
        for name, one in load_all().items()
        if one.function.__module__.startswith("thrive.")  # other tests declare operations too
    }
    assert dict(Catalogue()) == declared


def test_python_offers_the_same_names(cli, project):
    with thrive.open(project) as workspace:
        assert workspace.status().project == workspace.folder.name.lower()
        assert workspace.audit.list(limit=1).items[0].operation == "init"
        assert "data" in dir(workspace)
        assert "add" in dir(workspace.data)
        with pytest.raises(AttributeError, match="status"):
            workspace.stats  # noqa: B018
        with pytest.raises(UsageError, match="'lmit'"):
            workspace.audit.list(lmit=1)
        with pytest.raises(UsageError, match=r"Expected `int` >= 1 - at `\$.limit`"):
            workspace.audit.list(limit=0)
        with pytest.raises(UsageError, match="needs 'name'"):
            workspace.data.show()
        with pytest.raises(UsageError, match="1 unnamed"):
            workspace.data.show("a", "b")
    with pytest.raises(NotFound):
        thrive.open("/")
