"""Where large files are cut: places that depend on the content around them alone.

So an insertion or an appended end changes only the chunks it touches. The cuts are FastCDC's (Xia
et al., 2016 and 2020). What makes them stands in every recipe: other cuts would find nothing again.
"""

import sys
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

        Only the bytes around the seam of two blocks are copied.
        """
        parts: list[memoryview] = []
        done = 0
        if self._rest:
            done = self._cut_seam(block, parts)
            if done < 0:
                return parts
        done += self._cut(block[done:], self._most, parts)
        self._rest = bytes(block[done:])
        return parts

    def note(self, parts: list[memoryview]) -> None:
        """Have chunks taken, each with its digest."""
        for part in parts:
            self._take(blake3(part).digest() if self._named else b"", part)

    def finish(self) -> None:
        """Cut and take what is left."""
        parts: list[memoryview] = []
        self._cut(memoryview(self._rest), 1, parts)
        self._rest = b""
        self.note(parts)

    def _cut_seam(self, block: memoryview, parts: list[memoryview]) -> int:
        """Cut the chunks that begin before the block; return where in it the next one begins.

        It is -1 if the block is too short to tell.
        """
        before = len(self._rest)
        seam = memoryview(self._rest + block[: self._most])
        done = self._cut(seam, self._most, parts, before)
        if done >= before:
            return done - before
        self._rest = bytes(seam[done:])
        return -1

    def _cut(
        self, data: memoryview, needed: int, parts: list[memoryview], until: int = sys.maxsize
    ) -> int:
        """Cut up to a place, as long as so many bytes are left; return where the next begins."""
        done = 0
        if len(data) >= needed:
            for chunk in self._cdc.cut_buf(data):
                parts.append(chunk.data)
                done += chunk.length
                if len(data) - done < needed or done >= until:
                    break
        return done
