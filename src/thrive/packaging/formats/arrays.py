"""Arrays in one file: an uncompressed NumPy .npz, read without any of its dangers.

`numpy.load` trusts the header of an array for the size it allocates, inflates compressed members
and, if asked, unpickles objects. This reader accepts only what `pack_arrays` writes: stored
members, version 1.0 headers, the expected names, types and dimensions, sizes that match the bytes.
"""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel

Shapes = Mapping[str, tuple[str, int]]
"""Array name to dtype string (little-endian) and number of dimensions."""


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Return the different values of an array without NaN, sorted.

    `numpy.unique` imports the masked arrays, which took half the time of loading a tree model.
    """
    ordered = np.sort(values, axis=None)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if ordered.size else ordered


def pack_arrays(arrays: Mapping[str, NDArray[Any]], shapes: Shapes) -> bytes:
    """Return an .npz of `arrays`, each cast to the type its entry in `shapes` says."""
    target = io.BytesIO()
    typed = {name: np.ascontiguousarray(arrays[name], dtype=shapes[name][0]) for name in shapes}
    np.savez(target, **typed)  # pyright: ignore[reportArgumentType] - names never meet allow_pickle
    return target.getvalue()


def unpack_arrays(data: bytes, shapes: Shapes) -> dict[str, NDArray[Any]]:
    """Return exactly the arrays that `shapes` names.

    Raises:
        UnsafeModel: the file is not such an archive, or an array is missing, extra, compressed,
            of another type or dimension, or lies about its size.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sorted(m.filename for m in members) != sorted(f"{name}.npy" for name in shapes):
                raise _unsafe("not the arrays of its format")  # noqa: TRY301 - the same answer
            return {m.filename[:-4]: _read(archive, m, shapes[m.filename[:-4]]) for m in members}
    except UnsafeModel:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile fails in a dozen types
        raise _unsafe(str(error)) from None


def _read(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, expected: tuple[str, int]
) -> NDArray[Any]:
    dtype_text, dimensions = expected
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise _unsafe(f"{member.filename} is compressed")
    data = archive.read(member)
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise _unsafe(f"{member.filename} has another header")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype != np.dtype(dtype_text) or len(shape) != dimensions or (fortran and dimensions > 1):
        raise _unsafe(f"{member.filename} is {dtype} of {len(shape)} dimensions")
    count = 1
    for length in shape:
        count *= length
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(data) - stream.tell():
        raise _unsafe(f"{member.filename} lies about its size")
    return np.frombuffer(data, dtype=dtype, count=count, offset=stream.tell()).reshape(shape)


def _unsafe(reason: str) -> UnsafeModel:
    return UnsafeModel(f"The arrays of the model cannot be read: {reason}.", "pack the model again")
