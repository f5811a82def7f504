"""Unmodified MLflow clients of three generations against a real server, told its address alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.rest import LOCAL_TOKEN, make_app, running

from thrive.domain.run import RunState
from thrive.store import models, runs

pytestmark = pytest.mark.full

CACHE = Path("~/.cache/thrive-bench").expanduser()
LEARNERS = ["xgboost-cpu", "lightgbm", "optuna", "optuna-integration", "skops"]
OLD = [*LEARNERS, "pandas", "scikit-learn<1.8", "matplotlib", "xgboost-cpu<3.1"]
CLIENTS = {
    "2.22.2": ["mlflow-skinny==2.22.2", *OLD],
    "3.6.0": ["mlflow-skinny==3.6.0", *OLD],
    "3.17.2": ["mlflow==3.17.2", *LEARNERS],
}
"""Three generations; of the newest every part, of the others what a training machine has."""

SCRIPT = """
import sys
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

old = mlflow.__version__.startswith("2.")
X, y = load_iris(return_X_y=True)
client = MlflowClient()
assert client.get_experiment_by_name("iris") is None
mlflow.set_experiment("iris")
with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_params({"lr": 0.1, "kind": "linear"})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"acc": 0.9, "odd": float("nan")}, step=3)
    mlflow.set_tags({"team": "x"})
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_dict({"k": 1}, "d.json")
    with mlflow.start_run(nested=True, run_name="child") as child:
        mlflow.log_metric("loss", 3)
run = client.get_run(parent.info.run_id)
assert run.info.status == "FINISHED"
assert run.data.params == {"lr": "0.1", "kind": "linear"}
assert (run.data.metrics["loss"], run.data.metrics["acc"]) == (0.2, 0.9)
assert run.data.metrics["odd"] != run.data.metrics["odd"]
history = client.get_metric_history(parent.info.run_id, "loss")
assert [(point.step, point.value) for point in history] == [(n, 1 / (n + 1)) for n in range(5)]
found = mlflow.search_runs(
    experiment_names=["iris"], output_format="list",
    filter_string="metrics.loss < 1 and params.kind = 'linear' and tags.team LIKE 'x%'",
    order_by=["metrics.loss DESC"],
)
assert [one.info.run_name for one in found] == ["parent"]
children = mlflow.search_runs(
    experiment_names=["iris"], output_format="list",
    filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'",
)
assert [one.info.run_id for one in children] == [child.info.run_id]
assert [one.path for one in client.list_artifacts(parent.info.run_id)] == ["d.json", "notes"]
assert mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/a.txt") == "hello"

mlflow.sklearn.autolog(log_models=True)
with mlflow.start_run() as auto:
    model = LogisticRegression(max_iter=200).fit(X, y)
mlflow.sklearn.autolog(disable=True)
logged = client.get_run(auto.info.run_id)
assert logged.data.metrics["training_score"] > 0.9
assert logged.data.params["max_iter"] == "200"
assert logged.inputs.dataset_inputs

name = "Iris Model"
with mlflow.start_run():
    place = {"artifact_path": "model"} if old else {"name": "model"}
    mlflow.sklearn.log_model(model, **place, registered_model_name=name, input_example=X[:3])
    mlflow.sklearn.log_model(model, **place, registered_model_name=name)
client.set_registered_model_alias(name, "champion", "2")
version = client.get_model_version_by_alias(name, "champion")
assert (version.version, version.aliases) == ("2", ["champion"])
assert (mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(X) == model.predict(X)).all()
assert type(mlflow.sklearn.load_model(f"models:/{name}/1")).__name__ == "LogisticRegression"
client.set_registered_model_tag(name, "team", "a")
client.set_model_version_tag(name, "1", "k", "v")
client.transition_model_version_stage(name, "1", "Staging")
assert client.get_latest_versions(name, ["Staging"])[0].version == "1"
assert [one.name for one in client.search_registered_models()] == [name]
assert [one.version for one in client.search_model_versions(f"name='{name}'")] != []
for call in (lambda: client.create_registered_model(name), lambda: client.get_registered_model("no")):
    try:
        call()
    except MlflowException as error:
        assert error.error_code in {"RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"}
    else:
        raise AssertionError("no error")
client.delete_run(child.info.run_id)
if not old:
    assert mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list")
if mlflow.__version__.startswith("3.17"):
    mlflow.genai.register_prompt(name="greet", template="Hello {{name}}")
    assert mlflow.genai.load_prompt("prompts:/greet/1").template == "Hello {{name}}"
    assert [one.name for one in client.search_registered_models()] == [name]

