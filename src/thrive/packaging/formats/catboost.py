"""The format `catboost`: CatBoost's own binary of a model, read by CatBoost alone.

Of a classifier or a regressor on numbers, alone or at the end of a Pipeline whose preparation is
plain data. The file holds numbers; nothing in it is run.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

NAME = "catboost"
MODEL_FILE = "catboost.cbm"
FILES = frozenset({MODEL_FILE, INPUTS_FILE})
REQUIRES = ("numpy", "catboost")


def save(model: Any, signature: Signature) -> dict[str, bytes]:
    """Return the files of a fitted model of CatBoost.

    Raises:
        DoesNotFit: it is another model, or was fitted on categories or texts.
    """
    estimator = estimator_of(model, "catboost")
    if not estimator.is_fitted():
        raise DoesNotFit("it is not fitted")
    others = (*estimator.get_cat_feature_indices(), *estimator.get_text_feature_indices())
    if others:
        raise DoesNotFit("it was fitted on categories or texts: encode them in a Pipeline")
    named = tuple(str(name) for name in estimator.feature_names_)
    by_place = named == tuple(str(place) for place in range(len(named)))
    inputs = read_inputs(model, signature, () if by_place else named)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        estimator.save_model(str(path), format="cbm")
        return {MODEL_FILE: path.read_bytes(), INPUTS_FILE: write_inputs(inputs)}


def load(files: Mapping[str, bytes], signature: Signature) -> PreparedPredictor:
    """Return the predictor of verified files.

    Raises:
        UnsafeModel: CatBoost does not read the file, or it has other features.
    """
    inputs = load_inputs(files[INPUTS_FILE], signature)
    catboost = library("catboost", "boosting")
    model = catboost.CatBoostClassifier() if inputs.classes else catboost.CatBoostRegressor()
    try:
        model.load_model(blob=files[MODEL_FILE])
        features = len(model.feature_names_)
    except (ValueError, catboost.CatBoostError) as error:
        raise unsafe(f"CatBoost says {str(error)[:200]}") from None
    if features != len(inputs.features):
        raise unsafe("it reads another number of features")
    answer = model.predict_proba if inputs.classes else model.predict

    def ask(matrix: NDArray[np.float64]) -> NDArray[Any]:
        return np.asarray(answer(matrix, thread_count=1))

    return PreparedPredictor(signature, inputs, ask, NAME)
