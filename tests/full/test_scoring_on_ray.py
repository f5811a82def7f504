"""A table scored on a real Ray cluster of two nodes says what scoring it here says."""

import polars as pl
import pytest
from tests.full.test_ray import added
from tests.serving_home import MODEL, add_version, constant_package, live, make_home, route

from thrive.domain.actor import local_actor
from thrive.domain.errors import InfrastructureError
from thrive.flows.order import EngineName
from thrive.flows.score import predictions_score
from thrive.operations import Context
from thrive.serving.sealing import seal_logs
from thrive.store.prediction_frames import predictions_between

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]
pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    made = Cluster()
    added(made, num_cpus=1, include_dashboard=False)
    added(made, num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def read(folder) -> pl.DataFrame:
    parts = [pl.read_parquet(path) for path in sorted(folder.glob("part-*.parquet"))]
    return pl.concat(parts).drop("prediction_id")


def test_a_cluster_answers_a_table_as_this_machine_does(cluster, tmp_path):
    home = make_home(tmp_path)
    route(home, live(add_version(home, constant_package(0.3, EWR=0.7, JFK=0.1))))
    ctx = Context(home, local_actor("ada"), folder=tmp_path, operation="predictions score")
    origins = [("EWR", "JFK", "LGA", None)[n % 4] for n in range(1000)]
    rows = {"flight_id": range(1000), "origin": origins, "wind": [1.0] * 1000}
    pl.DataFrame(rows).write_parquet(tmp_path / "in.parquet")
    here = predictions_score(ctx, MODEL, "in.parquet", tmp_path / "here", rows=90)
    there = predictions_score(
        ctx,
        MODEL,
        "in.parquet",
        tmp_path / "there",
        rows=90,
        engine=EngineName.RAY,
        address=cluster.address,
    )
    assert (there.rows, there.answered, there.refused, there.parts) == (1000, 1000, 0, 12)
    assert (here.answered, here.refused, here.parts) == (1000, 0, 12)
    assert read(tmp_path / "there").equals(read(tmp_path / "here"))
    (tmp_path / "there" / "part-00003.parquet").unlink()
    again = predictions_score(
        ctx,
        MODEL,
        "in.parquet",
        tmp_path / "there",
        rows=90,
        engine=EngineName.RAY,
        address=cluster.address,
    )
    assert (again.parts, again.resumed) == (12, 11)
    seal_logs(home, force=True)
    logged = predictions_between(home, 0, 1 << 53, MODEL)
    assert set(logged["variant"]) == {"batch"}
    home.close()


def test_without_a_cluster_it_says_so_and_writes_no_part(tmp_path):
    home = make_home(tmp_path)
    route(home, live(add_version(home, constant_package(0.3))))
    ctx = Context(home, local_actor("ada"), folder=tmp_path, operation="predictions score")
    with pytest.raises(InfrastructureError, match="no Ray cluster"):
        predictions_score(
            ctx,
            MODEL,
            "in.parquet",
            tmp_path / "out",
            engine=EngineName.RAY,
            address="127.0.0.1:1",
        )
    assert not (tmp_path / "out").exists()
    home.close()
