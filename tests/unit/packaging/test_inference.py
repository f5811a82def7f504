from datetime import UTC, date, datetime

import msgspec
import numpy as np
import polars as pl
import pytest

from thrive.domain.errors import UsageError
from thrive.packaging.inference import columns_of, infer_signature
from thrive.packaging.rows import validate_rows
from thrive.packaging.signature import FieldKind, Output, OutputKind, Signature

OUTPUT = Output(kind=OutputKind.PROBABILITY, classes=(False, True), positive=True, threshold=0.5)
FRAME = pl.DataFrame(
    {
        "number": [1.5, None, float("nan"), 4.0],
        "integer": [1, 2, 3, 4],
        "boolean": [True, None, False, True],
        "category": ["b", "a", None, "b"],
        "day": [date(2013, 1, 1)] * 4,
        "moment": [datetime(2013, 1, 1, 6, tzinfo=UTC)] * 4,
    }
).with_columns(pl.col("category").cast(pl.Categorical).alias("encoded"))


def test_each_type_has_its_kind():
    inputs = {field.name: field for field in infer_signature(FRAME, OUTPUT).inputs}
    assert {name: field.kind.value for name, field in inputs.items()} == {
        "number": "number",
        "integer": "integer",
        "boolean": "boolean",
        "category": "category",
        "day": "time",
        "moment": "time",
        "encoded": "category",
    }
    assert [name for name, field in inputs.items() if field.nullable] == [
        "number",
        "boolean",
        "category",
        "encoded",
    ]
    assert (inputs["number"].low, inputs["number"].high) == (1.5, 4.0)
    assert inputs["encoded"].categories == ("a", "b")


def test_many_different_strings_are_a_text():
    frame = pl.DataFrame({"note": [f"note {i}" for i in range(1001)]})
    field = infer_signature(frame, OUTPUT).inputs[0]
    assert (field.kind, field.categories) == (FieldKind.TEXT, ())


def test_a_signature_survives_json_and_reads_its_own_example():
    signature = infer_signature(FRAME, OUTPUT)
    again = msgspec.json.decode(msgspec.json.encode(signature), type=Signature)
    assert again == signature
    rows = msgspec.json.decode(msgspec.json.encode(again.example))
    columns = validate_rows(again, rows)
    expected = columns_of(signature, FRAME.head(len(rows)))
    for name in signature.names:
        np.testing.assert_array_equal(columns[name], expected[name])


def test_types_without_a_kind_and_absent_columns_are_told():
    with pytest.raises(UsageError, match="'pair' has type List"):
        infer_signature(pl.DataFrame({"pair": [[1, 2]]}), OUTPUT)
    with pytest.raises(UsageError, match="no column 'number'"):
        columns_of(infer_signature(FRAME, OUTPUT), FRAME.drop("number"))
