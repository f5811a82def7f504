"""Tensors of the Open Inference Protocol v2: flat JSON or raw little-endian bytes, both ways.

Facts from the protocol's "inference REST" and "binary tensor data" pages.
"""

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from thrive.serving.asgi import HttpError

NUMPY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""The datatypes of numbers, as NumPy spells them."""
BYTES = "BYTES"
_LENGTH = struct.Struct("<I")
BINARY_SIZE = "binary_data_size"


class Tensor(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One named tensor of a request or an answer; `data` is absent where bytes follow the JSON."""

    name: str
    shape: list[int] = []
    datatype: str = ""
    parameters: dict[str, Any] = {}
    data: Any = None


def values_of(tensor: Tensor, raw: memoryview) -> tuple[list[Any], int]:
    """Return the flat values of a tensor, and how many of the raw bytes were its own.

    Raises:
        HttpError: 422, the data do not fit the shape or the datatype.
    """
    count = 1
    for size in tensor.shape:
        if size < 0:
            raise _wrong(tensor, f"has the shape {tensor.shape}")
        count *= size
    size = tensor.parameters.get(BINARY_SIZE)
    if size is None:
        values, used = _flat(tensor.data), 0
    elif type(size) is not int or not 0 <= size <= len(raw):
        raise _wrong(tensor, f"says {str(size)[:20]} bytes, and {len(raw)} are left")
    else:
        values, used = _from_bytes(tensor, raw[:size]), size
    if len(values) != count:
        raise _wrong(tensor, f"has {len(values)} values, and the shape {tensor.shape}")
    return values, used


def _flat(data: Any) -> list[Any]:
    if type(data) is not list:
        return [data]
    if not any(type(value) is list for value in data):
        return data
    found: list[Any] = []
    for value in data:
        found += _flat(value)
    return found


def _from_bytes(tensor: Tensor, raw: memoryview) -> list[Any]:
    if tensor.datatype == BYTES:
        return _texts(tensor, raw)
    kind = NUMPY.get(tensor.datatype)
    if kind is None:
        raise _wrong(tensor, f"has the datatype {tensor.datatype[:20]!r}")
    if len(raw) % np.dtype(kind).itemsize:
        raise _wrong(tensor, f"has {len(raw)} bytes of {tensor.datatype}")
    values: list[Any] = np.frombuffer(raw, dtype=kind).tolist()
    if not tensor.datatype.startswith("FP"):
        return values
    return [None if value != value else value for value in values]  # noqa: PLR0124 - NaN is missing


def _texts(tensor: Tensor, raw: memoryview) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(raw):
        if at + _LENGTH.size > len(raw):
            raise _wrong(tensor, "ends within a length")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if at + length > len(raw):
            raise _wrong(tensor, "ends within a text")
        try:
            found.append(str(raw[at : at + length], "utf-8"))
        except UnicodeDecodeError:
            raise _wrong(tensor, "holds bytes that are not UTF-8") from None
        at += length
    return found


def to_bytes(datatype: str, values: Sequence[Any]) -> bytes:
    """Return values as the raw bytes of a tensor."""
    if datatype == BYTES:
        encoded = [("" if value is None else str(value)).encode() for value in values]
        return b"".join(_LENGTH.pack(len(each)) + each for each in encoded)
    return np.array(values, dtype=NUMPY[datatype]).tobytes()


def _wrong(tensor: Tensor, words: str) -> HttpError:
    return HttpError(
        422,
        "InvalidTensor",
        f"Input {tensor.name[:80]!r} {words}.",
        "see GET /v2/models/NAME for the inputs of the model",
    )
