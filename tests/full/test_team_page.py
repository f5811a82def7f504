"""The page for a team, typed from its first to its last command on real PostgreSQL and S3."""

import getpass
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.servers import free_ports, postgresql_server, s3_server

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/run-for-a-team.md"
DEPLOY = ROOT / "examples/deploy"
BLOCK = re.compile(r"^```(sh|sql|ini)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE_S = 120
SECRET = "python -c 'import json, sys; print(json.load(sys.stdin)[\"secret\"])'"


class Team:
    """What the page assumes: a database, a bucket, checkouts, and ports for its servers."""

    def __init__(self, folder: Path, database, objects) -> None:
        self.folder = folder
        self.database = database
        self.objects = objects
        self.server, self.serving, self.unit, self.edge = free_ports(4)
        self.key = folder / "token"
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **{f"GIT_{who}_NAME": "Reader" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "reader@example.org" for who in ("AUTHOR", "COMMITTER")},
        }

    def real(self, text: str) -> str:
        """Return a text of the page with the addresses that are here."""
        changes = {
            # The channel is a file here, which answers by itself; a mail's code is test_channels'.
            "thrive teams confirm dispatch CODE   # whoever read it answers\n": "",
            "db.example.org/thrive": f"127.0.0.1:{self.database.port}/thrive",
            "s3://models/thrive": f"s3://{self.objects.bucket}/thrive",
            "https://thrive.example.org": f"http://127.0.0.1:{self.server}",
            "https://s3.example.org": self.objects.endpoint,
            "team-key": self.objects.access_key,
            "team-secret": self.objects.secret_key,
            "eu-central-1": "us-east-1",
        }
        for told, here in changes.items():
            text = text.replace(told, here)
        return text

    def settings(self, text: str) -> None:
        """Take the settings of a file of variables."""
        lines = [line for line in self.real(text).splitlines() if not line.startswith("#")]
        self.env |= dict(line.split("=", 1) for line in lines if line)

    def execute(self, statements: str) -> None:
        """Execute SQL as the database's keeper; from then on it asks for passwords."""
        with self.database.connect() as connection:
            for statement in statements.split(";"):
                if statement.strip():
                    connection.execute(statement.encode())
            file = self.database.folder / "data" / "pg_hba.conf"
            rules = file.read_text()
            file.write_text(f"host all thrive 127.0.0.1/32 scram-sha-256\n{rules}")
            connection.execute(b"SELECT pg_reload_conf()")


@pytest.fixture
def team(tmp_path):
    make = ROOT / "examples/quickstart"
    first = tmp_path / "late-delivery"
    shutil.copytree(make, first)
    subprocess.run([sys.executable, "make_data.py"], cwd=first, check=True)
    (first / ".gitignore").write_text("messages.txt\n")
    with postgresql_server() as database, s3_server() as objects:
        made = Team(tmp_path, database, objects)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "begin"]):
            subprocess.run(["git", *words], cwd=first, env=made.env, check=True)
        for name in ("clone", "fresh"):
            shutil.copytree(first, tmp_path / name)
        yield made


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def script(team: Team) -> str:
    """Return the commands of the page; what runs for ever goes to the background."""
    parts = []
    for language, text in BLOCK.findall(PAGE.read_text()):
        if language == "sh":
            moves = "cd " in text.partition("\n")[0]
            parts += [f"cd {team.folder}" if moves else "", "set -x", team.real(text), "set +x"]
    typed = "\n".join(parts)
    waits = "until curl -sf http://127.0.0.1:{}/{} > /dev/null; do sleep 0.2; done"
    changes = {
        "thrive tokens create ana": "TOKEN=$(thrive tokens create --json ana",
        "--role ml-engineer\n": f"--role ml-engineer | {SECRET})\n",
        "thrive_...": "$TOKEN",
        "thrive tokens create edge-1 --role serve\n": (
            f"(umask 077; thrive tokens create --json edge-1 --role serve | {SECRET} > {team.key})\n"
        ),
        "/etc/thrive/token": str(team.key),
        "--project late-delivery\n": (
            f"--project late-delivery --port {team.server} 2> {team.folder}/server.log &\n"
            f"{waits.format(team.server, 'health')}\n"
        ),
        "--port 8100\n": (
            f"--port {team.serving} 2> {team.folder}/serve.log &\n"
            f"{waits.format(team.serving, 'ping')}\n"
        ),
        "restore late-delivery.backup": "restore ../late-delivery/late-delivery.backup",
    }
    for told, here in changes.items():
        assert typed.count(told) == 1, f"the page says {told!r} {typed.count(told)} times"
        typed = typed.replace(told, here)
    return f"trap 'kill $(jobs -p); wait' EXIT\n{typed}"


