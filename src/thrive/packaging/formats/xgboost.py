"""The format `xgboost`: XGBoost's own JSON of a model, read by XGBoost alone.

Of an estimator of its scikit-learn interface, alone or at the end of a Pipeline whose preparation
is plain data. The file holds numbers; nothing in it is run.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrive.packaging.formats.native_trees import check_xgboost
from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.formats.prepared import (
    INPUTS_FILE,
    PreparedPredictor,
    estimator_of,
    library,
    load_inputs,
    read_inputs,
    unsafe,
    write_inputs,
)
from thrive.packaging.signature import Signature

NAME = "xgboost"
MODEL_FILE = "xgboost.json"
FILES = frozenset({MODEL_FILE, INPUTS_FILE})
REQUIRES = ("numpy", "xgboost")


def save(model: Any, signature: Signature) -> dict[str, bytes]:
    """Return the files of a fitted estimator of XGBoost.

    Raises:
        DoesNotFit: it is another model, or was fitted on categories.
    """
    estimator = estimator_of(model, "xgboost")
    if not hasattr(estimator, "get_booster"):
        raise DoesNotFit(f"{type(estimator).__name__} is no estimator of XGBoost")
    booster = estimator.get_booster()
    if "c" in (booster.feature_types or []):
        raise DoesNotFit("it was fitted on categories: encode them in a Pipeline")
    inputs = read_inputs(model, signature, tuple(booster.feature_names or ()))
    return {MODEL_FILE: bytes(booster.save_raw("json")), INPUTS_FILE: write_inputs(inputs)}


def load(files: Mapping[str, bytes], signature: Signature) -> PreparedPredictor:
    """Return the predictor of verified files.

    Raises:
        UnsafeModel: the file holds no trees over these features.
    """
    inputs = load_inputs(files[INPUTS_FILE], signature)
    check_xgboost(files[MODEL_FILE], len(inputs.features))
    xgboost = library("xgboost", "boosting")
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(files[MODEL_FILE]))
    except (ValueError, xgboost.core.XGBoostError) as error:
        raise unsafe(f"XGBoost says {str(error)[:200]}") from None
    if booster.num_features() != len(inputs.features):
        raise unsafe("it reads another number of features")
    booster.set_param({"nthread": 1})
    best = booster.attr("best_iteration")
    rounds = (0, int(best) + 1) if best and best.isdecimal() else (0, 0)

    def ask(matrix: NDArray[np.float64]) -> NDArray[Any]:
        found: NDArray[Any] = booster.inplace_predict(
            matrix, iteration_range=rounds, validate_features=False
        )
        return found

    return PreparedPredictor(signature, inputs, ask, NAME)
