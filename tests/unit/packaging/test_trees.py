import json

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from thrive.domain.errors import UnsafeModel, UsageError
from thrive.packaging.formats import trees
from thrive.packaging.formats.arrays import pack_arrays, unpack_arrays
from thrive.packaging.inference import columns_of
from thrive.packaging.loader import load
from thrive.packaging.package import pack
from thrive.packaging.rows import RowReader

CATEGORIES = ["origin", "carrier"]


def answers(package, frame):
    return load(package.manifest, package.files).predict(
        columns_of(package.manifest.signature, frame)
    )


def strange(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """New rows: other values, unseen categories, nothing at all, infinities."""
    rng = np.random.default_rng(seed)
    rows = frame.sample(300, with_replacement=True, seed=seed).with_columns(
        pl.col(CATEGORIES).cast(pl.String)
    )
    columns = []
    for name in rows.columns:
        column = rows[name]
        gone = pl.Series(rng.random(rows.height) < 0.2)
        if column.dtype == pl.String:
            unseen = pl.Series(rng.random(rows.height) < 0.2)
            column = pl.select(pl.when(unseen).then(pl.lit("unseen")).otherwise(column)).to_series()
        elif column.dtype == pl.Float64:
            huge = pl.Series(rng.choice([np.inf, -np.inf, 0.0], rows.height))
            column = pl.select(
                pl.when(rng.random(rows.height) < 0.1).then(huge).otherwise(column)
            ).to_series()
        if column.null_count() or column.dtype != pl.Int64:
            column = pl.select(pl.when(gone).then(None).otherwise(column)).to_series()
        columns.append(column.alias(name))
    return pl.DataFrame(columns)


@pytest.mark.parametrize("seed", range(8))
def test_answers_as_sklearn_on_rows_it_never_saw(frame, late, seed):
    rng = np.random.default_rng(seed)
    options = {
        "max_iter": int(rng.integers(1, 25)),
        "max_leaf_nodes": [3, 8, 31, 60, 130, None][seed % 6],
        "min_samples_leaf": int(rng.integers(1, 10)),
        "categorical_features": CATEGORIES if seed % 2 else [*CATEGORIES, "hour"],
        "random_state": seed,
    }
    model = HistGradientBoostingClassifier(**options).fit(frame, late)
    package = pack(model, frame)
    assert package.manifest.model_format == "trees"
    rows = strange(frame, seed)
    np.testing.assert_allclose(
        answers(package, rows), model.predict_proba(rows)[:, 1], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        ("squared_error", lambda v: v * 1e6),
        ("absolute_error", lambda v: v),
        ("poisson", lambda v: np.exp(v)),
        ("gamma", lambda v: np.exp(v)),
        ("quantile", lambda v: v),
    ],
)
def test_regressors_of_each_loss(categorical, loss, target):
    values = target(categorical["delay"].fill_null(0).to_numpy())
    model = HistGradientBoostingRegressor(max_iter=8, loss=loss, quantile=0.7)
    package = pack(model.fit(categorical, values), categorical)
    rows = strange(categorical, 3)
    assert package.manifest.model_format == "trees"
    np.testing.assert_allclose(answers(package, rows), model.predict(rows), rtol=1e-12)


def test_several_classes_answer_a_vector(categorical, late):
    target = np.where(categorical["hour"].to_numpy() > 15, "night", np.where(late, "late", "fine"))
    model = HistGradientBoostingClassifier(max_iter=6).fit(categorical, target)
    package = pack(model, categorical)
    found = answers(package, categorical)
    assert package.manifest.signature.output.classes == ("fine", "late", "night")
    assert found.shape == (categorical.height, 3)
    np.testing.assert_allclose(found, model.predict_proba(categorical), atol=1e-12)


def test_the_other_class_can_be_the_positive_one(trees_model, categorical):
    package = pack(trees_model, categorical, positive=False)
    expected = trees_model.predict_proba(categorical)[:, 0]
    np.testing.assert_allclose(answers(package, categorical), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(list("ABCDEFGHIJ")), pl.String])
