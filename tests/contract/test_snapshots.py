"""Snapshots on every backend: packs and pieces kept, moved on, cleaned up and brought back."""

import random
import shutil
from pathlib import Path

import pytest

from thrive.data.cleaning import gc, rm
from thrive.data.moving import pull, push
from thrive.data.storing import add, checkout
from thrive.domain.actor import local_actor
from thrive.flows.data_status import status
from thrive.flows.doctor import doctor
from thrive.operations import Context
from thrive.store.home import connect_home, create_home
from thrive.store.place import FOLDER

TERMS = "contract = 1\n[project]\nname = 'p'\n"


@pytest.fixture(params=["sqlite and folder", "postgresql and folder", "postgresql and S3"])
def project(request, tmp_path: Path, database_url, bucket):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "thrive.toml").write_text(TERMS)
    if request.param == "sqlite and folder":
        home = create_home(folder, "test")
    else:
        objects = bucket if request.param.endswith("S3") else str(tmp_path / "objects")
        home = connect_home(database_url, objects, "test", folder / FOLDER, create=True)
    yield Context(home, local_actor("tester"), folder=folder, operation="test")
    home.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_through_its_life(project, tmp_path, bucket):
    folder = project.local_folder() / "data"
    source = random.Random(3)
    for number in range(80):
        (folder / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"{number % 3}" / f"{number:02}.bin").write_bytes(source.randbytes(1000))
    large = source.randbytes(5 << 20)
    (folder / "large.dat").write_bytes(large)
    assert add(project, "data").is_new
    assert not add(project, "data").is_new
    for number in range(60):
        (folder / f"{number % 3}" / f"{number:02}.bin").unlink()
    (folder / "large.dat").write_bytes(large[:1000] + b"edit" + large[1000:])
    assert add(project, "data").version == 2
    assert status(project).datasets[0].state == "unchanged"
    rm(project, "data@1", reason="not needed")
    assert gc(project).repacked == 1
    cleaned = gc(project, older_than="0s")
    assert cleaned.removed >= 2
    checkout(project, "data", to=Path("out"))
    assert contents(project.local_folder() / "out") == contents(folder)
    shutil.rmtree(project.home.blobs.local.root / "assembled", ignore_errors=True)
    found = [each for each in doctor(project, blobs=0).findings if each.question == "stored files"]
    assert [each.health for each in found] == ["ok"]
    push(project, f"{bucket}/shelf")
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "thrive.toml").write_text(TERMS)
    shutil.copy(project.local_folder() / "thrive.lock", clone)
    other = Context(create_home(clone, "c"), local_actor("t"), folder=clone, operation="test")
    assert pull(other)[0].version == 2
    checkout(other, "data", to=Path("data"))
    assert contents(clone / "data") == contents(folder)
    other.home.close()
