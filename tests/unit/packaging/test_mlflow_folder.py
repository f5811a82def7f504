"""Folders that MLflow wrote: what is restored from them, and what is refused."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from skops import io

from thrive.domain.errors import NotFound, UnsafeModel
from thrive.packaging.formats.constant import Constant
from thrive.packaging.manifest import MANIFEST_NAME
from thrive.packaging.mlflow_folder import read_mlflow
from thrive.packaging.package import Package, pack

ROWS = pl.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
SKOPS = {"pickled_model": "model.skops", "serialization_format": "skops"}


def described(folder, **flavors):
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(json.dumps({"flavors": flavors}))
    return folder


def test_an_estimator_kept_by_skops_is_packed_like_any_other(tmp_path):
    folder = described(tmp_path / "model", sklearn=SKOPS, python_function={})
    fitted = LogisticRegression().fit(ROWS, [0, 0, 1, 1])
    (folder / "model.skops").write_bytes(io.dumps(fitted))
    package = pack(read_mlflow(folder), ROWS)
    assert package.manifest.model_format == "linear"
    assert package.manifest.signature.names == ("a", "b")


def test_an_export_of_ours_comes_back_whole(tmp_path):
    package = pack(Constant(value=0.5), ROWS)
    loader = {"loader_module": "thrive.packaging.mlflow_flavor", "data": "package"}
    folder = described(tmp_path / "model", python_function=loader)
    package.unpack_to(folder / "package")
    found = read_mlflow(folder)
    assert isinstance(found, Package)
    assert pack(found, ROWS).digest == package.digest
    name = next(iter(package.files))
    (folder / "package" / name).write_bytes(b"{}")
    with pytest.raises(UnsafeModel, match="not as it was exported"):
        read_mlflow(folder)
    (folder / "package" / MANIFEST_NAME).unlink()
    with pytest.raises(NotFound):
        read_mlflow(folder)


@pytest.mark.parametrize(
    ("flavors", "told"),
    [
        ({"sklearn": {"pickled_model": "m.pkl", "serialization_format": "cloudpickle"}}, "pickle"),
        ({"sklearn": {"pickled_model": "m.pkl"}}, "pickle"),
        ({"lightgbm": {"data": "m.pkl"}}, "pickle"),
        ({"sklearn": {**SKOPS, "pickled_model": "../m.pkl"}}, "names no file"),
        ({"sklearn": {**SKOPS, "pickled_model": 3}}, "names no file"),
        ({"onnx": {"data": "/etc/passwd"}}, "names no file"),
        ({"python_function": {"loader_module": "mine", "data": "m.pkl"}}, "code of its own"),
        ({"pytorch": {}}, "of which no format"),
        ({}, "of which no format"),
    ],
)
def test_what_would_run_code_or_leads_elsewhere_is_refused(tmp_path, flavors, told):
    (tmp_path / "m.pkl").write_bytes(b"x")
    folder = described(tmp_path / "model", **flavors)
    (folder / "m.pkl").write_bytes(b"x")
    with pytest.raises(UnsafeModel, match=told):
        read_mlflow(folder)


def test_what_is_not_there_and_what_is_no_description_is_told(tmp_path):
    with pytest.raises(NotFound, match="MLmodel"):
        read_mlflow(tmp_path)
    with pytest.raises(NotFound, match=r"model\.skops"):
        read_mlflow(described(tmp_path / "model", sklearn=SKOPS))
    for odd in (b'{"flavors": [1]}', b"{" * 5000, b'{"flavors": {"a": 1}}'):
        (tmp_path / "MLmodel").write_bytes(odd)
        with pytest.raises(UnsafeModel, match="cannot be read"):
            read_mlflow(tmp_path)


def test_a_type_that_is_not_listed_is_not_restored(tmp_path):
    folder = described(tmp_path / "model", sklearn=SKOPS)

    class Mine:
        pass

    (folder / "model.skops").write_bytes(io.dumps({"a": np.ones(2), "b": Mine()}))
    with pytest.raises(UnsafeModel, match="not allowed"):
        read_mlflow(folder)
