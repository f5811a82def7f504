"""The Open Inference Protocol v2 over HTTP, as Triton, MLServer and KServe clients speak it.

Each input of a model is a tensor of shape [n] (or [n, 1]); a model of numbers alone also takes one
tensor of shape [n, inputs] under any other name. An answer has the tensor `score` where the model
gives numbers and `decision` where it decides; the ids of the logged predictions follow from
`prediction_id`, a parameter of the answer, which is the id of the first row.
"""

import re
from typing import Any, NamedTuple

import msgspec

from thrive.packaging.signature import NUMERIC, Field, FieldKind, Output, OutputKind
from thrive.serving.answers import Part
from thrive.serving.asgi import JSON, Headers, HttpError
from thrive.serving.bodies import in_order
from thrive.serving.live import LiveModel
from thrive.serving.tensors import BINARY_SIZE, BYTES, Tensor, to_bytes, values_of
from thrive.version import __version__

HEADER = b"inference-header-content-length"
OCTETS = b"application/octet-stream"
_DIGITS = 18
_DATATYPES = {FieldKind.NUMBER: "FP64", FieldKind.INTEGER: "INT64", FieldKind.BOOLEAN: "BOOL"}
_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer))?")
_SERVER = {"name": "thrive", "version": __version__, "extensions": ["binary_tensor_data"]}


class Place(NamedTuple):
    """What a path of the protocol asks: of the server, or of a model."""

    action: str
    model: str = ""
    version: str | None = None


PLACES = {
    "/v2": Place("server"),
    "/v2/health/live": Place("live"),
    "/v2/health/ready": Place("ready"),
    "/v2/repository/index": Place("index"),
}
"""The paths that are no model's."""


def find_place(path: str) -> Place:
    """Return what a path asks for.

    Raises:
        HttpError: 404, nothing.
    """
    place = PLACES.get(path.rstrip("/"))
    if place is not None:
        return place
    match = _MODEL.fullmatch(path.rstrip("/"))
    if match is None:
        raise HttpError(404, "NotFound", f"There is nothing at {path[:200]}.", "see GET /v2")
    return Place(match[3] or "metadata", match[1], match[2])


class Asked(msgspec.Struct, kw_only=True):
    """The JSON of a request for inference."""

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: list[Tensor]
    outputs: list[Tensor] = []


def server_metadata() -> dict[str, Any]:
    """Return what this server is."""
    return _SERVER


def index(models: dict[str, LiveModel]) -> list[dict[str, Any]]:
    """Return every model with the state of its production."""
    return [
        {
            "name": name,
            "version": str(live.production.variant.version) if live.production else "",
            "state": "READY" if live.production else "UNAVAILABLE",
        }
        for name, live in sorted(models.items())
    ]


def model_metadata(name: str, live: LiveModel) -> dict[str, Any]:
    """Return the versions, inputs and outputs of a model.

    Raises:
        HttpError: 503, nothing of it is live.
    """
    signature = live.signature
    if signature is None:
        raise HttpError(503, "NotReady", f"No version of {name} is live.", "thrive releases start")
    versions = [live.production.variant.version] if live.production else []
    versions += [each.variant.version for each in live.candidates]
    keys = [key for key in live.served.keys if key not in signature.names]
    return {
        "name": name,
        "versions": [str(each) for each in versions],
        "platform": "thrive",
        "inputs": [_described(field) for field in signature.inputs]
        + [{"name": key, "datatype": BYTES, "shape": [-1]} for key in keys],
        "outputs": [
            {"name": output, "datatype": kind, "shape": [-1]}
            for output, kind in _outputs(signature.output).items()
        ],
    }


def read_request(body: bytes, headers: Headers, live: LiveModel) -> tuple[Asked, list[Any]]:
    """Return a request and its rows, as row objects.

    Raises:
        HttpError: 400 for broken JSON, 422 for tensors that are no rows of the model.
    """
    end = _json_end(headers, len(body))
    try:
        asked = msgspec.json.decode(body[:end], type=Asked)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HttpError(400, "BadJson", f"The request cannot be read: {error}.") from None
    return asked, rows_of(asked, memoryview(body)[end:], live)


def rows_of(asked: Asked, raw: memoryview, live: LiveModel) -> list[dict[str, Any]]:
    """Return the rows of a request.

    Args:
        asked: the tensors.
        raw: the bytes of those that have none in JSON, one after the other.
        live: the model.

    Raises:
        HttpError: 422, the tensors are no rows of the model.
    """
    if not asked.inputs:
        raise HttpError(422, "InvalidTensor", "The request has no input.")
    columns: dict[str, list[Any]] = {}
    for tensor in asked.inputs:
        values, used = values_of(tensor, raw)
        raw = raw[used:]
        columns |= _columns(tensor, values, live, alone=len(asked.inputs) == 1)
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise HttpError(422, "InvalidTensor", f"The inputs have {sorted(lengths)} rows.")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if not rows:
        raise HttpError(422, "InvalidTensor", "The inputs have no row.")
    return rows


