"""Values as artifacts: encoded once, named by content, mapped into memory when read.

Polars frames are written as Arrow IPC files (Parquet where one is a dataset's too), declared text
and files as they are. Everything else is pickled with protocol 5: the
large buffers of numpy arrays (and of what is built from them) stand beside the pickle at
addresses aligned to 64 bytes, so that reading maps them instead of copying. A mapping is
private: a step may write to an array it was given, and nobody else sees it.

All content is hashed; compressed is what a sample of it says is worth it: the columns of a frame
(zstd) and the pickle itself (deflate), which is read into memory anyway. Buffers that are mapped
stay as they are, and so do texts and files, which others read.

Frames and pickles are read only by the processes of the run that wrote them.
"""

import io
import mmap
import pickle
import struct
import sys
import types
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import msgspec
from blake3 import blake3

from thrive.domain.errors import Damaged, UsageError
from thrive.engines.channel import Channel
from thrive.store.blobs.folder import FolderBlobs

ALIGNMENT = 64
MAGIC, DEFLATED = b"THRIVEP5", b"THRIVEZ5"
"""How a pickle begins; behind the second one its first part is deflated."""
WORTH_BYTES = 64 << 10
"""From what size on it is tried whether bytes shrink."""
SAMPLE_BYTES = 1 << 20
SHRINKS_TO = 0.8
"""Of its size at most, of what is compressed."""
_FASTEST = 1
INLINE_BYTES = 16 << 10
"""Arguments up to this size travel in the message."""
ROW_BYTES = 4 << 10
"""Results of fan-outs up to this size stand in their row: no file for each of a thousand."""
ARROW, FILE, PARQUET, PARTS, PICKLE, TEXT = "arrow", "file", "parquet", "parts", "pickle", "text"
_SIZES = struct.Struct("<8sI")

Piece = bytes | memoryview


