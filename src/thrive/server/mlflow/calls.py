"""One call of an MLflow client, and what a route of the protocol is."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from thrive.domain.actor import Role
from thrive.operations import Context
from thrive.server.mlflow.given import Given
from thrive.server.mlflow.logbook import Entry
from thrive.tracking.search import RunIndex


class Call(msgspec.Struct, frozen=True):
    """What a handler works with.

    Attributes:
        ctx: the project and who calls.
        given: the fields that were sent.
        parts: the variable parts of the path, by name.
        index: the project's runs, for searches.
    """

    ctx: Context
    given: Given
    parts: Mapping[str, str]
    index: RunIndex


Handler = Callable[[Call], dict[str, Any] | Entry]
"""Takes a call and returns the object that is answered, or what is to be logged."""
Fast = Callable[[bytes], Entry | None]
"""Reads the usual form of a body; None leaves it to the handler, which takes every form."""


class Route(msgspec.Struct, frozen=True):
    """One route of the protocol, below the prefix.

    Attributes:
        method: GET, POST, PATCH or DELETE.
        path: e.g. `runs/get`; a part in braces is variable.
        role: who may call it; there is no default.
        handler: what answers.
        fast: reads bodies of the usual form, for routes that log.
    """

    method: str
    path: str
    role: frozenset[Role]
    handler: Handler
    fast: Fast | None = None
