"""`kill -9` and a full disk in the middle of adding and of checking out: nothing is half there."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thrive.data.reading import find_version
from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound
from thrive.flows.doctor import doctor
from thrive.operations import Context
from thrive.store.home import open_home

pytestmark = pytest.mark.full

KILLS = int(os.environ.get("THRIVE_TEST_DATA_KILLS", "12"))
SEED = int(os.environ.get("THRIVE_TEST_SEED", str(random.SystemRandom().randrange(10**6))))


def thrive(folder: Path, *words: str, limit: int = 0) -> subprocess.Popen:
    """Start a command; `limit` is the size at which no file can grow any more."""
    code = "from thrive.cli.main import main; main()"
    if limit:
        code = f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); {code}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(process: subprocess.Popen) -> str:
    out, problem = process.communicate()
    assert process.returncode == 0, problem
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def sound(folder: Path) -> None:
    home = open_home(folder)
    context = Context(home, local_actor("tester"), folder=folder, operation="doctor")
    bad = [finding for finding in doctor(context, blobs=0).findings if finding.health == "bad"]
    home.close()
    assert not bad, bad


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with 9000 small files of 16 KB (five packs) and one large file."""
    done(thrive(tmp_path, "init"))
    source = random.Random(SEED)
    for number in range(9000):
        inside = tmp_path / "data" / f"{number % 20:02}"
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{number:05}.bin").write_bytes(source.randbytes(16_000))
    (tmp_path / "data" / "large.dat").write_bytes(source.randbytes(120 << 20))
    return tmp_path


def kill_after(process: subprocess.Popen, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()


def test_adding_and_checking_out_survive_kills(project):
    moments = random.Random(SEED)
    began = time.monotonic()
    done(thrive(project, "data", "add", "data", "--name", "warm"))
    took = time.monotonic() - began
    for number in range(KILLS):
        (project / "data" / "00" / "00000.bin").write_bytes(moments.randbytes(100))
        (project / "data" / "large.dat").write_bytes(moments.randbytes(60 << 20))
        before = find_count(project)
        kill_after(
            thrive(project, "data", "add", "data", "--name", "d"), moments.uniform(0.1, took)
        )
        assert find_count(project) in (before, before + 1), f"seed {SEED}, kill {number}"
        sound(project)
    done(thrive(project, "data", "add", "data", "--name", "d"))
    expected = contents(project / "data")
    for _ in range(KILLS):
        kill_after(
            thrive(project, "data", "checkout", "d", "--to", "out"), moments.uniform(0.1, took)
        )
        found = contents(project / "out") if (project / "out").exists() else {}
        wrong = [path for path, data in found.items() if expected.get(path) != data]
        assert not wrong, f"seed {SEED}: {wrong[:3]}"
    done(thrive(project, "data", "checkout", "d", "--to", "out"))
    assert contents(project / "out") == expected
    done(thrive(project, "data", "gc", "--older-than", "0s"))
    sound(project)


def find_count(project: Path) -> int:
    home = open_home(project)
    context = Context(home, local_actor("tester"), folder=project, operation="test")
    try:
        return find_version(context, "d").version
    except NotFound:
        return 0
    finally:
        home.close()


def test_a_killed_reading_goes_on_where_it_was(project):
    process = thrive(project, "data", "add", "data", "--name", "d")
    blobs = project / ".thrive" / "blobs"
    deadline = time.monotonic() + 120
    while len(list(blobs.glob("??/*"))) < 3 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()
    kept = {path.name: path.stat().st_ino for path in blobs.glob("??/*")}
    done(thrive(project, "data", "add", "data", "--name", "d"))
    now = {path.name: path.stat().st_ino for path in blobs.glob("??/*")}
    assert kept.items() <= now.items()
    stored = sum(path.stat().st_size for path in blobs.glob("??/*"))
    whole = sum(path.stat().st_size for path in (project / "data").rglob("*") if path.is_file())
    assert stored < 1.2 * whole


def test_a_full_disk_makes_no_version_and_the_next_try_does(project):
    process = thrive(project, "data", "add", "data", "--name", "d", limit=20 << 20)
    _, problem = process.communicate()
    assert process.returncode == 4, problem
    assert "No space left" in problem
    assert find_count(project) == 0
    sound(project)
    done(thrive(project, "data", "add", "data", "--name", "d"))
    process = thrive(project, "data", "checkout", "d", "--to", "out", limit=100 << 20)
    _, problem = process.communicate()
    assert process.returncode == 4, problem
    done(thrive(project, "data", "checkout", "d", "--to", "out"))
    assert contents(project / "out") == contents(project / "data")


def test_two_writers_of_one_folder_make_one_version(project):
    both = [thrive(project, "data", "add", "data", "--name", "d", "--json") for _ in range(2)]
    said = [done(each) for each in both]
    assert sum('"is_new":true' in each for each in said) == 1
    assert find_count(project) == 1
    sound(project)
