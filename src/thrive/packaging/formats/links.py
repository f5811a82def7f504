"""From the raw sum of a model to its answer: the inverse link, and which class is asked for."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel
from thrive.packaging.signature import Output, OutputKind, Scalar

Link = Literal["identity", "log", "logit", "softmax"]
Answer = Callable[[NDArray[np.float64]], NDArray[Any]]
_LARGEST = 709.0


def check(link: Link, outputs: int, classes: tuple[Scalar, ...], output: Output) -> None:
    """Refuse a model whose outputs, classes and signature contradict each other.

    Raises:
        UnsafeModel: they do.
    """
    if link == "softmax":
        fits = outputs == len(classes) > 2 and output.kind in {OutputKind.VECTOR, OutputKind.CLASS}
    elif link == "logit":
        fits = outputs == 1 and len(classes) == 2 and output.kind is not OutputKind.NUMBER
        if output.kind is OutputKind.PROBABILITY:
            fits = fits and output.positive in classes
    else:
        fits = outputs == 1 and not classes and output.kind is OutputKind.NUMBER
    if not fits:
        raise UnsafeModel(
            f"A model with {outputs} outputs, {len(classes)} classes and the link {link} "
            f"cannot answer a {output.kind}.",
            "pack the model again",
        )


def answer(link: Link, classes: tuple[Scalar, ...], output: Output) -> Answer:
    """Return the function from raw values, shape (n, outputs), to answers."""
    if link in {"identity", "log"}:
        return _first if link == "identity" else _exponential
    if output.kind is OutputKind.CLASS:
        labels = np.array(classes)
        return lambda raw: labels[_most_likely(raw)]
    if link == "softmax":
        return _softmax
    if output.kind is OutputKind.VECTOR:
        return lambda raw: np.stack([_expit(-raw[:, 0]), _expit(raw[:, 0])], axis=1)
    if output.positive == classes[0]:
        return lambda raw: 1.0 - _expit(raw[:, 0])
    return lambda raw: _expit(raw[:, 0])


def _first(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    return raw[:, 0]


def _exponential(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(raw[:, 0])


def _expit(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(np.minimum(-raw, _LARGEST)))


def _softmax(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    grown = np.exp(raw - raw.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def _most_likely(raw: NDArray[np.float64]) -> NDArray[np.intp]:
    if raw.shape[1] == 1:
        return (raw[:, 0] > 0).astype(np.intp)
    return raw.argmax(axis=1)