def test_strings_enums_and_categoricals_train_the_same_package_format(frame, late, dtype):
    inputs = frame.select(pl.col("carrier").cast(dtype), "delay")
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=["carrier"])
    package = pack(model.fit(inputs, late), inputs)
    reader = RowReader(package.manifest.signature)
    rows = [{"carrier": "A", "delay": 1.5}, {"carrier": None, "delay": None}]
    rows.append({"carrier": "never seen", "delay": 0})
    found = load(package.manifest, package.files).predict(reader.read(rows))
    expected = model.predict_proba(pl.DataFrame(rows, schema=["carrier", "delay"], strict=False))
    assert package.manifest.model_format == "trees"
    np.testing.assert_allclose(found, expected[:, 1], atol=1e-12)


ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
ORDINAL_NAN = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
ONE_HOT = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
NUMBERS = ["delay", "hour", "wind"]
FILLED = make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), ONE_HOT)


@pytest.mark.parametrize(
    "steps",
    [
        [(ORDINAL, CATEGORIES)],
        [(ORDINAL_NAN, CATEGORIES)],
        [(ONE_HOT, CATEGORIES), (StandardScaler(), NUMBERS)],
        [(FILLED, CATEGORIES), (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS)],
        [(make_pipeline(ORDINAL, StandardScaler()), CATEGORIES)],
    ],
)
def test_pipelines_of_encoders_become_data(frame, late, steps):
    inputs = frame.drop("night")
    prepare = make_column_transformer(*steps, remainder="passthrough")
    model = make_pipeline(prepare, HistGradientBoostingClassifier(max_iter=10))
    package = pack(model.fit(inputs, late), inputs)
    rows = (
        strange(frame, 5)
        .drop("night")
        .with_columns(pl.col("delay", "wind").replace([np.inf, -np.inf], 0.0))
    )
    assert package.manifest.model_format == "trees", package.manifest.extra
    np.testing.assert_allclose(
        answers(package, rows), model.predict_proba(rows)[:, 1], rtol=0, atol=1e-12
    )


def test_categories_by_number_in_a_pipeline(frame, late):
    inputs = frame.select("origin", "carrier", "delay")
    prepare = make_column_transformer((ORDINAL_NAN, CATEGORIES), remainder="passthrough")
    boosted = HistGradientBoostingClassifier(max_iter=10, categorical_features=[0, 1])
    model = make_pipeline(prepare, boosted).fit(inputs, late)
    package = pack(model, inputs)
    rows = strange(frame, 6).select(inputs.columns)
    assert package.manifest.model_format == "trees"
    np.testing.assert_allclose(answers(package, rows), model.predict_proba(rows)[:, 1], atol=1e-12)


def test_an_encoder_that_refuses_the_unknown_still_refuses(frame, late):
    prepare = make_column_transformer((OrdinalEncoder(), ["carrier"]), remainder="passthrough")
    model = make_pipeline(prepare, HistGradientBoostingClassifier(max_iter=3))
    inputs = frame.select("carrier", "delay")
    package = pack(model.fit(inputs, late), inputs)
    assert package.manifest.model_format == "trees"
    for count in (1, 50):
        with pytest.raises(UsageError, match="no value of 'carrier'"):
            answers(package, pl.DataFrame({"carrier": ["??"] * count, "delay": [0.0] * count}))


def test_a_model_fitted_on_an_array_takes_the_names_of_the_sample(frame, late):
    inputs = frame.select("delay", "hour", "wind")
    model = HistGradientBoostingClassifier(max_iter=5).fit(inputs.to_numpy(), late)
    package = pack(model, inputs)
    assert package.manifest.model_format == "trees"
    expected = model.predict_proba(inputs.to_numpy())[:, 1]
    np.testing.assert_allclose(answers(package, inputs), expected, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 8, 9, 70, 600])
def test_the_answer_to_a_row_does_not_depend_on_its_company(trees_package, categorical, count):
    whole = answers(trees_package, categorical)
    np.testing.assert_array_equal(answers(trees_package, categorical[:count]), whole[:count])


def test_a_tree_of_one_leaf(frame):
    inputs = frame.select("delay")
    model = HistGradientBoostingRegressor(max_iter=2).fit(inputs, np.full(frame.height, 7.0))
    np.testing.assert_allclose(answers(pack(model, inputs), inputs), 7.0)


def test_trees_too_large_for_tables_are_refused(trees_model, categorical, monkeypatch):
    monkeypatch.setattr(trees, "MAX_TABLE_BYTES", 1000)
    with pytest.raises(UnsafeModel, match="need a table"):
        pack(trees_model, categorical, model_format="trees")


