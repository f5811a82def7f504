"""The format `onnx`: a graph of the closed set of ONNX operators, run by ONNX Runtime.

An `OnnxModel` is made from the bytes of a graph, however it was exported. Weights that a graph
keeps in other files are refused: a file must not name files to read. No library of custom
operators is ever loaded.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel, UsageError
from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.formats.prepared import library
from thrive.packaging.signature import Columns, OutputKind, Scalar, Signature

NAME = "onnx"
MODEL_FILE = "model.onnx"
CLASSES_FILE = "classes.json"
FILES = frozenset({MODEL_FILE, CLASSES_FILE})
REQUIRES = ("numpy", "onnxruntime")
_ELSEWHERE = b"\x0a\x08location\x12"
"""The key that begins the place of weights in another file, as the protocol writes it."""
_NUMBERS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_TEXT = "tensor(string)"


class OnnxModel:
    """A graph as a model: register it like any other.

    It takes either one tensor of shape (rows, columns) in the order of the columns, or one tensor
    for each column, by its name. With classes, it answers one probability for each.

    Args:
        graph: the bytes, or the path of a file.
        classes: the labels in the order of the graph's probabilities; empty for numbers.

    Raises:
        UnsafeModel: ONNX Runtime does not read it, or it keeps weights in other files.
        UsageError: ONNX Runtime is not installed.
    """

    def __init__(self, graph: bytes | Path, classes: Sequence[Scalar] = ()) -> None:
        self.graph = graph.read_bytes() if isinstance(graph, Path) else graph
        self.classes_ = np.array(list(classes))
        self._session = _session(self.graph)
        self._inputs = [(each.name, each.type) for each in self._session.get_inputs()]
        self._outputs = [each.name for each in self._session.get_outputs()]
        if not classes:
            del self.classes_

    def answer(self, columns: Columns) -> NDArray[Any]:
        """Return (rows,) numbers, or (rows, classes) probabilities.

        Raises:
            UsageError: the graph answers nothing of that shape.
        """
        count = len(next(iter(columns.values())))
        found = self._session.run(self._outputs, self._fed(columns, count))
        classes = getattr(self, "classes_", None)
        for each in reversed(found):
            usable = _probabilities(each, classes) if classes is not None else _numbers(each, count)
            if usable is not None:
                return usable
        wanted = "numbers" if classes is None else f"{len(classes)} probabilities"
        raise UsageError(f"The graph does not answer {wanted} a row.", "name its classes")

    def predict(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return the answers to a matrix: numbers, or the likeliest class."""
        found = self.answer(self._columns(matrix))
        return self.classes_[found.argmax(axis=1)] if found.ndim == 2 else found

    def predict_proba(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return the probabilities of the classes for a matrix."""
        return self.answer(self._columns(matrix))

    def _columns(self, matrix: NDArray[Any]) -> Columns:
        names = [name for name, _ in self._inputs]
        if len(names) == 1:
            names = [str(place) for place in range(matrix.shape[1])]
        return {name: matrix[:, place] for place, name in enumerate(names)}

    def _fed(self, columns: Columns, count: int) -> dict[str, NDArray[Any]]:
        if len(self._inputs) == 1:
            name, kind = self._inputs[0]
            return {name: _tensor(np.column_stack(list(columns.values())), kind)}
        missing = [name for name, _ in self._inputs if name not in columns]
        if missing:
            raise UsageError(
                f"The graph asks for {missing[0]!r}.", "name its inputs as the columns"
            )
        return {name: _tensor(columns[name].reshape(count, 1), kind) for name, kind in self._inputs}


def save(model: Any, signature: Signature) -> dict[str, bytes]:  # noqa: ARG001 - one interface
    """Return the files of a graph.

    Raises:
        DoesNotFit: it is no `OnnxModel`.
    """
    if not isinstance(model, OnnxModel):
        raise DoesNotFit(f"{type(model).__name__} is no OnnxModel")
    classes: list[Any] = np.asarray(getattr(model, "classes_", [])).tolist()
    return {MODEL_FILE: model.graph, CLASSES_FILE: msgspec.json.encode(classes)}


def load(files: Mapping[str, bytes], signature: Signature) -> "OnnxPredictor":
    """Return the predictor of verified files.

    Raises:
        UnsafeModel: ONNX Runtime does not read the graph, or it keeps weights elsewhere.
    """
    try:
        classes = msgspec.json.decode(files[CLASSES_FILE], type=tuple[Scalar, ...])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unsafe(f"classes.json: {error}") from None
    output = signature.output
    if (output.kind is OutputKind.NUMBER) != (not classes):
        raise _unsafe("its classes and its answer contradict each other")
    if output.kind is OutputKind.PROBABILITY and output.positive not in classes:
        raise _unsafe(f"{output.positive!r} is no class of it")
    return OnnxPredictor(signature, OnnxModel(files[MODEL_FILE], classes))


class OnnxPredictor:
    """Answers of a graph."""

    def __init__(self, signature: Signature, model: OnnxModel) -> None:
        self.signature = signature
        self._model = model
        classes: list[Any] = np.asarray(getattr(model, "classes_", [])).tolist()
        positive = signature.output.positive
        self._place = classes.index(positive) if positive in classes else 0

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return one answer a row; see `Predictor.predict`."""
        found = self._model.answer({name: columns[name] for name in self.signature.names})
        kind = self.signature.output.kind
        if kind is OutputKind.PROBABILITY:
            return found[:, self._place]
        return self._model.classes_[found.argmax(axis=1)] if kind is OutputKind.CLASS else found

    def describe(self) -> dict[str, Any]:
        """Return the format and the size of the graph."""
        return {"format": NAME, "bytes": len(self._model.graph)}


def _session(graph: bytes) -> Any:
    if _ELSEWHERE in graph:
        raise _unsafe("it keeps weights in other files")
    onnxruntime = library("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has no class of its own for them
        raise _unsafe(f"ONNX Runtime says {str(error)[:200]}") from None


def _tensor(values: NDArray[Any], kind: str) -> NDArray[Any]:
    if kind == _TEXT:
        return np.where(values == None, "", values).astype(object)  # noqa: E711 - elementwise
    if kind not in _NUMBERS:
        raise UsageError(f"The graph takes {kind}, which no column holds.", "export another graph")
    return values.astype(_NUMBERS[kind])


def _probabilities(found: Any, classes: NDArray[Any]) -> NDArray[Any] | None:
    """Return an output as (rows, classes), None if it is something else."""
    if isinstance(found, list) and found and isinstance(found[0], dict):
        labels = classes.tolist()
        return np.array([[row[label] for label in labels] for row in found])
    array = np.asarray(found)
    if array.dtype.kind != "f" or array.ndim != 2:
        return None
    if array.shape[1] == 1 and len(classes) == 2:
        return np.hstack([1 - array, array])
    return array if array.shape[1] == len(classes) else None


def _numbers(found: Any, count: int) -> NDArray[Any] | None:
    array = np.asarray(found)
    return array.reshape(-1) if array.dtype.kind in "fi" and array.size == count else None


def _unsafe(reason: str) -> UnsafeModel:
    return UnsafeModel(f"The graph cannot be used: {reason}.", "export it as one file")
