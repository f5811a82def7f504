"""How a window's counters are kept: one blob, of the whole and of each of its parts.

Parts are the values of the declared segments and, where a version answered as several variants,
those. What is not listed of a segment is the whole less its parts.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from thrive.domain.errors import Damaged
from thrive.monitoring.frames import CATEGORY, DECISION
from thrive.monitoring.measure import Parts, Sketch
from thrive.statistics.sketch import CategorySketch, NumericSketch

Packed: TypeAlias = dict[str, dict[str, dict[str, bytes]]]
"""The counters of parts as bytes: by segment, its value, and the input."""
FORMAT = 1


class _Stored(msgspec.Struct, array_like=True):
    format: int
    whole: dict[str, bytes]
    parts: Packed


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of a window as bytes: of each input and the score, whole and by part."""

    whole: dict[str, bytes]
    parts: Packed = {}


def pack(whole: Mapping[str, Sketch], parts: Parts) -> bytes:
    """Return counters as the bytes that are kept."""
    stored = _Stored(format=FORMAT, whole=_packed(whole), parts=packed_parts(parts))
    return msgspec.msgpack.encode(stored)


def read(data: bytes) -> Counters:
    """Return what `pack` wrote; of windows of before there were parts, the whole alone.

    Raises:
        Damaged: the bytes are no counters, or of a later format.
    """
    try:
        found = msgspec.msgpack.decode(data, type=_Stored | dict[str, bytes])
    except msgspec.MsgspecError as error:
        raise Damaged(f"These bytes are no counters: {error}.", "thrive doctor") from error
    if isinstance(found, dict):
        return Counters(whole=found)
    if found.format != FORMAT:
        raise Damaged(
            f"Counters of format {found.format} are unknown.", "read them with a newer Thrive"
        )
    return Counters(whole=found.whole, parts=found.parts)


def packed_parts(parts: Parts) -> Packed:
    """Return the counters of parts as bytes."""
    return {
        column: {value: _packed(counted) for value, counted in values.items()}
        for column, values in parts.items()
    }


def _packed(counted: Mapping[str, Sketch]) -> dict[str, bytes]:
    return {name: each.to_bytes() for name, each in counted.items()}


def unpacked(packed: Mapping[str, bytes], kinds: Mapping[str, str]) -> dict[str, Sketch]:
    """Return counters from their bytes.

    Args:
        packed: by input.
        kinds: the kind of each input; the score is a number, a decision a category.
    """
    categories = {DECISION, *(name for name, kind in kinds.items() if kind == CATEGORY)}
    return {
        name: (CategorySketch if name in categories else NumericSketch).from_bytes(data)
        for name, data in packed.items()
    }
