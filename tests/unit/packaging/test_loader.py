import pickle
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from thrive.domain.errors import Damaged, NotFound, SchemaTooNew, UnsafeModel, UsageError
from thrive.packaging.inference import columns_of
from thrive.packaging.loader import FORMATS, AllowList, allowed_here, load, load_folder
from thrive.packaging.manifest import PackageManifest, describe_files, read_manifest
from thrive.packaging.package import Package, pack


@pytest.fixture
def folder(trees_package, tmp_path):
    trees_package.unpack_to(tmp_path / "package")
    return tmp_path / "package"


def paths(folder):
    return {path.name: path for path in folder.iterdir() if path.name != "manifest.json"}


def test_a_package_comes_back_from_a_folder_paths_or_bytes(trees_package, folder, categorical):
    columns = columns_of(trees_package.manifest.signature, categorical)
    whole = load_folder(folder, digest=trees_package.digest).predict(columns)
    for files in (paths(folder), trees_package.files, folder):
        predictor = load(trees_package.manifest, files)
        np.testing.assert_array_equal(predictor.predict(columns), whole)
        assert predictor.describe()["trees"] == 12


@pytest.mark.parametrize("name", ["trees.npz", "trees.json"])
def test_one_changed_byte_is_damage(trees_package, folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(Damaged, match=name):
        load_folder(folder, digest=trees_package.digest)


@pytest.mark.parametrize("change", [lambda data: data + b"x", lambda data: data[:-1]])
def test_another_length_is_damage(trees_package, folder, change):
    path = folder / "trees.json"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(Damaged):
        load_folder(folder, digest=trees_package.digest)


def test_a_changed_manifest_does_not_have_its_digest(trees_package, folder):
    changed = msgspec.structs.replace(trees_package.manifest, created=2)
    (folder / "manifest.json").write_bytes(changed.to_bytes())
    with pytest.raises(Damaged, match="manifest"):
        load_folder(folder, digest=trees_package.digest)


def test_extra_missing_linked_and_odd_files_are_refused(trees_package, folder, tmp_path):
    (folder / "extra.py").write_text("")
    with pytest.raises(Damaged, match=r"extra\.py"):
        load_folder(folder, digest=trees_package.digest)
    (folder / "extra.py").unlink()
    (folder / "trees.npz").rename(tmp_path / "elsewhere.npz")
    with pytest.raises(NotFound, match=r"trees\.npz"):
        load_folder(folder, digest=trees_package.digest)
    (folder / "trees.npz").symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(Damaged, match=r"trees\.npz"):
        load_folder(folder, digest=trees_package.digest)
    (folder / "trees.npz").unlink()
    (folder / "trees.npz").mkdir()
    with pytest.raises(Damaged, match=r"trees\.npz"):
        load_folder(folder, digest=trees_package.digest)


def test_an_unknown_format_or_other_files_are_refused(trees_package):
    manifest = trees_package.manifest
    unknown = msgspec.structs.replace(manifest, model_format="keras")
    with pytest.raises(UnsafeModel, match="keras"):
        load(unknown, trees_package.files)
    fewer = {"trees.json": manifest.files["trees.json"]}
    with pytest.raises(UnsafeModel, match="files of the format"):
        load(msgspec.structs.replace(manifest, files=fewer), trees_package.files)
    other = msgspec.structs.replace(manifest, model_format="linear")
    with pytest.raises(UnsafeModel, match="files of the format"):
        load(other, trees_package.files)


@pytest.mark.parametrize(
    "name",
    [
        "../trees.npz",
        "/etc/passwd",
        "a/b.npz",
        "a\\b.npz",
        "..",
        "",
        "x\0.npz",
        "T.NPZ",
        "manifest.json",
    ],
)
def test_file_names_cannot_be_paths(trees_package, name):
    entry = trees_package.manifest.files["trees.npz"]
    manifest = msgspec.structs.replace(trees_package.manifest, files={name: entry})
    with pytest.raises(UnsafeModel):
        read_manifest(manifest.to_bytes())


def test_manifests_are_canonical_versioned_and_tolerant(trees_package):
    manifest = trees_package.manifest
    data = manifest.to_bytes()
    assert read_manifest(data, digest=manifest.digest) == manifest
    assert read_manifest(data).to_bytes() == data
    newer = msgspec.structs.replace(manifest, format=2)
    with pytest.raises(SchemaTooNew):
        read_manifest(newer.to_bytes())
    later = msgspec.json.encode({**msgspec.json.decode(data), "added_later": 1})
    assert read_manifest(later) == manifest


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"format":"1"}'])
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(UnsafeModel):
        read_manifest(data)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def pickled(signature, data: bytes) -> Package:
    files = {"model.pkl": data}
    manifest = PackageManifest(
        model_format="pickle", files=describe_files(files), signature=signature
    )
    return Package(manifest=manifest, files=files)


