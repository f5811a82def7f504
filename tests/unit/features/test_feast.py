"""Definitions of a Feast repository: what maps becomes code that runs, the rest is named."""

import polars as pl
import pytest

from thrive.data import operations as data
from thrive.domain.errors import Conflict, NotFound, UsageError
from thrive.features.operations import import_feast
from thrive.flows.features import get, materialize

REPOSITORY = '''
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource
from feast import KafkaSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, Map
raise SystemExit("never run")

store = Entity(name="store", join_keys=["store_id"])
sales_file = FileSource(name="Sales file", path="data/sales.parquet", timestamp_field="at",
                        created_timestamp_column="made",
                        field_mapping={"amt": "amount"})
pushed = PushSource(name="pushed", batch_source=sales_file)
sales = FeatureView(
    name="store-sales", entities=[store], ttl=timedelta(hours=36), source=pushed, online=True,
    schema=[Field(name="store_id", dtype=Int64), Field(name="amount", dtype=Float64),
            Field(name="extra", dtype=Map)],
    owner="sales-team", description="What a store sold.", tags={"tier": "1"},
)
summed = BatchFeatureView(name="summed", entities=[store], source=sales_file, aggregations=[x])
changed = BatchFeatureView(name="changed", entities=[store], source=sales_file, udf=shift)
alone = FeatureView(name="alone", entities=[], source=sales_file)
stream = FeatureView(name="stream", entities=["store"], source=KafkaSource(name="k"))
asked = RequestSource(name="asked", schema=[Field(name="limit", dtype=Int64)])

@on_demand_feature_view(sources=[sales, asked], schema=[Field(name="over", dtype=Float64)])
def over_limit(inputs):
    """Doc."""
    out = pd.DataFrame()
    out["over"] = (inputs["amount"] - inputs["limit"]) / 2
    out["above"] = inputs["amount"] > inputs["limit"]
    return out

@on_demand_feature_view(sources=[sales], schema=[Field(name="word", dtype=Float64)])
def words(inputs):
    out = pd.DataFrame()
    out["word"] = inputs["amount"].apply(lambda amount: amount)
    return out

@stream_feature_view(source=pushed)
def streamed(frame):
    return frame

service = FeatureService(name="v1", features=[sales[["amount"]], over_limit, words])
'''


@pytest.fixture
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feast")
    (folder / "definitions.py").write_text(REPOSITORY)
    return folder


@pytest.fixture
def imported(project, repository):
    (project.folder / "features.py").unlink()
    return {line.feast: line for line in import_feast(project, str(repository))}


def test_what_maps_gives_the_values_of_its_source(project, imported):
    assert imported["FeatureView store-sales"].became == "@feature_view store_sales"
    note = imported["FeatureView store-sales"].note
    assert "thrive data add data/sales.parquet --name sales-file" in note
    assert "with the latest made holds" in note
    assert "left out, as no feature is nested: extra" in note
    assert "not taken over: tags" in note
    rows = pl.DataFrame({"store_id": [1, 1, 1], "amt": [5.0, 7.0, 6.0], "made": [1, 3, 2]})
    times = pl.Series(["2024-05-01T09:00", "2024-05-01T11:00", "2024-05-01T11:00"])
    times = times.str.to_datetime(time_zone="UTC")
    rows.with_columns(at=times).write_parquet(project.folder / "sales.parquet")
    data.add(project, "sales.parquet", name="sales-file", owner="sales-team", why="a test")
    materialize(project)
    assert get(project, key=["store_id=1"]).values == {"amount": 7.0}


def test_the_file_says_what_the_repository_said(project, imported):
    text = (project.folder / "features.py").read_text()
    assert 'ttl="36 h"' in text
    assert 'owner="sales-team"' in text
    assert 'why="What a store sold."' in text
    assert (
        "def over(amount: pl.Expr, limit: pl.Expr) -> pl.Expr:\n    return (amount - limit)" in text
    )
    assert imported["on_demand_feature_view over_limit"].became == "@on_demand over, above"
    assert imported["FeatureService v1"].became == 'features = ["store_sales", "over", "above"]'


def test_what_does_not_map_is_named_with_the_reason(imported):
    reasons = {line.feast: line.note for line in imported.values() if not line.became}
    assert "no entity" in reasons["FeatureView alone"]
    assert "not written out" in reasons["FeatureView stream"]
    assert "rewrite it" in reasons["on_demand_feature_view words"]
    assert "another engine" in reasons["feature view streamed"]
    assert "another engine" in reasons["BatchFeatureView changed"]
    assert "windowed" in reasons["BatchFeatureView summed"]


def test_wrong_words_are_answered(project, repository, tmp_path_factory):
    with pytest.raises(Conflict, match=r"features\.py is there already"):
        import_feast(project, str(repository))
    import_feast(project, str(repository), to="../outside.py")
    assert (project.folder / "outside.py").exists(), "a name never leads out of the folder"
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(NotFound, match="holds no Python file"):
        import_feast(project, str(empty))
    (empty / "a.py").write_text("x = 1")
    with pytest.raises(NotFound, match="defines no feature view"):
        import_feast(project, str(empty), to="b.py")
    (empty / "a.py").write_text("x = ")
    with pytest.raises(UsageError, match="mend it"):
        import_feast(project, str(empty), to="b.py")
