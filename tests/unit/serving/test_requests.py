"""From a request's rows to a record and its table: drawing, assembling, answering, decoding."""

import json
import time
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2_contingency, chisquare
from scipy.stats.contingency import crosstab

from thrive.packaging.rows import InvalidRows
from thrive.packaging.signature import Field, FieldKind, Output, OutputKind, Signature
from thrive.serving.answers import NotANumber, read_answer, read_fallback
from thrive.serving.asgi import HttpError
from thrive.serving.assemble import RowAssembler
from thrive.serving.assignment import drawn, position
from thrive.serving.bodies import decode_rows, mlflow_rows, native_rows
from thrive.serving.inference_v2 import read_request
from thrive.serving.records import ROWS, Logged, RowsEncoder, decode, encode, read
from thrive.serving.routes import ServedModel
from thrive.serving.tensors import to_bytes
from thrive.store.eventlog.reader import Record

SIGNATURE = Signature(
    inputs=(
        Field(name="origin", kind=FieldKind.CATEGORY),
        Field(name="wind", kind=FieldKind.NUMBER, nullable=True, required=False),
        Field(name="at", kind=FieldKind.TIME, nullable=True),
        Field(name="wet", kind=FieldKind.BOOLEAN, nullable=True),
    ),
    output=Output(kind=OutputKind.PROBABILITY, classes=(False, True), positive=True),
)
ROW = {"origin": "EWR", "wind": 2, "at": "2013-05-01", "wet": True}


def test_shares_of_a_hundred_thousand_keys_are_exact_and_grow_one_way():
    keys = [f"f{n}" for n in range(100_000)]
    places, others = (
        np.array([position(salt, key) for key in keys]) for salt in ("salt", "other salt")
    )
    assert chisquare(np.bincount(places // 100, minlength=100)).pvalue > 0.001
    for share in (0.01, 0.05, 0.5):
        members = int((places < share * 10_000).sum())
        expected = [100_000 * share, 100_000 * (1 - share)]
        assert chisquare([members, 100_000 - members], expected).pvalue > 0.001
    table = crosstab(places < 500, others < 500).count
    assert chi2_contingency(table).pvalue > 0.001  # one experiment's users say nothing of another's
    for key, place in zip(keys[:500], places, strict=False):
        below = [share for share in (0.0, 0.01, 0.05, 0.5, 1.0) if drawn("salt", key, share)]
        assert below == [share for share in (0.01, 0.05, 0.5, 1.0) if place < share * 10_000]


def test_rows_are_split_into_inputs_and_keys():
    assembler = RowAssembler(SIGNATURE, ["flight_id", "origin"], frozenset({"new_input"}))
    rows = [{**ROW, "flight_id": 7, "new_input": 1}, {**ROW, "wind": None, "at": None}]
    read = assembler.read(rows)
    assert read.keys == {"flight_id": [7, None], "origin": ["EWR", "EWR"]}
    assert read.columns["wind"][0] == 2.0
    assert np.isnan(read.columns["wind"][1])
    assert rows[0]["flight_id"] == 7
    logged = read.logged(frozenset({"wind"}))
    assert logged == {
        "origin": ["EWR", "EWR"],
        "at": [1367366400000000, None],
        "wet": [True, True],
    }


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**ROW, "flight_id": {"a": 1}}, "'flight_id' is an object"),
        ({**ROW, "flight_id": 1 << 63}, "'flight_id' is 9223372036854775808, expected one plain"),
        ({**ROW, "at": "0001-01-01T00:00:00+14:00"}, "'at' is the text \"0001"),
        ({**ROW, "nobody": 1}, "'nobody' is unknown"),
        ({**ROW, "wet": "yes"}, "'wet' is the text \"yes\""),
        ({k: v for k, v in ROW.items() if k != "origin"}, "'origin' is absent"),
    ],
)
def test_a_wrong_row_names_its_field(row, words):
    assembler = RowAssembler(SIGNATURE, ["flight_id"])
    with pytest.raises(InvalidRows, match=words):
        assembler.read([ROW, row])


