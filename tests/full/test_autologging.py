"""What three libraries train is logged by itself, by the libraries themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from thrive.store import runs
from thrive.store.home import create_home, open_home

pytestmark = pytest.mark.full

PLACE = Path("~/.cache/thrive-bench/learners").expanduser()
SCRIPT = """
import lightgbm, numpy as np, thrive, xgboost
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_iris(return_X_y=True)
before = LogisticRegression.fit, lightgbm.train, xgboost.train
with thrive.run("sklearn") as run, run.autolog():
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(X, y)
print(run.id)
with thrive.run("lightgbm") as run, run.autolog():
    rows = lightgbm.Dataset(X, y)
    settings = {"objective": "multiclass", "num_class": 3, "verbose": -1}
    lightgbm.train(settings, rows, 5, valid_sets=[rows], valid_names=["train"])
print(run.id)
with thrive.run("xgboost") as run, run.autolog():
    data = xgboost.DMatrix(X, y)
    settings = {"objective": "multi:softprob", "num_class": 3}
    xgboost.train(settings, data, 6, evals=[(data, "train")], verbose_eval=False)
print(run.id)
with thrive.run("boosted") as run, run.autolog():
    lightgbm.LGBMClassifier(n_estimators=4, verbose=-1).fit(X, y, eval_set=[(X, y)])
print(run.id)
with thrive.run("epochs") as run:
    callback = run.callback()
    callback.set_params({})
    callback.on_train_begin()
    for epoch in range(3):
        callback.on_epoch_end(epoch, {"loss": np.float32(1 / (epoch + 1))})
    callback.on_train_end()
print(run.id)
assert before == (LogisticRegression.fit, lightgbm.train, xgboost.train)
"""


def test_parameters_scores_and_iterations_are_logged(tmp_path):
    if not PLACE.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", PLACE]
        subprocess.run([*command, "lightgbm", "xgboost-cpu"], check=True)
    create_home(tmp_path, "test").close()
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PLACE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    home = open_home(tmp_path)
    with home.read() as tx:
        found = runs.some(tx, home.project_id, done.stdout.split())
        sklearn, leaves, boosted, wrapped, epochs = found
        history = runs.metric_history(tx, home.project_id, leaves.run_id, "train-multi_logloss")
    home.close()
    assert sklearn.params["logisticregression__C"] == 0.5
    assert sklearn.tags["estimator"] == "Pipeline"
    assert list(sklearn.metrics) == ["training_score"]
    assert sklearn.metrics["training_score"] > 0.9
    assert leaves.params["num_class"] == 3
    assert [point.step for point in history] == [0, 1, 2, 3, 4]
    assert boosted.summaries["train-mlogloss"].points == 6
    assert wrapped.params["n_estimators"] == 4
    assert wrapped.metrics["training_score"] > 0.9
    assert [each.points for each in wrapped.summaries.values()] == [4, 1]
    assert (epochs.summaries["loss"].points, epochs.metrics["loss"]) == (3, pytest.approx(1 / 3))
