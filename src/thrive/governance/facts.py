"""One statement with the record it rests on: what cards and documents are made of."""

from typing import Any

import msgspec

from thrive.domain.reference import format_reference
from thrive.governance.records import Records

MISSING = "missing"
"""What stands where nobody recorded anything."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One statement; `value` is None when nobody recorded it.

    `source` is `kind:id` of the record (with `#path` inside it), or where it should have stood.
    """

    what: str
    value: str | None
    source: str


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that belong together; `empty` is what to say when there are none."""

    title: str
    facts: list[Fact]
    empty: str = "Nothing is recorded."


def stated(what: str, value: Any, source: str) -> Fact:
    """Return a fact; empty texts, lists and None are missing."""
    if isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value)
    elif isinstance(value, dict):
        value = ", ".join(f"{key}: {item}" for key, item in value.items())
    text = "" if value is None else str(value)
    return Fact(what=what, value=text or None, source=source)


def in_contract(records: Records, path: str) -> str:
    """Return the source of what the contract says at a path."""
    digest = records.version.contract if records.parsed else "none"
    return f"contract:{digest}#{path}"


def in_registry(records: Records) -> str:
    """Return the source of what the registry says of the version."""
    return f"model_version:{format_reference(records.version.model, records.version.version)}"