def outputs_of(
    asked: Asked, parts: list[Part], live: LiveModel
) -> list[tuple[str, str, list[Any]]]:
    """Return name, datatype and values of each tensor that a request asks for.

    Raises:
        HttpError: 422, an output was asked for that the model does not have.
    """
    known = _outputs(live.signature.output) if live.signature else {"decision": BYTES}
    wanted = [each.name for each in asked.outputs] or [*known]
    unknown = set(wanted) - known.keys()
    if unknown:
        raise HttpError(
            422, "InvalidTensor", f"There is no output {min(unknown)[:80]!r}: {', '.join(known)}."
        )
    found = {
        "score": in_order(parts, [part.answer.scores for part in parts]),
        "decision": in_order(parts, [part.answer.decisions for part in parts]),
    }
    return [(name, known[name], found[name]) for name in wanted]


def write_answer(
    asked: Asked, parts: list[Part], live: LiveModel
) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
    """Return body, content type and further headers of an answer.

    Raises:
        HttpError: 422, an output was asked for that the model does not have.
    """
    first = parts[0].answer
    wanted = {each.name: each.parameters for each in asked.outputs}
    default = asked.parameters.get("binary_data_output", False)
    outputs: list[Tensor] = []
    tail: list[bytes] = []
    for name, datatype, values in outputs_of(asked, parts, live):
        tensor = Tensor(name=name, shape=[len(values)], datatype=datatype)
        if wanted.get(name, {}).get("binary_data", default):
            tail.append(to_bytes(datatype, values))
            tensor.parameters = {BINARY_SIZE: len(tail[-1])}
        else:
            tensor.data = values
        outputs.append(tensor)
    head: dict[str, Any] = {"model_name": first.model, "model_version": str(first.version)}
    if asked.id:
        head["id"] = asked.id
    head["parameters"] = {"variant": first.variant, "prediction_id": first.record_id}
    data = msgspec.json.encode({**head, "outputs": outputs})
    if not tail:
        return data, JSON, []
    return data + b"".join(tail), OCTETS, [(HEADER, b"%d" % len(data))]


def error_body(error: HttpError) -> bytes:
    """Return an error in the protocol's form: one text."""
    words = f"{error.message} {error.hint}".strip()
    return msgspec.json.encode({"error": words, **error.details})


def check_version(live: LiveModel, version: str | None) -> None:
    """Refuse a version that is not live.

    Raises:
        HttpError: 404, it is not.
    """
    if version is None:
        return
    known = {live.production.variant.version} if live.production else set[int]()
    known |= {each.variant.version for each in live.candidates}
    if version not in {str(each) for each in known}:
        raise HttpError(
            404,
            "NotFound",
            f"Version {version[:20]!r} of {live.served.model} is not live.",
            f"live: {', '.join(map(str, sorted(known))) or 'none'}; releases decide which answers",
        )


def _json_end(headers: Headers, size: int) -> int:
    said = headers.get(HEADER)
    if said is None:
        return size
    if not said.isdigit() or len(said) > _DIGITS or int(said) > size:
        raise HttpError(400, "BadHeader", "Inference-Header-Content-Length is no length here.")
    return int(said)


def _columns(
    tensor: Tensor, values: list[Any], live: LiveModel, *, alone: bool
) -> dict[str, list[Any]]:
    """Return the columns in a tensor: one, or all inputs of a model of numbers."""
    signature = live.signature
    names = signature.names if signature else ()
    matrix = alone and tensor.name not in {*names, *live.served.keys} and len(tensor.shape) == 2
    if matrix and signature and tensor.shape[1] == len(names):
        width = len(names) if all(field.kind in NUMERIC for field in signature.inputs) else 0
        if width:
            return {name: values[place::width] for place, name in enumerate(names)}
    rows = tensor.shape[0] if tensor.shape else len(values)
    if len(values) != rows:
        raise HttpError(
            422,
            "InvalidTensor",
            f"Input {tensor.name[:80]!r} has the shape {tensor.shape}, expected [n] or [n, 1].",
            "send one tensor an input, or one of shape [n, inputs] to a model of numbers",
        )
    return {tensor.name: values}


def _described(field: Field) -> dict[str, Any]:
    kind = _DATATYPES.get(field.kind, BYTES)
    return {"name": field.name, "datatype": kind, "shape": [-1]}


def _outputs(output: Output) -> dict[str, str]:
    """Return the tensors of an answer and their datatypes."""
    if output.kind is OutputKind.NUMBER:
        return {"score": "FP64"}
    if output.kind is OutputKind.PROBABILITY:
        return {"score": "FP64", "decision": "BOOL"}
    names: dict[type, str] = {bool: "BOOL", int: "INT64", float: "FP64"}
    kinds: set[type] = set(map(type, output.classes))
    decided = names.get(kinds.pop(), BYTES) if len(kinds) == 1 else BYTES
    return (
        {"decision": decided}
        if output.kind is OutputKind.CLASS
        else {
            "score": "FP64",
            "decision": decided,
        }
    )
