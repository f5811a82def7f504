"""The blobs of a project on a server: sent by digest, in parallel and resumable; read checked."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Self

import msgspec
from blake3 import blake3

from thrive.client.transport import Transport
from thrive.client.wire import (
    BLOBS,
    MISSING,
    MOST_DIGESTS,
    PART_BYTES,
    SMALL,
    Digests,
    MissingBlob,
)
from thrive.domain.errors import Conflict, Damaged, StoreUnavailable, ThriveError
from thrive.operations import Progress
from thrive.store.blobs import FolderBlobs
from thrive.store.disk import write_all

STREAMS = 4
"""Connections that send, or read, at the same time."""
SMALL_BYTES = 256 << 10
"""Up to this size blobs go together."""
TRIES = 6
PAUSE_S = 0.2


class RemoteBlobs:
    """What a server keeps of a project, as a store to send to and to read from.

    Args:
        transport: the way to the server.
        folder: where checked copies of what is read are put.
        progress: told how much was sent.
    """

    def __init__(self, transport: Transport, folder: Path, progress: Progress | None) -> None:
        self._transport = transport
        self._copies = FolderBlobs(folder, durable=False)
        self._progress = progress

    def put(self, data: bytes | memoryview) -> str:
        """Send bytes, unless they are there, and return their digest."""
        digest = blake3(data).hexdigest()
        if self._missing([digest]):
            content = bytes(data)
            if len(content) > SMALL_BYTES:
                self._send_large(_Content(digest, len(content), data=content), 0, _Told())
            else:
                self._send_small([content])
        return digest

    def send(self, files: Mapping[str, Path]) -> int:
        """Send files by digest, as far as they are not there; return the number of bytes sent.

        Raises:
            Conflict: a file changed since it was hashed.
            StoreUnavailable: the server stopped answering; what arrived is not sent again.
        """
        missing = self._missing(list(files))
        wanted = [
            _Content(each.digest, files[each.digest].stat().st_size, path=files[each.digest])
            for each in missing
        ]
        received = {each.digest: each.received for each in missing}
        told = _Told(self._progress, sum(each.size - received[each.digest] for each in wanted))
        large = [each for each in wanted if each.size > SMALL_BYTES]
        groups = _grouped(each for each in wanted if each.size <= SMALL_BYTES)
        with ThreadPoolExecutor(STREAMS) as pool:
            sending = [
                *(pool.submit(self._send_large, one, received[one.digest], told) for one in large),
                *(pool.submit(self._send_group, group, told) for group in groups),
            ]
            try:
                for each in sending:
                    each.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return told.done

    def fetch(self, *digests: str) -> None:
        """Bring copies to this machine, several at a time.

        Raises:
            NotFound: the project has no such blob.
            StoreUnavailable: the server stopped answering.
        """
        lacking = [each for each in digests if not self._copies.has(each)]
        with ThreadPoolExecutor(STREAMS) as pool:
            for _ in pool.map(self._bring, lacking):
                pass

    def open(self, digest: str) -> BinaryIO:
        """Return a stream over checked bytes; raises as `fetch` does."""
        self.fetch(digest)
        return self._copies.open(digest)

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked; raises as `fetch` does."""
        self.fetch(digest)
        return self._copies.get(digest)

    def local_path(self, digest: str) -> Path:
        """Return the path of a checked copy; raises as `fetch` does."""
        self.fetch(digest)
        return self._copies.local_path(digest)

    def forget(self, *digests: str) -> None:
        """Remove copies that are not needed any more."""
        for digest in digests:
            self._copies.delete(digest)

    def _bring(self, digest: str) -> None:
        def receive(handle: int) -> None:
            def go_on() -> None:
                here = os.lseek(handle, 0, os.SEEK_END)
                self._transport.copy(BLOBS + digest, here, lambda part: write_all(handle, part))

            self._transport.again(go_on)

        self._copies.put_stream(receive, digest)

    def _missing(self, digests: Sequence[str]) -> list[MissingBlob]:
        found: list[MissingBlob] = []
        for first in range(0, len(digests), MOST_DIGESTS):
            asked = msgspec.json.encode(Digests(list(digests[first : first + MOST_DIGESTS])))
            answer = self._transport.again(lambda: self._transport.post(BLOBS + MISSING, asked))  # noqa: B023 - called at once
            found += msgspec.json.decode(answer.body, type=list[MissingBlob])
        return found

    def _send_group(self, group: "Sequence[_Content]", told: "_Told") -> None:
        contents = [each.read(0, each.size + 1) for each in group]
        for one, content in zip(group, contents, strict=True):
            if blake3(content).hexdigest() != one.digest:
                raise one.changed()
        self._send_small(contents)
        told.add(sum(len(each) for each in contents))

    def _send_small(self, contents: Sequence[bytes]) -> None:
        packed = msgspec.msgpack.encode(contents)
        self._transport.again(lambda: self._transport.put(BLOBS + SMALL, packed))

    def _send_large(self, content: "_Content", received: int, told: "_Told") -> None:
        """Send a blob part by part; after a failure it goes on where the server says."""
        failed = 0
        while received < content.size:
            part = content.read(received, PART_BYTES)
            if not part:
                raise content.changed()
            place = f"{BLOBS}{content.digest}?offset={received}&size={content.size}"
            try:
                self._transport.put(place, part)
            except Damaged:
                raise content.changed() from None
            except ThriveError as error:
                failed += 1
                if not _may_pass(error) or failed == TRIES:
                    raise
                time.sleep(PAUSE_S * 2**failed)
                known = self._missing([content.digest])
                received = known[0].received if known else content.size
            else:
                failed = 0
                received += len(part)
                told.add(len(part))


class _Content(msgspec.Struct, frozen=True):
    """One blob to send: a file of this machine, or bytes in memory."""

    digest: str
    size: int
    path: Path | None = None
    data: bytes = b""

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset` on."""
        if self.path is None:
            return self.data[offset : offset + count]
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(count)

    def changed(self) -> Conflict:
        """Return the error of a file that is not any more what it was."""
        return Conflict(
            f"{self.path} changed while it was sent.", "add it again when nobody writes to it"
        )


class _Told:
    """How many bytes were sent by all threads, and who is told of it."""

    def __init__(self, progress: Progress | None = None, total: int = 0) -> None:
        self.done = 0
        self._progress = progress
        self._total = total
        self._lock = Lock()

    def add(self, count: int) -> Self:
        """Count more bytes."""
        with self._lock:
            self.done += count
            if self._progress is not None and self._total:
                sent, whole = self.done / 1e6, self._total / 1e6
                self._progress(min(1.0, self.done / self._total), f"{sent:.1f} of {whole:.1f} MB")
        return self


def _grouped(contents: Iterable[_Content]) -> Iterator[list[_Content]]:
    """Yield groups that fit into one request."""
    group: list[_Content] = []
    size = 0
    for each in contents:
        if group and (size + each.size > PART_BYTES or len(group) == MOST_DIGESTS):
            yield group
            group, size = [], 0
        group.append(each)
        size += each.size
    if group:
        yield group


def _may_pass(error: ThriveError) -> bool:
    """Tell whether to ask the server where to go on: it was away, or somebody else sent a part."""
    return error.transient or isinstance(error, Conflict | StoreUnavailable)