import lightgbm
import numpy as np
import optuna
import pandas as pd
import xgboost
from optuna_integration import MLflowCallback

mlflow.xgboost.autolog(log_models=True)
with mlflow.start_run() as boosted:
    data = xgboost.DMatrix(X, y)
    settings = {"objective": "multi:softprob", "num_class": 3, "eval_metric": "mlogloss"}
    booster = xgboost.train(settings, data, 5, evals=[(data, "train")], verbose_eval=False)
mlflow.xgboost.autolog(disable=True)
kept = client.get_run(boosted.info.run_id)
assert kept.data.params["num_boost_round"] == "5", kept.data.params
assert len(client.get_metric_history(boosted.info.run_id, "train-mlogloss")) == 5
loaded = mlflow.xgboost.load_model(f"runs:/{boosted.info.run_id}/model")
assert np.allclose(loaded.predict(data), booster.predict(data))

mlflow.lightgbm.autolog(log_models=True)
with mlflow.start_run() as leaves:
    rows = lightgbm.Dataset(X, y)
    settings = {"objective": "multiclass", "num_class": 3, "verbose": -1}
    forest = lightgbm.train(settings, rows, 5, valid_sets=[rows], valid_names=["train"])
mlflow.lightgbm.autolog(disable=True)
kept = client.get_run(leaves.info.run_id)
assert kept.data.params["num_class"] == "3", kept.data.params
assert len(client.get_metric_history(leaves.info.run_id, "train-multi_logloss")) == 5
loaded = mlflow.lightgbm.load_model(f"runs:/{leaves.info.run_id}/model")
assert np.allclose(loaded.predict(X), forest.predict(X))

table = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(kind=y)
with mlflow.start_run() as judged:
    mlflow.sklearn.log_model(model, **place)
    result = (mlflow.evaluate if old else mlflow.models.evaluate)(
        f"runs:/{judged.info.run_id}/model",
        table,
        targets="kind",
        model_type="classifier",
        evaluator_config={"log_explainer": False},
    )
assert result.metrics["accuracy_score"] > 0.9
assert client.get_run(judged.info.run_id).data.metrics["accuracy_score"] > 0.9
assert client.list_artifacts(judged.info.run_id) != []

with mlflow.start_run() as large:
    with open("large.bin", "wb") as file:
        file.write(bytes(range(256)) * (1 << 14))
    mlflow.log_artifact("large.bin", "files")
place = mlflow.artifacts.download_artifacts(run_id=large.info.run_id, artifact_path="files/large.bin")
assert open(place, "rb").read() == bytes(range(256)) * (1 << 14)

optuna.logging.set_verbosity(optuna.logging.ERROR)
callback = MLflowCallback(tracking_uri=mlflow.get_tracking_uri(), metric_name="distance")
study = optuna.create_study(study_name="sweep")
study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, 4, callbacks=[callback])
trials = mlflow.search_runs(
    experiment_names=["sweep"], order_by=["metrics.distance"], output_format="list"
)
assert len(trials) == 4 and trials[0].data.metrics["distance"] == study.best_value
print(parent.info.run_id)
"""


def python_of(version: str) -> Path:
    """Return the interpreter of a client, installed once a machine."""
    folder = CACHE / f"mlflow-client-{version}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        command = [folder / "bin/python", "-m", "pip", "install", "-q", *CLIENTS[version]]
        subprocess.run(command, check=True)
        (folder / "ready").touch()
    return folder / "bin/python"


@pytest.mark.parametrize("version", CLIENTS)
def test_a_client_logs_searches_registers_and_loads(home, tmp_path, version):
    python = python_of(version)
    app = make_app(home)
    with running(app) as url:
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": url.replace("http://", f"http://anybody:{LOCAL_TOKEN}@"),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(1 << 20),
            "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(1 << 20),
            "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
            "PYTHONWARNINGS": "ignore",
        }
        command = [python, "-c", SCRIPT]
        done = subprocess.run(
            command,
            env=environment,
            cwd=tmp_path,
            text=True,
            capture_output=True,
            timeout=900,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    run_id = done.stdout.strip().splitlines()[-1]
    with home.read() as tx:
        run = runs.get(tx, home.project_id, run_id)
        found = models.find(tx, home.project_id)
    assert (run.state, run.experiment, run.metrics["loss"]) == (RunState.DONE, "iris", 0.2)
    assert "Iris Model" in {model.name for model in found}
    assert json.dumps(run.params) == '{"lr": "0.1", "kind": "linear"}'
