from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from thrive.domain.errors import UnsafeModel, UsageError
from thrive.packaging.formats import links
from thrive.packaging.formats.constant import Constant, prior
from thrive.packaging.inference import columns_of
from thrive.packaging.loader import load
from thrive.packaging.package import pack
from thrive.packaging.rows import InvalidRows, RowReader
from thrive.packaging.signature import Odd


def answers(package, frame):
    predictor = load(package.manifest, package.files)
    return predictor.predict(columns_of(package.manifest.signature, frame))


def test_a_package_is_named_by_its_content(trees_model, categorical, trees_package):
    again = pack(trees_model, categorical, created=1)
    assert again.digest == trees_package.digest
    other = pack(trees_model, categorical, created=1, threshold=0.3, extra={"run": "r"})
    assert other.digest != again.digest
    assert other.files == again.files
    assert other.manifest.extra["run"] == "r"
    assert other.manifest.extra["export"]["parity_rows"] > categorical.height
    assert other.manifest.extra["export"]["parity_difference"] <= 1e-12


def test_an_export_that_answers_otherwise_is_not_taken(trees_model, categorical, monkeypatch):
    honest = links._expit
    monkeypatch.setattr(links, "_expit", lambda raw: honest(raw) + 1e-9)
    with pytest.raises(UnsafeModel, match="differ from the model's by"):
        pack(trees_model, categorical)


def test_wrong_calls_are_told(trees_model, categorical):
    with pytest.raises(UsageError, match="no class of the model"):
        pack(trees_model, categorical, positive="late")
    with pytest.raises(UsageError, match="no row"):
        pack(trees_model, categorical.head(0))
    with pytest.raises(UsageError, match="no model format"):
        pack(trees_model, categorical, model_format="joblib")
    with pytest.raises(UsageError, match="does not answer the sample"):
        pack(trees_model, categorical.drop("hour"))
    with pytest.raises(UsageError, match="does not answer the sample"):
        pack(object(), categorical)
    with pytest.raises(UsageError, match="not empty"):
        pack(trees_model, categorical).unpack_to(Path(__file__).parent)


def test_odd_values_are_refused_on_request_by_what_all_shown_rows_hold(trees_model, categorical):
    few = categorical.filter(pl.col("carrier").cast(pl.String) == "A")
    assert not any(field.strict for field in pack(trees_model, few).manifest.signature.inputs)
    odd = pack(trees_model, few, refused=["unseen"], seen=categorical).manifest.signature
    fields = {field.name: field for field in odd.inputs}
    known = categorical["carrier"].cast(pl.String).drop_nulls().unique()
    assert set(fields["carrier"].categories) == set(known)
    assert [name for name, field in fields.items() if field.strict] == ["origin", "carrier"]
    every = pack(trees_model, categorical, refused=[*Odd]).manifest.signature
    assert all(field.strict and not field.nullable for field in every.inputs)
    RowReader(every).read([*every.example])
    with pytest.raises(InvalidRows, match="'carrier' is the text \"Q\", expected one of the"):
        RowReader(every).read([{**every.example[0], "carrier": "Q"}])
    with pytest.raises(InvalidRows, match="'hour' is null, expected"):
        RowReader(every).read([{**every.example[0], "hour": None}])


def test_the_prior_is_a_baseline(categorical, late):
    frame = categorical.with_columns(late=pl.Series(late))
    plain = pack(prior(frame, "late"), categorical, positive=True)
    assert plain.manifest.model_format == "constant"
    np.testing.assert_allclose(answers(plain, categorical), late.mean())
    grouped = pack(prior(frame, "late", by="carrier"), categorical, positive=True)
    rows = categorical.with_columns(pl.col("carrier").cast(pl.String))
    rows = rows[:3].with_columns(pl.Series("carrier", ["A", "unseen", None]))
    of_a = late[(frame["carrier"].cast(pl.String) == "A").fill_null(value=False).to_numpy()]
    np.testing.assert_allclose(answers(grouped, rows), [of_a.mean(), late.mean(), late.mean()])


def test_a_constant_that_is_no_probability_is_refused(categorical):
    with pytest.raises(UnsafeModel, match="cannot answer"):
        pack(Constant(value=1.5), categorical, positive=True)
    number = pack(Constant(value=1.5), categorical)
    assert answers(number, categorical[:2]).tolist() == [1.5, 1.5]
    with pytest.raises(UnsafeModel, match="no input"):
        pack(Constant(value=1.5, by="weather"), categorical)
    with pytest.raises(UsageError, match="no value"):
        prior(pl.DataFrame({"y": [None]}, schema={"y": pl.Float64}), "y")


def test_a_subclass_is_not_taken_for_what_it_extends(categorical, late):
    class Changed(HistGradientBoostingClassifier):
        def predict_proba(self, inputs):
            return super().predict_proba(inputs)[:, ::-1]

    with pytest.raises(UnsafeModel):
        pack(Changed(max_iter=2).fit(categorical, late), categorical)
