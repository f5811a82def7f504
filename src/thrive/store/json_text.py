"""The text of a JSON column: the same on every database, and read back as it was written.

JSON has no NaN and no infinities, and PostgreSQL refuses the spellings that Python uses for them.
They are written as the strings "NaN", "Infinity" and "-Infinity", which a number field of a
struct reads as numbers again.
"""

import json
import math
from typing import Any, cast

import msgspec

_encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def json_text(value: Any) -> str:
    """Return the JSON text of a value made of dicts, lists, texts, numbers, truths and None."""
    try:
        return _encoder.encode(value)
    except ValueError:  # a number that JSON does not have
        return _encoder.encode(finite(value))


def written_text(value: Any) -> str:
    """Return the JSON text of a value that may hold structs, for a column of JSON.

    It is spelled by a faster encoder, which has no words for numbers that JSON does not have.
    """
    try:
        text = msgspec.json.encode(value)
    except (UnicodeEncodeError, msgspec.MsgspecError):  # half a character, or no 64 bits
        return json_text(msgspec.to_builtins(value))
    if b"null" in text:  # None, or a number of that kind
        return json_text(msgspec.to_builtins(value))
    return text.decode()


def finite(value: Any) -> Any:
    """Return the value with every NaN and infinity replaced by its name."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        known = cast("dict[Any, Any]", value)
        return {key: finite(each) for key, each in known.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in cast("list[Any]", value)]
    return value
