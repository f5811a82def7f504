import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrive.domain.errors import UsageError
from thrive.packaging.rows import InvalidRows, RowReader, validate_rows
from thrive.packaging.signature import Field, FieldKind, Output, OutputKind, Signature, row_schema

OUTPUT = Output(kind=OutputKind.NUMBER)


def signature(*fields: Field) -> Signature:
    return Signature(inputs=fields, output=OUTPUT)


FLIGHT = signature(
    Field(name="origin", kind=FieldKind.CATEGORY, nullable=True),
    Field(name="delay", kind=FieldKind.NUMBER, nullable=True),
    Field(name="hour", kind=FieldKind.INTEGER),
    Field(name="night", kind=FieldKind.BOOLEAN),
    Field(name="day", kind=FieldKind.TIME, required=False, nullable=True),
)
ROW = {"origin": "JFK", "delay": 1.5, "hour": 7, "night": True, "day": "2013-05-01T06:00:00Z"}


def test_rows_become_typed_columns():
    columns = validate_rows(FLIGHT, [ROW, {**ROW, "origin": None, "delay": None, "night": False}])
    assert columns["origin"].tolist() == ["JFK", None]
    np.testing.assert_array_equal(columns["delay"], [1.5, math.nan])
    assert columns["hour"].dtype == np.float64
    np.testing.assert_array_equal(columns["night"], [1.0, 0.0])
    assert columns["day"].dtype == "datetime64[us]"
    assert columns["day"][0] == np.datetime64("2013-05-01T06:00", "us")


def test_columns_are_read_like_rows():
    rows = [ROW, {**ROW, "hour": 9, "delay": None}]
    by_row = validate_rows(FLIGHT, rows)
    by_column = validate_rows(FLIGHT, {name: [row[name] for row in rows] for name in ROW})
    arrays = {name: np.array([row[name] for row in rows], dtype=object) for name in ROW}
    for name in ROW:
        np.testing.assert_array_equal(by_row[name], by_column[name])
        np.testing.assert_array_equal(by_row[name], validate_rows(FLIGHT, arrays)[name])


def test_an_optional_field_may_be_absent_and_times_may_be_numbers():
    without = {name: value for name, value in ROW.items() if name != "day"}
    columns = validate_rows(FLIGHT, [without, {**ROW, "day": 1_000_000}, {**ROW, "day": None}])
    assert np.isnat(columns["day"]).tolist() == [True, False, True]
    assert columns["day"][1] == np.datetime64("1970-01-01T00:00:01", "us")


@pytest.mark.parametrize(
    ("field", "value", "got"),
    [
        ("origin", 5, "5"),
        ("delay", "soon", 'the text "soon"'),
        ("delay", True, "true"),
        ("delay", [1.0], "a list"),
        ("delay", 10**400, "too large"),
        ("hour", 7.5, "7.5"),
        ("hour", 1e23, "1e+23"),
        ("hour", -(2**64), f"-{2**64}"),
        ("hour", None, "null"),
        ("hour", True, "true"),
        ("night", 1, "1"),
        ("night", "true", 'the text "true"'),
        ("day", "tomorrow", 'the text "tomorrow"'),
        ("day", 2**70, f"{2**70}"),
        ("day", {}, "an object"),
    ],
)
def test_a_wrong_value_is_named_with_its_row_and_field(field, value, got):
    with pytest.raises(InvalidRows) as caught:
        validate_rows(FLIGHT, [ROW, {**ROW, field: value}])
    problem = caught.value.problems[0]
    assert (problem.row, problem.field, problem.got) == (1, field, got)
    assert caught.value.details["total"] == 1
    assert field in str(caught.value)
    msgspec.json.encode(caught.value.details)


def test_absent_and_unknown_fields_are_both_told():
    renamed = {("Origin" if name == "origin" else name): value for name, value in ROW.items()}
    with pytest.raises(InvalidRows) as caught:
        validate_rows(FLIGHT, [renamed])
    assert [(p.field, p.got) for p in caught.value.problems] == [
        ("Origin", "unknown"),
        ("origin", "absent"),
    ]


def test_many_problems_are_counted_but_not_all_kept():
    with pytest.raises(InvalidRows) as caught:
        validate_rows(FLIGHT, [{**ROW, "hour": "x"}] * 500)
    assert caught.value.total == 500
    assert len(caught.value.problems) == 20
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "rows", [[], [ROW, 5], [ROW, None], {}, {"hour": 5}, {"hour": [], "delay": []}]
)
def test_what_is_no_table_is_refused(rows):
    with pytest.raises(UsageError):
        validate_rows(FLIGHT, rows)


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(UsageError, match="lengths"):
        validate_rows(FLIGHT, {"hour": [1, 2], "delay": [1.0]})


def test_strict_fields_refuse_what_training_did_not_show():
    strict = signature(
        Field(name="origin", kind=FieldKind.CATEGORY, strict=True, categories=("EWR", "JFK")),
        Field(name="delay", kind=FieldKind.NUMBER, strict=True, low=-10, high=10, nullable=True),
    )
    columns = validate_rows(strict, [{"origin": "JFK", "delay": None}])
    assert columns["origin"].tolist() == ["JFK"]
    with pytest.raises(InvalidRows) as caught:
        validate_rows(strict, [{"origin": "LGA", "delay": 11}, {"origin": "EWR", "delay": 10}])
    assert [(p.row, p.field) for p in caught.value.problems] == [(0, "origin"), (0, "delay")]
    assert caught.value.problems[1].expected == "a value from -10 to 10"


def test_a_reader_of_one_field():
    reader = RowReader(signature(Field(name="x", kind=FieldKind.NUMBER)))
    assert reader.read([{"x": 1}, {"x": 2.5}])["x"].tolist() == [1.0, 2.5]


def test_the_schema_of_a_row_says_the_same():
    strict = Field(name="band", kind=FieldKind.CATEGORY, strict=True, categories=("a", "b"))
    schema = row_schema(signature(*FLIGHT.inputs, strict))
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["origin", "delay", "hour", "night", "band"]
    assert schema["properties"]["delay"] == {"type": ["number", "null"]}
    assert schema["properties"]["hour"] == {"type": "integer"}
    assert schema["properties"]["day"]["format"] == "date-time"
    assert schema["properties"]["band"]["enum"] == ["a", "b"]
    msgspec.json.encode(schema)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from([*ROW, "other"])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.dictionaries(NAMES, JSON), max_size=3)
    | st.dictionaries(NAMES, JSON)
    | st.lists(JSON)
)
def test_whatever_is_sent_is_read_or_told(rows):
    try:
        columns = validate_rows(FLIGHT, rows)
    except UsageError:
        return
    assert len({len(column) for column in columns.values()}) == 1
