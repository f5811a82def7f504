"""A stored file of the house's own with the person's value taken out: JSON, msgpack, plain text."""

from typing import Any

import msgspec

from thrive.flows.erasure.sought import Sought


def redact(data: bytes, sought: Sought) -> bytes | None:
    """Return the bytes without the value, None if they are of no kind that can be rewritten."""
    for decode, encode in (
        (msgspec.json.decode, msgspec.json.encode),
        (msgspec.msgpack.decode, msgspec.msgpack.encode),
    ):
        try:
            value = decode(data)
        except msgspec.MsgspecError:
            continue
        if isinstance(value, dict | list):
            return encode(_walked(value, sought))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return sought.redacted(text).encode() if "\0" not in text else None


def _walked(value: Any, sought: Sought) -> Any:
    """Return a value redacted, with what is packed inside of its bytes."""
    if isinstance(value, bytes):
        if not sought.in_raw(value):
            return value
        inner = redact(value, sought)
        return inner if inner is not None else b""
    if isinstance(value, dict):
        return {_walked(key, sought): _walked(each, sought) for key, each in value.items()}
    if isinstance(value, list):
        return [_walked(each, sought) for each in value]
    return sought.redacted(value)