def test_answers_by_kind_of_output():
    probability = SIGNATURE.output
    assert read_answer(probability, 0.5, np.array([0.5, 0.4])) == ([0.5, 0.4], [True, False])
    vector = Output(kind=OutputKind.VECTOR, classes=("a", "b", "c"))
    raw = np.array([[0.1, 0.7, 0.2]])
    assert read_answer(vector, 0.5, raw) == ([0.7], ["b"])
    number = Output(kind=OutputKind.NUMBER)
    assert read_answer(number, 0.5, np.array([3])) == ([3.0], [None])
    named = Output(kind=OutputKind.CLASS, classes=("a", "b"))
    assert read_answer(named, 0.5, np.array(["b"], dtype=object)) == ([None], ["b"])
    for wrong in (np.nan, np.inf):
        with pytest.raises(NotANumber):
            read_answer(probability, 0.5, np.array([0.1, wrong]))
    assert read_fallback([0.2, 0.7], 0.5) == ([0.2, 0.7], [False, True])
    assert read_fallback(["ask", 0.5], 0.5) == ([None, 0.5], ["ask", True])


def test_bodies_of_both_kinds():
    assert native_rows({"rows": [ROW]}) == [ROW] == native_rows(ROW)
    assert mlflow_rows({"instances": {"a": [1, 2], "b": [3, 4]}}) == [
        {"a": 1, "b": 3},
        {"a": 2, "b": 4},
    ]
    assert mlflow_rows({"inputs": {"a": 1}}) == [{"a": 1}]
    assert mlflow_rows({"dataframe_records": [ROW], "params": {}}) == [ROW]
    for wrong in ({"instances": {"a": [1, 2], "b": [3]}}, {"instances": 3}, {}, [1]):
        with pytest.raises(HttpError) as refused:
            mlflow_rows(wrong)
        assert refused.value.status == 422


def record(number, logged):
    return Record(
        kind=1, time_us=logged.t, id=f"{number:028x}0000", payload=encode(logged), rows=logged.n
    )


def test_records_of_many_shapes_become_one_table():
    made = [
        Logged(
            m="delay",
            v=1,
            a="production",
            t=20,
            n=2,
            x={"wind": [1.0, float("nan")], "origin": ["EWR", None]},
            k={"flight_id": ["a", "b"]},
            y=[0.1, 0.9],
            d=[False, True],
            us=5,
        ),
        Logged(m="delay", v=2, a="candidate", t=10, n=2, e="timeout", p="f" * 28 + "0000"),
        Logged(m="price", v=3, a="production", t=30, n=1, x={"rooms": [3]}, y=[1e9], d=[None]),
        Logged(m="kind", v=1, a="production", t=40, n=1, k={"flight_id": [7]}, y=[None], d=["b"]),
    ]
    frame = decode([record(n, each) for n, each in enumerate(made)])
    assert frame["time"].to_list() == [10, 10, 20, 20, 30, 40]
    assert frame["decision"].to_list() == [None, None, "false", "true", None, "b"]
    assert frame["score"].to_list() == [None, None, 0.1, 0.9, 1e9, None]
    assert frame["live_id"][:3].to_list() == ["f" * 28 + "0000", "f" * 28 + "0001", None]
    assert frame["x.wind"].to_list() == [None, None, 1.0, None, None, None]
    assert frame["k.flight_id"].to_list() == [None, None, "a", "b", None, "7"]
    assert frame["prediction_id"][2:4].to_list() == ["0" * 32, "0" * 31 + "1"]
    assert frame.schema["version"] == pl.Int64
    assert decode([]).columns == frame.columns[:11]


def test_a_record_of_plain_rows_says_what_the_record_by_names_says():
    rows, keys = [(1.5, "EWR"), (None, "JFK")], [("f1", True), ("f2", None)]
    names, key_names = ("wind", "origin"), ("flight_id", "cargo")
    named = Logged(
        m="delay",
        v=3,
        a="production",
        t=20,
        n=2,
        x={"wind": [1.5, None]},
        k={"flight_id": ["f1", "f2"]},
        y=[0.1, float("nan")],
        d=[False, True],
        us=5,
        c="ab",
    )
    mask = frozenset({"origin", "cargo"})
    encoder = RowsEncoder("delay", 3, "production", names, key_names, mask)
    payload = encoder.encode(20, 5, rows, keys, named.y, named.d, "ab")
    plain = Record(kind=ROWS, time_us=20, id=f"{0:032x}", payload=payload, rows=2)
    assert str(read(plain)) == str(named)
    assert decode([plain]).equals(decode([record(0, named)]))
    assert b"EWR" not in payload
    assert decode([plain, record(1, named)])["version"].to_list() == [3, 3, 3, 3]


def test_mixed_values_of_one_field_become_text():
    made = [
        Logged(m="m", v=1, a="production", t=1, n=1, k={"id": [value]}, y=[0.0])
        for value in (1, "a", None, 2.5, True)
    ]
    frame = decode([record(n, each) for n, each in enumerate(made)])
    assert frame["k.id"].to_list() == ["1", "a", None, "2.5", "True"]