def changed(package, **arrays):
    """Return the package's files with arrays replaced by what a function makes of them."""
    found = unpack_arrays(package.files["trees.npz"], trees._SHAPES)
    copies = {name: array.copy() for name, array in found.items()}
    for name, change in arrays.items():
        copies[name] = change(copies[name])
    return {**package.files, "trees.npz": pack_arrays(copies, trees._SHAPES)}


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("left", put(0, 10**6), "points at no node"),
        ("left", put(0, 0), "points at no node, or back"),
        ("right", put(1, 1), "points at no node, or back"),
        ("right", put(0, -1), "points at no node"),
        ("left", put(0, -7), "points at no node"),
        ("right", put(0, 5), "not connected as a tree"),
        ("feature", put(0, 99), "feature that does not exist"),
        ("feature", put(0, -1), "feature that does not exist"),
        ("category_set", put(0, 10**6), "category set that does not exist"),
        ("threshold", put(slice(None), np.nan), "threshold is no number"),
        ("value", put(slice(None), np.inf), "no finite value"),
        ("tree_output", put(0, 3), "output that does not exist"),
        ("tree_output", put(0, -1), "output that does not exist"),
        ("tree_size", put(0, 2**62), "do not add up"),
        ("tree_size", put(0, -5), "do not add up"),
        ("tree_size", put(0, 1), "do not add up"),
        ("feature", lambda array: array[:-1], "different lengths"),
        ("sets", lambda array: array[:, :4], "8 words"),
        ("tree_size", lambda array: array[:0], "do not add up"),
    ],
)
def test_lying_nodes_are_refused(trees_package, name, change, reason):
    files = changed(trees_package, **{name: change})
    with pytest.raises(UnsafeModel, match=reason):
        trees.load(files, trees_package.manifest.signature)


def test_a_category_of_a_number_is_refused(trees_package):
    features = json.loads(trees_package.files["trees.json"])["features"]
    number = next(i for i, feature in enumerate(features) if feature["type"] == "number")
    arrays = unpack_arrays(trees_package.files["trees.npz"], trees._SHAPES)
    node = int(np.flatnonzero(arrays["category_set"] >= 0)[0])
    files = changed(trees_package, feature=put(node, number))
    with pytest.raises(UnsafeModel, match="a category of a feature that has none"):
        trees.load(files, trees_package.manifest.signature)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.pop("link"),
        lambda content: content.update(link="exec"),
        lambda content: content.update(format=2),
        lambda content: content.update(surprise=1),
        lambda content: content.update(baseline=[]),
        lambda content: content.update(baseline=[0.0, 0.0]),
        lambda content: content.update(classes=["a", "b", "c"]),
        lambda content: content["features"].pop(),
        lambda content: content["features"][0].update(source="no input"),
        lambda content: content["features"][0].update(codes=[]),
        lambda content: content["features"][0].update(
            codes=[c + 0.5 for c in content["features"][0]["codes"]]
        ),
        lambda content: content["features"][-1].update(type="pickle"),
        lambda content: content["features"][-1].update(scale=0),
        lambda content: content["features"][-1].update(fill="text"),
    ],
)
def test_lying_json_is_refused(trees_package, edit):
    content = json.loads(trees_package.files["trees.json"])
    edit(content)
    files = {**trees_package.files, "trees.json": msgspec.json.encode(content)}
    with pytest.raises(UnsafeModel):
        trees.load(files, trees_package.manifest.signature)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"null", b"\xff\xfe"])
def test_bad_json_is_refused(trees_package, data):
    with pytest.raises(UnsafeModel):
        trees.load({**trees_package.files, "trees.json": data}, trees_package.manifest.signature)


def test_random_damage_never_crashes(trees_package, categorical):
    """Whatever bytes change, the answer is a refusal or numbers, never a crash."""
    rng = np.random.default_rng(0)
    columns = columns_of(trees_package.manifest.signature, categorical[:20])
    original = trees_package.files["trees.npz"]
    refused = 0
    for _ in range(300):
        data = bytearray(original)
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
        files = {**trees_package.files, "trees.npz": bytes(data)}
        try:
            predictor = trees.load(files, trees_package.manifest.signature)
        except UnsafeModel:
            refused += 1
        else:
            assert predictor.predict(columns).shape == (20,)
    assert refused > 0
