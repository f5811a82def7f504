"""Shares of a score: exact where they are known, honest about their error, and they add up."""

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression

from thrive.domain.errors import CannotTell
from thrive.packaging.formats.constant import Constant
from thrive.packaging.loader import load
from thrive.packaging.package import pack
from thrive.packaging.signature import Output, OutputKind
from thrive.serving.explaining import explain, explain_record

NAMES = ["a", "b", "c"]


def linear():
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(rng.normal(size=(200, 3)), schema=NAMES)
    target = 2 * frame["a"] - 3 * frame["b"] + 0.5
    package = pack(LinearRegression().fit(frame, target.to_numpy()), frame)
    return load(package.manifest, package.files), frame


def test_the_shares_of_a_linear_model_are_its_weights_times_the_distance():
    predictor, frame = linear()
    row = {"a": 1.0, "b": 2.0, "c": 5.0}
    background = frame.head(48).to_dicts()
    score, base, shares = explain(predictor, row, background)
    mean = frame.head(48).mean().row(0)
    known = {"a": 2 * (1 - mean[0]), "b": -3 * (2 - mean[1]), "c": 0.0}
    assert score == pytest.approx(2 - 6 + 0.5)
    assert {each.name: each.adds for each in shares} == pytest.approx(known, abs=1e-9)
    assert sum(each.adds for each in shares) == pytest.approx(score - base, abs=1e-9)
    assert [each.name for each in shares] == ["b", "a", "c"]
    assert all(each.error < 0.6 for each in shares)


def test_an_interaction_is_shared_evenly():
    class Product:
        signature = linear()[0].signature

        def predict(self, columns):
            return columns["a"] * columns["b"]

    score, base, shares = explain(
        Product(), {"a": 1.0, "b": 1.0, "c": 9.0}, [dict.fromkeys(NAMES, 0.0)]
    )
    assert (score, base) == (1.0, 0.0)
    found = {each.name: each.adds for each in shares}
    assert found == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0}, abs=1e-12)


def test_a_record_is_reproduced_or_it_is_said_why_not():
    predictor, frame = linear()
    row = {"a": 1.0, "b": 2.0, "c": 5.0}
    record = {f"x.{name}": value for name, value in row.items()}
    record |= {"prediction_id": "p", "model": "m", "version": 1, "score": -3.5, "error": ""}
    found = explain_record(predictor, record, frame.head(10).to_dicts())
    assert found.reproduced
    assert found.background == 10
    other = explain_record(predictor, record | {"score": -3.4}, frame.head(10).to_dicts())
    assert not other.reproduced
    with pytest.raises(CannotTell, match="masks b"):
        explain_record(predictor, record, frame.head(10).to_dicts(), frozenset({"b"}))
    with pytest.raises(CannotTell, match="timeout"):
        explain_record(predictor, record | {"error": "timeout"}, frame.head(10).to_dicts())
    with pytest.raises(CannotTell, match="no other row"):
        explain_record(predictor, record, [])


def test_a_model_without_scores_has_nothing_to_share_out():
    frame = pl.DataFrame({"a": [1.0, 2.0]})
    package = pack(Constant(value=1.0), frame)
    predictor = load(package.manifest, package.files)
    assert [each.adds for each in explain(predictor, {"a": 1.0}, frame.to_dicts())[2]] == [0.0]
    classes = Output(kind=OutputKind.CLASS, classes=("x", "y"))

    class Classes:
        signature = type(predictor.signature)(inputs=predictor.signature.inputs, output=classes)

    with pytest.raises(CannotTell, match="without scores"):
        explain(Classes(), {"a": 1.0}, frame.to_dicts())
