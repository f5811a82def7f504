"""The format `safetensors`: weights of a feed-forward network, answered without scikit-learn.

`network.safetensors` holds the weights and biases of each layer, `inputs.json` the preparation of
the columns and the classes, `network.json` the activation between layers and the link after the
last. Of scikit-learn's `MLPClassifier` and `MLPRegressor`, alone or at the end of a Pipeline.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.packaging.formats import links, sklearn_reader
from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.formats.prepared import (
    INPUTS_FILE,
    InputsFile,
    PreparedPredictor,
    load_inputs,
    unsafe,
    write_inputs,
)
from thrive.packaging.formats.tensors import pack_tensors, unpack_tensors
from thrive.packaging.signature import Output, OutputKind, Signature

NAME = "safetensors"
WEIGHTS_FILE = "network.safetensors"
NETWORK_FILE = "network.json"
FILES = frozenset({WEIGHTS_FILE, NETWORK_FILE, INPUTS_FILE})
REQUIRES = ("numpy",)
MOST_LAYERS = 1000
_LINKS: dict[str, links.Link] = {"identity": "identity", "logistic": "logit", "softmax": "softmax"}

Activation = Literal["identity", "relu", "tanh", "logistic"]
_ACTIVATIONS: dict[Activation, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "identity": lambda values: values,
    "relu": lambda values: np.maximum(values, 0.0),
    "tanh": np.tanh,
    "logistic": lambda values: 1.0 / (1.0 + np.exp(-np.maximum(values, -709.0))),
}


class NetworkFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `network.json`."""

    format: Literal[1] = 1
    layers: int
    activation: Activation
    link: links.Link


def save(model: Any, signature: Signature) -> dict[str, bytes]:
    """Return the files of a fitted network of scikit-learn.

    Raises:
        DoesNotFit: it is another model, or answers several numbers.
    """
    features, estimator = sklearn_reader.read_features(model, signature.names)
    if sklearn_reader.class_name(estimator) not in {"MLPClassifier", "MLPRegressor"}:
        raise DoesNotFit(f"{type(estimator).__name__} is no network")
    classes = sklearn_reader.classes(estimator)
    link = _LINKS[estimator.out_activation_]
    if link != "softmax" and estimator.n_outputs_ != 1:
        raise DoesNotFit("it answers several numbers")
    tensors: dict[str, NDArray[Any]] = {}
    for place, (weight, bias) in enumerate(
        zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ):
        tensors |= {f"layers.{place}.weight": weight, f"layers.{place}.bias": bias}
    network = NetworkFile(layers=len(estimator.coefs_), activation=estimator.activation, link=link)
    inputs = InputsFile(features=sklearn_reader.finished(features), classes=classes)
    return {
        WEIGHTS_FILE: pack_tensors(tensors),
        NETWORK_FILE: msgspec.json.encode(network),
        INPUTS_FILE: write_inputs(inputs),
    }


def load(files: Mapping[str, bytes], signature: Signature) -> PreparedPredictor:
    """Return the predictor of verified files, after checking that the layers fit together.

    Raises:
        UnsafeModel: the files are not a whole, sane network.
    """
    inputs = load_inputs(files[INPUTS_FILE], signature)
    try:
        network = msgspec.json.decode(files[NETWORK_FILE], type=NetworkFile)
    except (msgspec.DecodeError, RecursionError) as error:
        raise unsafe(f"network.json: {error}") from None
    layers = _layers(unpack_tensors(files[WEIGHTS_FILE]), network, len(inputs.features))
    outputs = layers[-1][1].shape[0]
    links.check(network.link, outputs, inputs.classes, signature.output)
    return PreparedPredictor(signature, inputs, _network(layers, network, inputs), NAME)


Layers = list[tuple[NDArray[Any], NDArray[Any]]]


def _layers(tensors: Mapping[str, NDArray[Any]], network: NetworkFile, width: int) -> Layers:
    """Return weights and biases of the layers, each of which takes what the last one gives."""
    if not 0 < network.layers <= MOST_LAYERS or len(tensors) != 2 * network.layers:
        raise unsafe("it has another number of layers")
    found: Layers = []
    for place in range(network.layers):
        weight = tensors.get(f"layers.{place}.weight")
        bias = tensors.get(f"layers.{place}.bias")
        if weight is None or bias is None or weight.shape != (width, *bias.shape) or not bias.size:
            raise unsafe(f"layer {place} does not fit")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise unsafe(f"a weight of layer {place} is not finite")
        found.append((weight, bias))
        width = bias.shape[0]
    return found


def _network(
    layers: Layers, network: NetworkFile, inputs: InputsFile
) -> Callable[[NDArray[np.float64]], NDArray[Any]]:
    activate = _ACTIVATIONS[network.activation]
    vector = Output(
        kind=OutputKind.VECTOR if inputs.classes else OutputKind.NUMBER, classes=inputs.classes
    )
    finish = links.answer(network.link, inputs.classes, vector)

    def ask(matrix: NDArray[np.float64]) -> NDArray[Any]:
        values: NDArray[Any] = matrix
        for place, (weight, bias) in enumerate(layers):
            values = values @ weight + bias
            if place + 1 < len(layers):
                values = activate(values)
        return finish(values)

    return ask
