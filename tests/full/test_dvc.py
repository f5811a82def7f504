"""A repository that DVC itself made, read without importing DVC.

DVC stands in an environment of its own, made once a machine.
"""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from thrive.store.sources import Reach, brought

PINS = ("dvc==3.67.1",)
PLACE = Path.home() / ".cache" / "thrive-bench" / "dvc"

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def dvc() -> Path:
    program = PLACE / "bin" / "dvc"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True)
        subprocess.run([str(PLACE / "bin" / "pip"), "install", "-q", *PINS], check=True)
    return program


@pytest.fixture
def repository(dvc: Path, tmp_path: Path):
    base = tmp_path / "repo"
    base.mkdir()
    quiet = {**os.environ, "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}

    def run(*words: str) -> None:
        subprocess.run(words, cwd=base, check=True, capture_output=True, env=quiet)

    run("git", "init", "-q")
    run(str(dvc), "init", "-q")
    run(str(dvc), "remote", "add", "-d", "shelf", str(tmp_path / "shelf"))
    (base / "rows.csv").write_text("id,x\n1,2\n3,4\n")
    (base / "parts" / "deep").mkdir(parents=True)
    (base / "parts" / "a.csv").write_text("id,x\n5,6\n")
    (base / "parts" / "deep" / "b c.csv").write_text("id,x\n7,8\n")
    run(str(dvc), "add", "-q", "rows.csv", "parts")
    copy = f"{sys.executable} -c \"open('made.csv', 'w').write(open('rows.csv').read() * 1)\""
    run(str(dvc), "stage", "add", "-q", "-n", "make", "-d", "rows.csv", "-o", "made.csv", copy)
    run(str(dvc), "repro", "-q")
    run(str(dvc), "push", "-q")
    (tmp_path / "tmp").mkdir()
    return base, Reach(base=base, temporary=tmp_path / "tmp"), run


@pytest.mark.parametrize("where", ["cache", "remote"])
def test_files_folders_and_stages_of_a_real_repository(repository, where):
    base, reach, run = repository
    if where == "remote":
        run("rm", "-rf", str(base / ".dvc" / "cache"))
    for source in ("rows.csv.dvc", "dvc.lock:made.csv"):
        with brought(source, reach) as found:
            assert Path(found.path).read_text() == "id,x\n1,2\n3,4\n"
            assert found.mark.startswith("md5:")
    with brought("parts.dvc", reach) as found:
        inside = sorted(
            path.relative_to(found.path).as_posix() for path in Path(found.path).rglob("*.csv")
        )
        assert inside == ["a.csv", "deep/b c.csv"]
        assert pl.read_csv(Path(found.path) / "deep" / "b c.csv").row(0) == (7, 8)
