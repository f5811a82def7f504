"""The OpenAPI document, generated from the route table: never written by hand."""

import inspect
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from thrive.client.wire import BLOBS, MISSING, SMALL, Digests, MissingBlob, is_post, wire_type
from thrive.domain.project import Job
from thrive.operations import Kind, Operation
from thrive.server.routes import Route
from thrive.version import __version__

_REFERENCE = "#/components/schemas/{name}"


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, and what to type or send next; `code` is stable."""

    code: str
    what: str
    hint: str


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Every answer whose status is 400 or higher."""

    error: ErrorBody


def answer_type(operation: Operation) -> Any:
    """Return the type of an operation's answer: a job for long work, an event for a stream."""
    if operation.kind is Kind.JOB:
        return Job
    if operation.kind is Kind.STREAM:
        return typing.get_args(operation.returns)[0]
    return operation.returns


def document(routes: Mapping[str, Route]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a route table."""
    operations = [routes[path].operation for path in sorted(routes)]
    types: list[Any] = [ErrorAnswer, Digests, MissingBlob]
    types += [wire_type(each) for each in operations]
    types += [answer_type(each) for each in operations]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    count = len(operations)
    paths = {
        path: {routes[path].method.lower(): _described(operation, schema, answer, components)}
        for path, operation, schema, answer in zip(
            sorted(routes), operations, schemas[3 : count + 3], schemas[count + 3 :], strict=True
        )
    }
    paths |= _blob_paths(schemas[1], schemas[2])
    token = {"type": "http", "scheme": "bearer", "description": "`thrive tokens create`"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Thrive", "version": __version__},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": token}},
        "security": [{"token": []}],
    }


def _described(
    operation: Operation,
    schema: dict[str, Any],
    answer: dict[str, Any],
    components: Mapping[str, Any],
) -> dict[str, Any]:
    asks: dict[str, Any]
    if is_post(operation):
        asks = {"requestBody": {"required": True, "content": _json(schema)}}
    else:
        arguments = components[schema["$ref"].rpartition("/")[2]]
        asks = {"parameters": list(_query(arguments))}
    return {
        "operationId": operation.name.replace(" ", "."),
        "tags": [operation.name.partition(" ")[0]],
        "summary": operation.summary,
        "description": inspect.getdoc(operation.function) or "",
        "x-thrive-roles": sorted(operation.role),
        "x-thrive-kind": operation.kind.value,
        **asks,
        "responses": _responses(operation, answer),
    }


def _blob_paths(digests: dict[str, Any], missing: dict[str, Any]) -> dict[str, Any]:
    """Return the paths of the door for bytes, which belong to no operation."""
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    place = [
        {"name": name, "in": "query", "required": True, "schema": {"type": "integer", "minimum": 0}}
        for name in ("offset", "size")
    ]
    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    named = {"name": "digest", "in": "path", "required": True, "schema": digest}
    listed = {"type": "array", "items": missing}
    return {
        BLOBS + MISSING: {
            "post": _bytes_described(
                "blobs.missing",
                "Say which blobs must be sent, and how much of each is here.",
                {"required": True, "content": _json(digests)},
                _json(listed),
            )
        },
        BLOBS + SMALL: {
            "put": _bytes_described(
                "blobs.small",
                "Send many small blobs as one msgpack list; the digests come back.",
                {"required": True, "content": binary},
                _json(digests),
            )
        },
        BLOBS + "{digest}": {
            "parameters": [named],
            "get": _bytes_described("blobs.get", "Read a blob, or a range of it.", None, binary),
            "put": _bytes_described(
                "blobs.put",
                "Send one part of a blob; parts follow one another.",
                {"required": True, "content": binary},
                _json(missing),
            )
            | {"parameters": place},
        },
    }


def _bytes_described(
    name: str, summary: str, body: dict[str, Any] | None, answer: dict[str, Any]
) -> dict[str, Any]:
    error = {"$ref": _REFERENCE.format(name="ErrorAnswer")}
    described: dict[str, Any] = {
        "operationId": name,
        "tags": ["blobs"],
        "summary": summary,
        "responses": {
            "200": {"description": "The answer.", "content": answer},
            "default": {"description": "What went wrong, and what to do.", "content": _json(error)},
        },
    }
    return described | ({"requestBody": body} if body else {})


def _query(arguments: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    required = arguments.get("required", [])
    for name, schema in arguments.get("properties", {}).items():
        yield {"name": name, "in": "query", "required": name in required, "schema": schema}


def _responses(operation: Operation, answer: dict[str, Any]) -> dict[str, Any]:
    status = "202" if operation.kind is Kind.JOB else "200"
    kind = "text/event-stream" if operation.kind is Kind.STREAM else "application/json"
    error = {"$ref": _REFERENCE.format(name="ErrorAnswer")}
    return {
        status: {"description": "The answer.", "content": {kind: {"schema": answer}}},
        "default": {"description": "What went wrong, and what to do.", "content": _json(error)},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
