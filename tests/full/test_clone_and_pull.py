"""Data follows the code: what a commit pins comes into any clone of the project, by commands alone.

Two clones of one git repository, and between them a folder, or a bucket on a real S3 server.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import s3_server

pytestmark = pytest.mark.full

CONTRACT = """\
contract = 1
[project]
name = "shared"
[data.rows]
source = "data/rows.csv"
[data.photos]
source = "data/photos"
"""


class Clone:
    """A working copy, and the commands that are typed in it."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self._variables = variables

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=flights-ml", "-c", "user.email=flights-ml@example.org")
        return self._run("git", *who, *words).stdout

    def thrive(self, *words: str, code: int = 0) -> dict:
        done = self._run(sys.executable, "-m", "thrive", "--json", *words, code=code)
        return json.loads(done.stdout or done.stderr)

    def _run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, **self._variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    def contents(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.folder / "data").as_posix(): path.read_bytes()
            for path in (self.folder / "data").rglob("*")
            if path.is_file()
        }

    def check_out(self) -> None:
        self.thrive("data", "checkout", "photos", "--to", "data/photos")
        self.thrive("data", "checkout", "rows", "--to", "data")


@pytest.fixture(params=["folder", "bucket"])
def remote(request: pytest.FixtureRequest, tmp_path: Path):
    """Return where data is pushed to, and the variables by which it is reached."""
    if request.param == "folder":
        yield str(tmp_path / "shelf"), {}
        return
    with s3_server() as server:
        yield (
            f"s3://{server.bucket}/shared",
            {
                "AWS_ENDPOINT_URL": server.endpoint,
                "AWS_ACCESS_KEY_ID": server.access_key,
                "AWS_SECRET_ACCESS_KEY": server.secret_key,
            },
        )


def written(folder: Path) -> None:
    """Write photos, which go into packs, and a table that is large enough for chunks."""
    noise = random.Random(7)
    for number in range(60):
        path = folder / "data" / "photos" / f"{number % 3}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise.randbytes(2000))
    lines = [f"{number},{noise.random()}" for number in range(150_000)]
    (folder / "data" / "rows.csv").write_text("\n".join(["id,x", *lines, ""]))


def test_a_clone_has_the_data_of_each_commit_and_gives_back_what_it_adds(tmp_path, remote):
    place, variables = remote
    origin = tmp_path / "origin.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", origin], check=True)
    first = Clone(tmp_path / "first", variables)
    first.folder.mkdir()
    first.git("init", "-q", "-b", "main")
    first.git("remote", "add", "origin", str(origin))
    (first.folder / "thrive.toml").write_text(CONTRACT)
    (first.folder / ".gitignore").write_text("/data/\n")
    first.thrive("init")
    written(first.folder)
    for name in ("rows", "photos"):
        first.thrive("data", "add", "--name", name)
    first.thrive("data", "push", place)
    before = first.contents()
    first.git("add", ".")
    first.git("commit", "-q", "-m", "The first data")
    assert "data/" not in first.git("ls-files")

    rows = first.folder / "data" / "rows.csv"
    rows.write_text(rows.read_text().replace("\n70000,", "\n70000,1"))
    (first.folder / "data" / "photos" / "0" / "000.png").unlink()
    (first.folder / "data" / "photos" / "new\nname\U0001f600.png").write_bytes(b"new")
    assert first.thrive("data", "status", code=1)["datasets"][0]["state"] == "changed"
    for name in ("rows", "photos"):
        assert first.thrive("data", "add", "--name", name)["version"] == 2
    first.thrive("data", "push")
    after = first.contents()
    first.git("commit", "-q", "-am", "The second data")
    first.git("push", "-q", "origin", "main")

    second = Clone(tmp_path / "second", variables)
    subprocess.run(["git", "clone", "-q", origin, second.folder], check=True)
    second.thrive("init")
    assert not (second.folder / "data").exists()
    second.thrive("data", "pull")
    second.check_out()
    assert second.contents() == after
    assert {each["state"] for each in second.thrive("data", "status")["datasets"]} == {"unchanged"}

    second.git("checkout", "-q", "HEAD~1")
    second.thrive("data", "pull")
    second.check_out()
    assert second.contents() == before

    second.git("checkout", "-q", "main")
    second.check_out()
    (second.folder / "data" / "photos" / "theirs.png").write_bytes(b"theirs")
    assert second.thrive("data", "add", "--name", "photos")["is_new"]
    second.thrive("data", "push", "photos", code=2)  # a dataset, no place
    second.thrive("data", "push", "--name", "photos")
    second.git("commit", "-q", "-am", "A photo")
    second.git("push", "-q", "origin", "main")
    first.git("pull", "-q", "origin", "main")
    first.thrive("data", "pull")
    first.thrive("data", "checkout", "photos", "--to", "data/photos")
    assert first.contents() == {**after, "photos/theirs.png": b"theirs"}
