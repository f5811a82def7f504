"""Requests read straight from bytes: the same rows as the precise reader, or none."""

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from thrive.packaging.compiled import CompiledReader, columns_of_rows, row_predictor
from thrive.packaging.loader import load
from thrive.packaging.package import pack
from thrive.packaging.rows import InvalidRows, RowReader
from thrive.packaging.signature import Field, FieldKind, Output, OutputKind, Signature

SIGNATURE = Signature(
    inputs=(
        Field(name="origin", kind=FieldKind.CATEGORY),
        Field(name="wind", kind=FieldKind.NUMBER, nullable=True, required=False),
        Field(name="hour", kind=FieldKind.INTEGER),
        Field(name="wet", kind=FieldKind.BOOLEAN, nullable=True),
        Field(name="class", kind=FieldKind.CATEGORY, strict=True, categories=("a", "b")),
        Field(name="a b", kind=FieldKind.NUMBER, strict=True, low=0.0, high=9.0),
    ),
    output=Output(kind=OutputKind.NUMBER),
)
KEYS = ["flight_id", "origin"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["a", "b", "EWR", "", "\ud83d\ude00"]),
    st.lists(st.integers(), max_size=1),
)
NAMES = [*SIGNATURE.names, "flight_id", "other", "nobody"]


def good_row():
    return {"origin": "EWR", "wind": 1.5, "hour": 3, "wet": True, "class": "a", "a b": 2}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda changed, dropped: {
                name: value for name, value in (good_row() | changed).items() if name not in dropped
            },
            st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2),
            st.sets(st.sampled_from(NAMES), max_size=1),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_it_reads_what_the_precise_reader_reads_and_nothing_else(rows):
    quick = CompiledReader(SIGNATURE, KEYS, frozenset({"other"}))
    body = json.dumps({"rows": rows}).encode()
    rows = json.loads(body)["rows"]  # halves of one character have become one
    found = quick.native(body)
    inputs = [{k: v for k, v in row.items() if k not in {"flight_id", "other"}} for row in rows]
    try:
        precise = RowReader(SIGNATURE).read(inputs)
    except InvalidRows:
        assert found is None
        return
    extra = [value for row in rows for key, value in row.items() if key in {"flight_id", "other"}]
    if any(isinstance(value, list) for value in extra):
        assert found is None
        return
    assert found is not None
    for name, column in columns_of_rows(SIGNATURE, found.rows).items():
        assert column.dtype == precise[name].dtype
        np.testing.assert_array_equal(column, precise[name])
    assert found.keys == [(row.get("flight_id"), row["origin"]) for row in rows]
    assert quick.native(json.dumps(rows[0]).encode()) is not None


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"rows": []}', b'{"rows": 3}', b'{"rows": [[1]]}', b"\xff", b"[" * 10**5],
)
def test_what_is_no_request_is_left_to_the_precise_reader(body):
    assert CompiledReader(SIGNATURE).native(body) is None
    assert CompiledReader(SIGNATURE).mlflow(body) is None


def test_mlflow_forms_are_read_in_our_order_of_columns():
    quick = CompiledReader(SIGNATURE)
    row = list(good_row().values())
    split = {"columns": list(SIGNATURE.names), "data": [row, row]}
    found = quick.mlflow(json.dumps({"dataframe_split": split}).encode())
    assert found is not None
    assert found.rows == [("EWR", 1.5, 3.0, True, "a", 2.0)] * 2
    records = {"dataframe_records": [good_row()]}
    assert quick.mlflow(json.dumps(records).encode()).rows == found.rows[:1]
    turned = {"columns": list(SIGNATURE.names)[::-1], "data": [row[::-1]]}
    assert quick.mlflow(json.dumps({"dataframe_split": turned}).encode()) is None
    short = {"columns": list(SIGNATURE.names), "data": [row[:-1]]}
    assert quick.mlflow(json.dumps({"dataframe_split": short}).encode()) is None


def test_signatures_that_need_more_are_not_compiled():
    time = Signature(inputs=(Field(name="at", kind=FieldKind.TIME),), output=SIGNATURE.output)
    assert not CompiledReader.fits(time)
    number = Signature(inputs=(Field(name="x", kind=FieldKind.NUMBER),), output=SIGNATURE.output)
    assert CompiledReader.fits(number)
    assert not CompiledReader.fits(number, ["x"])  # a key is kept as it was sent: 5 is not 5.0
    assert not CompiledReader.fits(number, ["rows"])


def flights(count: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "origin": rng.choice(["EWR", "JFK", "LGA"], count),
            "wind": np.where(rng.random(count) < 0.1, np.nan, rng.normal(size=count)),
            "hour": rng.integers(0, 24, count),
        }
    ).with_columns(pl.col("wind").fill_nan(None))


MODELS = {
    "linear": make_pipeline(
        ColumnTransformer(
            [
                ("one", OneHotEncoder(handle_unknown="ignore"), ["origin"]),
                ("num", make_pipeline(SimpleImputer(), StandardScaler()), ["wind", "hour"]),
            ]
        ),
        LogisticRegression(),
    ),
    "trees": make_pipeline(
        ColumnTransformer(
            [
                (
                    "ord",
                    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                    ["origin"],
                )
            ],
            remainder="passthrough",
        ),
        HistGradientBoostingClassifier(max_iter=20),
    ),
    "skops": make_pipeline(
        ColumnTransformer(
            [
                ("one", OneHotEncoder(handle_unknown="ignore"), ["origin"]),
                ("num", SimpleImputer(), ["wind", "hour"]),
            ]
        ),
        RandomForestClassifier(n_estimators=5, random_state=0),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_rows_as_it_answers_columns(name):
    frame = flights()
    package = pack(MODELS[name].fit(frame, frame["hour"].to_numpy() > 12), frame, positive=True)
    assert package.manifest.model_format == name
    predictor = load(package.manifest, package.files)
    rows = [*frame.head(40).rows(), ("nowhere", None, 3), ("EWR", -math.inf, 99)]
    rows = [(a, b, float(c)) for a, b, c in rows if name != "skops" or b != -math.inf]
    expected = predictor.predict(columns_of_rows(predictor.signature, rows))
    together = row_predictor(predictor)(rows)
    alone = np.concatenate([row_predictor(predictor)([row]) for row in rows])
    np.testing.assert_allclose(together, expected, rtol=1e-13)
    np.testing.assert_allclose(alone, expected, rtol=1e-13)
