"""Rows completed from feature views: what is sent wins, what is missing says so, and refusals."""

from datetime import UTC, datetime

import msgspec
import polars as pl
import pytest

from thrive.domain.errors import NotFound, UnsafeModel, UsageError
from thrive.domain.features import FeatureColumn, FeatureSpec, OnDemandDefinition, SpecView
from thrive.packaging.expressions import pack_expression
from thrive.packaging.rows import InvalidRows
from thrive.packaging.signature import Field, FieldKind, Output, OutputKind, Signature
from thrive.serving.assemble import FeaturesMissing, RowAssembler
from thrive.serving.views import ViewReader
from thrive.store.online import OnlineTable, SqliteOnline

HOUR = 3_600_000_000
NOW = 1_700_000_000_000_000
WEATHER = SpecView(
    name="weather",
    digest="a" * 64,
    keys=[FeatureColumn(name="origin", dtype="String")],
    columns=[
        FeatureColumn(name="temp", dtype="Float64"),
        FeatureColumn(name="wet", dtype="Boolean"),
    ],
    ttl=2 * HOUR,
)


def computed(name, expression, **types):
    inputs = [FeatureColumn(name=field, dtype=dtype) for field, dtype in types.items()]
    text = pack_expression(expression, name)
    return OnDemandDefinition(name=name, inputs=inputs, expression=text, polars=pl.__version__)


