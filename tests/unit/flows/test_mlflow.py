"""A folder of tracked runs comes over whole, once, and counts match."""

import pytest

from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.run import RunState
from thrive.flows.mlflow.folder import read_meta
from thrive.flows.mlflow.importing import System, import_project
from thrive.operations import Context
from thrive.store import experiments, models, runs
from thrive.store.home import create_home

RUN = "0" * 31 + "1"
GONE = "0" * 31 + "2"


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def tracked(tmp_path):
    """A folder as MLflow writes it, with a link that leads out of it."""
    root = tmp_path / "mlruns"
    meta = "run_name: 'it''s'\nstart_time: 1700000000000\nend_time: 1700000001000\nstatus: 3\n"
    write(
        root,
        {
            "7/meta.yaml": "experiment_id: '7'\nname: iris\ncreation_time: 1690000000000\n",
            "7/tags/team": "a",
            f"7/{RUN}/meta.yaml": f"run_id: {RUN}\n{meta}lifecycle_stage: active\n",
            f"7/{RUN}/params/lr": "0.1",
            f"7/{RUN}/tags/mlflow.user": "flights-ml",
            f"7/{RUN}/metrics/val/auc": "1 0.5 0\n2 nan 1\n2 nan 1\n3 inf 2\n",
            f"7/{RUN}/artifacts/model/MLmodel": "flavors: {}",
            f"7/{GONE}/meta.yaml": f"run_id: {GONE}\n{meta}lifecycle_stage: deleted\n",
            f"7/{GONE}/metrics/loss": "1 2.5 0\n",
            "models/Iris Model/meta.yaml": "name: Iris Model\ncreation_timestamp: 1\n",
            "models/Iris Model/version-3/meta.yaml": (
                f"version: 3\nsource: file:///x/7/{RUN}/artifacts/model\nrun_id: {RUN}\n"
                "current_stage: Staging\ndescription: 'the first,\n  and best'\n"
            ),
            "models/Iris Model/aliases/champion": "3",
        },
    )
    (root / "7" / RUN / "artifacts" / "secret").symlink_to("/etc/passwd")
    return root


@pytest.fixture
def ctx(tmp_path):
    home = create_home(tmp_path, "test")
    yield Context(home, local_actor("tester"), folder=tmp_path, operation="projects import")
    home.close()


def test_a_folder_comes_over_once_with_counts_that_match(ctx, tracked):
    done = import_project(ctx, System.MLFLOW, "mlruns")
    assert done.there == done.here
    counted = (done.here.runs, done.here.points, done.here.artifacts, done.here.versions)
    assert (counted, done.already) == ((2, 4, 1, 1), 0)
    again = import_project(ctx, System.MLFLOW, "mlruns")
    assert (again.already, again.here.runs, again.here.points) == (2, 2, 0)
    with ctx.read() as tx:
        run, gone = runs.some(tx, ctx.project_id, [RUN, GONE])
        history = runs.metric_history(tx, ctx.project_id, RUN, "val/auc")
        artifacts = runs.find_artifacts(tx, ctx.project_id, RUN)
        (version,) = models.versions(tx, ctx.project_id, "Iris Model")
        model = models.get(tx, ctx.project_id, "Iris Model")
        number = experiments.named(tx, ctx.project_id, "iris").experiment_id
    assert (run.name, run.state, run.params) == ("it's", RunState.DONE, {"lr": "0.1"})
    assert [(point.step, point.value) for point in history] == [
        (0, 0.5),
        (1, None),
        (2, 1.7976931348623157e308),
    ]
    assert (gone.deleted_at is None, gone.metrics) == (False, {"loss": 2.5})
    assert [one.name for one in artifacts] == ["model/MLmodel"]
    assert version.source == f"mlflow-artifacts:/{number}/{RUN}/artifacts/model"
    assert (version.note, model.aliases) == ("the first, and best", {"champion": 3})


def test_what_is_no_source_is_told(ctx, tmp_path):
    with pytest.raises(NotFound, match=r"There is no .*mlruns"):
        import_project(ctx, System.MLFLOW, "mlruns")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no experiments"):
        import_project(ctx, System.MLFLOW, "empty")
    (tmp_path / "text.db").write_text("no database, " * 100)
    with pytest.raises(UsageError, match="no SQLite database"):
        import_project(ctx, System.MLFLOW, "sqlite:///text.db")


def test_scalars_of_a_meta_file_are_read(tmp_path):
    (tmp_path / "m").write_text("a: 'it''s'\nb: \"x\\ty\"\nc: null\nd: []\ne: 'one\n  two'\n")
    assert read_meta(tmp_path / "m") == {"a": "it's", "b": "x\ty", "e": "one two"}
