"""What both ends agree on: an operation's method, path and arguments, and the door for bytes.

A parameter that names a local path never crosses: no client names a place on a server's disk.
"""

import functools
import typing
from pathlib import Path
from typing import Any

import msgspec

from thrive.operations import Kind, Operation, Parameter

PREFIX = "/api/"
BLOBS = PREFIX + "blobs/"
"""Where bytes go by digest; the names below stand where a digest would."""
MISSING = "missing"
SMALL = "small"
PART_BYTES = 8 << 20
"""Bytes of one part of a blob, and of many small blobs together."""
MOST_WAIT_S = 30.0
"""How long a read may wait for its answer to change."""
MOST_DIGESTS = 1000
"""Blobs that are asked for, or sent, at once."""


class Digests(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blobs by name."""

    digests: list[str]


class MissingBlob(msgspec.Struct, frozen=True):
    """A blob of which the server has the first `received` bytes."""

    digest: str
    received: int


def path_of(operation: Operation) -> str:
    """Return where an operation is called: `runs list` at `/api/runs/list`."""
    return PREFIX + operation.name.replace(" ", "/")


def is_post(operation: Operation) -> bool:
    """Tell whether an operation is POST: a write, and a job (its row is written)."""
    return operation.writes or operation.kind is Kind.JOB


def is_local(parameter: Parameter) -> bool:
    """Tell whether a parameter names a path on the caller's own machine."""
    return Path in (parameter.annotation, *typing.get_args(parameter.annotation))


@functools.cache
def wire_type(operation: Operation) -> type[msgspec.Struct]:
    """Return the struct of what may be sent to an operation; local paths keep their default.

    Raises:
        AssertionError: a path is required: such an operation is of kind client.
    """
    local = [each for each in operation.parameters if is_local(each)]
    if not local:
        return operation.arguments_type
    if any(each.required for each in local):
        raise AssertionError(f"operation {operation.name!r} needs a local path and has a route")
    fields: list[Any] = [
        (each.name, each.annotation)
        if each.required
        else (each.name, each.annotation, each.default)
        for each in operation.parameters
        if each not in local
    ]
    title = operation.arguments_type.__name__
    return msgspec.defstruct(title, fields, kw_only=True, forbid_unknown_fields=True)