class Ref(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value is.

    Attributes:
        kind: how it is encoded.
        digest: of the encoded bytes: equal content has an equal digest.
        size: bytes.
        data: a small value itself.
        lent: it lives only as long as the run.
        fresh: this run wrote it, on this machine: it is mapped without being read first.
        name: what its step calls it, empty for nothing else than the step's own name.
        parts: of a tuple whose members are kept one by one; it has no file of its own.
        shape: `module:name` of the named tuple that it is, empty for a plain one.
    """

    kind: str
    digest: str
    size: int
    data: bytes = b""
    lent: bool = False
    fresh: bool = False
    name: str = ""
    parts: tuple["Ref", ...] = ()
    shape: str = ""

    def digests(self) -> list[str]:
        """Return the digests of its files: its own, or those of its parts."""
        return [each.digest for each in self.parts] if self.parts else [self.digest]


def joined(parts: Sequence[Ref], shape: str = "") -> Ref:
    """Return the reference of a tuple of kept values, or of a named tuple of that shape."""
    names = "".join(part.digest for part in parts).encode()
    size = sum(part.size for part in parts)
    return Ref(
        kind=PARTS, digest=blake3(names).hexdigest(), size=size, parts=tuple(parts), shape=shape
    )


_stores: dict[tuple[str, str], "ArtifactStore"] = {}


class ArtifactStore:
    """Keeps and fetches values in the child processes of a run.

    Args:
        kept: the folder of the home's blobs, for results.
        lent: a folder of the run, for arguments.
    """

    def __init__(self, kept: str, lent: str) -> None:
        self._places = kept, lent
        self._given: dict[Path, Ref] = {}

    @cached_property
    def _kept(self) -> FolderBlobs:
        return FolderBlobs(Path(self._places[0]))  # a small step needs neither of the two

    @cached_property
    def _lent(self) -> FolderBlobs:
        return FolderBlobs(Path(self._places[1]), durable=False)

    @classmethod
    def of(cls, link: Channel) -> Self:
        """Return the store that a channel's run told of; one and the same for a run."""
        places = link.facts["blobs"], link.facts["scratch"]
        if places not in _stores:
            _stores[places] = cls(*places)
        return cast("Self", _stores[places])

    def keep(self, value: Any, words: str, *, in_row: bool = False) -> Ref:
        """Keep a value for good.

        Args:
            value: what to keep.
            words: name it in an error.
            in_row: it gets no file if it is small enough to stand in the row of its step.
        """
        kind, parts = encode(value, words)
        if in_row and (size := _size(parts)) <= ROW_BYTES:
            return Ref(kind=kind, digest=_digest(parts), size=size, data=b"".join(parts))
        digest, size = _put(self._kept, parts)
        small = b"".join(parts) if size <= INLINE_BYTES else b""
        return Ref(kind=kind, digest=digest, size=size, data=small, fresh=True)

    def keep_table(self, frame: Any) -> Ref:
        """Keep a Polars frame as a Parquet file."""
        stream = io.BytesIO()
        frame.write_parquet(stream, compression="zstd", statistics=True)
        digest, size = _put(self._kept, [stream.getbuffer()])
        return Ref(kind=PARQUET, digest=digest, size=size, fresh=True)

    def keep_text(self, text: str) -> Ref:
        """Keep a text as the bytes of its UTF-8."""
        digest, size = _put(self._kept, [text.encode()])
        return Ref(kind=TEXT, digest=digest, size=size, fresh=True)

    def keep_file(self, path: Path, words: str) -> Ref:
        """Keep a copy of the file at a path.

        Raises:
            UsageError: there is no file.
        """
        if not path.is_file():
            raise UsageError(f"There is no file at {path} ({words}).", "write it, then return it")
        digest = self._kept.put_file(path)
        return Ref(kind=FILE, digest=digest, size=self._kept.size(digest), fresh=True)

    def lend(self, value: Any, words: str, classes: list[Any] | None = None) -> Ref:
        """Keep a value for the other processes of this run; one that is kept anyway is not copied.

        Args:
            value: what to lend.
            words: name it in an error.
            classes: takes the classes and functions that the value refers to.
        """
        if isinstance(value, Path) and value in self._given:
            return self._given[value]
        kind, parts = encode(value, words, classes)
        size = _size(parts)
        digest = _digest(parts)
        if size <= INLINE_BYTES:
            return Ref(kind=kind, digest=digest, size=size, data=b"".join(parts))
        if self._kept.has(digest):
            return Ref(kind=kind, digest=digest, size=size)
        _put(self._lent, parts, digest)
        return Ref(kind=kind, digest=digest, size=size, lent=True, fresh=True)

    def fetch(self, ref: Ref) -> Any:
        """Return the value; its large buffers are mapped, not read.

        Raises:
            Damaged: the stored bytes are not what was written.
            NotFound: they are gone.
        """
        if ref.kind == PARTS:
            return _shaped(ref.shape, [self.fetch(part) for part in ref.parts])
        if ref.data:
            # writable like a mapping: equal content is then pickled as equal bytes again
            return decode(ref.kind, memoryview(bytearray(ref.data)))
        blobs = self._lent if ref.lent else self._kept
        path = blobs.own_path(ref.digest) if ref.fresh else blobs.local_path(ref.digest)
        if ref.kind == FILE:
            self._given[path] = ref
            return path
        return _read(ref.kind, path)


class _Noting(pickle.Pickler):
    """A pickler that notes the classes and functions whose names it writes."""

    def __init__(
        self, stream: io.BytesIO, buffers: list[pickle.PickleBuffer], seen: list[Any]
    ) -> None:
        super().__init__(stream, protocol=5, buffer_callback=buffers.append)
        self._noted = seen

    def reducer_override(self, value: Any) -> Any:
        """Note a value and let it be pickled as always."""
        named = isinstance(value, _BY_NAME) or "__wrapped__" in getattr(value, "__dict__", ())
        self._noted.append(value if named else type(value))
        return NotImplemented


_BY_NAME = (type, types.FunctionType)


def encode(value: Any, words: str, classes: list[Any] | None = None) -> tuple[str, list[Piece]]:
    """Return the kind of encoding, and the parts of the file.

    Args:
        value: any value that pickles, or a Polars frame.
        words: what the value is, for the message.
        classes: takes the classes and functions that the value refers to.

    Raises:
        UsageError: the value cannot be pickled.
    """
    if _is_frame(value):
        kind = "zstd" if _frame_shrinks(value) else "uncompressed"
        return ARROW, [_ipc(_in_order(value), kind)]
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    try:
        _Noting(stream, buffers, [] if classes is None else classes).dump(value)
    except Exception as error:  # noqa: BLE001 - whatever a class of the user's raises here
        raise UsageError(
            f"A {type(value).__name__} cannot travel between steps ({words}): {error}.",
            "pass values that pickle; define classes and functions at the top of a module",
        ) from None
    raw = [buffer.raw() for buffer in buffers]
    pickled = stream.getbuffer()
    if _shrinks(pickled):
        return PICKLE, list(_laid_out(DEFLATED, [zlib.compress(pickled, _FASTEST), *raw]))
    return PICKLE, list(_laid_out(MAGIC, [pickled, *raw]))


def _shrinks(data: memoryview) -> bool:
    """Tell whether bytes are worth compressing, by a sample of four places."""
    if data.nbytes < WORTH_BYTES:
        return False
    width = min(SAMPLE_BYTES, data.nbytes) // 4
    places = [data.nbytes * quarter // 4 for quarter in range(4)]
    sample = b"".join(data[place : place + width] for place in places)
    return len(zlib.compress(sample, _FASTEST)) <= SHRINKS_TO * len(sample)


def _in_order(frame: Any) -> Any:
    """Return a frame whose texts lie in memory in the order of its rows.

    Polars leaves them where a query had them, which differs from time to time: frames that are
    equal would be other artifacts, and what is made of them would not be found in the cache.
    """
    import polars as pl

    return frame.with_columns(pl.col(pl.String) + "")


def _ipc(frame: Any, compression: str) -> memoryview:
    stream = io.BytesIO()
    frame.write_ipc(stream, compression=compression)
    return stream.getbuffer()


def _frame_shrinks(frame: Any) -> bool:
    """Tell whether a frame is worth compressing, by a sample of its rows."""
    size = frame.estimated_size()
    if size < WORTH_BYTES:
        return False
    rows = max(1, frame.height * SAMPLE_BYTES // max(size, SAMPLE_BYTES))
    sample = frame.slice((frame.height - rows) // 2, rows)
    plain, small = (_ipc(sample, kind).nbytes for kind in ("uncompressed", "zstd"))
    return small <= SHRINKS_TO * plain


def decode(kind: str, data: Piece) -> Any:
    """Return the value in the bytes of an artifact.

    Raises:
        Damaged: the bytes have another form.
    """
    if kind == ARROW:
        import polars as pl

        return pl.read_ipc(io.BytesIO(data))
    pickled, buffers = _parts_of(data)
    return pickle.loads(pickled, buffers=buffers)  # noqa: S301 - written by this run


def pickle_in(data: Piece) -> Piece:
    """Return the pickle in the bytes of an artifact, inflated if it is deflated.

    Raises:
        Damaged: the bytes have another form.
    """
    return _parts_of(data)[0]


def _parts_of(data: Piece) -> tuple[Piece, list[memoryview]]:
    view = memoryview(data)
    magic, count = _SIZES.unpack_from(view)
    if magic not in {MAGIC, DEFLATED}:
        raise Damaged("An artifact does not begin as one.", "run the pipeline again")
    sizes = struct.unpack_from(f"<{count}Q", view, _SIZES.size)
    parts: list[memoryview] = []
    place = _aligned(_SIZES.size + 8 * count)
    for size in sizes:
        parts.append(view[place : place + size])
        place = _aligned(place + size)
    pickled = zlib.decompress(parts[0]) if magic == DEFLATED else parts[0]
    return pickled, parts[1:]


def _laid_out(magic: bytes, parts: list[Piece]) -> Iterator[Piece]:
    sizes = [memoryview(part).nbytes for part in parts]
    head = _SIZES.pack(magic, len(parts)) + struct.pack(f"<{len(parts)}Q", *sizes)
    yield head + _padding(len(head))
    for part, size in zip(parts, sizes, strict=True):
        yield part
        yield _padding(size)


def _aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT


def _padding(size: int) -> bytes:
    return bytes(_aligned(size) - size)


def _size(parts: list[Piece]) -> int:
    return sum(memoryview(part).nbytes for part in parts)


def _digest(parts: list[Piece]) -> str:
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return hasher.hexdigest()


def _put(blobs: FolderBlobs, parts: list[Piece], known: str = "") -> tuple[str, int]:
    """Keep the parts as one blob without joining them in memory."""
    digest = known or _digest(parts)

    if not blobs.has(digest):
        blobs.put_parts(parts, digest)
    return digest, _size(parts)


def _mapped(path: Path) -> Piece:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _shaped(shape: str, values: list[Any]) -> tuple[Any, ...]:
    """Return values as the named tuple that they were; a plain one if nobody knows it any more."""
    module, _, name = shape.partition(":")
    made: Any = sys.modules.get(module)
    for part in name.split("."):
        made = getattr(made, part, None)
    known = isinstance(made, type) and issubclass(made, tuple)
    return made(*values) if known else tuple(values)


def _read(kind: str, path: Path) -> Any:
    """Return the value in the file of an artifact."""
    if kind == TEXT:
        return path.read_text(encoding="utf-8")
    if kind not in {ARROW, PARQUET}:
        return decode(kind, _mapped(path))
    import polars as pl

    return pl.read_ipc(path) if kind == ARROW else pl.read_parquet(path)


def _is_frame(value: Any) -> bool:
    kind = type(value)
    return kind.__name__ == "DataFrame" and kind.__module__.startswith("polars.")
