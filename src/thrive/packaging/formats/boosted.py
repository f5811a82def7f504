"""A booster of LightGBM or XGBoost without the estimator around it, as a model to be packed."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thrive.packaging.signature import Scalar


class Boosted:
    """A booster that was read from its library's own file: register it like any other model.

    Args:
        library: whose it is.
        booster: the library's object.
        ask: from a matrix of shape (n, features) to (n,) numbers or (n, classes) probabilities.
        names: the columns it was fitted on, in order; empty for by place.
        classes: the labels in the order of its probabilities; empty for numbers.
    """

    def __init__(
        self,
        library: Literal["lightgbm", "xgboost"],
        booster: Any,
        ask: Callable[[NDArray[np.float64]], NDArray[Any]],
        *,
        names: Sequence[str],
        classes: Sequence[Scalar],
    ) -> None:
        self.library = library
        self.booster_ = booster
        self.feature_name_ = list(names)
        if names:
            self.feature_names_in_ = np.array(list(names))
        if classes:
            self.classes_ = np.array(list(classes))
        self._ask = ask

    def get_booster(self) -> Any:
        """Return the library's object, by the name that XGBoost's estimators have for it."""
        return self.booster_

    def predict(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return the answers to a matrix: numbers, or the likeliest class."""
        if not hasattr(self, "classes_"):
            return np.asarray(self._ask(matrix)).reshape(-1)
        return self.classes_[self.predict_proba(matrix).argmax(axis=1)]

    def predict_proba(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return the probabilities of the classes for a matrix."""
        found = np.asarray(self._ask(matrix))
        return np.stack([1 - found, found], axis=1) if found.ndim == 1 else found
