"""A model in a folder that MLflow wrote, as one to be registered: of the formats that run no code.

`MLmodel` says which library wrote which file. LightGBM's text, XGBoost's and CatBoost's own files,
graphs of ONNX, estimators kept by skops, and what `thrive models export` wrote are read. A pickle
is not, whatever its name: to open one is to run it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import NotFound, UnsafeModel, UsageError
from thrive.packaging.formats import skops
from thrive.packaging.formats.boosted import Boosted
from thrive.packaging.formats.native_trees import check_lightgbm, check_xgboost
from thrive.packaging.formats.onnx import OnnxModel
from thrive.packaging.formats.prepared import library
from thrive.packaging.manifest import MANIFEST_NAME, describe_files, read_manifest
from thrive.packaging.package import Package
from thrive.packaging.signature import Scalar

DESCRIPTION = "MLmodel"
_OWN = "thrive.packaging.mlflow_flavor"
"""The loader that an export of ours names."""
_BY_PLACE = re.compile(r"Column_\d+")
_OBJECTIVE = re.compile(r"^objective=(\S+)", re.MULTILINE)
_LAST_FEATURE = re.compile(r"^max_feature_idx=(\d{1,6})$", re.MULTILINE)

Flavor = Mapping[str, Any]
Read = Callable[[Path, Flavor, Sequence[Scalar]], Any]


def read_mlflow(folder: Path | str, classes: Sequence[Scalar] = ()) -> Any:
    """Return the model of a folder that an MLflow client saved, to be given to `register`.

    Args:
        folder: where `MLmodel` lies, e.g. what `mlflow artifacts download` brought.
        classes: the labels in the order of its probabilities, for a bare booster or a graph; those
            of a booster are 0, 1, ... if not given.

    Returns:
        An estimator, a booster or a graph; the whole package of an export of Thrive.

    Raises:
        NotFound: there is no such folder, or a file of it is missing.
        UnsafeModel: it is kept as a pickle or in another form that is not read here.
        UsageError: a library that reads it is not installed.

    Example:
        >>> register(read_mlflow("downloaded/model"), "churn", evaluation=rows)  # doctest: +SKIP
    """
    place = Path(folder)
    flavors = _flavors(place)
    for name, read in _READERS.items():
        if name in flavors:
            return read(place, flavors[name], classes)
    known = ", ".join(_READERS)
    raise UnsafeModel(
        f"{place} holds {', '.join(flavors)[:100] or 'nothing'}, of which no format here is.",
        f"log the model with one of {known}",
    )


def _flavors(folder: Path) -> Mapping[str, Flavor]:
    path = folder / DESCRIPTION
    try:
        text = path.read_bytes()
    except OSError:
        raise NotFound(f"There is no {path}.", "give the folder that holds MLmodel") from None
    try:
        return _decoded(text, path).flavors
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UnsafeModel(f"{path} cannot be read: {str(error)[:200]}.", "save it again") from None


class _Description(msgspec.Struct, frozen=True):
    flavors: dict[str, dict[str, Any]] = {}


def _decoded(text: bytes, path: Path) -> _Description:
    """Return a description; ours is JSON, which is YAML too."""
    if text.lstrip().startswith(b"{"):
        return msgspec.json.decode(text, type=_Description)
    try:
        return msgspec.yaml.decode(text, type=_Description)
    except ImportError:
        raise UsageError(f"{path} is YAML, which needs PyYAML.", "pip install pyyaml") from None


def _named(folder: Path, flavor: Flavor, key: str) -> Path:
    """Return what a flavor names, which must lie in the folder itself."""
    name = flavor.get(key)
    if not isinstance(name, str) or Path(name).name != name or name in {"", ".", ".."}:
        raise UnsafeModel(f"{str(name)[:80]!r} names no file of {folder}.", "save the model again")
    return folder / name


def _file(folder: Path, flavor: Flavor, key: str = "data") -> Path:
    path = _named(folder, flavor, key)
    if path.is_symlink() or not path.is_file():
        raise NotFound(f"There is no file {path}.", "download the folder again")
    return path


def _lightgbm(folder: Path, flavor: Flavor, classes: Sequence[Scalar]) -> Boosted:
    path = _file(folder, flavor)
    if path.suffix in {".pkl", ".skops"}:
        raise _kept_whole("LightGBM", "mlflow.lightgbm.log_model(model.booster_, ...)")
    text = path.read_text("utf-8", "replace")
    last = _LAST_FEATURE.search(text)
    check_lightgbm(text, int(last[1]) + 1 if last else 0)
    booster = library("lightgbm", "boosting").Booster(model_str=text)
    names = [str(name) for name in booster.feature_name()]
    objective = found[1] if (found := _OBJECTIVE.search(text)) else ""
    count = 2 if objective == "binary" else int(booster.num_model_per_iteration())

    def ask(matrix: NDArray[np.float64]) -> NDArray[Any]:
        return booster.predict(matrix, num_threads=1)

    return Boosted(
        "lightgbm",
        booster,
        ask,
        names=() if all(map(_BY_PLACE.fullmatch, names)) else names,
        classes=_classes(classes, count if count > 1 else 0),
    )


def _xgboost(folder: Path, flavor: Flavor, classes: Sequence[Scalar]) -> Boosted:
    path = _file(folder, flavor)
    xgboost = library("xgboost", "boosting")
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(path.read_bytes()))
    except (ValueError, xgboost.core.XGBoostError) as error:
        raise UnsafeModel(f"XGBoost says {str(error)[:200]}.", "save the model again") from None
    check_xgboost(bytes(booster.save_raw("json")), booster.num_features())
    booster.set_param({"nthread": 1})
    best = booster.attr("best_iteration")
    rounds = (0, int(best) + 1) if best and best.isdecimal() else (0, 0)

    def ask(matrix: NDArray[np.float64]) -> NDArray[Any]:
        return booster.inplace_predict(matrix, iteration_range=rounds, validate_features=False)

    return Boosted(
        "xgboost",
        booster,
        ask,
        names=booster.feature_names or (),
        classes=_classes(classes, _xgboost_classes(booster)),
    )


class _Trained(msgspec.Struct, frozen=True):
    objective: str = ""


class _Shape(msgspec.Struct, frozen=True):
    num_class: str = "0"


class _Learner(msgspec.Struct, frozen=True):
    learner_train_param: _Trained = _Trained()
    learner_model_param: _Shape = _Shape()


class _Configuration(msgspec.Struct, frozen=True):
    learner: _Learner = _Learner()


def _xgboost_classes(booster: Any) -> int:
    """Return how many classes a booster tells apart, 0 for numbers.

    Raises:
        UnsafeModel: it answers the likeliest class alone, of which nothing can be judged.
    """
    learner = msgspec.json.decode(booster.save_config(), type=_Configuration).learner
    objective = learner.learner_train_param.objective
    if objective == "multi:softmax":
        raise UnsafeModel(
            "The booster answers classes without probabilities.", "train it as multi:softprob"
        )
    if objective == "multi:softprob":
        return int(learner.learner_model_param.num_class)
    return 2 if objective == "binary:logistic" else 0


def _catboost(folder: Path, flavor: Flavor, _classes: Sequence[Scalar]) -> Any:
    path, kind = _file(folder, flavor), flavor.get("model_type")
    if flavor.get("save_format", "cbm") != "cbm":
        raise UnsafeModel("CatBoost's model is kept in another form than cbm.", 'format="cbm"')
    catboost = library("catboost", "boosting")
    made = {
        "CatBoostClassifier": catboost.CatBoostClassifier,
        "CatBoostRegressor": catboost.CatBoostRegressor,
    }.get(str(kind))
    if made is None:
        raise UnsafeModel(f"{str(kind)[:80]!r} is no model that is answered here.", "log another")
    model = made()
    try:
        model.load_model(blob=path.read_bytes())
    except (ValueError, catboost.CatBoostError) as error:
        raise UnsafeModel(f"CatBoost says {str(error)[:200]}.", "save the model again") from None
    return model


def _onnx(folder: Path, flavor: Flavor, classes: Sequence[Scalar]) -> OnnxModel:
    return OnnxModel(_file(folder, flavor), classes)


def _sklearn(folder: Path, flavor: Flavor, _classes: Sequence[Scalar]) -> Any:
    path = _file(folder, flavor, "pickled_model")
    if flavor.get("serialization_format") != "skops":
        raise _kept_whole("scikit-learn", 'log_model(..., serialization_format="skops")')
    return skops.restored(path.read_bytes())


def _own(folder: Path, flavor: Flavor, _classes: Sequence[Scalar]) -> Package:
    """Return the package of an export of ours, whole."""
    if flavor.get("loader_module") != _OWN:
        raise UnsafeModel(
            f"{folder} is loaded by code of its own ({str(flavor.get('loader_module'))[:80]}).",
            "log the model with the flavor of its library",
        )
    place = _named(folder, flavor, "data")
    try:
        manifest = read_manifest((place / MANIFEST_NAME).read_bytes())
        files = {name: (place / name).read_bytes() for name in manifest.files}
    except OSError as error:
        raise NotFound(f"The export is not whole: {error}.", "export the version again") from None
    if describe_files(files) != manifest.files:
        raise UnsafeModel(f"A file of {place} is not as it was exported.", "export it again")
    return Package(manifest=manifest, files=files)


_READERS: dict[str, Read] = {
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "catboost": _catboost,
    "onnx": _onnx,
    "sklearn": _sklearn,
    "python_function": _own,
}
"""By flavor, in the order in which they are looked for: every folder has the last one too."""


def _classes(given: Sequence[Scalar], count: int) -> tuple[Scalar, ...]:
    """Return the labels of a booster, which was trained on whole numbers from 0 on."""
    if given and len(given) != count:
        raise UsageError(
            f"The booster has {count or 'no'} classes, and {len(given)} were named.",
            f"name {count}" if count else "name none: it answers numbers",
        )
    return tuple(given) or tuple(range(count))


def _kept_whole(name: str, cure: str) -> UnsafeModel:
    return UnsafeModel(f"The estimator of {name} is a pickle, which runs code when loaded.", cure)
