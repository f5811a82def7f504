"""Keyed 64-bit hashes of texts: of a whole column at once, or of one text with no library at all.

Each eight bytes of a text, the last ones filled up with zeros, are mixed into its hash by a product
and a shift, its length at the end. Both ways give the same hash on every machine and with every
version of what computes it. It is quick and no cipher: whoever has the key can search for texts.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_WORD = 8
_FACTOR = 0x9E3779B97F4A7C15
_LAST_FACTOR = 0xBF58476D1CE4E5B9
_SHIFT = 32
_ALL = (1 << 64) - 1
_ROWS = 1 << 15
"""Texts that are hashed together: what is computed of them stays in the processor's caches."""


def hash_of(text: str, key: int) -> int:
    """Return the hash of one text.

    Args:
        text: any text.
        key: 64 bits; another one gives other hashes.
    """
    data = text.encode()
    found = key
    for at in range(0, len(data), _WORD):
        word = int.from_bytes(data[at : at + _WORD], "little")
        found = (found ^ word) * _FACTOR & _ALL
        found ^= found >> _SHIFT
    found = (found ^ len(data)) * _LAST_FACTOR & _ALL
    return found ^ found >> _SHIFT


def hashes_of(texts: "pl.Series", key: int) -> "np.ndarray":
    """Return the hash of each text of a column, as `hash_of` does, as unsigned 64-bit numbers.

    Args:
        texts: of type String, none of them missing.
        key: 64 bits.
    """
    import numpy as np

    lengths = texts.str.len_bytes().to_numpy().astype(np.int64)
    begins = np.cumsum(lengths) - lengths
    words = _words_of(texts)
    parts = [
        _hashes(words, begins[at : at + _ROWS], lengths[at : at + _ROWS], key)
        for at in range(0, len(lengths), _ROWS)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


def _hashes(
    words: "np.ndarray", begins: "np.ndarray", lengths: "np.ndarray", key: int
) -> "np.ndarray":
    """Return the hashes of the texts that begin at some bytes and have so many."""
    import numpy as np

    found = np.full(len(lengths), key, dtype=np.uint64)
    whole = int(lengths.min()) // _WORD * _WORD
    for at in range(0, whole, _WORD):
        found ^= words[begins + at]
        _mix(found, _FACTOR)
    masks = np.array([(1 << 8 * count) - 1 for count in range(_WORD + 1)], dtype=np.uint64)
    rows = np.arange(len(lengths))
    for at in range(whole, int(lengths.max()), _WORD):
        rows = rows[lengths[rows] > at]
        left = np.minimum(lengths[rows] - at, _WORD)
        mixed = found[rows] ^ words[begins[rows] + at] & masks[left]
        _mix(mixed, _FACTOR)
        found[rows] = mixed
    found ^= lengths.astype(np.uint64)
    _mix(found, _LAST_FACTOR)
    return found


def _words_of(texts: "pl.Series") -> "np.ndarray":
    """Return the eight bytes that begin at each byte of the texts, laid end to end, as a number."""
    import numpy as np

    data = str(texts.str.join("").item()).encode() + bytes(_WORD)
    return np.ndarray(len(data) - _WORD + 1, dtype="<u8", buffer=data, strides=(1,))


def _mix(values: "np.ndarray", factor: int) -> None:
    import numpy as np

    values *= np.uint64(factor)
    values ^= values >> np.uint64(_SHIFT)
