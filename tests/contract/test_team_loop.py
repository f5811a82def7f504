"""From data to a judged version in a team's home: PostgreSQL and a bucket, two hosts."""

import polars as pl
import pytest
from tests.contract import nouns

from thrive.data import operations as data
from thrive.data.reading import scan_version
from thrive.domain.actor import local_actor
from thrive.domain.clock import ClockMode
from thrive.domain.errors import Conflict, StoreUnavailable, UsageError
from thrive.flows.doctor import doctor
from thrive.flows.gating import run as judge
from thrive.flows.project import init
from thrive.flows.train import train
from thrive.flows.workspace import DeferredHome
from thrive.operations import Context
from thrive.store import audit, datasets, models
from thrive.store.blobs import ObjectBlobs
from thrive.store.home import open_home
from thrive.store.place import FOLDER
from thrive.store.snapshots.manifest import read_snapshot

CONTRACT = """\
contract = 1
[project]
name = "delay"
[data.rows]
source = "rows.parquet"
owner = "data"
[model.delay]
target = { column = "late", positive = true, threshold = 0.4 }
owner = "ml"
purpose = "delay: tell the desk which flights will be late"
entity = ["flight_id"]
"""
PIPELINE = """\
import polars as pl
from sklearn.linear_model import LogisticRegression
from thrive import data, log, pipeline, register, step

@step
def clean(rows: pl.DataFrame) -> pl.DataFrame:
    print(rows.height, "rows are here")
    return rows.filter(pl.col("a").is_not_null())

@step
def fit(rows: pl.DataFrame) -> LogisticRegression:
    return LogisticRegression().fit(rows.select("a", "b").to_numpy(), rows["late"])

@pipeline
def train(seed: int = 3):
    rows = clean(data.load("rows"))
    model = fit(rows.head(1500))
    log(rows=rows.height)
    register(model, "delay", features=["a", "b"], evaluation=rows.tail(500), time="at")
"""


def context_in(folder) -> Context:
    folder.mkdir(exist_ok=True)
    (folder / "thrive.toml").write_text(CONTRACT)
    (folder / "train.py").write_text(PIPELINE)
    return Context(DeferredHome(folder), local_actor("ada"), folder=folder, operation="test")


def write_rows(folder) -> None:
    count = range(2000)
    pl.DataFrame(
        {
            "flight_id": [f"f{n}" for n in count],
            "a": [(n * 37 % 101) / 50 - 1 for n in count],
            "b": [(n * 53 % 97) / 48 - 1 for n in count],
            "at": [1_000_000 * n for n in count],
            "late": [n * 37 % 101 + n * 53 % 97 > 98 for n in count],
        }
    ).write_parquet(folder / "rows.parquet")


@pytest.fixture
def ada(tmp_path, database_url, bucket):
    """The first host of a team, its home begun."""
    context = context_in(tmp_path / "ada")
    write_rows(tmp_path / "ada")
    init(context, database=database_url, objects=bucket)
    yield context
    context.home.close()


def test_a_run_on_one_host_is_judged_on_another(ada, tmp_path, database_url, bucket):
    assert context_in(tmp_path / "ada").home.object_endpoint(), "known before anything is opened"
    data.add(ada, "rows.parquet", name="rows")
    done = train(ada, "train.py")
    assert done.state.value == "done"

    grace = context_in(tmp_path / "grace")
    joined = init(grace, database=database_url, objects=bucket)
    assert joined.project == "delay"
    verdict = judge(grace, "delay@1")
    assert verdict.version == 1

    home = open_home(tmp_path / "grace")
    assert isinstance(home.blobs, ObjectBlobs)
    assert home.project_id == ada.project_id
    with home.read() as tx:
        version = models.get_version(tx, home.project_id, "delay")
        rows = datasets.get_version(tx, home.project_id, "rows")
        assert audit.first_broken(tx, home.project_id) is None
    assert home.blobs.cache.has(version.evaluation)
    file_of_rows = read_snapshot(home.blobs, rows.listed_in).digests[0].hex()
    assert not home.blobs.cache.has(file_of_rows)
    assert scan_version(rows, home.blobs).collect().height == 2000
    assert home.blobs.cache.has(file_of_rows)
    assert home.blobs.local_path(version.package).is_relative_to(tmp_path / "grace" / FOLDER)
    found = {finding.question: finding for finding in doctor(ada).findings}
    assert {each.health.value for each in found.values()} <= {"ok", "warning"}
    assert found["database"].found.startswith("PostgreSQL ")
    assert "what was just written" in found["object store"].found
    assert "writers' lock" not in found, "a team's writers take no lock of a folder"
    home.close()
    grace.home.close()


def test_what_a_step_kept_is_in_the_bucket_before_it_is_recorded(ada, monkeypatch):
    data.add(ada, "rows.parquet", name="rows")

    def gone(self, *digests):
        raise StoreUnavailable("the bucket does not answer", "try again")

    monkeypatch.setattr(ObjectBlobs, "admit", gone)
    with pytest.raises(StoreUnavailable):
        train(ada, "train.py")
    with ada.read() as tx:
        assert models.find(tx, ada.project_id) == []


def test_a_database_and_a_place_for_files_go_together(tmp_path, database_url):
    context = context_in(tmp_path / "half")
    with pytest.raises(UsageError, match="go together"):
        init(context, database=database_url)
    with pytest.raises(StoreUnavailable):
        init(context, database="postgresql://a@127.0.0.1:1/b", objects=str(tmp_path / "objects"))
    init(context, database=database_url, objects=str(tmp_path / "objects"))
    with pytest.raises(Conflict, match="a project already"):
        init(context, database=database_url, objects=str(tmp_path / "objects"))
    assert context.home.clock().mode is ClockMode.REAL
    assert context.home.blobs.get(context.home.blobs.put(b"x")) == b"x"
    assert nouns.digest_of("y") not in set(context.home.blobs.digests())
    context.home.close()
