"""Cases of the attack list about files and archives: what is sent under a name, or packed."""

import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from tests.rest import ask, make_app

from thrive.domain.errors import Damaged, UsageError
from thrive.store import backups
from thrive.store.home import create_home
from thrive.store.sources import found
from thrive.store.sources.block_yaml import read_yaml
from thrive.training.config import read_config

API = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/"
SOURCES = Path(__file__).parents[2] / "src/thrive"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    home = create_home(tmp_path_factory.mktemp("house"), "first")
    made = make_app(home)
    yield made
    made.close()
    home.close()


@pytest.fixture(scope="module")
def place(app):
    """Return the address of a run's artifacts."""
    made = ask(app, "POST", API + "experiments/create", body={"name": "files"}).json()
    body = {"experiment_id": made["experiment_id"]}
    run = ask(app, "POST", API + "runs/create", body=body).json()["run"]["info"]["run_id"]
    return f"{made['experiment_id']}/{run}/artifacts"


def put(app, place, name, content, kind="application/octet-stream"):
    path = f"{PROXY}artifacts/{place}/{name}"
    return ask(app, "PUT", path, raw=content, headers={"content-type": kind}).status


def get(app, place, name):
    return ask(app, "GET", f"{PROXY}artifacts/{place}/{name}")


def test_case_18_a_drive_or_a_share_is_no_name(app, place):
    for name in ("C:\\x", "\\\\host\\share", "a\\..\\..\\x", "\\x"):
        assert put(app, place, name, b"x") == 400, name


@pytest.mark.parametrize(
    "names", [("Model", "model", "MODEL"), ("caf\u00e9", "cafe\u0301"), ("a.", "a", "CON", "con")]
)
def test_case_19_names_that_a_file_system_would_fold_stay_apart(app, place, names):
    for name in names:
        assert put(app, place, name, name.encode()) == 200
    for name in names:
        assert get(app, place, name).body == name.encode()


def test_case_20_a_folder_is_no_prefix_of_its_neighbours(app, place):
    put(app, place, "data/x", b"x")
    put(app, place, "data-evil/y", b"y")
    listed = ask(app, "GET", f"{PROXY}artifacts", query=f"path={place}/data").json()
    assert [each["path"] for each in listed["files"]] in (["x"], ["data/x"])
    assert ask(app, "DELETE", f"{PROXY}artifacts/{place}/data").status == 200
    assert get(app, place, "data/x").status == 404
    assert get(app, place, "data-evil/y").body == b"y"


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "text/html; charset=utf-7"])
def test_case_52_a_type_that_was_sent_is_not_answered(app, place, kind):
    put(app, place, "page", b"<script>alert(1)</script>", kind)
    assert get(app, place, "page").headers["content-type"] == "application/octet-stream"


def member(name, kind=tarfile.REGTYPE, target=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, 0o4777
    return made


@pytest.mark.parametrize(
    "made",
    [
        member("../evil"),
        member("/etc/evil"),
        member("blobs/aa/x", tarfile.SYMTYPE, "/etc/passwd"),
        member("head.json", tarfile.LNKTYPE, "/etc/passwd"),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
    ],
    ids=["up", "absolute", "link", "hard link", "pipe", "device"],
)
def test_cases_14_to_16_a_member_of_an_archive_never_becomes_a_file(tmp_path, made):
    with tarfile.open(tmp_path / "evil.backup", "w") as tar:
        tar.addfile(made, io.BytesIO())
    (tmp_path / "to").mkdir()
    home = create_home(tmp_path / "to", "first")
    before = sorted(tmp_path.rglob("*"))
    try:
        with pytest.raises(Damaged):
            backups.read_head(tmp_path / "evil.backup")
    finally:
        home.close()
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before] == []


def test_cases_14_to_16_no_archive_is_ever_unpacked_by_its_names():
    calls = re.compile(r"\.extractall\(|\.extract\(|unpack_archive\(")
    named = [path for path in SOURCES.rglob("*.py") if calls.search(path.read_text())]
    # `.extract(` is also a method of polars, on texts
    for path in named:
        assert "tarfile" not in path.read_text(), path
        assert "zipfile" not in path.read_text(), path


def test_case_17_a_table_that_would_grow_beyond_measure_is_not_unpacked(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "bomb.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("bomb.csv", "w", force_zip64=True) as file,
    ):
        for _ in range(80):
            file.write(b"0" * (1 << 20))
    (tmp_path / "unpacked").mkdir()
    with (
        pytest.raises(UsageError, match="would grow"),
        found.found_files("bomb.csv.zip", tmp_path, tmp_path / "unpacked"),
    ):
        pass
    assert list((tmp_path / "unpacked").rglob("*.csv")) == []


TAGS = "rate: !!python/object/apply:os.system ['touch {canary}']\n"


def test_case_26_a_tag_of_yaml_makes_no_object(tmp_path):
    canary, file = tmp_path / "canary", tmp_path / "c.yaml"
    file.write_text(TAGS.format(canary=canary))
    with pytest.raises(UsageError):
        read_config(file, ())
    text = read_yaml(TAGS.format(canary=canary), file)
    assert isinstance(text["rate"], str)
    assert not canary.exists()


def test_case_27_aliases_of_yaml_do_not_multiply(tmp_path):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    text = "\n".join(lines)
    read = read_yaml(text, tmp_path / "d.dvc")  # this reader knows no alias: a text it stays
    assert len(str(read)) < 10 * len(text)
