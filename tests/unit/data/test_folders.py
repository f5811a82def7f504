"""Folders of any files as versions: added, looked at, removed, cleaned up, moved."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.unit.data.contents import file_digests

import thrive.data
from thrive.data.cleaning import gc, rm
from thrive.data.lockfile import pin
from thrive.data.moving import pull, push
from thrive.data.operations import add, checkout, log
from thrive.data.reading import find_version
from thrive.domain.actor import local_actor
from thrive.domain.errors import Conflict, Damaged, NotFound, Refused, UsageError
from thrive.flows.data_show import show
from thrive.flows.data_status import status
from thrive.flows.doctor import doctor
from thrive.operations import Context
from thrive.store import references
from thrive.store.home import create_home
from thrive.store.pins import read_lock
from thrive.store.snapshots.bring import all_blobs


@pytest.fixture
def photos(context: Context, tmp_path: Path) -> Path:
    """A folder of 60 small files, more than are kept one by one."""
    (tmp_path / "thrive.toml").write_text("contract = 1\n[project]\nname = 'p'\n")
    folder = tmp_path / "photos"
    for number in range(60):
        inside = folder / f"{number % 4}"
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{number:02}.jpg").write_bytes(bytes([number]) * 1000)
    (folder / "labels.csv").write_text("file,label\n0/00.jpg,cat\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def stored(context: Context) -> int:
    return sum(each.size for each in context.home.blobs.listed())


def test_a_folder_of_photos_is_a_version_that_comes_back_as_a_folder(
    context, photos, tmp_path, monkeypatch
):
    added = add(context, "photos")
    assert (added.dataset, added.rows, added.files, added.columns) == ("photos", 61, 61, 0)
    shown = find_version(context, "photos").profile["kinds"]
    assert shown == {".jpg": {"files": 60, "size": 60_000}, ".csv": {"files": 1, "size": 24}}
    assert show(context, "photos").files == 61
    monkeypatch.chdir(tmp_path)
    assert contents(thrive.data.load("photos", form="path")) == contents(photos)
    with pytest.raises(UsageError, match="folder of 61 files, not a table"):
        thrive.data.load("photos")


def test_a_table_with_a_note_beside_it_stays_a_table(context, tmp_path):
    (tmp_path / "thrive.toml").write_text("contract = 1\n[project]\nname = 'p'\n")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.csv").write_text("x\n1\n")
    (tmp_path / "rows" / "README").write_text("about")
    assert (add(context, "rows").columns, add(context, "rows").files) == (1, 1)


def test_status_tells_what_changed_and_nothing_when_it_is_back(context, photos):
    add(context, "photos")
    assert status(context).datasets[0].state == "unchanged"
    assert status(context).exit_code == 0
    before = (photos / "0" / "00.jpg").read_bytes()
    (photos / "0" / "00.jpg").write_bytes(b"other")
    (photos / "new.jpg").write_bytes(b"new")
    (photos / "1" / "01.jpg").unlink()
    found = status(context, "photos")
    line = found.datasets[0]
    assert (line.state, line.added, line.changed, line.removed) == ("changed", 1, 1, 1)
    assert found.exit_code == 1
    (photos / "0" / "00.jpg").write_bytes(before)
    (photos / "new.jpg").unlink()
    (photos / "1" / "01.jpg").write_bytes(bytes([1]) * 1000)
    assert status(context).datasets[0].state == "unchanged"


def test_status_is_content_with_what_has_no_files_to_look_at(context, photos, monkeypatch):
    add(context, "photos")
    monkeypatch.chdir(context.local_folder())
    thrive.data.add(pl.DataFrame({"x": [1]}), name="made", owner="o", why="a frame")
    found = status(context)
    told = {each.dataset: (each.state, each.why) for each in found.datasets}
    assert told["made"][0] == "not looked at"
    assert "made in memory or by a run" in told["made"][1]
    assert (told["photos"], found.exit_code) == (("unchanged", ""), 0)


def test_status_compares_with_the_pinned_version_not_the_last_one(context, photos):
    first = add(context, "photos")
    (photos / "new.jpg").write_bytes(b"new")
    add(context, "photos")
    pin(context.local_folder(), context.home.folder, "photos", first.digest)
    assert status(context).datasets[0].added == 1


def test_status_of_what_is_not_there(context, photos):
    with pytest.raises(NotFound, match="pins no dataset"):
        status(context)
    add(context, "photos")
    with pytest.raises(NotFound, match="'phots'"):
        status(context, "phots")
    shutil.rmtree(photos)
    assert status(context).exit_code == 1


def test_status_imports_no_database(context, photos, tmp_path):
    add(context, "photos")
    status(context)  # what was written just before it was added is read once more
    code = (
        "import sys; from thrive.cli.main import run; code = run(['data', 'status']);"
        "heavy = {'sqlalchemy', 'numpy', 'polars', 'cyclopts'} & set(sys.modules);"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "unchanged" in done.stdout


def test_rm_and_gc_give_space_back_and_keep_every_other_version(context, photos, tmp_path):
    add(context, "photos")
    for number in range(50):
        (photos / f"{number % 4}" / f"{number:02}.jpg").unlink()
    add(context, "photos")
    with pytest.raises(UsageError, match="Which version"):
        rm(context, "photos", reason="x")
    with pytest.raises(Refused, match="pins photos@2"):
        rm(context, "photos@2", reason="x")
    assert rm(context, "photos@1", reason="a mistake").files == 61
    assert [line.version for line in log(context, "photos")] == [2]
    first = gc(context)
    assert (first.removed, first.repacked) == (0, 1)
    planned = gc(context, older_than="0s", dry_run=True)
    before = stored(context)
    done = gc(context, older_than="0s")
    assert planned.dry_run
    assert (planned.removed, planned.size) == (done.removed, done.size)
    assert stored(context) < 15_000 < before
    checkout(context, "photos", to=tmp_path / "out")
    assert contents(tmp_path / "out") == contents(photos)
    assert doctor(context, blobs=0).findings[-1].health == "ok"
    assert gc(context, older_than="0s").removed == 0


def test_a_dataset_added_by_mistake_goes_whole_and_its_pin_too(context, photos):
    add(context, "photos")
    add(context, "photos", name="fotos")
    assert rm(context, "fotos@1", reason="a slip of the pen").dataset == "fotos"
    assert list(read_lock(context.local_folder())) == ["photos"]
    assert [line.version for line in log(context, "photos")] == [1]
    with pytest.raises(NotFound, match="fotos"):
        show(context, "fotos")


def test_gc_keeps_what_is_being_added(context, photos):
    context.home.blobs.put(b"on its way to a version")
    found = gc(context)
    assert (found.removed, found.waiting) == (0, 1)
    assert gc(context, older_than="0s").removed == 1


def test_gc_removes_what_kills_left_half_written(context, photos, tmp_path):
    add(context, "photos")
    home = context.home.folder
    blobs, cache, scratch = context.home.blobs.root, home / "cache" / "states", home / "tmp"
    (state,) = cache.iterdir()
    left = [blobs / "tmp" / "0", cache / f"{state.name}.0", cache / f"{state.name}.journal"]
    for path in left:
        path.write_bytes(b"half")
    left += [scratch / "unpack-0", scratch / "run-0"]
    for path in left[-2:]:
        path.mkdir()
        (path / "half").write_bytes(b"half")
    gc(context)
    assert all(path.exists() for path in left)
    for path in left:
        os.utime(path, (0, 0))
    gc(context)
    assert [path.name for path in left if path.exists()] == ["run-0"]
    assert state.exists()


def test_what_is_damaged_is_named_with_its_users_and_mended_by_adding_again(context, photos):
    version = find_version(context, add(context, "photos").dataset)
    blobs = context.home.blobs
    pack = max(blobs.listed(), key=lambda each: each.size).digest
    path = blobs.root / pack[:2] / pack[2:]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    finding = doctor(context, blobs=0).findings[-1]
    assert "photos@1" in finding.found
    assert pack[:12] in finding.found
    with pytest.raises(Damaged):
        checkout(context, "photos", to=photos.parent / "out")
    path.unlink()
    assert not add(context, "photos").is_new
    assert doctor(context, blobs=0).findings[-1].health == "ok"
    assert checkout(context, "photos", to=photos.parent / "out").written == 61
    assert find_version(context, "photos").digest == version.digest


def test_a_version_refers_to_every_blob_it_needs(context, photos):
    add(context, "photos")
    version = find_version(context, "photos")
    needed = all_blobs(context.home.blobs, version.listed_in)
    with context.read() as tx:
        assert needed == references.every_digest(tx)
    assert len(needed) == 3


def other_project(tmp_path: Path, name: str) -> Context:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "thrive.toml").write_text("contract = 1\n[project]\nname = 'p'\n")
    home = create_home(folder, "other")
    return Context(home, local_actor("tester"), folder=folder, operation="test")


def test_any_clone_pulls_what_the_lock_file_pins(context, photos, tmp_path):
    added = add(context, "photos")
    first = push(context, "shelf")
    assert first[0].copied == 3
    assert push(context)[0].copied == 0
    clone = other_project(tmp_path, "clone")
    shutil.copy(tmp_path / "thrive.lock", clone.local_folder())
    shutil.copytree(tmp_path / "shelf", clone.local_folder() / "shelf")
    with pytest.raises(NotFound, match="not in this home"):
        find_version(clone, "photos")
    moved = pull(clone)
    assert [(each.digest, each.version) for each in moved] == [(added.digest, 1)]
    assert pull(clone)[0].copied == 0
    with pytest.raises(UsageError, match="says which version"):
        pull(clone, name="photos@1")
    assert file_digests(clone, "photos") == file_digests(context, "photos")
    checkout(clone, "photos", to=Path("photos"))
    assert contents(clone.local_folder() / "photos") == contents(photos)
    assert status(clone).datasets[0].state == "unchanged"
    assert doctor(clone, blobs=0).findings[-1].health == "ok"
    clone.home.close()


def test_versions_move_between_projects(context, photos, tmp_path):
    add(context, "photos")
    other = other_project(tmp_path, "other")
    add(other, str(photos / "0"), name="photos")
    push(context, str(other.local_folder()))
    assert [line.version for line in log(other, "photos")] == [2, 1]
    assert log(other, "photos")[0].digest == find_version(context, "photos").digest
    other.home.close()


def test_what_is_missing_here_is_pulled_again_profile_and_all(context, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    add(context, "rows.csv", name="rows")
    push(context, "shelf")
    blobs = context.home.blobs
    for digest in list(blobs.digests()):
        blobs.delete(digest)
        assert sum(each.copied for each in pull(context)) == 1
        assert doctor(context, blobs=0).findings[-1].health == "ok"


def test_nowhere_to_push_to_and_nothing_there(context, photos, tmp_path):
    add(context, "photos")
    with pytest.raises(UsageError, match="names no place"):
        push(context)
    (context.home.blobs.root / "x").mkdir(exist_ok=True)
    clone = other_project(tmp_path, "clone")
    shutil.copy(tmp_path / "thrive.lock", clone.local_folder())
    with pytest.raises(NotFound, match="does not have photos"):
        pull(clone, str(tmp_path / "empty"))
    clone.home.close()


def test_what_a_shelf_damaged_is_not_taken_in(context, photos, tmp_path):
    add(context, "photos")
    push(context, "shelf")
    pack = max((tmp_path / "shelf").rglob("??/*"), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:-1] + b"!")
    clone = other_project(tmp_path, "clone")
    shutil.copy(tmp_path / "thrive.lock", clone.local_folder())
    with pytest.raises(Damaged):
        pull(clone, str(tmp_path / "shelf"))
    assert log_or_none(clone) == []
    clone.home.close()


def log_or_none(context: Context) -> list:
    try:
        return log(context, "photos")
    except NotFound:
        return []


def test_a_file_of_a_large_table_is_read_where_it_is_while_it_is_whole(context, tmp_path):
    (tmp_path / "thrive.toml").write_text("contract = 1\n[project]\nname = 'p'\n")
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n" + "".join(f"{n},{n * 7919 % 1000003}\n" for n in range(150_000)))
    add(context, "rows.csv")
    before = stored(context)
    with path.open("a") as file:
        file.write("".join(f"{n},{n}\n" for n in range(1000)))
    assert add(context, "rows.csv").rows == 151_000
    assert stored(context) - before < 400_000
    from thrive.data.reading import scan_version

    rows = scan_version(find_version(context, "rows"), context.home.blobs).collect()
    assert rows.height == 151_000
    assert rows["y"][-1] == 999


def test_an_edited_file_is_not_overwritten_by_a_checkout(context, photos, tmp_path):
    add(context, "photos")
    (photos / "0" / "00.jpg").write_bytes(b"my own edit")
    with pytest.raises(Conflict, match=r"00\.jpg holds something else"):
        checkout(context, "photos", to=Path("photos"))


def test_gc_takes_what_lives_out_of_chunks_that_are_mostly_dead(context, tmp_path):
    part = [random.Random(number).randbytes(9 << 19) for number in range(3)]
    versions = (part[0] + part[1] + part[2], part[2], part[2] + b"an end")
    for data in versions:
        (tmp_path / "signal.bin").write_bytes(data)
        add(context, "signal.bin", name="signal")
    rm(context, "signal@1", reason="two thirds of it are in no other version")
    assert gc(context, older_than="0s").repacked == 1
    assert stored(context) < 5 << 20
    for number in (2, 3):
        checkout(context, f"signal@{number}", to=tmp_path / f"out{number}")
        assert (tmp_path / f"out{number}" / "signal.bin").read_bytes() == versions[number - 1]
    assert doctor(context, blobs=0).findings[-1].health == "ok"
    assert gc(context, older_than="0s").repacked == 0


def test_links_to_folders_are_left_out_and_told(context, photos, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "behind.jpg").write_bytes(b"behind")
    (photos / "1" / "more").symlink_to(tmp_path / "elsewhere")
    added = add(context, "photos")
    assert added.skipped == ["1/more"]
    assert status(context).datasets[0].why.endswith("links to a folder: 1/more")
    assert add(context, "photos").skipped == ["1/more"]
    (photos / "1" / "more").unlink()
    assert add(context, "photos").skipped == []


def test_links_to_folders_of_tables_are_told_too(context, tmp_path):
    for place in ("days", "elsewhere"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "one.csv").write_text("a,b\n1,2\n")
    (tmp_path / "thrive.toml").write_text("contract = 1\n[project]\nname = 'p'\n")
    (tmp_path / "days" / "rest").symlink_to(tmp_path / "elsewhere")
    added = add(context, "days")
    assert (added.files, added.skipped) == (1, ["rest"])
