"""What a real MLflow tracked comes over whole: its database, its folder, its running server."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from tests.full.test_mlflow_clients import python_of
from tests.rest import LOCAL_TOKEN, make_app, running

import thrive
from thrive.domain.actor import local_actor
from thrive.domain.errors import Conflict, NotFound
from thrive.domain.model import Model, ModelVersion
from thrive.domain.run import RunState
from thrive.flows.mlflow.exporting import export_model, push_model
from thrive.flows.mlflow.importing import System, import_project
from thrive.operations import Context
from thrive.packaging.package import pack
from thrive.store import models, runs
from thrive.store.home import create_home

pytestmark = pytest.mark.full

TRACK = """
import json, mlflow
from mlflow import MlflowClient
client = MlflowClient()
mlflow.set_experiment("iris")
ids = []
for number in range(3):
    with mlflow.start_run(run_name=f"run-{number}") as run:
        mlflow.log_params({"lr": number, "kind": "linear"})
        for step in range(50):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"odd": float("nan"), "deep/auc": 0.5})
        mlflow.log_text("hello", "notes/a.txt")
        ids.append(run.info.run_id)
client.delete_run(ids[2])
client.create_registered_model("Iris")
client.create_model_version("Iris", f"runs:/{ids[0]}/notes", ids[0])
client.create_model_version("Iris", client.get_run(ids[1]).info.artifact_uri + "/notes", ids[1])
client.set_registered_model_alias("Iris", "champion", "2")
print(json.dumps(ids))
"""


def tracked(version, folder, uri):
    """Track three runs with a client; return their ids."""
    done = subprocess.run(
        [python_of(version), "-c", TRACK],
        cwd=folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def ctx(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    home = create_home(folder, "test")
    yield Context(home, local_actor("tester"), folder=folder, operation="projects import")
    home.close()


def same(ctx, source, ids):
    """Bring a source over twice and compare it with what was tracked."""
    done = import_project(ctx, System.MLFLOW, source)
    assert done.there == done.here
    here = done.here
    assert (here.runs, here.points, here.artifacts, here.versions) == (3, 156, 3, 2)
    assert import_project(ctx, System.MLFLOW, source).already == 3
    with ctx.read() as tx:
        first, _, third = runs.some(tx, ctx.project_id, ids)
        history = runs.metric_history(tx, ctx.project_id, ids[0], "loss")
        model = models.get(tx, ctx.project_id, "Iris")
        versions = models.versions(tx, ctx.project_id, "Iris")
    assert [(p.step, p.value) for p in history] == [(n, 1 / (n + 1)) for n in range(50)]
    assert (first.params, first.metrics["odd"]) == ({"lr": "0", "kind": "linear"}, None)
    assert first.metrics["deep/auc"] == 0.5
    assert third.deleted_at is not None
    assert model.aliases == {"champion": 2}
    assert versions[0].source.endswith(f"/{ids[1]}/artifacts/notes")


def test_a_folder(ctx, tmp_path):
    ids = tracked("2.22.2", tmp_path, f"file://{tmp_path}/mlruns")
    same(ctx, str(tmp_path / "mlruns"), ids)


def test_a_database(ctx, tmp_path):
    ids = tracked("3.17.2", tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    same(ctx, f"sqlite:///{tmp_path}/mlflow.db", ids)


def test_a_server_of_theirs(ctx, tmp_path):
    command = [python_of("3.17.2").parent / "mlflow", "server", "--port", "5078", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--artifacts-destination", tmp_path / "kept"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        url = "http://127.0.0.1:5078"
        for _ in range(2400):
            try:
                urllib.request.urlopen(url + "/health", timeout=60).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        ids = tracked("3.17.2", tmp_path, url)
        same(ctx, url, ids)
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def test_a_server_of_ours_and_what_is_missing_is_told(ctx, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    other = create_home(tmp_path / "other", "other")
    app = make_app(other)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", LOCAL_TOKEN)
    with running(app) as url:
        ids = tracked("3.17.2", tmp_path, url.replace("http://", f"http://a:{LOCAL_TOKEN}@"))
        same(ctx, url, ids)
        with other.read() as tx:
            (artifact,) = runs.find_artifacts(tx, other.project_id, ids[0])
        with other.write() as tx:
            runs.save_artifact(
                tx, other.project_id, msgspec.structs.replace(artifact, digest="0" * 64)
            )
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        home = create_home(fresh, "fresh")
        context = Context(home, ctx.actor, folder=fresh, operation="projects import")
        with pytest.raises(NotFound, match="There is no blob"):
            import_project(context, System.MLFLOW, url)
        home.close()
    other.close()


LOAD = """
import sys, mlflow, pandas as pd
sys.path += [{source!r}, {libraries!r}]
model = mlflow.pyfunc.load_model({folder!r})
rows = pd.DataFrame({{"a": [0.1, 2.5], "b": [1.0, -1.0]}})
print(model.metadata.metadata["thrive.version"], [float(one) for one in model.predict(rows)])
"""


@pytest.fixture
def packaged(ctx):
    """A packaged version in the project, and its answers to two rows."""
    frame = pl.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 1.0, -1.0, -1.0]})
    model = LogisticRegression().fit(frame, [0, 0, 1, 1])
    package = pack(model, frame)
    blobs = ctx.home.blobs
    files = [blobs.put(data) for data in package.files.values()]
    digest = blobs.put(package.manifest.to_bytes())
    version = ModelVersion(
        model="late",
        version=1,
        package=digest,
        signature={},
        metrics={"auc": 0.9},
        run_id="",
        contract="",
        commit="c" * 40,
        dirty=False,
        created_at=1_700_000_000_000_000,
        actor="tester",
        note="the first",
    )
    with ctx.home.write() as tx:
        models.save(tx, ctx.project_id, Model(name="late", owner="x", purpose="y", created_at=1))
        models.insert_version(tx, ctx.project_id, version, files)
    rows = pl.DataFrame({"a": [0.1, 2.5], "b": [1.0, -1.0]})
    return [float(one) for one in model.predict_proba(rows)[:, 1]]


def answers_of(folder):
    """Return what MLflow's own loader answers from a folder."""
    libraries = str(Path(msgspec.__file__).parents[1])
    source = str(Path(thrive.__file__).parents[1])
    script = LOAD.format(source=source, libraries=libraries, folder=str(folder))
    done = subprocess.run(
        [python_of("3.17.2"), "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    name, _, answers = done.stdout.strip().splitlines()[-1].partition(" ")
    assert name == "late@1"
    return json.loads(answers)


def test_an_exported_version_answers_as_ours_does(ctx, packaged):
    done = export_model(ctx, "late", Path("exported"))
    assert "MLmodel" in done.files
    assert answers_of(done.folder) == pytest.approx(packaged, abs=1e-12)
    with pytest.raises(Conflict):
        export_model(ctx, "late", Path("exported"))


def test_a_pushed_version_arrives_with_its_record(ctx, packaged, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    other = create_home(tmp_path / "other", "other")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", LOCAL_TOKEN)
    with running(make_app(other)) as url:
        done = push_model(ctx, "late@1", url)
        assert push_model(ctx, "late@1", url).their_version == "2"
    with other.read() as tx:
        version = models.get_version(tx, other.project_id, "late", 1)
        run = runs.get(tx, other.project_id, done.their_run)
        artifacts = runs.find_artifacts(tx, other.project_id, done.their_run)
    folder = tmp_path / "pulled"
    for artifact in artifacts:
        path = folder / artifact.name.removeprefix("model/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(other.blobs.get(artifact.digest))
    other.close()
    assert (version.note, version.tags["thrive.commit"]) == ("the first", "c" * 40)
    assert (run.metrics, run.state) == ({"auc": 0.9}, RunState.DONE)
    assert answers_of(folder) == pytest.approx(packaged, abs=1e-12)