MINUTE = computed("minute", pl.col("hhmm") // 100 * 60 + pl.col("hhmm") % 100, hhmm="Int64")
HOT = computed("hot", pl.col("temp") > 30, temp="Float64")
WEEKDAY = computed(
    "weekday",
    pl.col("when").dt.weekday().cast(pl.Int64),
    when="Datetime(time_unit='us', time_zone='UTC')",
)
SIGNATURE = Signature(
    inputs=(
        Field(name="temp", kind=FieldKind.NUMBER, nullable=True),
        Field(name="wet", kind=FieldKind.BOOLEAN, nullable=True),
        Field(name="minute", kind=FieldKind.NUMBER),
    ),
    output=Output(kind=OutputKind.PROBABILITY, classes=(False, True), positive=True),
)


@pytest.fixture
def store(tmp_path):
    made = SqliteOnline(tmp_path / "online" / "features.db")
    table = OnlineTable(digest=WEATHER.digest, keys=WEATHER.keys, columns=WEATHER.columns)
    rows = {
        "origin": ["JFK", "LGA"],
        "temp": [35.5, 1.0],
        "wet": [True, False],
        "_at": [NOW - HOUR, NOW - 3 * HOUR],
    }
    made.publish(table, pl.DataFrame(rows))
    return made


def reader_of(store, *on_demand):
    return ViewReader(FeatureSpec(views=[WEATHER], on_demand=list(on_demand)), store)


def test_a_caller_sends_keys_and_the_views_give_the_rest(store):
    assembler = RowAssembler(SIGNATURE, ["flight"], views=reader_of(store, MINUTE, HOT))
    rows = [
        {"flight": 1, "origin": "JFK", "hhmm": 615},
        {"flight": 2, "origin": "LGA", "hhmm": 1200},
        {"flight": 3, "origin": "XXX", "hhmm": 5},
        {"flight": 4, "hhmm": 2359, "temp": 7.0},
    ]
    read = assembler.read(rows, NOW)
    assert read.columns["minute"].tolist() == [375, 720, 5, 1439]
    assert str(read.columns["temp"].tolist()) == "[35.5, nan, nan, 7.0]"
    assert read.status == {"weather": ["present", "stale", "missing", "missing"]}
    assert read.keys["feature_status.weather"] == read.status["weather"]
    assert read.keys["origin"] == ["JFK", "LGA", "XXX", None]
    assert read.keys["hhmm"] == [615, 1200, 5, 2359]
    assert read.inputs[0] == {"temp": 35.5, "wet": True, "minute": 375}
    assert rows[0] == {"flight": 1, "origin": "JFK", "hhmm": 615}, "a request is left as it came"


def test_a_value_the_model_needs_and_no_view_has_is_nobodys_wrong_request(store):
    inputs = (Field(name="temp", kind=FieldKind.NUMBER),)
    strict = msgspec.structs.replace(SIGNATURE, inputs=inputs)
    assembler = RowAssembler(strict, [], views=reader_of(store))
    assert assembler.read([{"origin": "JFK"}], NOW).columns["temp"].tolist() == [35.5]
    with pytest.raises(FeaturesMissing, match="View weather has no value") as raised:
        assembler.read([{"origin": "LGA"}], NOW)
    assert raised.value.assembled.keys["feature_status.weather"] == ["stale"]
    assert raised.value.assembled.status == {"weather": ["stale"]}
    with pytest.raises(InvalidRows, match="'nobody' is unknown"):
        assembler.read([{"origin": "JFK", "nobody": 1}], NOW)
    with pytest.raises(InvalidRows, match="'origin' is a list"):
        assembler.read([{"origin": ["JFK"]}], NOW)


@pytest.mark.parametrize(
    ("origin", "told"), [(2**60, str(2**60)), (True, "true"), (1.5, "1.5"), (0, "0")]
)
def test_an_entity_of_another_type_is_refused_as_any_other_field_is(store, origin, told):
    assembler = RowAssembler(SIGNATURE, [], views=reader_of(store, MINUTE))
    with pytest.raises(InvalidRows) as refused:
        assembler.read([{"origin": "JFK", "hhmm": 1}, {"origin": origin, "hhmm": 1}], NOW)
    (problem,) = refused.value.problems
    assert (problem.row, problem.field, problem.got) == (1, "origin", told)
    assert problem.expected == "a string"


def test_an_entity_that_is_an_integer_is_no_text_but_may_have_a_decimal_point(tmp_path):
    by_branch = msgspec.structs.replace(
        WEATHER, digest="b" * 64, keys=[FeatureColumn(name="branch", dtype="Int64")]
    )
    store = SqliteOnline(tmp_path / "features.db")
    table = OnlineTable(digest=by_branch.digest, keys=by_branch.keys, columns=by_branch.columns)
    rows = {"branch": [7], "temp": [1.5], "wet": [True], "_at": [NOW]}
    store.publish(table, pl.DataFrame(rows))
    reader = ViewReader(FeatureSpec(views=[by_branch], on_demand=[]), store)
    found, _ = reader.complete([{"branch": 7}, {"branch": 7.0}, {"branch": None}], NOW)
    assert [row.get("temp") for row in found] == [1.5, 1.5, None]
    with pytest.raises(InvalidRows, match='the text "x", expected an integer'):
        reader.complete([{"branch": "x"}], NOW)


@pytest.mark.parametrize("origin", ["\ud800", "'; drop table x", ""])
def test_odd_keys_find_nothing(store, origin):
    _, status = reader_of(store).complete([{"origin": origin}], NOW)
    assert status == {"weather": ["missing"]}
    _, many = reader_of(store).complete([{"origin": origin}, {"origin": "JFK"}], NOW)
    assert many["weather"][0] == "missing"


def test_times_of_requests_are_read_as_in_training(store):
    reader = reader_of(store, WEEKDAY)
    sunday = datetime(2024, 3, 31, 23, tzinfo=UTC)
    sent = ["2024-03-31T23:00:00Z", "2024-04-01T01:00:00+02:00", int(sunday.timestamp() * 1e6)]
    rows, _ = reader.complete([{"origin": "JFK", "when": each} for each in sent], NOW)
    assert [row["weekday"] for row in rows] == [7, 7, 7]
    with pytest.raises(UsageError, match="weekday cannot be computed from when"):
        reader.complete([{"origin": "JFK", "when": "soon"}], NOW)


def test_another_version_of_a_view_is_refused(store):
    other = msgspec.structs.replace(WEATHER, digest="b" * 64)
    with pytest.raises(NotFound, match="holds no view bbbbbbbbbbbb"):
        ViewReader(FeatureSpec(views=[other]), store)
    forged = msgspec.structs.replace(MINUTE, expression='{"AnonymousFunction": {"input": []}}')
    with pytest.raises(UnsafeModel, match="AnonymousFunction"):
        reader_of(store, forged)
