"""The arguments of a request: a query for reads, a JSON body for writes, checked by the signature.

Beyond the types: no duplicate names, no NUL in a text, no number that a database cannot hold, and
no list longer than a page.
"""

import json
import math
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from thrive.client.wire import wire_type
from thrive.operations import Operation, Parameter
from thrive.server.problems import Problem

LARGEST_PAGE = 1000
MOST_FIELDS = 200
_LARGEST_INTEGER = 2**63 - 1


def from_query(operation: Operation, query: bytes) -> dict[str, Any]:
    """Return the arguments in a query string; a name given often is a list.

    Raises:
        Problem: 422, with the path of what is wrong.
    """
    lists = {each.name for each in operation.parameters if _is_list(each)}
    given: dict[str, Any] = {}
    for name, value in _fields(query):
        if name in lists:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise _wrong(operation, f"Object contains the field `{name[:80]}` twice")
        else:
            given[name] = value
    try:
        struct = msgspec.convert(given, wire_type(operation), strict=False)
    except msgspec.ValidationError as error:
        raise _wrong(operation, str(error)) from None
    return _checked(operation, struct)


def from_body(operation: Operation, body: bytes) -> dict[str, Any]:
    """Return the arguments in a JSON body; an empty body is an empty object.

    Raises:
        Problem: 400 for broken JSON, 422 with the path of a wrong field.
    """
    content = body or b"{}"
    try:
        struct = msgspec.json.decode(content, type=wire_type(operation))
        json.loads(content, object_pairs_hook=_once)
    except msgspec.ValidationError as error:
        raise _wrong(operation, str(error)) from None
    except (ValueError, RecursionError) as error:
        raise Problem(
            400, "UsageError", f"The body is not JSON: {error}.", 'send e.g. {"name": "value"}'
        ) from None
    return _checked(operation, struct)


def _fields(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as error:
        raise Problem(400, "UsageError", f"The query cannot be read: {error}.") from None


def _is_list(parameter: Parameter) -> bool:
    return "list[" in str(parameter.annotation)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return known


def _wrong(operation: Operation, words: str) -> Problem:
    return Problem(
        422, "UsageError", f"`{operation.name}`: {words}.", "see /api/openapi.json for its fields"
    )


def _checked(operation: Operation, struct: msgspec.Struct) -> dict[str, Any]:
    arguments = {name: getattr(struct, name) for name in struct.__struct_fields__}
    for name, value in arguments.items():
        for each in _leaves(value):
            problem = _unstorable(each)
            if problem:
                raise _wrong(operation, f"{problem} - at `$.{name}`")
    limit = arguments.get("limit")
    if isinstance(limit, int) and not 1 <= limit <= LARGEST_PAGE:
        raise _wrong(operation, f"Expected `int` from 1 to {LARGEST_PAGE} - at `$.limit`")
    return arguments


def _leaves(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else (value,)


def _unstorable(value: Any) -> str:
    if isinstance(value, str) and "\x00" in value:
        return "Expected `str` without NUL"
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return "Expected `int` of 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return "Expected a finite `float`"
    return ""
