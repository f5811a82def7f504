"""The matrix that a model of another library was fitted on, from a request's columns.

`inputs.json` holds it as data for each format of such a library: the preparation of each column,
in the order of fitting, and the classes. The library's own file holds the model.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel, UsageError
from thrive.packaging.formats import sklearn_reader
from thrive.packaging.formats.boosted import Boosted
from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.formats.preparation import (
    Feature,
    Lookup,
    Number,
    check_features,
    length,
    numbers,
    vocabularies,
)
from thrive.packaging.signature import OutputKind, Scalar, Signature

INPUTS_FILE = "inputs.json"
MOST_FEATURES = 100_000
Ask = Callable[[NDArray[np.float64]], NDArray[Any]]
"""From a matrix of shape (n, features) to (n,) numbers, or (n, classes) probabilities."""


class InputsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `inputs.json`."""

    format: Literal[1] = 1
    features: tuple[Feature, ...]
    classes: tuple[Scalar, ...] = ()


def estimator_of(model: Any, library: str) -> Any:
    """Return the last estimator of a model, which must be of a library.

    Raises:
        DoesNotFit: it is of another.
    """
    last = model.steps[-1][1] if sklearn_reader.class_name(model) == "Pipeline" else model
    of = last.library if isinstance(last, Boosted) else type(last).__module__.partition(".")[0]
    if of != library:
        raise DoesNotFit(f"{type(last).__name__} is not of {library}")
    return last


def read_inputs(model: Any, signature: Signature, fitted: tuple[str, ...]) -> InputsFile:
    """Return the inputs of a fitted model as data.

    Args:
        model: an estimator of another library, or a Pipeline that ends with one.
        signature: the names of the inputs.
        fitted: the names that the estimator itself says it was fitted on, empty for by place.

    Raises:
        DoesNotFit: a preparation is not understood, or the inputs differ.
    """
    names = signature.names
    if sklearn_reader.class_name(model) == "Pipeline":
        features, estimator = sklearn_reader.read_features(model, names)
    else:
        estimator, features = model, tuple(Number(source=name) for name in fitted or names)
        if {each.source for each in features} - {*names}:
            raise DoesNotFit("it was fitted on other columns than the signature has")
    return InputsFile(
        features=sklearn_reader.finished(features), classes=sklearn_reader.classes(estimator)
    )


def write_inputs(inputs: InputsFile) -> bytes:
    """Return the bytes of `inputs.json`."""
    return msgspec.json.encode(inputs)


def load_inputs(data: bytes, signature: Signature) -> InputsFile:
    """Return the content of `inputs.json`, if it fits the signature.

    Raises:
        UnsafeModel: it does not, or cannot be read.
    """
    try:
        content = msgspec.json.decode(data, type=InputsFile)
    except (msgspec.DecodeError, RecursionError) as error:
        raise unsafe(f"inputs.json: {error}") from None
    check_features(content.features, signature.names)
    output = signature.output
    counted = output.kind is OutputKind.NUMBER
    if not 0 < len(content.features) <= MOST_FEATURES or counted != (not content.classes):
        raise unsafe("its inputs and its answer contradict each other")
    if output.kind is OutputKind.PROBABILITY and output.positive not in content.classes:
        raise unsafe(f"{output.positive!r} is no class of it")
    return content


def library(name: str, extra: str) -> Any:
    """Return a library that a format needs.

    Raises:
        UsageError: it is not installed; says which extra brings it.
    """
    try:
        return import_module(name)
    except ImportError:
        raise UsageError(
            f"This model needs {name}, which is not installed.", f'pip install "thrive[{extra}]"'
        ) from None


def unsafe(reason: str) -> UnsafeModel:
    """Return the refusal of a file."""
    return UnsafeModel(f"The model cannot be used: {reason}.", "pack the model again")


class PreparedPredictor:
    """Answers of a model of another library.

    Args:
        signature: what requests look like and what is answered.
        inputs: the preparation of the columns, and the classes.
        ask: the model.
        name: the name of the format.
    """

    def __init__(self, signature: Signature, inputs: InputsFile, ask: Ask, name: str) -> None:
        self.signature = signature
        self._features = inputs.features
        self._labels = np.array(inputs.classes)
        self._ask = ask
        self._name = name
        self._vocabularies = vocabularies(inputs.features)
        self._codes = [
            self._vocabularies[each.source].codes(each) if isinstance(each, Lookup) else None
            for each in inputs.features
        ]
        output = signature.output
        listed = list(inputs.classes)
        self._place = listed.index(output.positive) if output.positive in listed else 0

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return one answer a row; see `Predictor.predict`."""
        found = np.asarray(self._ask(self._matrix(columns)))
        kind = self.signature.output.kind
        if kind is OutputKind.NUMBER:
            return found.reshape(-1)
        if found.ndim == 1:
            found = np.stack([1 - found, found], axis=1)
        if found.shape[1] != len(self._labels):
            raise UsageError("The model answers other classes than it says.", "pack it again")
        if kind is OutputKind.PROBABILITY:
            return found[:, self._place]
        return found if kind is OutputKind.VECTOR else self._labels[found.argmax(axis=1)]

    def describe(self) -> dict[str, Any]:
        """Return the format and the number of features."""
        return {"format": self._name, "features": len(self._features)}

    def _matrix(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        matrix = np.empty((length(columns), len(self._features)))
        rows = {name: each.rows(columns[name]) for name, each in self._vocabularies.items()}
        for place, feature in enumerate(self._features):
            codes = self._codes[place]
            matrix[:, place] = (
                numbers(feature, columns[feature.source])
                if isinstance(feature, Number)
                else codes[rows[feature.source]]
                if codes is not None
                else np.nan
            )
        return matrix
