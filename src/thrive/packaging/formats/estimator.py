"""An object with scikit-learn's methods as a predictor: for formats that restore such objects."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UsageError
from thrive.packaging.signature import Columns, FieldKind, OutputKind, Signature


class EstimatorPredictor:
    """Answers of a restored estimator.

    Args:
        signature: what requests look like and what is answered.
        estimator: has `predict`, and `predict_proba` where probabilities are asked for.
        name: the name of the format it came in.
        by_name: whether one that was fitted on named columns is asked with a frame.
    """

    def __init__(
        self, signature: Signature, estimator: Any, name: str, *, by_name: bool = True
    ) -> None:
        self.signature = signature
        self._estimator = estimator
        self._name = name
        self._by_name = by_name and hasattr(estimator, "feature_names_in_")
        self._positive = _positive(signature, estimator)

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return one answer a row; see `Predictor.predict`."""
        inputs = self._inputs(dict(columns))
        kind = self.signature.output.kind
        if kind is OutputKind.PROBABILITY:
            return np.asarray(self._estimator.predict_proba(inputs))[:, self._positive]
        if kind is OutputKind.VECTOR:
            return np.asarray(self._estimator.predict_proba(inputs))
        return np.asarray(self._estimator.predict(inputs))

    def describe(self) -> dict[str, Any]:
        """Return the format and the class of the estimator."""
        return {"format": self._name, "estimator": type(self._estimator).__name__}

    def _inputs(self, columns: Columns) -> Any:
        if not self._by_name:
            return np.column_stack([columns[name] for name in self.signature.names])
        import polars as pl

        series = [_series(f.name, f.kind, columns[f.name]) for f in self.signature.inputs]
        return pl.DataFrame(series)


def _series(name: str, kind: FieldKind, column: NDArray[Any]) -> Any:
    """Return a column in the type it most likely had in training."""
    import polars as pl

    if column.dtype == object:
        return pl.Series(name, column.tolist(), dtype=pl.String)
    series = pl.Series(name, column)
    if kind is FieldKind.INTEGER and not np.isnan(column).any():
        return series.cast(pl.Int64)
    if kind is FieldKind.BOOLEAN and not np.isnan(column).any():
        return series.cast(pl.Boolean)
    return series


def _positive(signature: Signature, estimator: Any) -> int:
    output = signature.output
    if output.kind is not OutputKind.PROBABILITY:
        return 0
    classes = np.asarray(getattr(estimator, "classes_", ())).tolist()
    if output.positive not in classes or not hasattr(estimator, "predict_proba"):
        raise UsageError(
            f"{type(estimator).__name__} gives no probability of {output.positive!r}.",
            f"its classes are {classes[:10]}; choose one, or an output of kind class",
        )
    return classes.index(output.positive)
