"""The OpenAPI document of what a worker serves, from the signatures of its models."""

from typing import Any

from thrive.domain.features import ValueStatus
from thrive.packaging.signature import row_schema
from thrive.serving.live import LiveModel
from thrive.serving.records import CANDIDATE, CHOSEN, FALLBACK, PRODUCTION
from thrive.version import __version__

_VARIANTS = [PRODUCTION, CANDIDATE, FALLBACK, CHOSEN]
_STATES = [state.value for state in ValueStatus if state is not ValueStatus.PRESENT]
_PREDICTION = {
    "type": "object",
    "properties": {
        "id": {"type": ["string", "null"]},
        "score": {"type": ["number", "null"]},
        "decision": {},
        "version": {"type": "integer", "description": "Where several versions answered."},
        "features": {
            "type": "object",
            "additionalProperties": {"enum": _STATES},
            "description": "Feature views whose values were missing or too old.",
        },
        "variant": {"enum": _VARIANTS},
    },
}
_ANSWER = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "variant": {"enum": _VARIANTS},
        "predictions": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}},
    },
}
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("code", "message", "hint")},
        }
    },
}
REFUSALS = {
    "400": "The body is not JSON.",
    "401": "The server asks for a token, and the request shows none of its tokens.",
    "403": "A row is about a person who is left out, or callers may choose no version.",
    "413": "The body or the number of rows is too large.",
    "415": "The content type is not JSON.",
    "422": "A value does not fit the signature; names row and field.",
    "429": "Too many requests at work; come back after `Retry-After`.",
    "503": "No version can answer, and there is no fallback.",
}


def describe(models: dict[str, LiveModel]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these models."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Thrive model server", "version": __version__},
        "paths": {f"/predict/{name}": _path(live) for name, live in sorted(models.items())},
        "components": {"schemas": {"Prediction": _PREDICTION, "Answer": _ANSWER, "Error": _ERROR}},
    }


def _path(live: LiveModel) -> dict[str, Any]:
    row = _row(live)
    body = {
        "oneOf": [
            {
                "type": "object",
                "required": ["rows"],
                "properties": {"rows": {"type": "array", "minItems": 1, "items": row}},
            },
            row,
        ]
    }
    return {
        "post": {
            "operationId": f"predict_{live.served.model}",
            "summary": f"Ask {live.served.model}.",
            "parameters": _parameters(live),
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {"200": _response("The answer.", "Answer"), **_refusals()},
        }
    }


def _parameters(live: LiveModel) -> list[dict[str, Any]]:
    headers = {
        "X-Route-Key": "Requests of one key get one variant.",
        "traceparent": "W3C Trace Context: the answer carries our part of the trace.",
    }
    if live.served.override:
        headers["X-Variant"] = "The version that is to answer, or `candidate`."
    sync: dict[str, Any] = {
        "name": "logged",
        "in": "query",
        "schema": {"enum": ["sync"]},
        "description": "Answer once the answer is on the disk.",
    }
    return [
        *(
            {"name": name, "in": "header", "schema": {"type": "string"}, "description": words}
            for name, words in headers.items()
        ),
        sync,
    ]


def _row(live: LiveModel) -> dict[str, Any]:
    signature = live.signature
    empty: dict[str, Any] = {"type": "object", "properties": {}}
    row = row_schema(signature) if signature else empty
    plain: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
    fields: dict[str, Any] = row["properties"]
    row["properties"] = {**dict.fromkeys(live.served.keys, plain), **fields}
    return row


def _refusals() -> dict[str, Any]:
    return {status: _response(words, "Error") for status, words in REFUSALS.items()}


def _response(words: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": words, "content": content}
