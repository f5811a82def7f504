"""Bytes in what a value may hide in: streams that are compressed, archives, files end to end.

A zstd stream is opened exactly where pyarrow is installed; elsewhere Polars opens it as text, in
which a value that is written as text is found as well.
"""

import bz2
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from thrive.domain.errors import Damaged
from thrive.training.artifacts import DEFLATED, pickle_in

GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
_INSIDE = re.compile(b"\x1f\x8b\x08|" + re.escape(ZSTD) + b"|PAR1|ARROW1|" + DEFLATED)
"""What files begin with, or end with, that lie end to end in a pack."""
_BROKEN = (
    *(OSError, EOFError, ValueError, IndexError, zlib.error, lzma.LZMAError),
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, Damaged, struct.error),
)
"""What opening bytes raises that only look as if they were packed."""


def unpacked(data: bytes) -> Iterator[bytes]:
    """Yield what a compressed stream or an archive holds; nothing for all other bytes."""
    for magic, opened in _OPENERS.items():
        if data.startswith(magic):
            try:
                yield from opened(data)
            except _BROKEN:
                continue


def pieces_inside(data: bytes) -> Iterator[bytes]:
    """Yield files that lie in the middle of bytes, as in a pack: streams, and tables whole.

    Of a table the end is known by the same word as its beginning; what lies between any two
    neighbouring ones is tried.
    """
    tables: dict[bytes, int] = {}
    for found in _INSIDE.finditer(data):
        magic, at = found[0], found.start()
        if magic in (b"PAR1", b"ARROW1"):
            before = tables.get(magic)
            if before is not None:
                yield data[before : found.end()]
            tables[magic] = at
        elif at:
            yield data[at:]


def _gzip(data: bytes) -> Iterator[bytes]:
    """Yield the members one by one: what stands behind the last one spoils none of them."""
    while data.startswith(GZIP):
        stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        yield stream.decompress(data) + stream.flush()
        data = stream.unused_data


def _one(decompress: Callable[[bytes], bytes], data: bytes) -> Iterator[bytes]:
    yield decompress(data)


def _result(data: bytes) -> Iterator[bytes]:
    yield bytes(pickle_in(data))


def _zip(data: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            yield archive.read(name)


def _zstd(data: bytes) -> Iterator[bytes]:
    """Yield the frames one by one: what stands behind the last one spoils none of them."""
    while data.startswith(ZSTD):
        end = _frame_end(data)
        yield _zstd_frame(data[:end])
        data = data[end:]


def _frame_end(data: bytes) -> int:
    """Return where a frame ends, by the lengths in its headers (RFC 8878, section 3.1.1)."""
    kind = data[4]
    single = bool(kind & 0x20)
    at = 5 + (not single) + (0, 1, 2, 4)[kind & 3] + ((1 if single else 0), 2, 4, 8)[kind >> 6]
    last = False
    while not last and at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        last, is_run = bool(header & 1), header >> 1 & 3 == 1
        at += 3 + (1 if is_run else header >> 3)
    return at + (4 if kind & 4 else 0)


def _zstd_frame(data: bytes) -> bytes:
    try:
        import pyarrow as pa
    except ImportError:
        return _zstd_as_text(data)
    with pa.input_stream(io.BytesIO(data), compression="zstd") as stream:
        return stream.read()


def _zstd_as_text(data: bytes) -> bytes:
    import polars as pl

    try:
        lines = pl.read_csv(
            data,
            has_header=False,
            separator="\x1f",
            quote_char=None,
            encoding="utf8-lossy",
            truncate_ragged_lines=True,
            infer_schema=False,
        )
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error)) from None
    return "\n".join(each or "" for each in lines.to_series().to_list()).encode()


_OPENERS: Mapping[bytes, Callable[[bytes], Iterator[bytes]]] = {
    GZIP: _gzip,
    ZSTD: _zstd,
    ZIP: _zip,
    DEFLATED: _result,
    b"BZh": partial(_one, bz2.decompress),
    b"\xfd7zXZ\x00": partial(_one, lzma.decompress),
    **{bytes([0x78, level]): partial(_one, zlib.decompress) for level in (1, 0x5E, 0x9C, 0xDA)},
}