def test_a_pickle_never_runs_unless_this_package_is_allowed(trees_package, tmp_path):
    canary = tmp_path / "canary"
    package = pickled(trees_package.manifest.signature, pickle.dumps(Canary(canary)))
    others = AllowList(
        pickles={"flights": frozenset({trees_package.digest}), "other": frozenset({package.digest})}
    )
    for allow in (AllowList(), others):
        with pytest.raises(UnsafeModel, match="pickle"):
            load(package.manifest, package.files, name="flights", allow=allow)
    assert not canary.exists()


def test_a_pickle_in_the_place_of_another_format_never_runs(trees_package, tmp_path):
    canary = tmp_path / "canary"
    data = pickle.dumps(Canary(canary))
    for name, module in FORMATS.items():
        if name == "pickle":
            continue
        files = dict.fromkeys(module.FILES, data)
        manifest = PackageManifest(
            model_format=name,
            files=describe_files(files),
            signature=trees_package.manifest.signature,
        )
        with pytest.raises(UnsafeModel):
            load(manifest, files)
    assert not canary.exists()


def test_a_machine_allows_a_pickle_by_model_and_digest(trees_package, monkeypatch):
    package = pickled(trees_package.manifest.signature, pickle.dumps(len))
    assert not allowed_here().allows("flights", package.digest)
    monkeypatch.setenv("THRIVE_ALLOW_PICKLES", f"flights={package.digest} other={'0' * 64}")
    assert allowed_here().allows("flights", package.digest)
    assert not allowed_here().allows("other", package.digest)
    for wrong in ("flights", "flights=abc", f"={package.digest}"):
        monkeypatch.setenv("THRIVE_ALLOW_PICKLES", wrong)
        with pytest.raises(UsageError, match="no MODEL=DIGEST"):
            allowed_here()


def test_an_allowed_pickle_answers(trees_model, categorical):
    package = pack(trees_model, categorical, model_format="pickle")
    allow = AllowList(pickles={"flights": frozenset({package.digest})})
    predictor = load(package.manifest, package.files, name="flights", allow=allow)
    columns = columns_of(package.manifest.signature, categorical)
    expected = trees_model.predict_proba(categorical)[:, 1]
    np.testing.assert_allclose(predictor.predict(columns), expected)
    one = dict(package.files)
    one["model.pkl"] = one["model.pkl"][:-1] + b"!"
    with pytest.raises(Damaged):
        load(package.manifest, one, name="flights", allow=allow)


def test_loading_open_formats_imports_no_heavy_library(trees_package, folder):
    script = f"""
import sys
from pathlib import Path
from thrive.packaging.loader import load_folder
from thrive.packaging.rows import RowReader
model = load_folder(Path({str(folder)!r}), digest={trees_package.digest!r})
answer = model.predict(RowReader(model.signature).read(list(model.signature.example)))
assert answer.shape == (3,)
heavy = {{"sklearn", "scipy", "polars", "pandas", "skops", "pyarrow", "joblib"}} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