@contextmanager
def started(command: list[str], folder: Path, env: dict[str, str]):
    """Run a server in a folder; yields its process."""
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def unit(name: str) -> dict[str, str]:
    """Return what a systemd unit says of its service."""
    read = ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read_string((DEPLOY / name).read_text().replace("\\\n", " "))
    return dict(read["Service"])


def started_unit(team: Team, name: str, port: int):
    """Run the command of a unit in an empty folder, at another port."""
    words = shlex.split(team.real(unit(name)["ExecStart"]))
    assert words[0] == "/opt/thrive/bin/thrive"
    command = [sys.executable, "-m", "thrive", *words[1:]]
    command[command.index("--port") + 1] = str(port)
    credentials = "${CREDENTIALS_DIRECTORY}/token"
    command = [str(team.key) if word == credentials else word for word in command]
    return started(command, team.folder / name, team.env)


def wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not answers(url):
        assert process.poll() is None, process.args
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_page_works_as_typed_and_its_unit_beside_it(team, tmp_path):
    for language, text in BLOCK.findall(PAGE.read_text()):
        if language == "ini":
            team.settings(text)
        elif language == "sql":
            team.execute(text)
    said = tmp_path / "said.txt"
    with said.open("wb") as out:
        code = subprocess.run(
            ["bash", "-ec", script(team)],
            cwd=tmp_path,
            env=team.env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=700,
            check=False,
        ).returncode
    text = said.read_text()
    assert code == 0, text[-4000:]
    assert "late-delivery@1" in text
    assert "thrive_ticks_total" in text
    assert (tmp_path / "late-delivery/late-delivery.backup").stat().st_size > 1000
    assert not (tmp_path / "clone/.thrive").exists(), "a clone needs no home to use a server"

    with started_unit(team, "thrive-server.service", team.unit) as server:
        wait_for(server, f"http://127.0.0.1:{team.unit}/ready")
        team.server = team.unit
        with started_unit(team, "thrive-serve.service", team.edge) as host:
            wait_for(host, f"http://127.0.0.1:{team.edge}/ping")
    assert (server.returncode, host.returncode) == (0, 0)
    assert (tmp_path / "thrive-serve.service/.thrive/host.json").exists()
    assert not (tmp_path / "thrive-serve.service/.thrive/home.json").exists()


@pytest.mark.full
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("name", ["thrive-server.service", "thrive-serve.service"])
def test_systemd_reads_the_units(name, tmp_path):
    text = (DEPLOY / name).read_text().replace("/opt/thrive/bin/thrive", sys.executable)
    (tmp_path / name).write_text(text.replace("User=thrive", f"User={getpass.getuser()}"))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert name not in found.stderr, found.stderr


def test_the_image_is_made_of_what_there_is():
    """No image is built here; its words are held against the files and extras they name."""
    text = (DEPLOY / "Containerfile").read_text()
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists()
    extras = re.search(r"'\.\[(.+?)\]'", text)
    assert extras is not None
    declared = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{each} = \[", declared, re.MULTILINE) for each in extras[1].split(","))
