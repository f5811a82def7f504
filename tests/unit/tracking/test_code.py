import io
import subprocess
import tarfile

import pytest

from thrive.domain.errors import Damaged, Refused
from thrive.domain.run import CodeRecord
from thrive.store.blobs.folder import FolderBlobs
from thrive.tracking.code import (
    LARGEST_BUNDLE,
    LARGEST_FILE,
    NO_COMMIT,
    NO_GIT,
    record_code,
    unpack_code,
)


@pytest.fixture
def blobs(tmp_path_factory):
    return FolderBlobs(tmp_path_factory.mktemp("blobs"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.py").write_text("x = 1\n")
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    (tmp_path / "data.csv").write_text("a\n1\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "library.py").write_text("")
    return tmp_path


def git(folder, *words):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def bundled(blobs, facts):
    with tarfile.open(fileobj=io.BytesIO(blobs.get(facts.record.bundle))) as archive:
        return {name: archive.extractfile(name).read().decode() for name in archive.getnames()}


def test_a_folder_without_git_keeps_a_copy_and_says_what_it_loses(folder, blobs):
    facts = record_code(folder, "train.py", blobs)
    assert facts.lost == NO_GIT
    assert (facts.record.commit, facts.record.diff) == ("", "")
    assert bundled(blobs, facts) == {"thrive.toml": "contract = 1\n", "train.py": "x = 1\n"}


def test_the_same_files_give_the_same_bundle(folder, blobs):
    first = record_code(folder, "train.py", blobs)
    (folder / "train.py").touch()
    assert record_code(folder, "train.py", blobs).record.bundle == first.record.bundle


def test_commit_branch_diff_and_untracked_files_are_recorded(folder, blobs):
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text(".venv\nsecret.py\n")
    assert record_code(folder, "train.py", blobs).lost == NO_COMMIT
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    clean = record_code(folder, "train.py", blobs)
    assert (clean.record.dirty, clean.record.branch, clean.lost) == (False, "main", "")
    assert len(clean.record.commit) == 40
    (folder / "train.py").write_text("x = 2\n")
    (folder / "new file.py").write_text("y = 1\n")
    (folder / "secret.py").write_text("token = 1\n")
    dirty = record_code(folder, "train.py", blobs)
    assert dirty.record.dirty
    assert "+x = 2" in dirty.record.diff
    assert dirty.untracked == ["new file.py"]
    assert set(bundled(blobs, dirty)) == {"new file.py", "thrive.toml", "train.py"}


def test_a_deleted_file_and_a_large_one_are_left_out(folder, blobs):
    git(folder, "init", "-q")
    (folder / "gone.py").write_text("z = 1\n")
    (folder / "large.py").write_text("#" * (LARGEST_FILE + 1))
    git(folder, "add", "-A")
    (folder / "gone.py").unlink()
    facts = record_code(folder, "train.py", blobs)
    assert facts.left_out == ["large.py"]
    assert "gone.py" not in bundled(blobs, facts)


def test_links_out_of_the_folder_are_not_followed(folder, blobs, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "outside.py"
    outside.write_text("private = 1\n")
    (folder / "link.py").symlink_to(outside)
    assert "link.py" not in bundled(blobs, record_code(folder, "train.py", blobs))


def test_a_new_lock_of_the_data_makes_no_code_dirty(folder, blobs):
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text(".venv\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    (folder / "thrive.lock").write_text("flights = 1\n")
    fresh = record_code(folder, "train.py", blobs)
    assert not fresh.record.dirty
    assert "thrive.lock" in bundled(blobs, fresh)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "second")
    (folder / "thrive.lock").write_text("flights = 2\n")
    assert not record_code(folder, "train.py", blobs).record.dirty


def test_a_compiled_copy_that_went_into_git_makes_no_code_dirty(folder, blobs):
    git(folder, "init", "-q")
    compiled = folder / "steps" / "__pycache__" / "train.cpython-311.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(b"one")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    compiled.write_bytes(b"two")
    assert not record_code(folder, "train.py", blobs).record.dirty
    (folder / "train.py").write_text("x = 2\n")
    assert record_code(folder, "train.py", blobs).record.dirty


def test_recorded_code_is_written_again_without_the_lock_of_the_data(tmp_path, home):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "parts").mkdir(parents=True)
    target.mkdir()
    (source / "train.py").write_text("import parts\n")
    (source / "parts" / "one.py").write_text("ONE = 1\n")
    (source / "thrive.lock").write_text("lock = 1\n")
    recorded = record_code(source, "train.py", home.blobs).record
    facts = unpack_code(recorded, target, home.blobs)
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {"train.py", "parts/one.py"}
    assert (target / "parts" / "one.py").read_text() == "ONE = 1\n"
    assert facts.record == recorded


def test_a_bundle_with_a_name_that_leaves_the_folder_is_refused(tmp_path, home):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("../outside.py")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"1"))
    code = CodeRecord(entry="train.py", bundle=home.blobs.put(packed.getvalue()))
    (tmp_path / "target").mkdir()
    with pytest.raises(Damaged, match="outside"):
        unpack_code(code, tmp_path / "target", home.blobs)
    assert not (tmp_path / "outside.py").exists()


def test_files_that_steps_declare_go_along_where_code_is_executed_later(folder, blobs):
    (folder / "lookup").mkdir()
    for name in ("lookup/a.csv", "lookup/b.csv", "limits.json"):
        (folder / name).write_text(name)
    (folder / "train.py").write_text(
        "import thrive\n"
        "@thrive.step(files=['lookup/*.csv', 'train.py', '../out.txt', '/etc/hostname'])\n"
        "def a(): ...\n"
        "@step(files='limits.json')\n"
        "def b(): open('data.csv')\n"
    )
    (folder.parent / "out.txt").write_text("no part of the project")
    usual = {"thrive.toml", "train.py"}
    assert set(bundled(blobs, record_code(folder, "train.py", blobs))) == usual
    facts = record_code(folder, "train.py", blobs, with_declared=True)
    declared = {"lookup/a.csv", "lookup/b.csv", "limits.json"}
    assert set(bundled(blobs, facts)) == usual | declared

    (folder / "limits.json").write_bytes(bytes(LARGEST_BUNDLE + 1))
    with pytest.raises(Refused, match=r"limits\.json, which a step declares, is too large"):
        record_code(folder, "train.py", blobs, with_declared=True)


def test_the_same_files_are_not_packed_twice_in_turn(folder, blobs, tmp_path):
    memory = tmp_path / "memory"
    first = record_code(folder, "train.py", blobs, memory=memory).record.bundle
    kept = memory.read_bytes()
    assert record_code(folder, "train.py", blobs, memory=memory).record.bundle == first
    assert memory.read_bytes() == kept
    memory.write_bytes(kept[:-1])  # torn
    assert record_code(folder, "train.py", blobs, memory=memory).record.bundle == first
    (folder / "train.py").write_text("other = 1\n")
    other = record_code(folder, "train.py", blobs, memory=memory).record.bundle
    assert other == record_code(folder, "train.py", blobs).record.bundle != first
