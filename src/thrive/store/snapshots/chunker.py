"""Where large files are cut: places that depend on the content around them alone.

So an insertion or an appended end changes only the chunks it touches. The cuts are FastCDC's (Xia
et al., 2016 and 2020). What makes them stands in every recipe: other cuts would find nothing again.
"""

from collections.abc import Callable

import msgspec
from blake3 import blake3

AVERAGE = 64 << 10
LEAST = AVERAGE // 4
MOST = AVERAGE * 4


class Chunker(msgspec.Struct, frozen=True, kw_only=True):
    """What cuts: an implementation with its parameters, in bytes."""

    name: str = "pyfastcdc-0.3"
    average: int = AVERAGE
    least: int = LEAST
    most: int = MOST
    normalization: int = 1
    seed: int = 0


CHUNKER = Chunker()
OF_LARGE = Chunker(least=3 * AVERAGE // 4)
"""The bytes up to `least` are passed over: of a large file nearly half, for chunks a sixth longer.

Around an edit a second chunk may be new, which counts where a file has few.
"""
LARGE = 64 << 20
"""Bytes from which on a file is large."""


def chunker_for(size: int) -> Chunker:
    """Return what cuts the first version of a file of so many bytes; it cuts later ones as well."""
    return OF_LARGE if size >= LARGE else CHUNKER


class Cutter:
    """Cuts a file that comes block by block into chunks, and takes note of each.

    Args:
        take: called with the digest and the bytes of each chunk; they are valid until it returns.
        chunker: what cuts.
        named: False if the digests are not needed: they are empty then.
    """

    def __init__(
        self,
        take: Callable[[bytes, memoryview], None],
        chunker: Chunker = CHUNKER,
        *,
        named: bool = True,
    ) -> None:
        from pyfastcdc.cy import FastCDC  # the compiled one or none: the other is far too slow

        self._cdc = FastCDC(
            chunker.average,
            min_size=chunker.least,
            max_size=chunker.most,
            normalized_chunking=chunker.normalization,
            seed=chunker.seed,
        )
        self._most = chunker.most
        self._take = take
        self._named = named
        self._rest = b""

    def cut(self, block: memoryview) -> list[memoryview]:
        """Return the chunks up to where the next bytes could change the cuts.

        A chunk that ends before the bytes do is cut where it always will be. Only the bytes around
        the seam of two blocks are copied.
        """
        parts: list[memoryview] = []
        done = self._cut_seam(block, parts) if self._rest else 0
        if done < 0:
            return parts
        for chunk in self._cdc.cut_buf(block[done:]):
            if done + chunk.length == len(block):
                break
            parts.append(chunk.data)
            done += chunk.length
        self._rest = bytes(block[done:])
        return parts

    def note(self, parts: list[memoryview]) -> None:
        """Have chunks taken, each with its digest."""
        for part in parts:
            self._take(blake3(part).digest() if self._named else b"", part)

    def finish(self) -> None:
        """Cut and take what is left."""
        rest, self._rest = self._rest, b""
        self.note([chunk.data for chunk in self._cdc.cut_buf(rest)])

    def _cut_seam(self, block: memoryview, parts: list[memoryview]) -> int:
        """Cut the chunks that begin before the block; return where in it the next one begins.

        It is -1 if the block is too short to tell.
        """
        before = len(self._rest)
        seam = self._rest + block[: self._most + 1 - before]
        chunk = next(iter(self._cdc.cut_buf(seam)))
        if chunk.length == len(seam):
            self._rest = seam
            return -1
        parts.append(chunk.data)
        if chunk.length >= before:
            return chunk.length - before
        self._rest = self._rest[chunk.length :]  # the last byte alone was not looked at before
        return self._cut_seam(block, parts)
