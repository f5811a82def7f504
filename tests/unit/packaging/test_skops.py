import copy
import io
import zipfile

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from thrive.domain.errors import UnsafeModel
from thrive.packaging.formats import skops
from thrive.packaging.inference import columns_of
from thrive.packaging.loader import load
from thrive.packaging.package import pack


@pytest.fixture(scope="module")
def numbers(frame):
    return frame.select("hour", pl.col("delay", "wind").fill_null(0))


def answers(package, frame):
    predictor = load(package.manifest, package.files)
    return predictor.predict(columns_of(package.manifest.signature, frame))


def test_estimators_without_an_open_format_answer_as_trained(frame, numbers, late):
    bayes = GaussianNB().fit(numbers, late)
    package = pack(bayes, numbers)
    assert package.manifest.model_format == "skops"
    assert "scikit-learn" in package.manifest.frameworks
    assert any(line.startswith("skops==") for line in package.manifest.requirements)
    np.testing.assert_allclose(answers(package, numbers), bayes.predict_proba(numbers)[:, 1])
    one_hot = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["origin", "carrier"]), ("passthrough", ["hour"])
    )
    forest = make_pipeline(one_hot, RandomForestClassifier(5)).fit(frame, late)
    packed = pack(forest, frame)
    assert packed.manifest.model_format == "skops"
    np.testing.assert_allclose(answers(packed, frame), forest.predict_proba(frame)[:, 1])


def test_numbers_and_classes_without_probabilities(numbers, late):
    boosted = GradientBoostingRegressor(n_estimators=3).fit(numbers, numbers["delay"])
    np.testing.assert_allclose(answers(pack(boosted, numbers), numbers), boosted.predict(numbers))
    labels = np.where(late, "late", "fine")
    vectors = LinearSVC().fit(numbers.to_numpy(), labels)
    package = pack(vectors, numbers)
    assert package.manifest.signature.output.kind == "class"
    assert answers(package, numbers).tolist() == vectors.predict(numbers.to_numpy()).tolist()


def test_a_function_from_elsewhere_is_not_allowed(numbers, late):
    model = make_pipeline(FunctionTransformer(copy.copy), GaussianNB()).fit(numbers, late)
    with pytest.raises(UnsafeModel, match=r"not allowed: copy\.copy"):
        pack(model, numbers)


def test_a_file_naming_foreign_types_is_refused_at_load(numbers, late):
    package = pack(GaussianNB().fit(numbers, late), numbers)
    source = zipfile.ZipFile(io.BytesIO(package.files["model.skops"]))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            data = source.read(name)
            if name == "schema.json":
                data = data.replace(b'"sklearn.naive_bayes"', b'"subprocess"').replace(
                    b'"GaussianNB"', b'"Popen"'
                )
            archive.writestr(name, data)
    with pytest.raises(UnsafeModel, match=r"subprocess\.Popen"):
        skops.load({"model.skops": target.getvalue()}, package.manifest.signature)


def test_a_tree_that_points_outside_is_refused(numbers, late):
    tree = DecisionTreeClassifier(max_depth=4).fit(numbers, late)
    package = pack(tree, numbers)
    state = tree.tree_.__getstate__()
    state["nodes"]["left_child"][0] = 10**6
    tree.tree_.__setstate__(state)
    files = skops.save(tree, package.manifest.signature)
    with pytest.raises(UnsafeModel, match="outside its nodes"):
        skops.load(files, package.manifest.signature)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x05."])
def test_what_is_no_skops_file_is_refused(numbers, late, data):
    package = pack(GaussianNB().fit(numbers, late), numbers)
    with pytest.raises(UnsafeModel):
        skops.load({"model.skops": data}, package.manifest.signature)
