"""How many different values a column has, in 4 KiB that add up: HyperLogLog.

Source: Flajolet, Fusy, Gandouet, Meunier (2007), "HyperLogLog: the analysis of a near-optimal
cardinality estimation algorithm", with their correction for few values (linear counting).
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

_BITS = 12
_REGISTERS = 1 << _BITS
_WIDTH = 64
"""Values of a register's code: a rank is at most 53, so 6 bits hold it."""
_ALPHA = 0.7213 / (1.0 + 1.079 / _REGISTERS)


class DistinctSketch(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The largest rank of each of 4096 registers; standard error 1.6 %."""

    registers: NDArray[np.uint8]

    def __add__(self, other: "DistinctSketch") -> "DistinctSketch":
        return DistinctSketch(registers=np.maximum(self.registers, other.registers))

    def estimate(self) -> int:
        """Return how many different values were counted, to within some percent."""
        raw = _ALPHA * _REGISTERS**2 / float(np.exp2(-self.registers.astype(np.float64)).sum())
        empty = int((self.registers == 0).sum())
        if raw <= 2.5 * _REGISTERS and empty:
            return round(_REGISTERS * math.log(_REGISTERS / empty))
        return round(raw)


def sketch_distinct(hashes: NDArray[np.uint64]) -> DistinctSketch:
    """Count 64-bit hashes of values; sketches add up only where the hashes are of one function.

    Args:
        hashes: one a value, well mixed; missing values left out.
    """
    register = (hashes >> np.uint64(64 - _BITS)).astype(np.int64)
    rest = (hashes << np.uint64(_BITS)) | np.uint64(1 << (_BITS - 1))
    rank = 65 - np.frexp(rest.astype(np.float64))[1].astype(np.int64)
    code = register * _WIDTH + np.clip(rank, 1, _WIDTH - 1)
    seen = np.bincount(code, minlength=_REGISTERS * _WIDTH).reshape(_REGISTERS, _WIDTH) > 0
    highest = _WIDTH - 1 - np.argmax(seen[:, ::-1], axis=1)
    return DistinctSketch(registers=np.where(seen.any(axis=1), highest, 0).astype(np.uint8))
