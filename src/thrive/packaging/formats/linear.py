"""The format `linear`: weights as open arrays, answered without scikit-learn.

`linear.npz` holds the weights, one row an output and one column a feature; `linear.json` holds
the preparation of the columns, the intercept and the link. Written from fitted linear and
generalised linear models, alone or at the end of a Pipeline that `sklearn_reader` understands
(scaled numbers, filled missing values, one-hot or ordinal codes).
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel
from thrive.packaging.formats import links, sklearn_reader
from thrive.packaging.formats.arrays import pack_arrays, unpack_arrays
from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.formats.preparation import (
    Feature,
    Lookup,
    Number,
    Vocabulary,
    check_features,
    length,
    vocabularies,
)
from thrive.packaging.signature import Scalar, Signature

NAME = "linear"
FILES = frozenset({"linear.npz", "linear.json"})
REQUIRES = ("numpy",)
_SHAPES = {"weights": ("<f8", 2)}
_CLASSIFIERS = frozenset({"LogisticRegression", "LogisticRegressionCV"})
_LOG = frozenset({"PoissonRegressor", "GammaRegressor"})
_IDENTITY = frozenset(
    {
        "LinearRegression",
        "Ridge",
        "RidgeCV",
        "Lasso",
        "LassoCV",
        "ElasticNet",
        "ElasticNetCV",
        "BayesianRidge",
        "HuberRegressor",
        "QuantileRegressor",
    }
)


class LinearFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `linear.json`."""

    format: Literal[1] = 1
    features: tuple[Feature, ...]
    intercept: tuple[float, ...]
    link: links.Link
    classes: tuple[Scalar, ...] = ()


def save(model: Any, signature: Signature) -> dict[str, bytes]:
    """Return the files of a fitted linear model.

    Raises:
        DoesNotFit: it is another model, or stands behind a preparation that is not plain data.
    """
    features, estimator = sklearn_reader.read_features(model, signature.names)
    link = _link(estimator)
    weights = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
    if link in {"identity", "log"} and len(weights) != 1:
        raise DoesNotFit("it answers several numbers")
    intercept = np.broadcast_to(np.ravel(estimator.intercept_), (len(weights),))
    content = LinearFile(
        features=sklearn_reader.finished(features),
        intercept=tuple(intercept.tolist()),
        link=link,
        classes=sklearn_reader.classes(estimator),
    )
    return {
        "linear.npz": pack_arrays({"weights": weights}, _SHAPES),
        "linear.json": msgspec.json.encode(content),
    }


def _link(estimator: Any) -> links.Link:
    name = sklearn_reader.class_name(estimator)
    if name in _CLASSIFIERS:
        return "logit" if len(estimator.classes_) == 2 else "softmax"
    if name in _LOG:
        return "log"
    if name in _IDENTITY:
        return "identity"
    raise DoesNotFit(f"{type(estimator).__name__} is no known linear model")


def load(files: Mapping[str, bytes], signature: Signature) -> "LinearPredictor":
    """Return the predictor of verified files, after checking their content.

    Raises:
        UnsafeModel: the files are not a whole, sane model.
    """
    try:
        content = msgspec.json.decode(files["linear.json"], type=LinearFile)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unsafe(f"linear.json: {error}") from None
    check_features(content.features, signature.names)
    weights = unpack_arrays(files["linear.npz"], _SHAPES)["weights"]
    if weights.shape != (len(content.intercept), len(content.features)):
        raise _unsafe("there is not one weight for each feature and output")
    if not (np.isfinite(weights).all() and np.isfinite(content.intercept).all()):
        raise _unsafe("a weight is not finite")
    links.check(content.link, len(content.intercept), content.classes, signature.output)
    return LinearPredictor(signature, content, weights)


def _unsafe(reason: str) -> UnsafeModel:
    return UnsafeModel(
        f"The weights of the model cannot be used: {reason}.", "pack the model again"
    )


class LinearPredictor:
    """Answers of a package in the format `linear`."""

    gains_from_batches = False
    """One row costs a few microseconds: waiting for others would cost more."""

    def __init__(
        self, signature: Signature, content: LinearFile, weights: NDArray[np.float64]
    ) -> None:
        self.signature = signature
        self._intercept = np.array(content.intercept)
        self._answer = links.answer(content.link, content.classes, signature.output)
        chosen = [i for i, f in enumerate(content.features) if isinstance(f, Number)]
        numbers = [f for f in content.features if isinstance(f, Number)]
        self._sources = [number.source for number in numbers]
        names = signature.names
        self._places = [names.index(source) for source in self._sources]
        self._straight = self._places == list(range(len(names)))
        self._weights = np.ascontiguousarray(weights[:, chosen].T)
        fills = [np.nan if number.fill is None else float(number.fill) for number in numbers]
        self._fill = np.array(fills)
        self._filled = not bool(np.isnan(self._fill).all())
        self._center = np.array([number.center for number in numbers])
        self._scale = np.array([number.scale for number in numbers])
        self._scaled = bool((self._center != 0).any() or (self._scale != 1).any())
        self._tables = [
            (vocabulary, names.index(vocabulary.source), table)
            for vocabulary, table in _lookup_tables(content.features, weights)
        ]
        self._size = {"parameters": int(weights.size) + len(self._intercept)}

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return one answer a row; see `Predictor.predict`."""
        values = np.array([columns[name] for name in self._sources], dtype=np.float64).T
        raw = self._weighted(values, length(columns))
        for vocabulary, _, table in self._tables:
            raw += table[vocabulary.rows(columns[vocabulary.source])]
        return self._answer(raw)

    def predict_rows(self, rows: Sequence[tuple[Any, ...]]) -> NDArray[Any]:
        """Return one answer a row of values in the signature's order, None for a missing one."""
        raw = self._weighted(self._numbers(rows), len(rows))
        for vocabulary, place, table in self._tables:
            raw += table[[vocabulary.row(row[place]) for row in rows]]
        return self._answer(raw)

    def _numbers(self, rows: Sequence[tuple[Any, ...]]) -> NDArray[np.float64]:
        if not self._straight:
            places = self._places
            return np.array([[row[place] for place in places] for row in rows], dtype=np.float64)
        try:
            shape = len(rows), len(self._places)
            return np.fromiter(chain.from_iterable(rows), np.float64, shape[0] * shape[1]).reshape(
                shape
            )
        except TypeError:  # a missing value
            return np.array(rows, dtype=np.float64)

    def _weighted(self, values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """Return what numbers of shape (rows, numbers) and the intercept add up to."""
        if not self._sources:
            return np.repeat(self._intercept[None], count, axis=0)
        if self._filled:
            values = np.where(np.isnan(values), self._fill, values)
        if self._scaled:
            values = (values - self._center) / self._scale
        return values @ self._weights + self._intercept

    def describe(self) -> dict[str, Any]:
        """Return the format and the number of parameters."""
        return {"format": NAME, **self._size}


def _lookup_tables(
    features: tuple[Feature, ...], weights: NDArray[np.float64]
) -> list[tuple[Vocabulary, NDArray[np.float64]]]:
    """Return, for each looked-up column, what each of its values adds to each output."""
    tables: list[tuple[Vocabulary, NDArray[np.float64]]] = []
    for source, vocabulary in vocabularies(features).items():
        table = np.zeros((vocabulary.missing + 1, len(weights)))
        for number, feature in enumerate(features):
            if isinstance(feature, Lookup) and feature.source == source:
                table += vocabulary.codes(feature)[:, None] * weights[:, number]
        tables.append((vocabulary, table))
    return tables
