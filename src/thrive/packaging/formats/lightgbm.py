"""The format `lightgbm`: LightGBM's own text of a model, read by LightGBM alone.

Of an estimator of its scikit-learn interface, alone or at the end of a Pipeline whose preparation
is plain data. LightGBM's text holds numbers; nothing in it is run.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrive.packaging.formats.native_trees import check_lightgbm
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

NAME = "lightgbm"
MODEL_FILE = "lightgbm.txt"
FILES = frozenset({MODEL_FILE, INPUTS_FILE})
REQUIRES = ("numpy", "lightgbm")
_BY_PLACE = re.compile(r"Column_\d+")


def save(model: Any, signature: Signature) -> dict[str, bytes]:
    """Return the files of a fitted estimator of LightGBM.

    Raises:
        DoesNotFit: it is another model, or was fitted on categories of pandas.
    """
    estimator = estimator_of(model, "lightgbm")
    booster = getattr(estimator, "booster_", None)
    if booster is None:
        raise DoesNotFit(f"{type(estimator).__name__} is no fitted estimator of LightGBM")
    if getattr(booster, "pandas_categorical", None):
        raise DoesNotFit("it was fitted on categories of pandas: encode them in a Pipeline")
    named = tuple(str(name) for name in estimator.feature_name_)
    by_place = all(_BY_PLACE.fullmatch(name) for name in named)
    inputs = read_inputs(model, signature, () if by_place else named)
    return {
        MODEL_FILE: booster.model_to_string().encode(),
        INPUTS_FILE: write_inputs(inputs),
    }


def load(files: Mapping[str, bytes], signature: Signature) -> PreparedPredictor:
    """Return the predictor of verified files.

    Raises:
        UnsafeModel: the file holds no trees over these features.
    """
    inputs = load_inputs(files[INPUTS_FILE], signature)
    text = files[MODEL_FILE].decode("utf-8", "replace")
    check_lightgbm(text, len(inputs.features))
    lightgbm = library("lightgbm", "boosting")
    try:
        booster = lightgbm.Booster(model_str=text)
    except (ValueError, lightgbm.basic.LightGBMError) as error:
        raise unsafe(f"LightGBM says {str(error)[:200]}") from None
    if booster.num_feature() != len(inputs.features):
        raise unsafe("it reads another number of features")

    def ask(matrix: NDArray[np.float64]) -> NDArray[Any]:
        return booster.predict(matrix, num_threads=1)

    return PreparedPredictor(signature, inputs, ask, NAME)
