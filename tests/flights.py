"""A short demo for tests: real flights of a few winter weeks, the real commands, a real server."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from thrive.domain.actor import local_actor
from thrive.domain.clock import parse_time
from thrive.operations import Context
from thrive.store.home import open_home
from thrive.store.prediction_frames import predictions_between

EXAMPLE = Path(__file__).parents[1] / "examples" / "flights"
MODEL = "flight-delay"
START = "2013-02-05"
"""The day the model goes live."""
TRAINING = ("--until", START, "--test-days", "9", "--trees", "10")
WEATHER = {"temp", "humid", "wind_speed", "wind_gust", "precip", "visib", "pressure"}
"""The features of the view `weather`."""
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
"""As a user has it: Python keeps what it compiled, or each command would compile again."""
_DELIVER = """
import sys
from pathlib import Path
from world import World, day
folder, start, until = Path(sys.argv[1]), *map(day, sys.argv[2:])
world = World()
world.deliver(folder / "data", start)
world.deliver_weather(folder / "data", until)
world.write_traffic(folder / "traffic.parquet", start, until)
"""


def write_project(folder: Path, until: str) -> None:
    """Write what a team has before it types `thrive init`: files, data up to START, git."""
    folder.mkdir(parents=True)
    for name in ("thrive.toml", "features.py", "train.py"):
        shutil.copy(EXAMPLE / name, folder)
    command = [sys.executable, "-c", _DELIVER, str(folder), START, until]
    subprocess.run(command, cwd=EXAMPLE, env=ENVIRONMENT, check=True)
    contract = (folder / "thrive.toml").read_text()
    phases = 'phases = ["shadow 6h", "ab 50% 14 days", "full"]'
    assert phases in contract
    (folder / "thrive.toml").write_text(contract.replace(phases, 'phases = ["shadow 6h", "full"]'))
    (folder / ".gitignore").write_text("data/\nmessages/\n*.log\n__pycache__/\n*.parquet\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    commit(folder, "The model")


def commit(folder: Path, message: str) -> None:
    """Commit everything."""
    who = ["-c", "user.name=flights-ml", "-c", "user.email=flights-ml@example.org"]
    for words in (["add", "-A"], ["commit", "-qm", message]):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "thrive", *words]


class Story:
    """A project whose commands are typed one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: subprocess.Popen[bytes] | None = None
        self.url = ""

    def type(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command that must end with an exit code."""
        done = subprocess.run(
            command(*words),
            cwd=self.folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done

    def ask(self, *words: str, code: int = 0):
        """Run a command for its JSON answer."""
        return json.loads(self.type(*words, "--json", code=code).stdout)

    def begin(self, start: str = START, *, online: bool = True) -> None:
        """Make the project, reach its teams, add its data, bring its views online."""
        self.type("init", "--clock", "replay", "--now", start)
        for team in ("data-platform", "flights-ml"):
            self.type("teams", "test", team)
        for name in ("flights", "weather", "planes"):
            self.type("data", "add", f"data/{name}", "--name", name)
        commit(self.folder, "Data")
        if online:
            self.type("features", "materialize")

    def release(self, version: int = 1) -> None:
        """Give the approval, and start the release."""
        label = f"{MODEL}@{version}"
        self.type("approvals", "give", label, "--reason", "the evidence was read")
        self.type("releases", "start", label)

    def serve(self, **environment: str) -> str:
        """Start the serving host and return its address when it answers."""
        said = self.folder / ".thrive" / "cache" / "serving.json"
        with (self.folder / "serve.log").open("ab") as log:
            self.server = subprocess.Popen(
                command("serve", "--port", "0"),
                cwd=self.folder,
                env=ENVIRONMENT | environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.server.poll() is None:
            if said.exists():
                found = json.loads(said.read_bytes())
                if found["pid"] == self.server.pid:
                    self.url = found["url"]
                    return self.url
            time.sleep(0.03)
        self.server.kill()
        raise AssertionError((self.folder / "serve.log").read_text())

    def stop(self) -> None:
        """Stop the serving host as a user does."""
        if self.server is not None and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(timeout=60)

    def replay_words(self, until: str, *more: str, url: str = "") -> list[str]:
        """Return the words of `replays start`."""
        words = ["replays", "start", MODEL, "traffic.parquet", "--until", until]
        return [*words, "--outcome", "late", "--singles", "40", "--url", url or self.url, *more]

    def post(self, path: str, body: bytes, **headers: str):
        """Return (status, decoded answer) of a request to the serving host."""
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=20)
        try:
            named = {"Content-Type": "application/json"} | headers
            connection.request("POST", path, body, named)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def context(self) -> Context:
        """Return a context to read records with; close its home."""
        home = open_home(self.folder)
        return Context(home, local_actor("reader"), folder=self.folder, operation="read")

    def traffic(self, until: str) -> pl.DataFrame:
        """Return the questions asked before a day, with what came of each."""
        frame = pl.read_parquet(self.folder / "traffic.parquet")
        return frame.with_columns(pl.col("asked", "known").dt.epoch("us")).filter(
            pl.col("asked") < parse_time(until)
        )


def answered(context: Context, until: str) -> pl.DataFrame:
    """Return the sealed answers that callers got: no shadows."""
    frame = predictions_between(context.home, parse_time(START), parse_time(until), MODEL)
    return frame.filter(pl.col("variant") != "shadow")
