"""Files that begin elsewhere: all arrive, in as many folders as they begin, and nothing is left."""

import os
from pathlib import Path

import pytest

from thrive.store.snapshots import nursery
from thrive.store.snapshots.nursery import Nursery


@pytest.mark.parametrize(("slow_s", "folders"), [(-1.0, 3), (60.0, 1)])
def test_files_that_begin_slowly_go_on_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_s: float, folders: int
) -> None:
    monkeypatch.setattr(nursery, "_SLOW_S", slow_s)
    monkeypatch.setattr(nursery, "_LOOK", 4)
    monkeypatch.setattr(nursery, "_MOST", 3)
    target = tmp_path / "data"
    target.mkdir()
    (target / "5").write_bytes(b"older, and longer")
    handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    files = Nursery(tmp_path / "hidden")
    for number in range(40):
        files.write(b"%d" % number, handle, str(number))
    assert len(list((tmp_path / "hidden").iterdir())) == folders
    files.close()
    os.close(handle)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert {each.name: each.read_bytes() for each in target.iterdir()} == {
        str(number): b"%d" % number for number in range(40)
    }