def test_decoding_keeps_up_with_a_busy_server():
    payload = encode(
        Logged(
            m="delay",
            v=1,
            a="production",
            t=1,
            n=1,
            x={f"f{n}": [float(n)] for n in range(20)},
            k={"id": ["f1"]},
            y=[0.5],
            d=[True],
        )
    )
    many = [Record(kind=1, time_us=1, id=f"{n:028x}0000", payload=payload) for n in range(20_000)]
    began = time.process_time()
    frame = decode(many)
    took = time.process_time() - began
    assert frame.height == 20_000
    assert took < 2.0, f"{20_000 / took:,.0f} single-row records/s"


def numbers_live():
    """A live model of two numbers, for forms that need nothing else of it."""
    fields = (
        Field(name="wind", kind=FieldKind.NUMBER, nullable=True),
        Field(name="hour", kind=FieldKind.INTEGER),
    )
    output = Output(kind=OutputKind.PROBABILITY, classes=(False, True), positive=True)
    signature = Signature(inputs=fields, output=output)
    served = ServedModel(model="delay", revision=1, variants=[], entity=["flight_id"])
    return SimpleNamespace(signature=signature, served=served, production=None, candidates=[])


def tensor(name, shape, datatype, **more):
    return {"name": name, "shape": shape, "datatype": datatype, **more}


def test_tensors_by_name_or_as_one_matrix_in_json_or_bytes_are_the_same_rows():
    live = numbers_live()
    wanted = [{"wind": 1.5, "hour": 3}, {"wind": None, "hour": 4}]
    winds = tensor("wind", [2, 1], "FP64", data=[[1.5], [None]])
    hours = tensor("hour", [2], "INT64", data=[3, 4])
    body = json.dumps({"inputs": [winds, hours]}).encode()
    assert read_request(body, {}, live)[1] == wanted
    matrix = tensor("input-0", [2, 2], "FP64", data=[1.5, 3, None, 4])
    assert read_request(json.dumps({"inputs": [matrix]}).encode(), {}, live)[1] == wanted
    raw = np.array([1.5, np.nan]).tobytes(), np.array([3, 4], dtype="<i8").tobytes()
    head = json.dumps(
        {
            "inputs": [
                tensor("wind", [2], "FP64", parameters={"binary_data_size": 16}),
                tensor("hour", [2], "INT64", parameters={"binary_data_size": 16}),
            ]
        }
    ).encode()
    headers = {b"inference-header-content-length": b"%d" % len(head)}
    assert read_request(head + raw[0] + raw[1], headers, live)[1] == wanted
    texts = tensor("flight_id", [2], "BYTES", parameters={"binary_data_size": 12})
    head = json.dumps({"inputs": [texts]}).encode()
    headers = {b"inference-header-content-length": b"%d" % len(head)}
    packed = to_bytes("BYTES", ["f1", "\u00e9"])
    assert read_request(head + packed, headers, live)[1] == [
        {"flight_id": "f1"},
        {"flight_id": "\u00e9"},
    ]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (tensor("wind", [2], "FP64", data=[1.0]), "has 1 values"),
        (tensor("wind", [-1], "FP64", data=[1.0]), "shape"),
        (tensor("wind", [1], "FP64", parameters={"binary_data_size": 99}), "99 bytes"),
        (tensor("wind", [1], "FP64", parameters={"binary_data_size": 3}), "3 bytes of FP64"),
        (tensor("wind", [1], "FP7", parameters={"binary_data_size": 8}), "FP7"),
        (tensor("hour", [1], "BYTES", parameters={"binary_data_size": 8}), "ends within a text"),
        (tensor("other", [1, 3], "FP64", data=[1, 2, 3]), "expected"),
    ],
)
def test_tensors_that_are_none_are_refused_in_words(wrong, words):
    head = json.dumps({"inputs": [wrong]}).encode()
    headers = {b"inference-header-content-length": b"%d" % len(head)}
    with pytest.raises(HttpError, match=words) as caught:
        read_request(head + b"\xff" * 8, headers, numbers_live())
    assert caught.value.status == 422


def test_a_csv_body_is_rows():
    body = b"origin,wind,wet\nEWR,1.5,true\nLGA,,False\n"
    found = mlflow_rows(decode_rows(body, {b"content-type": b"text/csv; charset=utf-8"}))
    assert found == [
        {"origin": "EWR", "wind": 1.5, "wet": True},
        {"origin": "LGA", "wind": None, "wet": False},
    ]
    with pytest.raises(HttpError, match="no CSV"):
        decode_rows(b"a,b\n1\n", {b"content-type": b"text/csv"})
