"""The quickstart of the README, typed block by block into an empty folder."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.servers import free_ports

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVERS = {"thrive serve &": 8100, "thrive ui &": 8200}
PATIENCE_S = 60


class Typed(NamedTuple):
    """One block of commands and what it answered."""

    commands: str
    code: int
    out: str


def blocks() -> list[tuple[str, str]]:
    """Return the blocks of the README that a reader types or saves, in order."""
    return BLOCK.findall((ROOT / "README.md").read_text())


def saved_as(text: str) -> str:
    """Return the file name that the first line of a block gives."""
    return text.partition("\n")[0].removeprefix("# ")


class Reader:
    """Somebody who types what the README says, on free ports, and waits for servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder
        self.ports = dict(zip(SERVERS.values(), free_ports(len(SERVERS)), strict=True))
        self.groups: list[int] = []
        self.typed: list[Typed] = []
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **{f"GIT_{who}_NAME": "Reader" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "reader@example.org" for who in ("AUTHOR", "COMMITTER")},
        }

    def read(self, language: str, text: str) -> None:
        """Save a file, or type the commands of a block."""
        if language == "sh":
            self._type(text)
        else:
            (self.place / saved_as(text)).write_text(self._moved(text))

    def _moved(self, text: str) -> str:
        for port, free in self.ports.items():
            text = text.replace(str(port), str(free))
        return text

    def _type(self, text: str) -> None:
        script = text
        for command, port in SERVERS.items():
            script = script.replace(command, f"{command[:-2]} --port {port} &")
        where, said = self.folder / "where", self.folder / f"said-{len(self.typed)}"
        with said.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-ec", f"{self._moved(script)}\npwd > {where}"],
                cwd=self.place,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.groups.append(process.pid)
            code = process.wait(PATIENCE_S)
        self.typed.append(Typed(text, code, said.read_text()))
        if code == 0:
            self.place = Path(where.read_text().strip())
        for command, port in SERVERS.items():
            if command in text:
                self.wait_for(port)

    def wait_for(self, port: int) -> bytes:
        """Return the first page of a server once it answers."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}/") as answer:
                    return answer.read()
            except urllib.error.URLError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop what is left in the background."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for group in self.groups:
                try:
                    os.killpg(group, number)
                except ProcessLookupError:
                    continue
            if number == signal.SIGTERM:
                time.sleep(1)


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Iterator[Reader]:
    """A reader who has typed the whole README."""
    if shutil.which("git") is None or shutil.which("curl") is None:
        pytest.skip("the quickstart needs git and curl")
    one = Reader(tmp_path_factory.mktemp("readme"))
    try:
        for language, text in blocks():
            one.read(language, text)
        yield one
    finally:
        one.stop()


def said_after(reader: Reader, command: str) -> str:
    return next(each.out for each in reader.typed if command in each.commands)


def test_the_examples_folder_holds_the_same_files():
    files = {saved_as(text): text for language, text in blocks() if language != "sh"}
    folder = ROOT / "examples/quickstart"
    assert files == {path.name: path.read_text() for path in sorted(folder.iterdir())}


def test_every_block_works_as_typed(reader):
    failed = [f"{each.commands}\n{each.out}" for each in reader.typed if each.code]
    assert not failed, "\n\n".join(failed)


def test_the_contract_goes_from_gaps_to_none(reader):
    assert "no owner" in said_after(reader, "thrive init")
    assert "error" not in said_after(reader, "thrive check --for production")


def test_the_released_version_answers(reader):
    answer = json.loads(said_after(reader, "curl"))
    assert (answer["version"], answer["variant"]) == (1, "production")
    assert 0.5 < answer["predictions"][0]["score"] < 1


def test_status_shows_what_was_done(reader):
    said = said_after(reader, "thrive outcomes add")
    assert "added\t200" in said
    assert "v1 100%" in said
    assert re.search(r"^late-delivery\t1\t", said, re.MULTILINE)


def test_the_pages_answer(reader):
    assert b"late-delivery" in reader.wait_for(8200)
