"""Bytes in every form that may hide a value: for tests that search for what must be gone.

It knows formats, not the house: it is independent of the product's own searching.
"""

import base64
import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

import polars as pl
import pyarrow as pa


def needles(value: str) -> list[bytes]:
    """Return the value as bytes in every spelling that a store may use."""
    found = [value.encode(), value.encode("utf-16-le"), value.encode("utf-16-be")]
    found += in_base64(value.encode())
    if value.isdecimal():
        number = int(value)
        found += [struct.pack("<q", number), struct.pack(">q", number)]
        found += [struct.pack("<d", number), struct.pack(">d", number)]
        found.append(number.to_bytes(6, "big").lstrip(b"\0"))  # SQLite's integers of 48 bits
    return found


def in_base64(data: bytes) -> list[bytes]:
    """Return what base64 makes of bytes wherever they begin in a group of three."""
    whole = (base64.b64encode(bytes(shift) + data) for shift in range(3))
    return [each.rstrip(b"=")[-(-4 * shift // 3) : -1] for shift, each in enumerate(whole)]


def decoded(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """Yield bytes as they are, and again decoded if they are of a format that packs them."""
    yield data
    if depth > 3:
        return
    if data[:4] == b"PAR1" or data[:6] == b"ARROW1":
        source = io.BytesIO(data)
        frame = pl.read_parquet(source) if data[:4] == b"PAR1" else pl.read_ipc(source)
        for column in frame.iter_columns():
            yield "\n".join(map(str, column.to_list())).encode()
    elif data[:2] == b"\x1f\x8b":
        yield from decoded(gzip.decompress(data), depth + 1)
    elif data[:4] == b"\x28\xb5\x2f\xfd":
        with pa.input_stream(io.BytesIO(data), compression="zstd") as stream:
            yield from decoded(stream.read(), depth + 1)
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from decoded(archive.read(name), depth + 1)
    else:
        yield from packed_inside(data)


def packed_inside(data: bytes) -> Iterator[bytes]:
    """Yield what files laid end to end in a pack hold: each Parquet file and gzip stream."""
    at = 0
    while (at := data.find(b"\x1f\x8b\x08", at)) >= 0:
        try:
            yield zlib.decompressobj(31).decompress(data[at:])
        except zlib.error:
            pass
        at += 1
    ends = [at + 4 for at in range(len(data)) if data.startswith(b"PAR1", at)]
    for start, end in zip(ends, ends[1:], strict=False):
        try:
            frame = pl.read_parquet(io.BytesIO(data[start - 4 : end]))
        except (pl.exceptions.PolarsError, OSError):
            continue
        yield "\n".join(str(row) for row in frame.iter_rows()).encode()
