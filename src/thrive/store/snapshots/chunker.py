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


class Cutter:
    """Cuts bytes that come block by block; `take` gets the digest and the bytes of each chunk.

    Args:
        take: called for each chunk; its bytes are valid until it returns.
    """

    def __init__(self, take: Callable[[bytes, memoryview], None]) -> None:
        from pyfastcdc.cy import FastCDC  # the compiled one or none: the other is far too slow

        self._cdc = FastCDC(
            CHUNKER.average,
            min_size=CHUNKER.least,
            max_size=CHUNKER.most,
            normalized_chunking=CHUNKER.normalization,
            seed=CHUNKER.seed,
        )
        self._take = take
        self._rest = b""

    def feed(self, block: bytes) -> None:
        """Cut as far as the next bytes cannot change the cuts."""
        self._cut(block, MOST)

    def finish(self) -> None:
        """Cut what is left."""
        self._cut(b"", 1)

    def _cut(self, block: bytes, needed: int) -> None:
        data = self._rest + block
        view = memoryview(data)
        done = 0
        if len(data) >= needed:
            for chunk in self._cdc.cut_buf(view):
                self._take(blake3(chunk.data).digest(), chunk.data)
                done += chunk.length
                if len(data) - done < needed:
                    break
        self._rest = data[done:]
