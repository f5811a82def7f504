"""Trains a model with the real library of a format, packs it, and answers from the package.

python format_round_trips.py pack CASE KIND FOLDER    # trains, packs, keeps its own answers
python format_round_trips.py answer CASE KIND FOLDER  # another process: loads and compares
python format_round_trips.py refuse CASE KIND FOLDER  # and refuses what is no such model
"""

import sys
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from thrive.domain.errors import UnsafeModel
from thrive.packaging.inference import columns_of
from thrive.packaging.loader import load
from thrive.packaging.manifest import describe_files, read_manifest
from thrive.packaging.package import pack

ROWS = 400
KINDS = ("two", "three", "number")


def flights():
    """Return rows of four columns, one of text, one with gaps."""
    rng = np.random.default_rng(7)
    gaps = np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(size=ROWS))
    return pl.DataFrame(
        {
            "origin": rng.choice(["EWR", "JFK", "LGA"], ROWS).tolist(),
            "delay": rng.normal(size=ROWS),
            "hour": rng.integers(0, 24, ROWS),
            "wind": pl.Series(gaps).fill_nan(None),
        }
    )


def target(frame, kind):
    """Return two classes, three classes named by text, or numbers."""
    score = frame["delay"].to_numpy() + (frame["origin"].to_numpy() == "JFK")
    if kind == "number":
        return score * 10
    if kind == "two":
        return score > 0.5
    return np.array(["early", "late", "on time"])[np.digitize(score, [-0.5, 0.8])]


def prepared(model, *, gaps):
    """Return a model behind the preparation of the text column."""
    text = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    numbers = ["delay", "hour", "wind"] if gaps else ["delay", "hour"]
    return make_pipeline(
        make_column_transformer((text, ["origin"]), ("passthrough", numbers)), model
    )


def lightgbm(kind, frame, labels):
    import lightgbm

    made = lightgbm.LGBMRegressor if kind == "number" else lightgbm.LGBMClassifier
    return prepared(made(n_estimators=20, verbose=-1, n_jobs=1), gaps=True).fit(frame, labels)


def xgboost(kind, frame, labels):
    import xgboost

    if kind == "three":
        labels = np.unique(labels, return_inverse=True)[1]
    made = xgboost.XGBRegressor if kind == "number" else xgboost.XGBClassifier
    return prepared(made(n_estimators=20, n_jobs=1), gaps=True).fit(frame, labels)


def catboost(kind, frame, labels):
    import catboost

    made = catboost.CatBoostRegressor if kind == "number" else catboost.CatBoostClassifier
    quiet = {"iterations": 20, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    return prepared(made(**quiet), gaps=True).fit(frame, labels)


def safetensors(kind, frame, labels):
    text = OneHotEncoder(handle_unknown="ignore")
    prepare = make_column_transformer((text, ["origin"]), (StandardScaler(), ["delay", "hour"]))
    made = MLPRegressor if kind == "number" else MLPClassifier
    network = made(hidden_layer_sizes=(8, 5), max_iter=60, random_state=0, activation="tanh")
    return make_pipeline(prepare, network).fit(frame, labels)


def onnx(kind, frame, labels):
    """A graph that another tool exported, of numbers alone."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    from thrive.packaging.formats.onnx import OnnxModel

    matrix = frame.select("delay", "hour").to_numpy()
    if kind == "number":
        fitted = LinearRegression().fit(matrix, labels)
    else:
        fitted = GradientBoostingClassifier(n_estimators=10).fit(matrix, labels)
    graph = to_onnx(fitted, matrix[:1].astype(np.float32), options=None)
    classes = () if kind == "number" else tuple(fitted.classes_.tolist())
    return OnnxModel(graph.SerializeToString(), classes)


CASES = {each.__name__: each for each in (lightgbm, xgboost, catboost, safetensors, onnx)}


def inputs(case):
    """Return the columns that a case is trained on."""
    wanted = {"onnx": ["delay", "hour"], "safetensors": ["origin", "delay", "hour"]}
    frame = flights()
    return frame.select(wanted.get(case, frame.columns))


def own_answers(model, frame, case, kind):
    """Return what the library itself answers, asked as its own documentation asks."""
    given = frame.to_numpy() if case == "onnx" else frame
    if kind == "number":
        return np.asarray(model.predict(given), float).reshape(-1)
    chances = np.asarray(model.predict_proba(given), float)
    return chances[:, 1] if kind == "two" else chances


def write(case, kind, folder):
    frame = inputs(case)
    model = CASES[case](kind, frame, target(flights(), kind))
    package = pack(model, frame)
    assert package.manifest.model_format == case, package.manifest.extra
    assert package.manifest.extra["export"]["parity_rows"] >= ROWS
    package.unpack_to(folder / "package")
    np.save(folder / "expected.npy", own_answers(model, frame, case, kind))


def answer(case, kind, folder):
    manifest = read_manifest((folder / "package" / "manifest.json").read_bytes())
    predictor = load(manifest, folder / "package")
    found = predictor.predict(columns_of(manifest.signature, inputs(case)))
    np.testing.assert_allclose(found, np.load(folder / "expected.npy"), rtol=1e-12, atol=1e-12)
    assert predictor.describe()["format"] == case


def refuse(case, kind, folder):
    """Files that are cut, or hold something else, are told from a model, each with its digest."""
    package = folder / "package"
    manifest = read_manifest((package / "manifest.json").read_bytes())
    files = {name: (package / name).read_bytes() for name in manifest.files}
    for name, data in files.items():
        for wrong in (data[: len(data) // 2], b"", b"\x80\x04cos\nsystem\n", data[:8] * 100):
            given = {**files, name: wrong}
            try:
                load(msgspec.structs.replace(manifest, files=describe_files(given)), given)
            except UnsafeModel:
                continue
            raise AssertionError(f"{name} was taken for a model: {wrong[:40]}")


ACTIONS = {"pack": write, "answer": answer, "refuse": refuse}

if __name__ == "__main__":
    action, case, kind, folder = sys.argv[1:]
    ACTIONS[action](case, kind, Path(folder))
