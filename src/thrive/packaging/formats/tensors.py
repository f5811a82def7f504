"""Tensors in one file of the format safetensors, read without any trust in its header.

Eight bytes with the length of a JSON header (name to dtype, shape and place), then the bytes of
the tensors without gaps: https://huggingface.co/docs/safetensors, format description.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel

LONGEST_HEADER = 1 << 20
_DTYPES = {"F64": "<f8", "F32": "<f4"}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def pack_tensors(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the file of tensors of float32 or float64."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    end = 0
    for name, tensor in tensors.items():
        data = np.ascontiguousarray(tensor).tobytes()
        header[name] = _Entry(_NAMES[tensor.dtype], tensor.shape, (end, end + len(data)))
        end += len(data)
        parts.append(data)
    head = msgspec.json.encode(header)
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + b"".join(parts)


def unpack_tensors(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file.

    Raises:
        UnsafeModel: it is no such file, or its header and its bytes contradict each other.
    """
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(LONGEST_HEADER, len(data) - 8):
        raise _unsafe("its header has an impossible length")
    try:
        header = msgspec.json.decode(data[8 : 8 + size], type=dict[str, Any])
        header.pop("__metadata__", None)
        entries = msgspec.convert(header, dict[str, _Entry])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _unsafe(str(error)) from None
    body = memoryview(data)[8 + size :]
    found: dict[str, NDArray[Any]] = {}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda pair: pair[1].data_offsets):
        begin, upto = entry.data_offsets
        dtype = _DTYPES.get(entry.dtype)
        if dtype is None or begin != end or min(entry.shape, default=0) < 0:
            raise _unsafe(f"{name[:80]!r} has another type or place")
        if (upto - begin) != math.prod(entry.shape) * np.dtype(dtype).itemsize or upto > len(body):
            raise _unsafe(f"{name[:80]!r} lies about its size")
        found[name] = np.frombuffer(body[begin:upto], dtype).reshape(entry.shape)
        end = upto
    if end != len(body):
        raise _unsafe("bytes follow the last tensor")
    return found


def _unsafe(reason: str) -> UnsafeModel:
    return UnsafeModel(f"The tensors of the model cannot be read: {reason}.", "pack it again")
