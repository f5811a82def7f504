"""The signature of a model: the fields of a request, and the answer.

A signature is data: it is stored in the manifest. `rows` reads requests by it, `inference` derives
it from training data.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from numpy.typing import NDArray

Columns = dict[str, "NDArray[Any]"]
"""Typed columns of equal length: float64 with NaN for numbers, integers and booleans,
datetime64[us] with NaT for times, object arrays of str or None for categories and texts."""

Scalar = str | bool | int | float


class FieldKind(StrEnum):
    """What a value of a field is."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    TEXT = "text"
    TIME = "time"


NUMERIC = frozenset({FieldKind.NUMBER, FieldKind.INTEGER, FieldKind.BOOLEAN})
"""The kinds whose columns are float64."""


class OutputKind(StrEnum):
    """What a model answers for one row."""

    PROBABILITY = "probability"
    CLASS = "class"
    NUMBER = "number"
    VECTOR = "vector"


class Odd(StrEnum):
    """What a value can be that no row a model was shown had."""

    UNSEEN = "unseen"
    OUTSIDE = "outside"
    MISSING = "missing"


class Field(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One named input of a model.

    `required` says whether the key must stand in each row, `nullable` whether its value may be
    missing. `categories`, `low` and `high` describe the training data; they bind requests only if
    `strict`, because most models answer usefully for a category or a value they never saw.
    """

    name: str
    kind: FieldKind
    required: bool = True
    nullable: bool = False
    strict: bool = False
    categories: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer: for `probability` that of the class `positive`, for `vector` one per class."""

    kind: OutputKind
    classes: tuple[Scalar, ...] = ()
    positive: Scalar | None = None
    threshold: float | None = None


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a request in the order of training, the answer, and a few example rows."""

    inputs: tuple[Field, ...]
    output: Output
    example: tuple[dict[str, Any], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(field.name for field in self.inputs)


def row_schema(signature: Signature) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one row of a request, for OpenAPI."""
    return {
        "type": "object",
        "properties": {field.name: _field_schema(field) for field in signature.inputs},
        "required": [field.name for field in signature.inputs if field.required],
        "additionalProperties": False,
        "examples": list(signature.example),
    }


_SCHEMA_TYPE = {
    FieldKind.NUMBER: "number",
    FieldKind.INTEGER: "integer",
    FieldKind.BOOLEAN: "boolean",
    FieldKind.CATEGORY: "string",
    FieldKind.TEXT: "string",
    FieldKind.TIME: "string",
}


def _field_schema(field: Field) -> dict[str, Any]:
    name = _SCHEMA_TYPE[field.kind]
    schema: dict[str, Any] = {"type": [name, "null"] if field.nullable else name}
    if field.kind is FieldKind.TIME:
        schema["format"] = "date-time"
    if field.strict and field.categories:
        schema["enum"] = [*field.categories, *([None] if field.nullable else [])]
    if field.strict and field.low is not None:
        schema["minimum"] = field.low
    if field.strict and field.high is not None:
        schema["maximum"] = field.high
    return schema
