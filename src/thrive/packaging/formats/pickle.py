"""The format `pickle`: refused, unless the caller allows this very package by name and digest.

Unpickling runs whatever the file says. The loader asks the caller's allow-list before `load` is
reached; nothing in a package can put itself on it.
"""

import pickle
from collections.abc import Mapping
from typing import Any

from thrive.domain.errors import UnsafeModel
from thrive.packaging.formats.estimator import EstimatorPredictor
from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.signature import Signature

NAME = "pickle"
FILES = frozenset({"model.pkl"})
REQUIRES = ("numpy", "polars")


def save(model: Any, signature: Signature) -> dict[str, bytes]:  # noqa: ARG001 - one interface
    """Return the file of any model with `predict`.

    Raises:
        DoesNotFit: it cannot be pickled.
    """
    try:
        return {"model.pkl": pickle.dumps(model, protocol=5)}
    except Exception as error:
        raise DoesNotFit(f"it cannot be pickled: {error}") from error


def load(files: Mapping[str, bytes], signature: Signature) -> EstimatorPredictor:
    """Return the predictor of a file that the caller allowed by name and digest.

    Raises:
        UnsafeModel: it cannot be restored.
    """
    try:
        model = pickle.loads(files["model.pkl"])  # noqa: S301 - allowed by name and digest
    except Exception as error:
        raise UnsafeModel(
            f"The pickle cannot be restored: {str(error)[:200]}.",
            "install the libraries it was made with",
        ) from error
    return EstimatorPredictor(signature, model, NAME)
