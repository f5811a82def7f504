"""Folders that MLflow's own client wrote, by each library of the closed list: the same answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.full.test_formats import libraries
from tests.full.test_mlflow_clients import python_of

pytestmark = pytest.mark.full

__all__ = ["libraries"]  # a fixture

WRITE = """
import sys, numpy as np
from pathlib import Path
case, folder = sys.argv[1], Path(sys.argv[2])
rng = np.random.default_rng(7)
X = rng.normal(size=(400, 3))
two = (X[:, 0] + X[:, 1] > 0.3).astype(int)
three = np.digitize(X[:, 0] - X[:, 2], [-0.5, 0.8])
number = X @ [3.0, -1.0, 0.5]
import pandas as pd
frame = pd.DataFrame(X, columns=["a", "b", "c"])
kind = case.partition("-")[2]
y = {"two": two, "three": three, "number": number}[kind]

def lightgbm():
    import lightgbm, mlflow.lightgbm
    settings = {"objective": {"two": "binary", "three": "multiclass"}.get(kind, "regression")}
    settings |= {"num_class": 3} if kind == "three" else {}
    made = lightgbm.train({**settings, "verbose": -1}, lightgbm.Dataset(frame, y), 15)
    mlflow.lightgbm.save_model(made, folder / "model")
    return made.predict(frame)

def xgboost():
    import xgboost, mlflow.xgboost
    if kind == "number":
        made = xgboost.XGBRegressor(n_estimators=15).fit(frame, y)
        answers = made.predict(frame)
    else:
        made = xgboost.XGBClassifier(n_estimators=15).fit(frame, y)
        answers = made.predict_proba(frame)
    mlflow.xgboost.save_model(made, folder / "model")
    return answers

def catboost():
    import catboost, mlflow.catboost
    quiet = {"iterations": 15, "verbose": False, "allow_writing_files": False}
    if kind == "number":
        made = catboost.CatBoostRegressor(**quiet).fit(frame, y)
        answers = made.predict(frame)
    else:
        made = catboost.CatBoostClassifier(**quiet).fit(frame, y)
        answers = made.predict_proba(frame)
    mlflow.catboost.save_model(made, folder / "model")
    return answers

def onnx():
    import mlflow.onnx
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression, LogisticRegression
    made = (LinearRegression() if kind == "number" else LogisticRegression()).fit(X, y)
    graph = to_onnx(made, X[:1].astype(np.float32), options=None if kind == "number" else {"zipmap": False})
    mlflow.onnx.save_model(graph, folder / "model")
    return made.predict(X) if kind == "number" else made.predict_proba(X)

def sklearn():
    import mlflow.sklearn
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
    made = ExtraTreesRegressor(15) if kind == "number" else ExtraTreesClassifier(15)
    made.fit(frame, y)
    mlflow.sklearn.save_model(
        made, folder / "model", serialization_format="skops",
        skops_trusted_types=["sklearn.tree._tree.Tree"],
    )
    return made.predict(frame) if kind == "number" else made.predict_proba(frame)

def pickled():
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression
    mlflow.sklearn.save_model(LinearRegression().fit(frame, y), folder / "model", serialization_format="cloudpickle")
    return y

answers = globals()[case.partition("-")[0]]()
np.savez(folder / "answers.npz", rows=X, answers=answers)
"""
READ = """
import sys, numpy as np, polars as pl
from pathlib import Path
from thrive.domain.errors import UnsafeModel
from thrive.packaging.inference import columns_of
from thrive.packaging.loader import load
from thrive.packaging.manifest import read_manifest
from thrive.packaging.mlflow_folder import read_mlflow
from thrive.packaging.package import pack
case, folder = sys.argv[1], Path(sys.argv[2])
kind = case.partition("-")[2]
classes = {"two": (0, 1), "three": (0, 1, 2), "number": ()}[kind]
kept = np.load(folder / "answers.npz")
rows = pl.DataFrame(kept["rows"], ["a", "b", "c"], orient="row")
try:
    model = read_mlflow(folder / "model", classes)
except UnsafeModel as refused:
    print("refused:", refused.what)
    raise SystemExit(0 if case.startswith("pickled") else 1)
package = pack(model, rows)
found = load(read_manifest(package.manifest.to_bytes()), package.files).predict(
    columns_of(package.manifest.signature, rows)
)
expected = kept["answers"]
if kind == "two":
    expected = expected if expected.ndim == 1 else expected[:, 1]
difference = float(np.abs(found - expected).max())
print(package.manifest.model_format, difference)
assert not case.startswith("pickled")
assert difference < 1e-5, difference
"""
CASES = [
    *(f"{library}-{kind}" for library in ("lightgbm", "xgboost", "catboost", "onnx", "sklearn")
      for kind in ("two", "three", "number")),
    "pickled-number",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_mlflow_wrote_answers_the_same_from_a_package(libraries, tmp_path, case):
    for python, script in ((python_of("3.17.2"), WRITE), (Path(sys.executable), READ)):
        done = subprocess.run(
            [python, "-W", "ignore", "-c", script, case, tmp_path],
            env={**os.environ, "PYTHONPATH": str(libraries), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-500:]} {done.stderr[-3000:]}"
    wanted = "refused" if case.startswith("pickled") else ""
    assert done.stdout.startswith(wanted)
