import json

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from thrive.domain.errors import UnsafeModel
from thrive.packaging.formats import linear
from thrive.packaging.inference import columns_of
from thrive.packaging.loader import load
from thrive.packaging.package import pack

NUMBERS = ["delay", "hour", "wind"]


def prepared(model):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", drop="first")
    return make_pipeline(
        make_column_transformer((categories, ["origin", "carrier"]), (numbers, NUMBERS)), model
    )


def answers(package, frame):
    predictor = load(package.manifest, package.files)
    return predictor.predict(columns_of(package.manifest.signature, frame))


@pytest.fixture(scope="module")
def inputs(frame):
    return frame.drop("night")


@pytest.fixture(scope="module")
def package(inputs, late):
    return pack(prepared(LogisticRegression()).fit(inputs, late), inputs)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), PoissonRegressor()])
def test_regressions_answer_as_sklearn(inputs, model):
    target = np.exp(inputs["delay"].fill_null(0).to_numpy())
    fitted = prepared(model).fit(inputs, target)
    package = pack(fitted, inputs)
    rows = inputs.with_columns(
        pl.when(pl.col("hour") > 20).then(pl.lit("unseen")).otherwise("carrier").alias("carrier")
    )
    assert package.manifest.model_format == "linear", package.manifest.extra
    np.testing.assert_allclose(answers(package, rows), fitted.predict(rows), rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regressions_answer_as_sklearn(inputs, late, classes):
    target = late if classes == 2 else np.where(inputs["hour"].to_numpy() > 15, 2, late.astype(int))
    fitted = prepared(LogisticRegression()).fit(inputs, target)
    package = pack(fitted, inputs)
    expected = fitted.predict_proba(inputs)
    assert package.manifest.model_format == "linear"
    expected = expected[:, 1] if classes == 2 else expected
    np.testing.assert_allclose(answers(package, inputs), expected, atol=1e-12)


def test_a_plain_model_on_an_array(inputs):
    numbers = inputs.select("hour", pl.col("wind").fill_null(0))
    fitted = LinearRegression().fit(numbers.to_numpy(), np.arange(inputs.height))
    package = pack(fitted, numbers)
    assert package.manifest.model_format == "linear"
    np.testing.assert_allclose(answers(package, numbers), fitted.predict(numbers.to_numpy()))


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["intercept"].append(1.0),
        lambda content: content["features"].pop(),
        lambda content: content.update(link="identity"),
        lambda content: content.update(classes=[False, True, 2]),
        lambda content: content["features"][0].update(source="no input"),
    ],
)
def test_files_that_contradict_themselves_are_refused(package, edit):
    content = json.loads(package.files["linear.json"])
    edit(content)
    files = {**package.files, "linear.json": msgspec.json.encode(content)}
    with pytest.raises(UnsafeModel):
        linear.load(files, package.manifest.signature)


def test_weights_that_are_not_finite_are_refused(package):
    count = len(json.loads(package.files["linear.json"])["features"])
    weights = linear.pack_arrays({"weights": np.full((1, count), np.inf)}, linear._SHAPES)
    with pytest.raises(UnsafeModel, match="not finite"):
        linear.load({**package.files, "linear.npz": weights}, package.manifest.signature)
