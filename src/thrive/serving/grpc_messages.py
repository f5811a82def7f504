"""The messages of the Open Inference Protocol v2 over gRPC, as protobuf classes.

Their fields and numbers are those of the protocol's `grpc_predict_v2.proto` (package `inference`,
service `GRPCInferenceService`). They are described here and made at run time, so that no generated
code has to fit the version of protobuf that is installed.
"""

from functools import cache
from importlib import import_module
from typing import Any

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_PARAMETERS = "map:InferParameter"
_TENSOR = {"name": 1, "datatype": 2, "shape": (3, "repeated int64"), "parameters": (4, _PARAMETERS)}
_MESSAGES: dict[str, dict[str, Any]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": (1, "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": (1, "bool")},
    "ModelReadyRequest": {"name": 1, "version": 2},
    "ModelReadyResponse": {"ready": (1, "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {"name": 1, "version": 2, "extensions": (3, "repeated string")},
    "ModelMetadataRequest": {"name": 1, "version": 2},
    "TensorMetadata": {"name": 1, "datatype": 2, "shape": (3, "repeated int64")},
    "ModelMetadataResponse": {
        "name": 1,
        "versions": (2, "repeated string"),
        "platform": 3,
        "inputs": (4, "repeated TensorMetadata"),
        "outputs": (5, "repeated TensorMetadata"),
    },
    "InferParameter": {
        "bool_param": (1, "bool"),
        "int64_param": (2, "int64"),
        "string_param": 3,
        "double_param": (4, "double"),
        "uint64_param": (5, "uint64"),
    },
    "InferTensorContents": {
        "bool_contents": (1, "repeated bool"),
        "int_contents": (2, "repeated int32"),
        "int64_contents": (3, "repeated int64"),
        "uint_contents": (4, "repeated uint32"),
        "uint64_contents": (5, "repeated uint64"),
        "fp32_contents": (6, "repeated float"),
        "fp64_contents": (7, "repeated double"),
        "bytes_contents": (8, "repeated bytes"),
    },
    "InferInputTensor": {**_TENSOR, "contents": (5, "InferTensorContents")},
    "InferRequestedOutputTensor": {"name": 1, "parameters": (2, _PARAMETERS)},
    "InferOutputTensor": {**_TENSOR, "contents": (5, "InferTensorContents")},
    "ModelInferRequest": {
        "model_name": 1,
        "model_version": 2,
        "id": 3,
        "parameters": (4, _PARAMETERS),
        "inputs": (5, "repeated InferInputTensor"),
        "outputs": (6, "repeated InferRequestedOutputTensor"),
        "raw_input_contents": (7, "repeated bytes"),
    },
    "ModelInferResponse": {
        "model_name": 1,
        "model_version": 2,
        "id": 3,
        "parameters": (4, _PARAMETERS),
        "outputs": (5, "repeated InferOutputTensor"),
        "raw_output_contents": (6, "repeated bytes"),
    },
    "ModelStreamInferResponse": {"error_message": 1, "infer_response": (2, "ModelInferResponse")},
    "RepositoryIndexRequest": {"repository_name": 1, "ready": (2, "bool")},
    "ModelIndex": {"name": 1, "version": 2, "state": 3, "reason": 4},
    "RepositoryIndexResponse": {"models": (1, "repeated ModelIndex")},
}
"""Message to field to its number, with its kind where that is not one string."""
_CHOICE = {"InferParameter": "parameter_choice"}
"""Messages of which one field is set at a time."""


@cache
def messages() -> Any:
    """Return the classes of the messages, by name.

    Raises:
        ImportError: protobuf is not installed.
    """
    pool: Any = import_module("google.protobuf.descriptor_pool").DescriptorPool()
    described: Any = import_module("google.protobuf.descriptor_pb2")
    file = described.FileDescriptorProto(
        name="open_inference.proto", package=PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in _CHOICE:
            message.oneof_decl.add(name=_CHOICE[name])
        for field, said in fields.items():
            number, kind = said if isinstance(said, tuple) else (said, "string")
            _add_field(message, field, number, kind)
            if name in _CHOICE:
                message.field[-1].oneof_index = 0
    pool.Add(file)
    made: Any = import_module("google.protobuf.message_factory").GetMessageClass
    return {name: made(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES}


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    """Add a field; of a map the entry too, as protobuf writes maps."""
    if kind.startswith("map:"):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, kind.removeprefix("map:"))
        kind = f"repeated {message.name}.{entry.name}"
    field = message.field.add(name=name, number=number)
    repeated, plain = kind.startswith("repeated "), kind.removeprefix("repeated ")
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if plain[0].islower():
        field.type = getattr(field, f"TYPE_{plain.upper()}")
    else:
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{plain}"
